"""MLflow: what keeping models and runs there costs, and a model served by it beside `Model.decide`."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ae_assets.chain.features import build_features
from ae_assets.chain.logged_facts import training_facts
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import RAW, Workspace
from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets.lakehouse.registry import ModelRegistry, open_registry, open_run_log
from ae_assets.model.model import load_model
from ae_assets.model.parse import parse_table
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from benchmarks.row import Row

FIRST = date(2024, 1, 1)
DRIVES, DAYS = 300, 40
REQUESTS, IN_A_REQUEST = 200, 10
TABLE = {
    "table": "fleet",
    "start": str(FIRST),
    "source": {"location": f"simulated://?drives={DRIVES}&days={DAYS}&seed=3&start={FIRST}"},
    "features": {
        "spans": [1, 7],
        "attributes": {
            "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors"},
            "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
            "smart_197_raw": {"kind": "counter", "meaning": "pending sectors"},
        },
    },
    "training": {"horizon_days": 10, "days": 20, "max_rows": 5000},
    "detector": {
        "type": "dense_autoencoder",
        "units": [16, 4, 16],
        "epochs": 60,
        "learning_rate": 0.005,
        "patience": 3,
        "batch_size": 64,
    },
    "threshold": {"policy": "percentile", "percentile": 99},
    "calibration": {"embargo_days": 2, "days": 8},
}

_Result = TypeVar("_Result")


def run() -> list[Row]:
    """Measures on a database of MLflow's own in a temporary folder, and on a server of it on a loopback port."""
    apart = Path(sys.prefix) / "mlflow"
    if apart.is_dir():  # the development environment keeps its packages apart
        sys.path.insert(0, str(apart))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(apart), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        return list(_of(Path(folder)))


def _of(home: Path) -> Iterator[Row]:
    location = f"mlflow+sqlite:///{home}/mlflow.db"
    table = parse_table(TABLE, "benchmark")
    space = Workspace(table, Lakehouse.open(home), ModelStore.open(home))
    days = DAILY.range(FIRST, FIRST.replace(month=2, day=DAYS - 31))
    list(load_raw(space, open_source(table.source.location, table.reading), days))
    build_features(space, days)
    trained = train(space, TrainingRange.of(days[0], days[19], table.horizon_days))
    calibrate_latest(space)
    folder = space.models.path("fleet", trained.version)
    files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    log, models = open_run_log(home, location), open_registry(home, location)
    began = time.perf_counter()
    models.versions("fleet")
    yield Row("the first call to MLflow", time.perf_counter() - began, "s", note="its import and a new database, once")
    with log.training("fleet") as run:
        card = {**trained.card, "mlflow": dict(run.reference)}
        seconds, _ = _timed(lambda: run.finish(lambda: training_facts(trained.version, card)))
    yield Row("logging a training", seconds, "s", note="settings, data, losses by epoch, card; SQLite")
    threshold = space.models.read_threshold("fleet", trained.version)
    for name, place in (("files", ModelStore.open(home / "other")), ("MLflow", models)):
        yield from _registry(name, place, trained.detector.save, card, threshold, f"{files / 1000:.0f} kB")
    import mlflow

    mlflow.set_tracking_uri(location.removeprefix("mlflow+"))
    seconds, served = _timed(lambda: mlflow.pyfunc.load_model("models:/fleet@champion"))
    yield Row("loading it as a pyfunc", seconds, "s", note="Keras and JAX are loaded already")
    model = load_model(folder)
    rows = space.read(RAW, days[0], days[-1])
    taken = [name for name in served.metadata.get_input_schema().input_names() if name in rows.columns]
    frame = rows.select(taken).to_arrow().to_pandas(date_as_object=False)
    on = f"{rows.height:,} raw rows of {len(days)} days"
    bare, wrapped = (
        [_timed(one)[0] for _ in range(5)] for one in (lambda: model.decide(rows), lambda: served.predict(frame))
    )
    yield Row("Model.decide", rows.height / float(np.median(bare)), "rows/s", note=f"{on}, median of 5")
    yield Row("the pyfunc", rows.height / float(np.median(wrapped)), "rows/s", note="the same, from pandas to pandas")
    day = rows.filter(day=days[0]).select(
        "date", "serial_number", "model", "smart_5_raw", "smart_9_raw", "smart_197_raw"
    )
    split = {"columns": day.columns, "data": [[str(row[0]), *row[1:]] for row in day.rows()]}
    yield from _served(home, location.removeprefix("mlflow+"), split)


def _registry(
    name: str, models: ModelRegistry, write: Callable[[Path], None], card: Mapping[str, Any], threshold: str, size: str
) -> Iterator[Row]:
    seconds, version = _timed(lambda: models.new_version("fleet", write, card))
    yield Row(f"a new version in {name}", seconds, "s", note=f"{size}, written, packed and registered")
    seconds, _ = _timed(lambda: models.write_threshold("fleet", version, threshold))
    yield Row(f"its threshold in {name}", seconds * 1000, "ms")
    models.promote("fleet", version)
    seconds, _ = _timed(lambda: models.path("fleet", models.champion("fleet") or ""))
    yield Row(f"the champion of {name}, its files", seconds * 1000, "ms", note="the first time on a machine")
    seconds, _ = _timed(lambda: models.path("fleet", models.champion("fleet") or ""))
    yield Row(f"the champion of {name}, again", seconds * 1000, "ms")


def _served(home: Path, uri: str, split: Mapping[str, Any]) -> Iterator[Row]:
    began = time.perf_counter()
    with _serving(home, uri) as address:
        yield Row("mlflow models serve, until it answers", time.perf_counter() - began, "s")
        few = {**split, "data": split["data"][:IN_A_REQUEST]}
        body = json.dumps({"dataframe_split": few}).encode()
        asked = [_timed(lambda: _ask(f"{address}/invocations", body))[0] for _ in range(REQUESTS)]
        on = f"{REQUESTS} requests of {IN_A_REQUEST} rows, one after the other"
        for share in (50, 99):
            yield Row(f"a request, p{share}", float(np.percentile(asked, share)) * 1000, "ms", note=on)


@contextmanager
def _serving(home: Path, uri: str) -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/fleet@champion"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (home / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            command, env={**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": path}, cwd=home, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 300
        while time.monotonic() < end and server.poll() is None:
            with suppress(OSError):
                _ask(f"http://127.0.0.1:{port}/ping", None)
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the command and what it started
        server.wait()


def _ask(url: str, body: bytes | None) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        content: bytes = answer.read()
    return content


def _timed(work: Callable[[], _Result]) -> tuple[float, _Result]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
