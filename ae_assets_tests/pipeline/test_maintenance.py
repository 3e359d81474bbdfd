"""Maintenance of a table's tables: asked for, or by a schedule; rows stay, and yesterday stays readable."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from ae_assets.errors import ConfigError
from ae_assets.pipeline.component import AnomalyPipeline
from ae_assets_tests.pipeline.conftest import LAST
from ae_assets_tests.pipeline.tables import FIRST, failure_of, materialise, storage_of, watched_table

DAILY = ("raw", "features", "quarantine", "anomalies")


def test_maintenance_leaves_the_rows_and_what_is_younger_than_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, home = watched_table(), tmp_path / "home"
    days = (FIRST, FIRST + timedelta(days=2))
    for _ in range(3):
        assert materialise(table, home, ("raw", "features", "quarantine"), days).success
    storage = storage_of(table, home)
    before = {asset: storage.days_of(asset) for asset in DAILY[:3]}
    result = materialise(table, home, ("maintenance",))
    assert result.success, failure_of(result)
    (event,) = result.get_asset_materialization_events()
    said = event.step_materialization_data.materialization.metadata
    assert (said["states_forgotten"].value, said["files_removed"].value) == (0, 0)

    monkeypatch.setattr("ae_assets.lakehouse.maintenance.SHORTEST", timedelta(days=-2))
    monkeypatch.setattr("ae_assets.pipeline.chain.maintenance.timedelta", lambda days: timedelta(days=-1))
    (event,) = materialise(table, home, ("maintenance",)).get_asset_materialization_events()
    said = event.step_materialization_data.materialization.metadata
    assert said["states_forgotten"].value > 0
    assert said["files_removed"].value > 0
    assert said["bytes_freed"].value > 0
    assert "| raw |" in said["tables"].value
    assert {asset: storage.days_of(asset) for asset in DAILY[:3]} == before
    assert storage.tables.read("fleet.raw", *days).height == sum(before["raw"].values())


def test_a_home_without_tables_needs_no_maintenance(tmp_path: Path) -> None:
    result = materialise(watched_table(), tmp_path, ("maintenance",))
    assert result.success
    assert not (tmp_path / "warehouse").exists()


def test_maintenance_is_scheduled_where_the_yaml_says_when() -> None:
    table = watched_table(maintenance={"cron_schedule": "30 3 * * 0", "timezone": "Europe/Berlin", "keep_days": 9})
    definitions = AnomalyPipeline(table).build_defs(None)  # type: ignore[arg-type]
    (schedule,) = definitions.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 3 * * 0", "Europe/Berlin")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "fleet_maintenance"
    assert not AnomalyPipeline(watched_table()).build_defs(None).schedules  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"cron_schedule": "on Sundays"}, {"cron_schedule": "0 3 * * 0", "timezone": "Mars"}])
def test_a_schedule_that_is_none_is_named_with_its_key(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"attributes.maintenance.cron_schedule is '.*', its timezone '.*'"):
        AnomalyPipeline(watched_table(maintenance=wrong)).build_defs(None)  # type: ignore[arg-type]


def test_yesterdays_rows_can_be_read_as_they_were(tmp_path: Path) -> None:
    table = watched_table()
    days = (FIRST, FIRST)
    assert materialise(table, tmp_path, ("raw", "features", "quarantine"), days).success
    storage = storage_of(table, tmp_path)
    loaded = storage.tables._access.get("fleet.raw")
    snapshot = loaded.current_snapshot()
    assert snapshot is not None
    assert materialise(table, tmp_path, ("raw", "features", "quarantine"), (FIRST, LAST)).success
    assert materialise(table, tmp_path, ("maintenance",)).success
    again = storage.tables._access.get("fleet.raw")
    assert again.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows == storage.days_of("raw")[FIRST]
