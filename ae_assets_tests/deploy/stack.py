"""The services of deploy/compose.yaml as processes of this machine: commands, environment and health checks."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ae_assets.cli.local_servers.java import free_ports
from ae_assets_tests.conftest import REPOSITORY
from ae_assets_tests.deploy.compose_file import DEPLOY, SETTINGS, Native, load
from ae_assets_tests.integration.postgres import running as running_postgres
from ae_assets_tests.integration.seaweed import PORTS

SCRIPTS = Path(sys.executable).parent
START_SECONDS = 300
STOP_SECONDS = 3
OTHER_PORTS = [name for name in PORTS if name not in {"s3.port", "s3.port.iceberg", "admin.port", "admin.port.grpc"}]


@dataclass
class Stack:
    """Services that run, by name."""

    native: Native
    folder: Path
    services: dict[str, Any]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def ui(self) -> str:
        return f"http://127.0.0.1:{self.native.ui_port}"

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def environment(self, name: str) -> dict[str, str]:
        """What the service gets, and nothing of this process but where its programs lie."""
        place = {
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self.folder / "home"),
        }
        return {**place, **self.native.environment(self.services[name])}

    def start(self, *names: str) -> None:
        """Starts services beside each other, and waits for their health checks, or for the end of one that ends."""
        for name in names:
            self._launch(name)
        deadline = time.monotonic() + START_SECONDS
        for name in names:
            if "healthcheck" not in self.services[name]:
                assert self.processes[name].wait(START_SECONDS) == 0, self.log(name)
                continue
            while not self.is_healthy(name):
                assert self.processes[name].poll() is None, self.log(name)[-4000:]
                assert time.monotonic() < deadline, f"{name} is not healthy:\n{self.log(name)[-4000:]}"
                time.sleep(0.2)

    def _launch(self, name: str) -> None:
        service = self.services[name]
        command = [*service.get("entrypoint", []), *self.native.command(service["command"])]
        if name == "storage":  # ports that are nobody's business within a container
            ports = zip(OTHER_PORTS, free_ports(len(OTHER_PORTS)), strict=True)
            command += [f"-{option}={port}" for option, port in ports]
            command += [f"-{kind}.localSocket={self.folder / kind}.sock" for kind in ("s3", "filer")]
        command[0] = str(SCRIPTS / command[0])
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment(name), cwd=self.folder / "home", stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def is_healthy(self, name: str) -> bool:
        """What the service's health check says."""
        kind, program, *arguments = self.native.command(self.services[name]["healthcheck"]["test"])
        assert kind == "CMD"
        if program == "wget":  # which this machine may not have
            try:
                with urllib.request.urlopen(arguments[-1], timeout=5) as answer:  # noqa: S310 - our own server
                    return answer.status == 200
            except OSError:
                return False
        command = [str(SCRIPTS / program), *arguments]
        checked = subprocess.run(
            command, env=self.environment(name), capture_output=True, check=False, cwd=self.folder / "home"
        )
        return checked.returncode == 0

    def kill(self, name: str) -> None:
        """The whole service at once, as when its container is lost."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes.pop(name).wait()

    def stop(self) -> None:
        """Everything that still runs, clients before their servers."""
        for names in ([name for name in self.processes if name != "storage"], ["storage"]):
            stopped = {name: self.processes.pop(name) for name in names if name in self.processes}
            for process in stopped.values():
                process.terminate()
            for process in stopped.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def start_order(services: dict[str, Any]) -> list[list[str]]:
    """Names of the services: each group waits for those before it."""
    groups: list[list[str]] = []
    started: set[str] = set()
    while started < services.keys():
        waiting = [name for name in services if name not in started]
        groups.append([name for name in waiting if set(services[name].get("depends_on", {})) <= started])
        assert groups[-1], f"the services {waiting} wait for each other"
        started.update(groups[-1])
    return groups


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """The whole of compose.yaml, its database first; ``owner`` concerns container volumes only."""
    services = load()["services"]
    with running_postgres(password=SETTINGS["DATABASE_ADMIN_PASSWORD"]) as database:
        native = Native(str(folder), database.port, *free_ports(3))
        stack = Stack(native, folder, services)
        for name in ("home", "instance", "storage"):
            (folder / name).mkdir()
        for name in ("dagster.yaml", "workspace.yaml", "prepare.py"):
            text = native.translated((DEPLOY / name).read_text())
            # Looked at more often than in production, so that the tests need not wait.
            (folder / "instance" / name).write_text(
                text.replace("poll_interval_seconds: 30", "poll_interval_seconds: 1")
            )
        try:
            for group in start_order(services):
                stack.start(*[name for name in group if name not in {"database", "owner"}])
            yield stack
        finally:
            stack.stop()
