"""The contract of a table's own columns: which rows are set aside, by which rule, and what a YAML may not say."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from ae_assets.features.validation import Validated, valid_rows, validate_day
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.own import layout_of_record
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods

DAY = date(2024, 4, 7)
COLUMNS: dict[str, Any] = {
    "time": "at",
    "entity": "pump",
    "cohort": "kind",
    "label": "broken",
    "values": {
        "pressure": {"unit": "bar", "at_least": 0, "at_most": 16.5},
        "load": {"rules": ["share"]},
        "starts": {"type": "int", "rules": ["not_negative", "known"]},
    },
}
GOOD: dict[str, object] = {
    "at": DAY,
    "pump": "P 1",
    "kind": "A",
    "broken": 0,
    "pressure": 6.5,
    "load": 0.5,
    "starts": 3,
}


def validated(
    *changes: Mapping[str, object],
    columns: Mapping[str, Any] = COLUMNS,
    period: date = DAY,
    periods: Periods = DAILY,
    **types: pl.DataType,
) -> Validated:
    section = SourceSection.model_validate({"location": "in", "columns": columns})
    rows = [
        {**GOOD, "pump": f"P {place}", **change, "source_row": place} for place, change in enumerate(changes, start=1)
    ]
    schema = {"broken": pl.Int8, "source_row": pl.Int32, "rescued": pl.String, **types}
    raw = pl.DataFrame([{"rescued": None, **row} for row in rows], schema_overrides=schema)
    contract = contract_of(section.contract, periods=periods)
    found = validate_day(raw, period, contract)
    assert found.valid.height + found.quarantine.height == raw.height
    assert valid_rows(raw, period, contract).equals(found.valid)
    return found


@pytest.mark.parametrize(
    ("change", "rule", "column"),
    [
        ({"pressure": -0.1}, "value_is_not_too_low", "pressure"),
        ({"pressure": 16.6}, "value_is_not_too_high", "pressure"),
        ({"load": 1.01}, "value_is_share", "load"),
        ({"starts": -1}, "value_is_not_negative", "starts"),
        ({"starts": None}, "value_is_known", "starts"),
        ({"broken": 2}, "label_is_zero_or_one", "broken"),
        ({"at": date(2024, 4, 8)}, "time_is_of_the_partition_day", "at"),
        ({"at": None}, "time_is_of_the_partition_day", "at"),
        ({"at": None, "rescued": '{"at": "7/4/24"}'}, "time_is_readable", "at"),
        ({"pump": None}, "entity_is_plain_text", "pump"),
        ({"pump": " P 1"}, "entity_is_plain_text", "pump"),
        ({"kind": "A\u0000"}, "cohort_is_plain_text", "kind"),
        ({"pressure": None, "rescued": '{"pressure": "much"}'}, "cells_are_readable", "pressure"),
        ({"pump": "P 1"}, "entity_is_unique", "pump"),
    ],
)
def test_a_row_that_cannot_be_true_is_set_aside_by_its_rule(
    change: Mapping[str, object], rule: str, column: str
) -> None:
    found = validated({}, change)
    assert found.valid["entity"].to_list() == ["P 1"]
    assert found.quarantine.select("rule", "column", "source_row").row(0) == (rule, column, 2)


BY_TIME = {**COLUMNS, "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": "15m"}}
TIMES = {"columns": BY_TIME, "at": pl.Datetime("us", "UTC")}


def at(hour: int, minute: int = 0, day: int = 7) -> datetime:
    return datetime(2024, 4, day, hour, minute, tzinfo=UTC)


def test_without_a_cadence_a_second_record_of_a_period_is_set_aside_and_says_which_key_tells_them_apart() -> None:
    found = validated({}, {"pump": "P 1"})
    assert "source.columns.time.cadence" in found.quarantine["reason"][0]


def test_with_a_cadence_the_key_is_time_and_entity_and_the_first_row_of_the_file_stays() -> None:
    rows = [(at(0), "P 1", 1.0), (at(0, 15), "P 1", 2.0), (at(0), "P 2", 3.0), (at(0), "P 1", 4.0), (at(0), "P 1", 5.0)]
    found = validated(*({"at": time, "pump": pump, "pressure": value} for time, pump, value in rows), **TIMES)
    assert found.valid.columns[:3] == ["day", "time", "entity"]
    assert found.valid.select("time", "entity", "pressure").rows() == rows[:3]
    assert found.quarantine.select("rule", "column", "source_row").rows() == [
        ("record_is_unique", "at", 4),
        ("record_is_unique", "at", 5),
    ]


def test_a_record_that_stands_twice_has_the_label_of_either_and_other_records_their_own() -> None:
    rows = [(at(0), 0), (at(0, 15), 0), (at(0), 1)]
    found = validated(*({"at": time, "pump": "P 1", "broken": broken} for time, broken in rows), **TIMES)
    assert found.valid["label"].to_list() == [1, 0]


def test_the_reasons_say_what_becomes_of_an_hour_that_a_clock_shows_twice_or_leaves_out() -> None:
    zoned = {**BY_TIME, "time": {**BY_TIME["time"], "time_zone": "Europe/Berlin"}}
    unread = {"at": None, "rescued": '{"at": "2024-03-31 02:30"}'}
    found = validated({"at": at(0)}, {"at": at(0), "pump": "P 1"}, unread, columns=zoned, at=pl.Datetime("us", "UTC"))
    assert found.quarantine["rule"].to_list() == ["record_is_unique", "time_is_readable"]
    assert all("Europe/Berlin" in reason for reason in found.quarantine["reason"])


@pytest.mark.parametrize(
    ("periods", "period", "inside", "outside"),
    [
        (HOURLY, at(5), [at(5), at(5, 59)], [at(4, 59), at(6)]),
        (WEEKLY, date(2024, 4, 1), [at(0, day=1), at(23, 59)], [at(0, day=8)]),
    ],
)
def test_a_row_belongs_to_the_hour_or_week_of_its_time(
    periods: Periods, period: date, inside: list[datetime], outside: list[datetime]
) -> None:
    rows = [{"at": time} for time in (*inside, *outside)]
    found = validated(*rows, period=period, periods=periods, **TIMES)
    assert found.valid["time"].to_list() == inside
    assert found.valid["day"].to_list() == [period] * len(inside)
    assert set(found.quarantine["rule"]) == {f"time_is_of_the_partition_{periods.noun}"}


def test_a_week_of_dates_has_a_record_of_a_device_for_each_day() -> None:
    daily = {**COLUMNS, "time": {"column": "at", "cadence": "1d"}}
    days = [date(2024, 4, day) for day in (1, 2, 2, 7, 8)]
    rows = [{"at": day, "pump": "P 1"} for day in days]
    found = validated(*rows, columns=daily, period=date(2024, 4, 1), periods=WEEKLY)
    assert found.valid["time"].to_list() == [at(0, day=day) for day in (1, 2, 7)]
    assert found.quarantine["rule"].to_list() == ["record_is_unique", "time_is_of_the_partition_week"]


def test_unknown_values_and_cells_that_nothing_reads_set_no_row_aside() -> None:
    found = validated({"pressure": None, "load": None, "broken": None}, {"rescued": '{"note": "\\\\xff"}'})
    assert found.quarantine.is_empty()
    assert found.valid["label"].to_list() == [None, 0]


def test_a_time_of_day_belongs_to_its_day_in_utc() -> None:
    columns = {**COLUMNS, "time": {"column": "at", "format": "%Y-%m-%d %H:%M"}}
    late, next_day = (datetime(2024, 4, day, hour, 59, tzinfo=UTC) for day, hour in ((7, 23), (8, 0)))
    found = validated({"at": late}, {"at": next_day}, columns=columns, at=pl.Datetime("us", "UTC"))
    assert (found.valid["entity"].to_list(), found.quarantine["rule"].to_list()) == (
        ["P 1"],
        ["time_is_of_the_partition_day"],
    )


def test_without_cohort_and_label_all_are_of_one_kind_and_nothing_is_known_of_failures() -> None:
    columns = {key: value for key, value in COLUMNS.items() if key not in ("cohort", "label")}
    valid = validated({}, {}, columns=columns).valid
    assert (valid["cohort"].to_list(), valid["label"].to_list()) == (["all", "all"], [None, None])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"entity": {}}, "the column of the device, or file_name"),
        ({"entity": {"file_name": "(a)(b)"}}, "one group"),
        ({"entity": {"file_name": "(a"}}, "no regular expression"),
        ({"time": ["year", "month"]}, "needs a format"),
        ({"time": {"column": "at", "format": "date"}}, "expected a format"),
        ({"time": {"column": "at", "format": "%Y-%m-%d %Q!"}}, "no format of times"),
        ({"time": {"column": "at", "time_zone": "Berlin"}}, "time zone"),
        ({"label": "pump"}, "'pump' has two meanings"),
        ({"values": {"AT": {}}}, "'at' has two meanings"),
        ({"entity": {"file_name": "(a)"}, "cohort": "Entity"}, "'entity' is what the reader adds"),
        ({"values": {}}, "at least 1"),
        ({"values": {"v": {"type": "text", "at_least": 1}}}, "no bounds"),
        ({"values": {"v": {"at_least": 2, "at_most": 1}}}, "lies above"),
        ({"values": {"v": {"rules": ["even"]}}}, "no such rule as 'even'"),
    ],
)
def test_what_a_yaml_may_not_say_of_columns(change: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SourceSection.model_validate({"location": "in", "columns": {**COLUMNS, **change}})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"layout": "drive_stats", "columns": COLUMNS}, "leave out one of them"),
        ({"layout": "columns"}, "needs source.columns"),
        ({"columns": COLUMNS, "decimal_mark": ","}, "separator and decimal_mark"),
    ],
)
def test_a_source_has_one_contract(source: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SourceSection.model_validate({"location": "in", **source})


def test_a_model_version_rebuilds_the_layout_of_its_settings() -> None:
    section = SourceSection.model_validate({"location": "in", "columns": COLUMNS})
    assert section.columns is not None
    record = {"layout": "columns", "columns": section.columns.model_dump(mode="json")}
    assert layout_of_record(record).values == section.contract.values
