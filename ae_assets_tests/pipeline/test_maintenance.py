"""Maintenance of a table's tables: asked for, or by a schedule; rows stay, and yesterday stays readable."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ae_assets.errors import ConfigError
from ae_assets.model.definition import MaintenanceSection, RetentionSection
from ae_assets.pipeline.component import AnomalyPipeline
from ae_assets.pipeline.descriptions import describe
from ae_assets.schemas.periods import WEEKLY
from ae_assets_tests.chain.gauges import gauges
from ae_assets_tests.chain.tables import FIRST, LAST, storage_of, watched_table
from ae_assets_tests.pipeline.runs import failure_of, materialise

DAILY = ("raw", "features", "quarantine", "anomalies")


def test_maintenance_leaves_the_rows_and_what_is_younger_than_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, home = watched_table(maintenance={"keep_snapshots": 1}), tmp_path / "home"
    days = (FIRST, FIRST + timedelta(days=2))
    for _ in range(3):
        assert materialise(table, home, ("raw", "features", "quarantine"), days).success
    space = storage_of(table, home)
    before = {asset: space.days_of(asset) for asset in DAILY[:3]}
    result = materialise(table, home, ("maintenance",))
    assert result.success, failure_of(result)
    (event,) = result.get_asset_materialization_events()
    said = event.step_materialization_data.materialization.metadata
    assert (said["States forgotten"].value, said["Files removed"].value) == (0, 0)

    monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", timedelta(days=-2))
    monkeypatch.setattr("ae_assets.chain.maintenance.timedelta", lambda days: timedelta(days=-1))
    (event,) = materialise(table, home, ("maintenance",)).get_asset_materialization_events()
    said = event.step_materialization_data.materialization.metadata
    assert said["States forgotten"].value > 0
    assert said["Files removed"].value > 0
    assert said["Bytes freed"].value > 0
    head, _, *lines = said["Tables"].value.splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["raw", "features", "quarantine", "ledger", "lives"]
    assert {head.count("|"), *(line.count("|") for line in lines)} == {9}
    assert (said["Days compacted"].value, said["Days past retention"].value) == (0, 0)
    assert {asset: space.days_of(asset) for asset in DAILY[:3]} == before
    assert space.tables.read("fleet.raw", *days).height == sum(before["raw"].values())


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
    space = storage_of(table, tmp_path)
    before, yesterday = space.tables.read("fleet.raw", *days), datetime.now(UTC)
    assert materialise(table, tmp_path, ("raw", "features", "quarantine"), (FIRST, LAST)).success
    assert materialise(table, tmp_path, ("maintenance",)).success
    assert space.tables.read("fleet.raw", FIRST, LAST, as_of=yesterday).equals(before)
    assert not space.tables.read("fleet.raw", *days)["loaded_at"].equals(before["loaded_at"])


def test_days_past_their_retention_are_removed_and_reported(tmp_path: Path) -> None:
    days = (FIRST, FIRST + timedelta(days=9))
    plain = watched_table()
    assert materialise(plain, tmp_path, ("raw", "features", "quarantine"), days).success
    space = storage_of(plain, tmp_path)
    before = {asset: space.days_of(asset) for asset in DAILY[:3]}
    table = watched_table(maintenance={"retention_days": {"quarantine": 4}})
    # A table of some days stands in for one of more days than the chain reads back.
    retention = RetentionSection(raw=7, quarantine=4)
    table = table.model_copy(update={"maintenance": MaintenanceSection(retention_days=retention)})
    result = materialise(table, tmp_path, ("maintenance",))
    assert result.success, failure_of(result)
    (event,) = result.get_asset_materialization_events()
    said = event.step_materialization_data.materialization.metadata
    assert list(space.days_of("raw")) == [FIRST + timedelta(days=number) for number in range(3, 10)]
    assert space.days_of("features") == before["features"]
    gone = sum(sum(before[asset].values()) - sum(space.days_of(asset).values()) for asset in ("raw", "quarantine"))
    assert said["Rows past retention"].value == gone > 0
    assert said["Days past retention"].value >= 3
    assert "7 days of raw, 4 days of quarantine are held" in describe(table, "maintenance")


@pytest.mark.parametrize("asset", ["raw", "features", "anomalies"])
def test_a_retention_shorter_than_the_chain_reads_back_is_refused_with_the_sum(asset: str) -> None:
    # 7 days of look-back, 20 of training, 2 of embargo, 8 of calibration, 10 of horizon, 30 of comparison
    assert watched_table(maintenance={"retention_days": {asset: 77}}).maintenance.keep_days == 5
    with pytest.raises(ConfigError) as error:
        watched_table(maintenance={"retention_days": {asset: 76}})
    assert f"maintenance.retention_days.{asset} 76 is shorter than the chain reads back" in str(error.value)
    assert "20 (training.days) + 2 (calibration.embargo_days)" in str(error.value)
    assert "= 77 days" in str(error.value)


def test_the_retention_of_a_table_of_weeks_holds_whole_weeks(tmp_path: Path) -> None:
    # 28 days of look-back, 35 for 30 of training, 14 for 10 of embargo, 14 for 8 of calibration, 42 for 40; no horizon
    lengths = {
        "training": {"horizon_days": 7, "days": 30},
        "calibration": {"embargo_days": 10, "days": 8},
        "retraining": {"window_days": 40},
    }
    gauges(tmp_path, WEEKLY, **lengths, maintenance={"retention_days": {"raw": 133}})
    with pytest.raises(ConfigError, match="= 133 days"):
        gauges(tmp_path, WEEKLY, **lengths, maintenance={"retention_days": {"raw": 132}})


def test_what_a_killed_training_left_is_removed_and_reported(tmp_path: Path) -> None:
    partial = tmp_path / "models" / "fleet" / ".partial-killed" / "version"
    partial.mkdir(parents=True)
    (partial / "model.keras").write_bytes(b"half")
    (event,) = materialise(watched_table(), tmp_path, ("maintenance",)).get_asset_materialization_events()
    assert event.step_materialization_data.materialization.metadata["Model files removed"].value == 0
    os.utime(partial / "model.keras", (0, 0))
    (event,) = materialise(watched_table(), tmp_path, ("maintenance",)).get_asset_materialization_events()
    said = event.step_materialization_data.materialization.metadata
    assert (said["Model files removed"].value, said["Bytes freed"].value) == (1, 4)
    assert not partial.parent.exists()
