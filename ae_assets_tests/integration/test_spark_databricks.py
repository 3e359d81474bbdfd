"""What Databricks is asked for, by a server that answers as its documents say and runs the job there and then."""

import base64
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from dagster_pipes import PipesBufferedFilesystemMessageWriterChannel, PipesContext, PipesDbfsMessageWriter

from ae_assets.chain import Workspace
from ae_assets.chain.features import build_features
from ae_assets.chain.workspace import FEATURES, QUARANTINE
from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets.pipeline.spark import job, launch
from ae_assets_tests.chain.faulty_fleet import ASKED, faulty_fleet
from ae_assets_tests.integration.seaweed import SECRET
from ae_assets_tests.pipeline.runs import failure_of, materialise

pytestmark = [
    pytest.mark.parametrize("catalog", ["PostgreSQL"], indirect=True),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TOKEN = "token-of-databricks"  # noqa: S105 - the server takes any


class WriterHere(PipesDbfsMessageWriter):
    """Databricks shows its files below /dbfs; here they lie where the server keeps them."""

    def make_channel(self, params: Any) -> PipesBufferedFilesystemMessageWriterChannel:
        return PipesBufferedFilesystemMessageWriterChannel(path=params["path"], interval=self.interval)

    def get_opened_extras(self) -> dict[str, Any]:
        return {}  # without a session that knows where the cluster logs


class Databricks(BaseHTTPRequestHandler):
    step: Any = None
    asked: ClassVar[dict[str, Any]]
    state: ClassVar[dict[str, str]]

    def do_GET(self) -> None:
        query = {key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()}
        self._answer(urlsplit(self.path).path.rpartition("/2.")[2].partition("/")[2], query)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        self._answer(self.path.rpartition("/2.")[2].partition("/")[2], body)

    def _answer(self, call: str, body: dict[str, Any]) -> None:
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        self.asked[call] = body
        status, answer = 200, {}
        path = Path(body.get("path", "/nothing"))
        if call == "dbfs/mkdirs":
            path.mkdir(parents=True)
        elif call == "dbfs/put":
            path.write_bytes(base64.b64decode(body["contents"]))
        elif call == "dbfs/read" and path.is_file():
            answer = {"bytes_read": path.stat().st_size, "data": base64.b64encode(path.read_bytes()).decode()}
        elif call == "dbfs/get-status" and path.exists():
            answer = {"path": str(path), "is_dir": path.is_dir()}
        elif call in {"dbfs/read", "dbfs/get-status"}:
            status, answer = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such file"}
        elif call == "jobs/runs/submit":
            self._run(body["tasks"][0]["new_cluster"]["spark_env_vars"])
            answer = {"run_id": 7}
        elif call == "jobs/runs/get":
            answer = {"run_id": 7, "state": self.state, "run_page_url": "https://workspace/run/7"}
        encoded = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _run(self, variables: dict[str, str]) -> None:
        failed = {"life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": "exit code 1"}
        type(self).state = failed
        try:
            job.main(variables, {FEATURES: self.step}, lambda space: None)  # type: ignore[arg-type,return-value]
            type(self).state = {**failed, "result_state": "SUCCESS"}
        except Exception as error:  # noqa: BLE001 - a job that fails is an answer
            type(self).state = {**failed, "state_message": repr(error)}
        finally:
            PipesContext._instance = None

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name that it is called by
        return


@pytest.fixture
def databricks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Databricks]]:
    monkeypatch.syspath_prepend(Path(sys.prefix) / "spark")
    if find_spec("dagster_databricks") is None:
        pytest.skip("the extra databricks is not installed")
    monkeypatch.setattr(job, "PipesDbfsMessageWriter", WriterHere)
    monkeypatch.setattr(job, "PipesDbfsContextLoader", job.PipesDefaultContextLoader)
    monkeypatch.setattr(job, "_session", lambda: None)
    monkeypatch.setattr(job, "_channels", of_databricks(job._channels))
    monkeypatch.setattr(launch, "_POLL_SECONDS", 0.1)
    handler = type("Server", (Databricks,), {"asked": {}, "state": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def of_databricks(channels: Any) -> Any:
    return lambda environment: channels({**environment, "DATABRICKS_RUNTIME_VERSION": "18.0"})


@pytest.fixture
def space(catalog: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    for name, value in catalog.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__AE_ASSETS__{name.upper().replace('.', '__').replace('-', '_')}", value)
    cluster = {"spark_version": "18.0.x-scala2.13", "num_workers": 2, "spark_conf": {"spark.speculation": "false"}}
    request = {"new_cluster": cluster, "libraries": [{"pypi": {"package": "ae-assets[spark]"}}]}
    settings = {"driver": "databricks", "script": "dbfs:/ae_assets/job.py", "request": request}
    (tmp_path / "driver.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", str(tmp_path / "driver.yaml"))
    made = faulty_fleet(tmp_path, Lakehouse.open(None, catalog))
    yield made
    made.tables.close()


def run(space: Workspace, home: Path, engine: str) -> Any:
    table = space.table.model_copy(update={"engine": engine})
    return materialise(table, home, (FEATURES, QUARANTINE), (ASKED[0], ASKED[-1]))


def told(result: Any) -> list[Any]:
    events = [one.step_materialization_data.materialization for one in result.get_asset_materialization_events()]
    return [(one.asset_key, one.partition, one.metadata) for one in events]


def test_a_job_on_databricks_is_asked_for_without_secrets_and_told_as_one_of_this_process(
    space: Workspace, databricks: type[Databricks], tmp_path: Path
) -> None:
    databricks.step = staticmethod(lambda space, days, engine: build_features(space, days))
    local, elsewhere = (run(space, tmp_path, engine) for engine in ("local", "spark"))
    assert failure_of(elsewhere) == failure_of(local), "a day is held back by both"
    assert told(elsewhere) == told(local)
    (task,) = databricks.asked["jobs/runs/submit"]["tasks"]
    assert task["spark_python_task"] == {"python_file": "dbfs:/ae_assets/job.py"}
    assert task["new_cluster"]["spark_conf"].items() >= {
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.speculation", "false"),
    }
    words = json.dumps(databricks.asked)
    for secret in (SECRET, TOKEN, space.tables.catalog["uri"]):
        assert secret not in words


def test_an_error_on_databricks_fails_the_step_in_its_words(
    space: Workspace, databricks: type[Databricks], tmp_path: Path
) -> None:
    def fail(space: Workspace, days: Any, engine: Any) -> Any:
        raise LakehouseError("no room for the files")

    databricks.step = staticmethod(fail)
    result = run(space, tmp_path, "spark")
    assert "LakehouseError: no room for the files" in failure_of(result)
    assert not result.get_asset_materialization_events()
    assert os.environ["DATABRICKS_TOKEN"] not in failure_of(result)
