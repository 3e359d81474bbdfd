"""Serving: requests a second at how many clients, beside the bare call; JSON and Arrow, with and without batches."""

import asyncio
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from ae_assets.chain.workspace import RAW, Workspace
from benchmarks.row import Row

FIRST, COUNT = date(2013, 4, 10), 75
LOCATION = f"simulated://?drives=400&days={COUNT}&seed=5&start={FIRST}"
SECONDS = 8
CLIENTS = (1, 8, 64)
TOKEN = "token-of-the-benchmark-0123456789"  # noqa: S105 - of a server on loopback
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"


def run() -> list[Row]:
    """Measures the default table of drive stats over a simulated fleet, the server and its clients on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_figures(Path(folder))]


@dataclass(frozen=True)
class _Load:
    """What clients saw: seconds of each request, and how many a second; and what each cost the server."""

    seconds: np.ndarray
    rate: float
    processor: float

    def at(self, share: float) -> float:
        return float(np.percentile(self.seconds, share)) * 1e3


def _figures(home: Path) -> Iterator[Row]:
    os.environ |= {"AE_ASSETS_HOME": str(home), "DRIVE_STATS_LOCATION": LOCATION}
    from ae_assets.chain.champion import load_champion
    from ae_assets.chain.table_facts import table_facts
    from ae_assets.model import devices
    from ae_assets.model.reasons import flags_of

    space = _filled()
    model = load_champion(space)
    facts = table_facts(space, flags_of(model.detector.feature_names, model.features))
    last = FIRST + timedelta(days=COUNT - 1)
    columns = [name for name in model.contract.read_in(list(space.schema(RAW))) if not name.startswith("source_")]
    rows = space.read(RAW, last - model.look_back, last, [name for name in columns if name != "rescued"])
    names = rows["serial_number"].unique().sort()
    groups = [rows.filter(pl.col("serial_number") == name) for name in names[:200]]
    many = rows.filter(pl.col("serial_number").is_in(names[:100].implode()))
    on = f"one drive with {groups[0].height} rows of history"

    def bare(of: pl.DataFrame) -> Callable[[], object]:
        raw = of.with_columns(rescued=pl.lit(None, pl.String))
        return lambda: devices.decide(model, [devices.Question(devices.validate(model, raw).valid, last)], facts)

    whole = _medians(lambda: model.decide(groups[0].with_columns(rescued=pl.lit(None, pl.String))), 3)
    alone = _medians(bare(groups[0]), 60)
    of_many = _medians(bare(many), 10)
    yield _of_call("Model.decide, period by period", whole, on)
    yield _of_call("devices.decide, all at once", alone, on)
    yield _of_call("devices.decide of 100 drives", of_many, f"{many.height:,} rows")
    with _server(home) as server:
        for clients in CLIENTS:
            load = _load(server, [_json(one) for one in groups], JSON, clients)
            yield from _rows(f"JSON, {clients} clients", load, groups[0].height, on)
            if clients == 1:
                over = (load.processor - alone[1]) / alone[1]
                yield Row("HTTP over the bare call, by processor time", over, "x", note="one client")
        yield from _rows(
            "Arrow, 8 clients", _load(server, [_arrow(one) for one in groups], ARROW, 8), groups[0].height, on
        )
        for kind, encode in ((JSON, _json), (ARROW, _arrow)):
            load = _load(server, [encode(many)], kind, 2)
            yield from _rows(
                f"{'JSON' if kind == JSON else 'Arrow'}, 100 drives a request, 2 clients", load, many.height, ""
            )
    with _server(home, AE_ASSETS_SERVE_BATCH_REQUESTS="1") as server:
        for clients in CLIENTS[1:]:
            load = _load(server, [_json(one) for one in groups], JSON, clients)
            yield from _rows(f"JSON, {clients} clients, no batches", load, groups[0].height, on)


def _of_call(name: str, medians: tuple[float, float], on: str) -> Row:
    return Row(name, medians[0] * 1e3, "ms", note=f"{medians[1] * 1e3:.1f} ms of a processor; {on}")


def _rows(name: str, load: _Load, rows: int, on: str) -> Iterator[Row]:
    yield Row(
        name,
        load.rate,
        "requests/s",
        note=f"{load.rate * rows:,.0f} rows/s, {load.processor * 1e3:.1f} ms of a processor each; {on}".rstrip("; "),
    )
    yield Row(f"{name}: p50", load.at(50), "ms")
    yield Row(f"{name}: p99", load.at(99), "ms")


def _filled() -> Workspace:
    from ae_assets.chain.features import build_features
    from ae_assets.chain.model import TrainingRange, train
    from ae_assets.chain.raw import load_raw
    from ae_assets.chain.threshold import calibrate_latest
    from ae_assets.cli.instance import open_workspace
    from ae_assets.schemas.periods import DAILY
    from ae_assets.sources import open_source

    space = open_workspace("drive_stats")
    days = DAILY.range(FIRST, FIRST + timedelta(days=COUNT - 1))
    list(load_raw(space, open_source(LOCATION, space.table.reading), days))
    build_features(space, days)
    table = space.table
    train(space, TrainingRange.of(days[0], days[39], table.horizon_days, table.periods, table.learned))
    calibrate_latest(space)
    return space


def _json(rows: pl.DataFrame) -> bytes:
    return f'{{"rows": {rows.write_json()}}}'.encode()


def _arrow(rows: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    rows.write_ipc_stream(sink, compression="uncompressed")
    return sink.getvalue()


def _medians(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    clock, processor = np.median(taken, axis=0).tolist()
    return clock, processor


@contextmanager
def _server(home: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """Its port, and the number of its process."""
    environment: Mapping[str, str] = {
        **os.environ,
        "AE_ASSETS_HOME": str(home),
        "AE_ASSETS_SERVE_TOKEN": TOKEN,
        **settings,
    }
    command = [sys.executable, "-m", "ae_assets.cli", "serve", "drive_stats", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            found = next(filter(None, (re.search(r"listening at \S+:(\d+);", line) for line in process.stdout)), None)
            if found is None:
                raise RuntimeError("the server did not start")
            yield int(found[1]), process.pid
        finally:
            process.terminate()


def _load(server: tuple[int, int], bodies: list[bytes], kind: str, clients: int) -> _Load:
    """Clients that each ask again as soon as they are answered, after a second that does not count."""
    heads = (
        f"POST /v1/tables/drive_stats/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: {kind}\r\nAccept: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        for body in bodies
    )
    requests = [head.encode() + body for head, body in zip(heads, bodies, strict=True)]
    taken: list[float] = []
    port, process = server[0], psutil.Process(server[1])
    counted = [0.0, 0.0]
    start = time.perf_counter() + 1
    end = start + SECONDS

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < end:
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise RuntimeError(head.decode())
            await reader.readexactly(int(length[1]))
            if began >= start:
                taken.append(time.perf_counter() - began)
            number += clients
        writer.close()

    async def spent() -> None:
        for place, when in enumerate((start, end)):
            await asyncio.sleep(max(when - time.perf_counter(), 0))
            counted[place] = sum(process.cpu_times()[:2])

    async def all_of_them() -> None:
        await asyncio.gather(spent(), *(client(number) for number in range(clients)))

    asyncio.run(all_of_them())
    return _Load(np.array(taken), len(taken) / SECONDS, (counted[1] - counted[0]) / len(taken))
