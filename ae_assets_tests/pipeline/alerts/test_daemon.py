"""A real daemon on a real home: freshness states in the instance, alerts at a service, a restart in between."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.scheduler.instigation import TickStatus

from ae_assets.cli.instance import INSTANCE_SETTINGS
from ae_assets.pipeline.alerts.sensor import alert_sensor
from ae_assets.pipeline.home import home_folder
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.tables import watched_table, write_day
from ae_assets_tests.conftest import REPOSITORY
from ae_assets_tests.pipeline.alerts.receiver import HOOK, Receiver, receiver
from ae_assets_tests.pipeline.runs import PipelineAlone

pytestmark = [pytest.mark.slow]

RAW, ANOMALIES = dg.AssetKey(["fleet", "raw"]), dg.AssetKey(["fleet", "anomalies"])
YESTERDAY = datetime.now(tz=UTC).date() - timedelta(days=1)
DRIVES = [(f"D{number}", 0, 0) for number in range(3)]
PATIENCE_SECONDS = 300


def defs() -> dg.Definitions:
    """The code location of the daemon: a small table of the folder beside the home, which lands every day."""
    table = watched_table(
        str(home_folder().parent / "source"), freshness={"warn_after_hours": 36, "fail_after_hours": 60}
    )
    return dg.Definitions.merge(
        PipelineAlone(table).build_defs(None),
        dg.Definitions(
            sensors=[alert_sensor(look_seconds=1)],
            resources={"lakehouse": LakehouseResource(home=str(home_folder()))},
            executor=dg.in_process_executor,
        ),
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home as the CLI makes it."""
    (tmp_path / "home" / "dagster").mkdir(parents=True)
    (tmp_path / "home" / "dagster" / "dagster.yaml").write_text(INSTANCE_SETTINGS)
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    return tmp_path / "home"


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance


@contextmanager
def daemon(home: Path, there: Receiver) -> Iterator[None]:
    """The daemon with its code server, until the end of the block."""
    environment = {**os.environ, "AE_ASSETS_ALERT_URL": there.url, "FRESHNESS_DAEMON_INTERVAL_SECONDS": "1"}
    command = [Path(sys.executable).parent / "dagster-daemon", "run", "-m", __name__, "-d", REPOSITORY, "-a", "defs"]
    with (home / "daemon.log").open("a") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(what: str, happened: Callable[[], bool], home: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            log = (home / "daemon.log").read_text()[-6000:]
            pytest.fail(f"{what}: not within {PATIENCE_SECONDS} s; the daemon says:\n{log}")
        time.sleep(0.2)


def written(asset: dg.AssetKey, hours_ago: float, instance: dg.DagsterInstance) -> None:
    """Puts a materialisation of the past into the event log."""
    event = DagsterEvent(
        DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="past",
        event_specific_data=StepMaterializationData(dg.AssetMaterialization(asset)),
    )
    at = time.time() - hours_ago * 3600
    instance.handle_new_event(
        dg.EventLogEntry(None, logging.INFO, "", RUNLESS_RUN_ID, at, job_name="past", dagster_event=event)
    )


def materialise_raw(instance: dg.DagsterInstance, day: date) -> bool:
    """As the CLI does: in this process, in the home's instance."""
    job = defs().resolve_job_def("fleet_daily")
    return job.execute_in_process(
        instance=instance, partition_key=day.isoformat(), asset_selection=[RAW], raise_on_error=False
    ).success


def freshness(instance: dg.DagsterInstance) -> dict[str, FreshnessState]:
    records = instance.get_freshness_state_records([RAW, ANOMALIES])
    return {key.path[-1]: record.freshness_state for key, record in records.items()}


def looks(instance: dg.DagsterInstance) -> int:
    """How often the alert sensor has looked."""
    states = [state for state in instance.all_instigator_state() if state.name == "alerts"]
    return sum(
        tick.status is TickStatus.SKIPPED
        for state in states
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
    )


def test_a_policy_warns_and_fails_and_a_bad_day_is_posted_once_across_a_restart(
    home: Path, instance: dg.DagsterInstance
) -> None:
    bad_day = write_day(home.parent / "source", YESTERDAY, DRIVES)
    good = bad_day.read_text()
    bad_day.write_text("")
    written(RAW, 40, instance)
    written(ANOMALIES, 70, instance)
    with receiver() as there:
        with daemon(home, there):
            old = {"raw": FreshnessState.WARN, "anomalies": FreshnessState.FAIL}
            wait_for("the policies see what is old", lambda: freshness(instance) == old, home)
            wait_for("the sensor looks", lambda: looks(instance) > 0, home)
            assert not materialise_raw(instance, YESTERDAY)
            wait_for("the failure is posted", lambda: there.taken != [], home)
            assert not materialise_raw(instance, YESTERDAY)
        bad_day.write_text(good)
        with daemon(home, there):
            assert materialise_raw(instance, YESTERDAY)
            wait_for("the end is posted", lambda: there.of("recovered") != [], home)
            wait_for("raw is fresh again", lambda: freshness(instance)["raw"] is FreshnessState.PASS, home)
        failing, recovered = there.taken
    assert (failing["event"], failing["asset"]) == ("failing", "fleet/raw")
    assert (recovered["event"], recovered["problem_id"]) == ("recovered", failing["problem_id"])
    assert f"{YESTERDAY}.csv: the file is empty" in failing["message"]
    assert recovered["count"] == 2
    assert HOOK not in (home / "daemon.log").read_text()
    assert len(there.requests) == 2
