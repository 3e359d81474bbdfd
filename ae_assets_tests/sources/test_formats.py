"""Parquet and JSON lines keep the promises of CSV: each row is a row, typed as the YAML says, or keeps its text."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.reading import Reading
from ae_assets.sources import parquet_day
from ae_assets.sources.reader import read_file

COLUMNS: dict[str, Any] = {
    "time": {"column": "at"},
    "entity": "pump",
    "label": "broken",
    "values": {"pressure": {"missing": -9999}, "starts": {"type": "int"}, "place": {"type": "text"}},
}
ROW: dict[str, Any] = {
    "at": date(2024, 4, 7),
    "pump": "P 1",
    "broken": False,
    "pressure": 2.5,
    "starts": 3,
    "place": "hall",
    "note": "x",
}


def reading(**source: Any) -> Reading:
    return SourceSection.model_validate({"location": "in", "columns": COLUMNS, **source}).reading


def parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def json_lines(*rows: object) -> bytes:
    return "".join(f"{json.dumps(row, default=str)}\n" for row in rows).encode()


def rescued(frame: pl.DataFrame) -> list[dict[str, str] | None]:
    return [json.loads(text) if text else None for text in frame["rescued"]]


def test_the_same_rows_are_the_same_in_each_format() -> None:
    rows = [ROW, {**ROW, "pump": "P 2", "broken": True, "pressure": -9999.0, "starts": None, "place": None}]
    frame = pl.DataFrame(rows)
    files = {"a.csv": frame.write_csv().encode(), "a.parquet": parquet(frame), "a.jsonl": json_lines(*rows)}
    read = {name: read_file(data, f"in.zip!x/{name}", reading()) for name, data in files.items()}
    assert read["a.csv"].row(1) == (date(2024, 4, 7), "P 2", 1, None, None, None, "x", 2, None)
    assert read["a.parquet"].equals(read["a.csv"])
    assert read["a.jsonl"].equals(read["a.csv"])
    assert read["a.parquet"].schema == read["a.jsonl"].schema == read["a.csv"].schema


def test_a_file_whose_numbers_all_have_types_is_read_as_it_is() -> None:
    columns = {name: section for name, section in COLUMNS.items() if name != "label"}
    row = {name: value for name, value in ROW.items() if name != "broken"}
    read = read_file(parquet(pl.DataFrame([row])), "a.parquet", reading(columns=columns))
    assert read.select("pump", "pressure", "starts", "place").rows() == [("P 1", 2.5, 3, "hall")]
    assert rescued(read) == [None]


def test_the_format_may_be_said_instead_of_the_ending() -> None:
    assert read_file(json_lines(ROW), "a.json", reading(format="jsonl"))["pump"].to_list() == ["P 1"]


@pytest.mark.parametrize(
    ("values", "column", "expected", "kept"),
    [
        ([3, 4], "pressure", [3.0, 4.0], [None, None]),
        ([2.5, float("nan")], "pressure", [2.5, None], [None, None]),
        (["2.5", "much"], "pressure", [2.5, None], [None, "much"]),
        ([3.0, 3.5], "starts", [3, None], [None, "3.5"]),
        ([2**63 + 1, 7], "starts", [None, 7], ["9223372036854775809", None]),
        (["3", "-"], "starts", [3, None], [None, "-"]),
        ([1, 0], "broken", [1, 0], [None, None]),
        ([300, 0], "broken", [None, 0], ["300", None]),
        ([7, 8], "pump", ["7", "8"], [None, None]),
        ([7.5, None], "place", ["7.5", None], [None, None]),
    ],
)
def test_a_column_of_another_type_is_read_or_keeps_its_texts(
    values: Sequence[Any], column: str, expected: Sequence[Any], kept: Sequence[str | None]
) -> None:
    series = pl.Series(values, dtype=pl.UInt64) if column == "starts" and 2**63 + 1 in values else pl.Series(values)
    frame = pl.DataFrame([ROW, ROW]).with_columns(series.alias(column))
    for data, name in ((parquet(frame), "a.parquet"), (json_lines(*frame.to_dicts()), "a.jsonl")):
        read = read_file(data, name, reading())
        assert read[column].to_list() == expected
        assert [note and note[column] for note in rescued(read)] == kept


def test_an_infinity_is_no_value() -> None:
    frame = pl.DataFrame([{**ROW, "pressure": float("inf")}])
    assert rescued(read_file(parquet(frame), "a.parquet", reading())) == [{"pressure": "inf"}]
    assert rescued(read_file(json_lines(*frame.to_dicts()), "a.jsonl", reading())) == [{"pressure": "Infinity"}]


def test_times_of_parquet_are_days_or_points_in_time_in_utc() -> None:
    at = datetime(2024, 4, 7, 23, 30)  # noqa: DTZ001 - as a logger without a time zone writes it
    frame = pl.DataFrame([{**ROW, "at": at}])
    assert read_file(parquet(frame), "a.parquet", reading())["at"].to_list() == [date(2024, 4, 7)]
    time = {"column": "at", "format": "%Y-%m-%d %H:%M", "time_zone": "America/New_York"}
    local = reading(columns={**COLUMNS, "time": time})
    assert read_file(parquet(frame), "a.parquet", local)["at"].to_list() == [datetime(2024, 4, 8, 3, 30, tzinfo=UTC)]
    zoned = frame.with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    assert read_file(parquet(zoned), "a.parquet", local)["at"].to_list() == [datetime(2024, 4, 7, 23, 30, tzinfo=UTC)]


def test_lines_that_are_no_objects_are_rows_that_keep_their_text() -> None:
    data = json_lines(ROW) + b'{"at": "2024-04-07", "pump"\n[1]\n\n"x"\n{"pump": "\xff", "at": "2024-04-07"}\n'
    frame = read_file(data, "a.jsonl", reading())
    assert frame["source_row"].to_list() == [1, 2, 3, 5, 6]
    assert rescued(frame) == [
        None,
        {"line": '{"at": "2024-04-07", "pump"'},
        {"line": "[1]"},
        {"line": '"x"'},
        {"pump": "\\xff"},
    ]
    assert frame["pump"].to_list() == ["P 1", None, None, None, None]


def test_nested_values_of_json_are_kept_as_text_and_those_of_parquet_refuse_the_file() -> None:
    row = {**ROW, "note": {"a": [1]}}
    assert read_file(json_lines(row), "a.jsonl", reading())["note"].to_list() == ['{"a": ["1"]}']
    with pytest.raises(SourceError, match=r"^a\.parquet: the column 'note' holds Struct"):
        read_file(parquet(pl.DataFrame([row])), "a.parquet", reading())


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
@pytest.mark.parametrize("change", ["nothing", "cut", "no entity", "a name twice"])
def test_a_damaged_file_or_one_of_another_table_is_refused(name: str, change: str) -> None:
    rows: list[dict[str, Any]] = [ROW, ROW]
    if change == "no entity":
        rows = [{key: value for key, value in row.items() if key != "pump"} for row in rows]
    if change == "a name twice":
        rows = [{**row, "PUMP": "y"} for row in rows]
    data = parquet(pl.DataFrame(rows)) if name == "a.parquet" else json_lines(*rows)
    data = {"nothing": b"", "cut": data[:-9]}.get(change, data)
    with pytest.raises(SourceError, match=rf"^{name}: "):
        read_file(data, name, reading())


def test_parquet_that_unpacks_to_more_than_a_day_can_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = parquet(pl.DataFrame([{**ROW, "note": "x" * 1000}]).select(pl.all().repeat_by(5000).explode()))
    assert len(bomb) < 50_000
    assert read_file(bomb, "a.parquet", reading()).height == 5000
    monkeypatch.setattr(parquet_day, "MAX_UNPACKED_BYTES", 2**20)
    with pytest.raises(SourceError, match="more than"):
        read_file(bomb, "a.parquet", reading())


def test_bytes_of_parquet_that_are_no_text_refuse_the_file() -> None:
    frame = pa.table(
        {"at": ["2024-04-07"], "pump": pa.array([b"\xff"]).cast(pa.string(), safe=False), "broken": [0], "starts": [1]}
    )
    content = io.BytesIO()
    pq.write_table(frame, content)
    with pytest.raises(SourceError, match="not readable as Parquet"):
        read_file(content.getvalue(), "a.parquet", reading())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_an_error_of_the_source_or_none(data: st.DataObject) -> None:
    whole = parquet(pl.DataFrame([ROW] * 20))
    place, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    damaged = whole[:place] + bytes([byte]) + whole[place + 1 :]
    try:
        assert read_file(damaged, "a.parquet", reading()).height == 20
    except SourceError as refused:
        assert str(refused).startswith("a.parquet: ")  # noqa: PT017 - either is right


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([json_lines(ROW)[:-1], b"{}", b"[" * 3000]))))
def test_each_line_of_json_that_is_not_blank_is_a_row(lines: list[bytes]) -> None:
    data = b"\n".join([json_lines(ROW)[:-1], *lines]) + b"\n"
    expected = [number for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    assert read_file(data, "a.jsonl", reading())["source_row"].to_list() == expected
