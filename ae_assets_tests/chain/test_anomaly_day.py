"""A stored day as a person asks for it: which devices to look at, and how many there are of each sort."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.chain.anomaly_day import anomaly_rows, stored_day
from ae_assets.chain.workspace import Workspace
from ae_assets.errors import ConfigError
from ae_assets_tests.chain import sick_fleet
from ae_assets_tests.chain.sick_fleet import (
    DAYS,
    DYING,
    FAILED_ON,
    HEALED,
    HEALED_ON,
    LAST,
    MUTED,
    RAISED,
    SICK,
    SICK_SINCE,
    SILENT,
)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return sick_fleet.fill(tmp_path_factory.mktemp("sick"))


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [one["entity"] for one in entries]


def test_without_a_day_the_newest_is_told_with_its_devices_and_counts(space: Workspace) -> None:
    record = stored_day(space)
    assert (record["day"], record["newest_day"], record["table"]) == (LAST, LAST, "fleet")
    assert names(record["open"]) == [SICK]
    assert names(record["closed"]) == [HEALED]
    assert names(record["muted"]) == [MUTED]
    assert record["not_judged"] == [
        {"cohort": "NVME", "devices": 1, "because": "not reported: reallocated sectors, pending sectors"}
    ]
    assert record["counts"] == {
        "devices": 20, "alarms": 1, "new": 0, "open": 1, "closed": 1, "muted": 1, "not_judged": 1,
    }  # fmt: skip


def test_a_listed_device_says_since_when_how_high_how_rare_and_why(space: Workspace) -> None:
    (one,) = stored_day(space)["open"]
    rows = anomaly_rows(space, LAST, LAST, [SICK]).row(0, named=True)
    assert (one["cohort"], one["since"], one["days_open"]) == ("SATA", SICK_SINCE, (LAST - SICK_SINCE).days + 1)
    assert (one["is_new"], one["is_alarm"], one["failed"], one["not_judged_because"]) == (False, True, False, None)
    assert (one["score"], one["severity"]) == (rows["score"], rows["severity"])
    assert one["reasons"][0].startswith(f"reallocated sectors {RAISED + (LAST - SICK_SINCE).days}, ")


def test_an_earlier_day_tells_what_was_known_then(space: Workspace) -> None:
    day = stored_day(space, SICK_SINCE)
    assert set(names(day["open"])) == {SICK, HEALED, DYING}
    assert {one["entity"]: one["is_new"] for one in day["open"]} == {SICK: True, HEALED: False, DYING: True}
    assert day["newest_day"] == LAST
    assert f"The newest day is {LAST}." in day["summary"]
    failed = {one["entity"]: one["failed"] for one in stored_day(space, FAILED_ON)["open"]}
    assert failed == {SICK: False, HEALED: False, DYING: True}


def test_the_sentence_of_a_stored_day_is_that_of_the_day_when_it_was_made(space: Workspace) -> None:
    assert stored_day(space, HEALED_ON)["summary"] == (
        f"{HEALED_ON}: 1 alarm, 0 of them new, among 20 devices; 2 on the day before, of which 1 is gone: 1 cleared. "
        "1 more alarm is muted. 1 device is not judged."
    )


def test_a_record_is_plain_values(space: Workspace) -> None:
    text = json.dumps(stored_day(space), default=str, allow_nan=False)
    assert json.loads(text)["open"][0]["since"] == str(SICK_SINCE)


def test_a_day_without_anomalies_is_refused_with_the_days_that_there_are(space: Workspace) -> None:
    with pytest.raises(ConfigError) as error:
        stored_day(space, date(2014, 1, 1))
    assert f"15 days from {DAYS[5]} to {LAST}" in str(error.value)
    assert f"the nearest of {LAST}" in str(error.value)


def test_a_table_without_anomalies_says_which_command_makes_some(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ae-assets run fleet --start DAY --end DAY"):
        stored_day(sick_fleet.storage_in(tmp_path))


def test_the_days_of_a_table_from_before_there_were_episodes_are_told(tmp_path: Path) -> None:
    space = sick_fleet.storage_in(tmp_path)
    old = pl.DataFrame(
        {
            "day": [LAST] * 2,
            "entity": ["A", "B"],
            "cohort": ["M"] * 2,
            "score": [9.0, 0.1],
            "threshold": [5.0] * 2,
            "is_anomaly": [True, False],
            "severity": [0.001, 0.5],
            "is_new": [False, False],
            "streak_days": pl.Series([3, 0], dtype=pl.Int32),
            "top_features": [[{"name": "smart_5_level", "contribution": 9.0, "value": 3.73767, "expected": 0.0}]] * 2,
            "model_version": ["v"] * 2,
            "label": pl.Series([0, None], dtype=pl.Int8),
        }
    )
    with space.writer("anomalies") as writer:
        writer.write(LAST, old)
    with space.writer("raw") as writer:
        writer.write(LAST, pl.DataFrame({"day": [LAST], "source_file": ["old.csv"]}))
    record = stored_day(space)
    (one,) = record["open"]
    assert (one["entity"], one["since"], one["muted_until"]) == ("A", LAST - timedelta(days=2), None)
    assert one["reasons"] == ["reallocated sectors 41 (expected 0)"]
    assert record["counts"]["not_judged"] == 0


def test_devices_that_never_report_what_a_score_rests_on_are_on_no_list(space: Workspace) -> None:
    record = stored_day(space)
    assert SILENT not in names(record["open"]) + names(record["closed"]) + names(record["muted"])
