"""Daemon, webserver and code server are killed and started again while the landing sensor asks for runs."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ae_assets_tests.chain.tables import FIRST, storage_of, write_day
from ae_assets_tests.integration.deployment import Deployment, deployed, wait_for
from ae_assets_tests.integration.location import fleet
from ae_assets_tests.integration.postgres import Postgres

DAYS = [FIRST + timedelta(days=number) for number in range(5)]
DRIVES = [(f"D{number}", 0, 0) for number in range(4)]
RUN_KEY = "dagster/run_key"


@pytest.fixture
def deployment(postgres: Postgres, tmp_path: Path) -> Iterator[Deployment]:
    source = tmp_path / "source"
    source.mkdir()
    # A run that was just being started when all was killed is given up after the start timeout, and tried again.
    settings = {"run_monitoring": {"enabled": True, "poll_interval_seconds": 3, "start_timeout_seconds": 40}}
    with deployed(tmp_path / "team", postgres.url(postgres.new_database()), str(source), settings) as team:
        yield team


def landed(source: Path, days: list[date], extra: int = 0) -> None:
    for day in days:
        write_day(source, day, [*DRIVES, *[(f"E{number}", 0, 0) for number in range(extra)]])


def requested(instance: dg.DagsterInstance) -> Counter[str]:
    """How often the sensor asked by each run key; a run that is tried again was not asked for again."""
    first = [run for run in instance.get_runs() if "dagster/retry_number" not in run.tags]
    return Counter(run.tags[RUN_KEY] for run in first)


def succeeded(runs: Sequence[dg.DagsterRun]) -> set[str]:
    return {run.tags[RUN_KEY] for run in runs if run.is_success}


def days_of(keys: Counter[str]) -> list[str]:
    return sorted(key.split(":")[1] for key in keys.elements())


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_landing_sensor_asks_once_for_each_day_however_often_the_processes_are_killed(
    deployment: Deployment, tmp_path: Path
) -> None:
    team, source, chance = deployment, tmp_path / "source", random.Random(3)  # noqa: S311 - moments, no secrets
    landed(source, DAYS[:3])
    team.start("code")
    team.start("web", "daemon")
    team.start_sensor("fleet_landing")
    with team.instance() as instance:
        for number in range(2):  # in the middle of a look at the source, of a launch, of a run
            wait_for("a request", lambda least=number: sum(requested(instance).values()) > least, logs=team.logs)
            time.sleep(chance.uniform(0, 1))
            team.kill("daemon")
            team.start("daemon")
        landed(source, DAYS[3:4])  # a late day, while everything is killed
        team.kill("web", "code", "daemon")
        landed(source, DAYS[:1], extra=2)  # and one that is replaced
        team.start("daemon", "web", "code")
        landed_days = {day.isoformat() for day in DAYS[:4]}
        wait_for("all days", lambda: set(days_of(requested(instance))) >= landed_days, logs=team.logs)
        # Asked for again, unless the run of the first request came late enough to load what replaced it.
        space = storage_of(fleet(str(source)), team.home)
        wait_for("the replaced day", lambda: space.days_of("raw").get(DAYS[0]) == len(DRIVES) + 2, logs=team.logs)

        def is_over() -> bool:
            runs = instance.get_runs()
            return all(run.is_finished for run in runs) and succeeded(runs) == set(requested(instance))

        wait_for("the end of all runs", is_over, logs=team.logs)
        landed(source, DAYS[4:])
        wait_for("the last day", lambda: DAYS[4].isoformat() in days_of(requested(instance)), logs=team.logs)
        wait_for("its end", is_over, logs=team.logs)
        assert set(days_of(requested(instance))) == {day.isoformat() for day in DAYS}
        assert set(requested(instance).values()) == {1}, "no day was asked for twice"
    rows = dict.fromkeys(DAYS, len(DRIVES)) | {DAYS[0]: len(DRIVES) + 2}
    assert space.days_of("raw") == rows
