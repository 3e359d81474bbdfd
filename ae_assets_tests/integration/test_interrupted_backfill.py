"""A backfill whose processes are killed again and again, with runs and events in PostgreSQL, ends as if nothing was."""

import os
import random
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.champion import load_champion
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import FIRST, storage_of
from ae_assets_tests.integration.deployment import RELAUNCH, URL_VARIABLE, Deployment, deployed, wait_for
from ae_assets_tests.integration.location import fleet
from ae_assets_tests.integration.postgres import Postgres

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=int(os.environ.get("AE_ASSETS_BACKFILL_DAYS", "60")) - 1))
SEED = int(os.environ.get("AE_ASSETS_BACKFILL_SEED", "5"))
LOCATION = f"simulated://?drives=20&days={len(DAYS)}&seed=3"
LONGEST_WAIT = 0.7 * len(DAYS) / 60
"""Seconds after the beginning of an asset in which it is killed; its days take longer, unless it was seen late."""
ASSETS = (*DAILY_INPUT, ANOMALIES)
KEYS = [day.isoformat() for day in DAYS]


@pytest.fixture
def deployment(postgres: Postgres, tmp_path: Path) -> Iterator[Deployment]:
    """With a champion, so that the whole chain can be filled."""
    monitoring = {"run_monitoring": {"enabled": True, "poll_interval_seconds": 3}}
    with deployed(tmp_path / "team", postgres.url(postgres.new_database()), LOCATION, monitoring) as team:
        space = storage_of(fleet(LOCATION), team.home)
        list(load_raw(space, open_source(LOCATION), DAYS[:40]))
        build_features(space, DAYS[:40])
        train(space, TrainingRange.of(DAYS[0], DAYS[19], 10))
        calibrate_latest(space)
        for name in DAILY_INPUT:
            with space.writer(name) as writer:
                for day in DAYS[:40]:
                    writer.write(day, space.read(name, day, day).clear())
        yield team


def undisturbed(team: Deployment, home: Path) -> Workspace:
    """The same days of the same source by the same champion, in one go."""
    shutil.copytree(team.home / "models", home / "models")
    space = storage_of(fleet(LOCATION), home)
    list(load_raw(space, open_source(LOCATION), DAYS))
    build_features(space, DAYS)
    list(find_anomalies(space, load_champion(space), DAYS))
    return space


def rows_of(space: Workspace, asset: str) -> pl.DataFrame:
    frame = space.read(asset, DAYS[0], DAYS[-1])
    return frame.drop("loaded_at", strict=False)


def runs_of(instance: dg.DagsterInstance, backfill: str) -> list[dg.DagsterRun]:
    """Oldest first."""
    return list(reversed(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))))


def wait_for_step(team: Deployment, instance: dg.DagsterInstance, backfill: str, asset: str) -> None:
    """Waits until the newest attempt at the backfill's run is at an asset or beyond it, whichever is seen first."""
    at = {f"fleet__{name}" for name in ASSETS[ASSETS.index(asset) :]}

    def begun() -> bool:
        found = instance.get_backfill(backfill)
        assert found is not None
        assert found.status.value in {"REQUESTED", "COMPLETED_SUCCESS"}, f"{found.error}\n{team.logs()}"
        runs = [run for run in runs_of(instance, backfill) if run.status != dg.DagsterRunStatus.FAILURE]
        events = [
            event for run in runs for event in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
        ]
        return any(event.step_key in at for event in events)

    wait_for(f"an attempt at {asset}", begun, logs=team.logs)


def finished(team: Deployment, instance: dg.DagsterInstance, backfill: str) -> str:
    def end() -> str | None:
        status = instance.get_backfill(backfill).status.value
        return status if status not in {"REQUESTED", "FAILING", "CANCELING"} else None

    return wait_for("the end of the backfill", end, logs=team.logs)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_backfill_whose_processes_are_killed_ends_with_the_rows_of_an_undisturbed_one(
    deployment: Deployment, tmp_path: Path
) -> None:
    team, chance = deployment, random.Random(SEED)  # noqa: S311 - moments, no secrets
    team.start("code")
    team.start("web")
    backfill = team.backfill(ASSETS, KEYS)
    team.start("daemon")
    began = time.monotonic()
    with team.instance() as instance:
        wait_for_step(team, instance, backfill, "raw")
        time.sleep(chance.uniform(0, LONGEST_WAIT))
        for process in team.run_processes():
            process.kill()

        wait_for_step(team, instance, backfill, "features")
        time.sleep(chance.uniform(0, LONGEST_WAIT))
        running = team.run_processes()
        team.kill("daemon", "code", "web")  # the machine is off: nobody is left who could say that the run died
        for process in running:
            process.kill()
        team.start("code", "web", "daemon")

        wait_for_step(team, instance, backfill, "anomalies")
        team.kill("daemon")
        time.sleep(chance.uniform(0, LONGEST_WAIT))
        for process in team.run_processes():
            process.kill()
        team.start("daemon")

        assert finished(team, instance, backfill) == "COMPLETED_SUCCESS", team.logs()
        print(f"{len(DAYS)} days in {time.monotonic() - began:.0f} s")
        runs = runs_of(instance, backfill)
        *killed, last = [run.status.value for run in runs]
        assert (set(killed), last) == ({"FAILURE"}, "SUCCESS")
        assert len(killed) <= 3, "a run that was at its end before it could be killed makes them fewer, nothing more"
        complete: set[str | None] = set()
        for run in runs:
            assert not complete & set(run.step_keys_to_execute or ()), "what was complete is not done again"
            events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
            complete |= {event.step_key for event in events}
        for name in ASSETS:
            assert instance.get_materialized_partitions(dg.AssetKey(["fleet", name])) == set(KEYS), name
    expected = undisturbed(team, tmp_path / "undisturbed")
    found = storage_of(fleet(LOCATION), team.home)
    for name in ASSETS:
        assert_frame_equal(rows_of(found, name), rows_of(expected, name))
    assert list(found.days_of("raw")) == DAYS


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_failed_backfill_is_launched_again_for_what_is_missing(deployment: Deployment) -> None:
    team, days = deployment, KEYS[:3]
    team.start("code")
    team.start("web")
    tags = [{"key": "dagster/max_retries", "value": "0"}]
    backfill = team.backfill(("raw", "features", "quarantine"), days, tags)
    team.start("daemon")
    with team.instance() as instance:
        wait_for_step(team, instance, backfill, "features")
        for process in team.run_processes():
            process.kill()
        assert finished(team, instance, backfill) == "COMPLETED_FAILED"
        (run,) = runs_of(instance, backfill)
        said = [event.dagster_event.message for event in instance.all_logs(run.run_id) if event.dagster_event]
        noticed = (
            "terminated by signal 9",
            "its process is gone",
        )  # by the code server or by run monitoring, whichever looks first
        assert any(words in str(message) for message in said for words in noticed)
        again = team.ask(RELAUNCH, params={"parentRunId": backfill, "strategy": "FROM_FAILURE"})
        assert finished(team, instance, again["backfillId"]) == "COMPLETED_SUCCESS", team.logs()
        (rerun,) = runs_of(instance, again["backfillId"])
        assert {key.path[-1] for key in rerun.asset_selection or ()} == {"features", "quarantine"}, "raw was complete"
    found = storage_of(fleet(LOCATION), team.home)
    assert found.days_of("features") == {day: rows for day, rows in found.days_of("raw").items() if rows}


def test_the_password_of_the_storage_is_in_no_file(deployment: Deployment) -> None:
    url = deployment.environment[URL_VARIABLE]
    settings = (Path(deployment.environment["DAGSTER_HOME"]) / "dagster.yaml").read_text()
    assert url not in settings
    assert URL_VARIABLE in settings
    with deployment.instance() as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert type(instance.schedule_storage).__name__ == "PostgresScheduleStorage"
