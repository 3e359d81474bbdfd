"""What run monitoring is told about runs; ``test_instance.py`` and the integration tests kill real ones."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.server import wait_for_grpc_server
from dagster._serdes import serialize_value

from ae_assets.cli.local_servers.java import free_ports
from ae_assets.pipeline import launcher
from ae_assets.pipeline.launcher import LocalRunLauncher


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    launcher = {"module": "ae_assets.pipeline.launcher", "class": "LocalRunLauncher"}
    with instance_for_test(overrides={"run_launcher": launcher}) as opened:
        yield opened


def started(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    return create_run_for_test(instance, job_name="daily", status=dg.DagsterRunStatus.STARTED, tags=tags)


@contextmanager
def code_server(instance: dg.DagsterInstance, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "dagster", "api", "grpc", "--module-name", "ae_assets.definitions"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--instance-ref", serialize_value(instance.get_ref())]
    with subprocess.Popen(command) as server:
        try:
            wait_for_grpc_server(server, DagsterGrpcClient(host="127.0.0.1", port=port), command, timeout=300)
            yield
        finally:
            server.kill()


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    assert instance.run_launcher.supports_check_run_worker_health
    return instance.run_launcher.check_run_worker_health(run).status


def test_a_code_server_that_does_not_answer_decides_nothing(instance: dg.DagsterInstance) -> None:
    (closed,) = free_ports(1)
    run = started(instance, {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", "port": closed})})
    assert status(instance, run) is WorkerStatus.RUNNING


def test_a_run_that_is_lost_with_its_code_server_is_reported_when_one_answers(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    (closed,) = free_ports(1)
    run = started(instance, {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", "port": closed})})
    lock = Path(instance.root_directory) / "running" / run.run_id
    lock.parent.mkdir()
    lock.touch()
    assert status(instance, run) is WorkerStatus.RUNNING, "nobody could run it again"

    with code_server(instance, closed):
        assert status(instance, run) is WorkerStatus.NOT_FOUND

    assert status(instance, run) is WorkerStatus.RUNNING
    monkeypatch.setattr(launcher, "CODE_SERVER_SECONDS", 0)
    assert status(instance, run) is WorkerStatus.NOT_FOUND, "a server may have gone for good"


def test_a_command_that_has_just_begun_is_left_alone(instance: dg.DagsterInstance) -> None:
    assert status(instance, started(instance, {})) is WorkerStatus.RUNNING


def test_a_run_without_a_lock_that_its_code_server_does_not_know_is_lost(instance: dg.DagsterInstance) -> None:
    (port,) = free_ports(1)
    with code_server(instance, port):
        run = started(instance, {GRPC_INFO_TAG: json.dumps({"host": "localhost", "port": port})})
        assert status(instance, run) is WorkerStatus.NOT_FOUND
        assert isinstance(instance.run_launcher, LocalRunLauncher)
        with instance.run_launcher.alive(run.run_id):
            assert status(instance, run) is WorkerStatus.RUNNING, "a run may outlive the server that started it"
