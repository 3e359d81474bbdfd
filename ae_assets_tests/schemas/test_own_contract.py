"""The contract of a table's own columns: which rows are set aside, by which rule, and what a YAML may not say."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from ae_assets.features.validation import Validated, valid_rows, validate_day
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.columns import RULE_NAMES
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.own import layout_of_record
from ae_assets.schemas.rules import VALUE_RULES

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


def validated(*changes: Mapping[str, object], columns: Mapping[str, Any] = COLUMNS, **types: pl.DataType) -> Validated:
    section = SourceSection.model_validate({"location": "in", "columns": columns})
    rows = [
        {**GOOD, "pump": f"P {place}", **change, "source_row": place} for place, change in enumerate(changes, start=1)
    ]
    schema = {"broken": pl.Int8, "source_row": pl.Int32, "rescued": pl.String, **types}
    raw = pl.DataFrame([{"rescued": None, **row} for row in rows], schema_overrides=schema)
    contract = contract_of(section.contract)
    found = validate_day(raw, DAY, contract)
    assert found.valid.height + found.quarantine.height == raw.height
    assert valid_rows(raw, DAY, contract).equals(found.valid)
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


def test_the_second_record_of_a_day_says_that_only_one_is_supported() -> None:
    found = validated({}, {"pump": "P 1"})
    assert "only one record of a device a day is supported yet" in found.quarantine["reason"][0]


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
        ({"entity": {}}, "either the column of the device, or file_name"),
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


def test_the_rules_that_a_yaml_can_name_are_those_that_there_are() -> None:
    assert set(RULE_NAMES) == set(VALUE_RULES)


def test_a_model_version_rebuilds_the_layout_of_its_settings() -> None:
    section = SourceSection.model_validate({"location": "in", "columns": COLUMNS})
    assert section.columns is not None
    record = {"layout": "columns", "columns": section.columns.model_dump(mode="json")}
    assert layout_of_record(record).values == section.contract.values
