"""Which Dagster instance a command uses, and what becomes of a command that is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher.base import WorkerStatus

from ae_assets.cli.instance import INSTANCE_SETTINGS, open_chain, prepare_home
from ae_assets.errors import ConfigError
from ae_assets.pipeline.launcher import LocalRunLauncher
from ae_assets_tests.cli.conftest import FIRST, FLEET, LAST

SETTINGS = "telemetry:\n  enabled: false\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DRIVE_STATS_LOCATION", FLEET)
    monkeypatch.setenv("DAGSTER_HOME", "")
    return tmp_path / "home"


def test_without_dagster_home_the_instance_is_in_the_home(home: Path) -> None:
    prepare_home()
    assert os.environ["DAGSTER_HOME"] == str(home / "dagster")
    assert (home / "dagster" / "dagster.yaml").read_text() == INSTANCE_SETTINGS


def test_a_deployments_instance_is_kept_and_holds_what_a_command_runs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = tmp_path / "team"
    team.mkdir()
    (team / "dagster.yaml").write_text(SETTINGS)
    monkeypatch.setenv("DAGSTER_HOME", str(team))
    with open_chain("drive_stats") as chain:
        outcome = chain.run(("raw",), (FIRST, FIRST))
    assert outcome.success, outcome.failure
    assert (team / "dagster.yaml").read_text() == SETTINGS
    assert not (home / "dagster").exists()
    with dg.DagsterInstance.from_config(str(team)) as instance:
        assert [run.run_id for run in instance.get_runs()] == [outcome.run_id]


def test_a_dagster_home_that_is_no_folder_is_named(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "misspelt"))
    with pytest.raises(ConfigError, match=r"DAGSTER_HOME names .*misspelt, which is no folder"):
        prepare_home()
    assert not home.exists()


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    prepare_home()
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.mark.parametrize("name", ["a%2Fb", "a%20b", "what?"])
def test_a_home_in_which_dagster_cannot_keep_its_files_is_refused_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / name))
    monkeypatch.setenv("DAGSTER_HOME", "")
    with pytest.raises(ConfigError, match=r"Dagster cannot keep its SQLite files in .*name a folder without these"):
        prepare_home()
    assert not list(tmp_path.iterdir())
    (tmp_path / "dagster").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    assert prepare_home() == tmp_path / name, "the tables do not mind"


@pytest.mark.parametrize("name", ["a home", "50% #1", "ü"])
def test_a_home_with_other_odd_characters_is_used(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / name))
    monkeypatch.setenv("DAGSTER_HOME", "")
    prepare_home()
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs() == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_settings_of_a_home_are_those_that_dagster_reads(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == yaml.safe_load(INSTANCE_SETTINGS)["run_retries"]["max_retries"] > 0
    assert not instance.run_retries_retry_on_asset_or_op_failure


def test_a_run_is_alive_while_it_runs_and_not_judged_when_it_is_over(home: Path) -> None:
    with open_chain("drive_stats") as chain:
        outcome = chain.run(("raw",), (FIRST, FIRST))
        run = chain.instance.get_run_by_id(outcome.run_id)
        assert run is not None
        launcher = chain.instance.run_launcher
        assert isinstance(launcher, LocalRunLauncher)
        assert list((home / "dagster" / "running").iterdir()) == []
        assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
        with launcher.alive(run.run_id):
            assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


@pytest.mark.slow
def test_a_killed_command_is_found_dead_and_is_not_run_again(instance: dg.DagsterInstance, home: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ae_assets.cli",
        "run",
        "drive_stats",
        "--start",
        str(FIRST),
        "--end",
        str(LAST),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not [run for run in instance.get_runs() if (home / "dagster" / "running" / run.run_id).exists()]:
        assert process.poll() is None
        time.sleep(0.02)
    (run,) = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.STARTED
    assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    process.kill()
    process.wait()
    for _ in range(2):  # also where the daemon dies before it could write that down
        assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.NOT_FOUND
    instance.report_run_failed(run)
    failed = instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.tags["dagster/will_retry"] == "false", "only the command knows how to go on"
