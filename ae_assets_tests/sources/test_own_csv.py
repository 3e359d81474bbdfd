"""CSV files of a table's own columns: each line is a row, typed as the YAML says, or keeps its text."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from ae_assets.errors import SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.sources.csv_day import parse_day

COLUMNS: dict[str, Any] = {
    "time": {"column": "Datum", "format": "%d.%m.%Y"},
    "entity": "Pumpe",
    "label": "defekt",
    "values": {"Druck": {"missing": -9999}, "Takte": {"type": "int"}, "Ort": {"type": "text"}},
}
HEADER = "Datum;Pumpe;defekt;Druck;Takte;Ort;Notiz"


def rows_of(*lines: str, columns: Mapping[str, Any] = COLUMNS, header: str = HEADER, **source: Any) -> pl.DataFrame:
    section = SourceSection.model_validate({"location": "in", "separator": ";", "columns": columns, **source})
    return parse_day("\n".join([header, *lines, ""]).encode(), "a.csv", section.reading)


def rescued(frame: pl.DataFrame) -> list[dict[str, str] | None]:
    return [json.loads(text) if text else None for text in frame["rescued"]]


def test_lines_are_typed_as_the_yaml_says() -> None:
    frame = rows_of("07.04.2024;P 1;0;2.5;3;Halle;x", "08.04.2024;P 2;1;-9999;;;")
    assert frame.columns == [*HEADER.split(";"), "source_row", "rescued"]
    assert frame.row(0)[:-1] == (date(2024, 4, 7), "P 1", 0, 2.5, 3, "Halle", "x", 1)
    assert frame.row(1)[:-1] == (date(2024, 4, 8), "P 2", 1, None, None, None, None, 2)
    assert rescued(frame) == [None, None]
    assert frame.schema["defekt"] == pl.Int8


@pytest.mark.parametrize("text", ["2,5", "nan%", "0x1", "inf", "-inf", "1e999", "2.5.1", "1_0"])
@pytest.mark.parametrize("beside", ["07.04.2024;P 2;0;1.5;3;;", '07.04.2024;"P 2";0;1.5;3;;'])
def test_a_cell_that_is_no_number_keeps_its_text(text: str, beside: str) -> None:
    frame = rows_of(f"07.04.2024;P 1;0;{text};3;;", beside)
    assert frame["Druck"].to_list() == [None, 1.5]
    assert rescued(frame) == [{"Druck": text}, None]


@pytest.mark.parametrize("text", ["NaN", "nan", " ", "", "NULL", "-9999", "-9999.0", "-9.999E3"])
@pytest.mark.parametrize("beside", ["07.04.2024;P 2;0;1.5;3;;", '07.04.2024;"P 2";0;1.5;3;;'])
def test_a_missing_float_is_null_and_nothing_is_rescued(text: str, beside: str) -> None:
    frame = rows_of(f"07.04.2024;P 1;0;{text};3;;", beside)
    assert frame["Druck"].to_list() == [None, 1.5]
    assert rescued(frame) == [None, None]


@pytest.mark.parametrize("beside", ["07.04.2024;P 2;0;1,5;3;;", '07.04.2024;"P 2";0;1,5;3;;'])
def test_decimals_may_stand_behind_a_comma(beside: str) -> None:
    frame = rows_of("07.04.2024;P 1;0;-2,25;3;;", beside, decimal_mark=",")
    assert frame["Druck"].to_list() == [-2.25, 1.5]


def test_a_marker_of_one_column_stands_for_a_value_in_others() -> None:
    assert rows_of("07.04.2024;P 1;0;1;-9999;;")["Takte"].to_list() == [-9999]


def test_a_time_that_cannot_be_read_keeps_its_text() -> None:
    frame = rows_of("07.04.2024;P 1;0;1;3;;", "2024-04-07;P 2;0;1;3;;", "31.02.2024;P 3;0;1;3;;")
    assert frame["Datum"].to_list() == [date(2024, 4, 7), None, None]
    assert rescued(frame) == [None, {"Datum": "2024-04-07"}, {"Datum": "31.02.2024"}]


def test_a_time_is_put_together_of_several_columns_and_is_in_utc() -> None:
    columns = {
        "time": {"column": ["Y", "Mo", "D", "h", "Mi"], "format": "%Y %m %d %H %M", "time_zone": "Europe/Berlin"},
        "entity": "P",
        "values": {"v": {}},
    }
    lines = [
        "2024;04;07;06;30;a;1",
        "2024;4;7;6;45;a;2",
        "2024;03;31;02;30;a;3",
        "2024;10;27;02;30;a;4",
        "2024;13;1;1;1;a;5",
    ]
    frame = rows_of(*lines, columns=columns, header="Y;Mo;D;h;Mi;P;v")
    assert frame["time"].to_list() == [
        datetime(2024, 4, 7, 4, 30, tzinfo=UTC),
        datetime(2024, 4, 7, 4, 45, tzinfo=UTC),
        None,  # the clock left this hour out
        datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        None,
    ]
    assert [note and note["Mo"] for note in rescued(frame)] == [None, None, "03", None, "13"]


def test_an_hour_without_minutes_is_the_full_hour() -> None:
    columns = {**COLUMNS, "time": {"column": "Datum", "format": "%d.%m.%Y %H"}}
    frame = rows_of("07.04.2024 06;P 1;0;1;3;;", "07.04.2024 25;P 2;0;1;3;;", columns=columns)
    assert frame["Datum"].to_list() == [datetime(2024, 4, 7, 6, tzinfo=UTC), None]


def test_names_of_the_yaml_are_found_in_any_case() -> None:
    assert rows_of("07.04.2024;P 1;1;5", header="DATUM;pumpe;Druck;defekt", columns=COLUMNS).columns[:4] == [
        "Datum",
        "Pumpe",
        "Druck",
        "defekt",
    ]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("Datum,Pumpe,defekt,Druck", "commas|semicolons"),
        ("Datum;Druck;defekt", "lacks Pumpe"),
        ("Datum;Pumpe;defekt;day;file_day", "more than once"),
    ],
)
def test_a_header_of_another_table_is_refused(header: str, says: str) -> None:
    with pytest.raises(SourceError, match=rf"^a\.csv: .*({says})"):
        rows_of("x", header=header)


def test_files_written_one_behind_another_are_refused() -> None:
    with pytest.raises(SourceError, match="is a header again"):
        rows_of("07.04.2024;P 1;0;1;3;;", HEADER, "08.04.2024;P 1;0;1;3;;")
