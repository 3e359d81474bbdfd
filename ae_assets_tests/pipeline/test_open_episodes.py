"""Devices with an open episode that have no row on the day after."""

import polars as pl
import pytest

from ae_assets.chain.anomaly_day import stored_day
from ae_assets.chain.day_before import DayBefore
from ae_assets.chain.workspace import DAILY
from ae_assets_tests.chain.tables import write_day
from ae_assets_tests.pipeline.runs import check_of, failure_of, materialise
from ae_assets_tests.pipeline.short_fleet import ALSO_GOOD, BAD, DAYS, GOOD, ShortFleet

WORN = [("D0", 0, 40), *((f"D{number}", 0, 0) for number in range(1, 8))]
WITHOUT = WORN[1:]


@pytest.fixture
def watched(short_fleet: ShortFleet) -> ShortFleet:
    """A fleet whose drive D0 has an open episode on the first good day."""
    write_day(short_fleet.source, GOOD, WORN)
    assert short_fleet.run(DAILY, GOOD, GOOD).success
    rows = short_fleet.space.tables.read("fleet.anomalies", GOOD, GOOD, ["entity", "episode"])
    assert rows.filter(pl.col("episode") != "none")["entity"].to_list() == ["D0"]
    return short_fleet


def test_only_devices_that_are_watched_and_did_not_fail_are_missed() -> None:
    rows = pl.DataFrame(
        {
            "day": [DAYS[0], *[DAYS[1]] * 6],
            "entity": ["earlier", "open", "opened", "muted", "failed", "closed", "none"],
            "is_anomaly": [True] * 7,
            "episode": ["open", "open", "opened", "open", "open", "closed", "none"],
            "muted_until": [None, None, None, DAYS[5], None, None, None],
            "label": [0, 0, None, 0, 1, 0, 0],
        }
    )
    found = DayBefore.of(rows)
    assert found is not None
    assert (found.day, found.listed.to_list()) == (DAYS[1], ["open", "opened"])
    assert DayBefore.of(rows.clear()) is None


def test_a_drive_with_an_open_episode_that_has_no_row_is_named_and_the_others_are_scored(watched: ShortFleet) -> None:
    write_day(watched.source, BAD, WITHOUT)
    write_day(watched.source, ALSO_GOOD, WITHOUT)
    result = watched.run(DAILY, BAD, ALSO_GOOD)
    assert result.success, failure_of(result)
    check = check_of(result, "anomalies", "open_episodes_have_records")
    assert not check.passed
    assert check.metadata["failed_days"].value == [str(BAD)], "it is news on the first day only"
    assert check.description == f"1 devices with an open episode are gone: {BAD} D0 (no row)"
    assert watched.space.days_of("anomalies")[BAD] == 7
    assert "Devices with an open episode are gone: D0 (no row)." in stored_day(watched.space, BAD)["summary"]


def test_a_drive_with_an_open_episode_whose_row_is_set_aside_is_named_with_the_rule(watched: ShortFleet) -> None:
    write_day(watched.source, BAD, WORN, smart_9_raw=[2_000_000, *[1000] * 7])
    result = watched.run(DAILY, BAD, BAD)
    check = check_of(result, "anomalies", "open_episodes_have_records")
    assert not check.passed
    said = "D0 (its row is set aside by power_on_hours_are_plausible: smart_9_raw '2000000')"
    assert said in (check.description or "")


def test_a_drive_that_failed_or_still_reports_is_not_missed(watched: ShortFleet) -> None:
    write_day(watched.source, BAD, [("D0", 1, 40), *WITHOUT])
    write_day(watched.source, ALSO_GOOD, WITHOUT)
    check = check_of(watched.run(DAILY, BAD, ALSO_GOOD), "anomalies", "open_episodes_have_records")
    assert check.passed
    assert check.metadata["devices_gone"].value == 0


def test_the_yaml_says_how_many_may_be_gone(watched: ShortFleet) -> None:
    write_day(watched.source, BAD, WITHOUT)
    checks = watched.table.checks.model_copy(update={"max_open_episodes_gone": 1})
    table = watched.table.model_copy(update={"checks": checks})
    result = materialise(table, watched.home, DAILY, (BAD, BAD), None, watched.instance)
    check = check_of(result, "anomalies", "open_episodes_have_records")
    assert check.passed
    assert "D0 (no row)" in (check.description or "")
