"""Dagster as a team runs it: code server, daemon and webserver as processes, runs and events in PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import psutil
import yaml

from ae_assets.cli.instance import INSTANCE_SETTINGS
from ae_assets_tests.integration.ports import free_port

URL_VARIABLE = "DAGSTER_POSTGRES_URL"
START_SECONDS = 300
PATIENCE_SECONDS = 600
LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
RELAUNCH = """
mutation($params: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
START_SENSOR = """
mutation($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { __typename ... on PythonError { message } }
}"""
Found = TypeVar("Found")


@dataclass
class Deployment:
    """The processes, and what a person does with them."""

    folder: Path
    environment: Mapping[str, str]
    code_port: int
    web_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return Path(self.environment["AE_ASSETS_HOME"])

    @property
    def scripts(self) -> Path:
        return Path(sys.executable).parent

    def start(self, *names: str) -> None:
        """Starts the named processes and waits until those that listen do."""
        workspace = str(self.folder / "workspace.yaml")
        # fmt: off
        commands = {
            "code": ["dagster", "api", "grpc", "-m", "ae_assets_tests.integration.location", "-h", "127.0.0.1",
                     "-p", str(self.code_port), "--location-name", "fleet", "--inject-env-vars-from-instance",
                     "--instance-ref", self.instance_ref()],
            "daemon": ["dagster-daemon", "run", "-w", workspace],
            "web": ["dagster-webserver", "-w", workspace, "-h", "127.0.0.1", "-p", str(self.web_port)],
        }
        # fmt: on
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [self.scripts / commands[name][0], *commands[name][1:]],
                    env=dict(self.environment),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        for name, port in (("code", self.code_port), ("web", self.web_port)):
            if name in names:
                wait_for(f"{name} listens", lambda port=port: _listens(port), START_SECONDS, self.logs)

    def instance_ref(self) -> str:
        from dagster._serdes import serialize_value

        with self.instance() as instance:
            return serialize_value(instance.get_ref())

    def kill(self, *names: str) -> None:
        """kill -9 of the named processes, as a machine that is switched off does; runs they started live on."""
        for name in names:
            process = self.processes.pop(name)
            process.kill()
            process.wait()

    def run_processes(self) -> list[psutil.Process]:
        """The processes in which runs are executed: children of the code server, or orphans of one that was killed."""
        return [
            process
            for process in psutil.process_iter(["pid", "cmdline", "environ"])
            if "spawn_main" in " ".join(process.info["cmdline"] or ())
            and (process.info["environ"] or {}).get("DAGSTER_HOME") == self.environment["DAGSTER_HOME"]
        ]

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The instance as a process of the deployment opens it."""
        before = os.environ.get(URL_VARIABLE)
        os.environ[URL_VARIABLE] = self.environment[URL_VARIABLE]
        try:
            with dg.DagsterInstance.from_config(self.environment["DAGSTER_HOME"]) as opened:
                yield opened
        finally:
            os.environ.pop(URL_VARIABLE)
            if before is not None:
                os.environ[URL_VARIABLE] = before

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the webserver answers, as the UI asks it."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web_port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            answered = json.load(answer)
        assert "errors" not in answered, answered
        ((_, result),) = answered["data"].items()
        return dict(result)

    def backfill(self, assets: Sequence[str], days: Sequence[str], tags: Sequence[Mapping[str, str]] = ()) -> str:
        """Launches an asset backfill, as the button of the UI does, and gives its identity."""
        params = {
            "assetSelection": [{"path": ["fleet", name]} for name in assets],
            "partitionNames": list(days),
            "tags": list(tags),
        }
        result = self.ask(LAUNCH, params=params)
        assert result["__typename"] == "LaunchBackfillSuccess", result
        return str(result["backfillId"])

    def start_sensor(self, name: str) -> None:
        """The switch of the UI."""
        selector = {"repositoryLocationName": "fleet", "repositoryName": "__repository__", "sensorName": name}
        result = self.ask(START_SENSOR, selector=selector)
        assert result["__typename"] == "Sensor", result

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}" for path in self.folder.glob("*.log")
        )

    def stop(self) -> None:
        """Stops everything, runs too."""
        self.kill(*self.processes)
        for process in self.run_processes():
            process.send_signal(signal.SIGKILL)


def wait_for(
    what: str, found: Callable[[], Found | None], seconds: float = PATIENCE_SECONDS, logs: Callable[[], str] = str
) -> Found:
    """Asks until there is an answer that is true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = found()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}\n{logs()}")


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def deployed(
    folder: Path, postgres_url: str, location: str, settings: Mapping[str, Any] | None = None
) -> Iterator[Deployment]:
    """A deployment whose processes are not started yet; they and their runs are killed at the end."""
    dagster_home = folder / "dagster"
    dagster_home.mkdir(parents=True)
    written = {
        **yaml.safe_load(INSTANCE_SETTINGS),
        "storage": {"postgres": {"postgres_url": {"env": URL_VARIABLE}}},
        **(settings or {}),
    }
    (dagster_home / "dagster.yaml").write_text(yaml.safe_dump(written))
    code_port, web_port = free_port(), free_port()
    server = {"host": "127.0.0.1", "port": code_port, "location_name": "fleet"}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home),
        "AE_ASSETS_HOME": str(folder / "home"),
        "FLEET_LOCATION": location,
        URL_VARIABLE: postgres_url,
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DAGSTER_EVENT_BATCH_SIZE": "500",  # the events of a range go to the database at once, not one by one
        # A daemon that is up before the code server would else give up the backfill: "asset no longer exists".
        "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    deployment = Deployment(folder, environment, code_port, web_port)
    try:
        yield deployment
    finally:
        deployment.stop()
