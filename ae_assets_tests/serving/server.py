"""A project with one small table and its home, and servers of it as processes of their own."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from ae_assets.chain import Workspace
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import FIRST, attributes, storage_of, watched_table

TOKEN = "token-of-the-tests-0123456789"  # noqa: S105 - of servers on loopback
DAYS = DAILY.range(FIRST, FIRST + timedelta(days=44))
LOCATION = f"simulated://?drives=60&days=45&seed=3&start={FIRST}"
SECTIONS = {
    "threshold": {"policy": "percentile", "percentile": 98},
    "calibration": {"embargo_days": 4, "days": 8},
    "decision": {"aggregation": {"method": "mean", "days": 3}, "episodes": {"alarms": 2, "within_days": 4}},
}
COLUMNS = ["date", "serial_number", "model", "failure", "smart_5_raw", "smart_9_raw", "smart_194_raw", "smart_197_raw"]


def make_project(folder: Path) -> Workspace:
    """A Dagster project whose table has a champion and stored anomalies; its home is in the folder ``home``."""
    defs = folder / "src" / "served" / "defs" / "fleet"
    defs.mkdir(parents=True)
    for package in (defs.parent.parent, defs.parent):
        (package / "__init__.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "served"\n'
    )
    content = {"type": "ae_assets.AnomalyPipeline", "attributes": attributes(LOCATION, **SECTIONS)}
    (defs / "defs.yaml").write_text(yaml.safe_dump(content))
    space = storage_of(watched_table(LOCATION, **SECTIONS), folder / "home")
    steps.fill(space, DAYS)
    steps.fit(space, DAYS[0], DAYS[19])
    steps.judge(space, DAYS)
    steps.fit(space, DAYS[0], DAYS[21])  # no champion, since there is one
    models = space.models
    models.promote("fleet", models.versions("fleet")[0])
    return space


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server."""

    process: subprocess.Popen[str]
    listener: threading.Thread = field(default_factory=threading.Thread)
    port: int = 0
    tls: ssl.SSLContext | None = None
    said: list[str] = field(default_factory=list)

    def connection(self, seconds: float = 60) -> http.client.HTTPConnection:
        if self.tls is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=seconds, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        seconds: float = 60,
        token: str | None = TOKEN,
        **headers: str,
    ) -> Answer:
        connection = self.connection(seconds)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def decide(self, rows: Sequence[Mapping[str, Any]] | pl.DataFrame, query: str = "", **more: Any) -> Answer:
        content = rows.write_json() if isinstance(rows, pl.DataFrame) else json.dumps(rows)
        body = f'{{"rows": {content}}}'.encode()
        return self.ask("POST", f"/v1/tables/fleet/decide{query}", body, Content_Type="application/json", **more)

    @property
    def log(self) -> str:
        return "".join(self.said)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.listener.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def started(project: Path, *options: str, ready_within: float = 120, **settings: str) -> Running:
    """A server of the project's table, once it answers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AE_ASSETS_SERVE_")}
    environment |= {"AE_ASSETS_HOME": str(project / "home"), "AE_ASSETS_PROJECT": str(project), "PYTHONUNBUFFERED": "1"}
    environment |= {"AE_ASSETS_SERVE_TOKEN": TOKEN, "AE_ASSETS_SERVE_POLL_SECONDS": "0.5"}
    environment |= {f"AE_ASSETS_SERVE_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "ae_assets.cli", "serve", "fleet", "--port", "0", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(process)
    heard = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            running.said.append(line)
            if "listening at" in line:
                running.port = int(line.partition("listening at ")[2].partition(";")[0].rpartition(":")[2])
                heard.set()
        heard.set()

    running.listener = threading.Thread(target=listen, daemon=True)
    running.listener.start()
    heard.wait(ready_within)
    if not running.port:
        process.kill()
        raise AssertionError(f"the server did not start: {running.log}")
    return running
