"""MLflow for tests: its packages, which stand apart, and its REST server on a loopback port, behind a password."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ae_assets_tests.integration.ports import free_port

APART = Path(sys.prefix) / "mlflow"
USER, PASSWORD = "reader", "password-of-mlflow"

WARNINGS = ("ignore::DeprecationWarning", "ignore::FutureWarning")
"""Of what MLflow itself calls; users do not see them."""

SERVE = """
import hmac, os, sys
from flask import Response, request
from werkzeug.serving import make_server
from mlflow.server import app

@app.before_request
def refuse_strangers():
    given = request.authorization
    expected = os.environ["PASSWORD_OF_SERVER"]
    if given is None or not hmac.compare_digest(given.password or "", expected):
        return Response("who are you?", 401)

make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True).serve_forever()
"""
"""What `mlflow server` runs behind its own front, for which mlflow-skinny lacks packages; the password is a proxy's."""


@dataclass(frozen=True)
class MlflowServer:
    """A running server."""

    uri: str
    folder: Path


def environment() -> dict[str, str]:
    """Of a process that imports MLflow."""
    paths = (str(APART), *filter(None, [os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MLFLOW_DISABLE_TELEMETRY": "true"}


@contextmanager
def running(folder: Path) -> Iterator[MlflowServer]:
    """A server that keeps everything in a folder."""
    port = free_port()
    store = f"sqlite:///{folder}/mlflow.db"
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": (folder / "artifacts").as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "PASSWORD_OF_SERVER": PASSWORD,
    }
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-c", SERVE, str(port)]
        server = subprocess.Popen(command, env={**environment(), **settings}, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log")
            yield MlflowServer(f"http://127.0.0.1:{port}", folder)
        finally:
            server.terminate()
            server.wait(30)


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path, seconds: float = 180) -> None:
    """Waits until a server answers, whatever it answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - a loopback address
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"{url} does not answer: {log.read_text()}")


@contextmanager
def mlflow_importable() -> Iterator[None]:
    """Lets this process import MLflow, quick to give up on servers that are away."""
    if not APART.is_dir():
        pytest.skip(f"MLflow's packages are not in {APART}: ./dev ci puts them there")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(APART)
        patched.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patched.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patched.setenv("MLFLOW_TRACKING_USERNAME", USER)
        patched.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        yield
