"""What run monitoring is told about runs; ``test_instance.py`` and the integration tests kill real ones."""

import json
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test, instance_for_test

from ae_assets.pipeline.launcher import LocalRunLauncher
from ae_assets_tests.integration.seaweed import free_ports


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    launcher = {"module": "ae_assets.pipeline.launcher", "class": "LocalRunLauncher"}
    with instance_for_test(overrides={"run_launcher": launcher}) as opened:
        yield opened


def started(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    return create_run_for_test(instance, job_name="daily", status=dg.DagsterRunStatus.STARTED, tags=tags)


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    assert instance.run_launcher.supports_check_run_worker_health
    return instance.run_launcher.check_run_worker_health(run).status


def test_a_code_server_that_does_not_answer_decides_nothing(instance: dg.DagsterInstance) -> None:
    (closed,) = free_ports(1)
    run = started(instance, {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", "port": closed})})
    assert status(instance, run) is WorkerStatus.RUNNING


def test_a_command_that_has_just_begun_is_left_alone(instance: dg.DagsterInstance) -> None:
    assert status(instance, started(instance, {})) is WorkerStatus.RUNNING


def test_a_run_without_a_lock_that_its_code_server_does_not_know_is_lost(instance: dg.DagsterInstance) -> None:
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._grpc.server import GrpcServerProcess

    target = LoadableTargetOrigin(module_name="ae_assets.definitions", executable_path=None)
    with GrpcServerProcess(
        instance_ref=instance.get_ref(),
        loadable_target_origin=target,
        startup_timeout=300,
        wait_on_exit=True,
        force_port=True,
    ) as server:
        run = started(instance, {GRPC_INFO_TAG: json.dumps({"host": "localhost", "port": server.port})})
        assert status(instance, run) is WorkerStatus.NOT_FOUND
        launcher = instance.run_launcher
        assert isinstance(launcher, LocalRunLauncher)
        with launcher.alive(run.run_id):
            assert status(instance, run) is WorkerStatus.RUNNING, "a run may outlive the server that started it"
