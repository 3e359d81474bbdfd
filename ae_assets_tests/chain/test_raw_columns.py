"""Columns that a file and the raw table spell or type otherwise meet in one column, and no day fails for it."""

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain.features import build_features
from ae_assets.chain.raw import load_raw
from ae_assets.chain.raw_columns import RawColumns
from ae_assets.chain.workspace import RAW
from ae_assets.errors import SourceError
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=3))


@pytest.mark.parametrize("runs", [[DAYS], [[day] for day in DAYS]], ids=["one run", "a run for each day"])
def test_a_column_in_another_case_is_the_column_that_the_table_has(tmp_path: Path, runs: list[list[date]]) -> None:
    for day in DAYS:
        spelled = {"Datacenter": "ams5", "ROOM": "r2"} if day == DAYS[2] else {"datacenter": "ams5", "room": "r1"}
        write_day(tmp_path / "in", day, [("A", 0, 0)], **{name: [value] for name, value in spelled.items()})
    space = storage_of(watched_table(str(tmp_path / "in")), tmp_path / "home")
    for days in runs:
        list(load_raw(space, open_source(space.table.source.location, space.table.source.reading), days))
    rows = space.read(RAW, DAYS[0], DAYS[-1]).sort("day")
    assert rows.select("datacenter", "room").rows() == [("ams5", "r1")] * 2 + [("ams5", "r2"), ("ams5", "r1")]
    assert {"Datacenter", "ROOM"}.isdisjoint(rows.columns)


def test_an_attribute_in_upper_case_is_watched_as_any_other(tmp_path: Path) -> None:
    path = write_day(tmp_path / "in", FIRST, [("A", 0, 41)])
    header, rows = path.read_text().split("\n", 1)
    path.write_text(header.upper() + "\n" + rows)
    space = storage_of(watched_table(str(tmp_path / "in")), tmp_path / "home")
    list(load_raw(space, open_source(space.table.source.location, space.table.source.reading), [FIRST]))
    build_features(space, [FIRST])
    level = space.tables.read("fleet.features", FIRST, FIRST, ["smart_5_level"]).item()
    assert level == pytest.approx(3.7377, abs=1e-4)


def rows_with(column: str, values: list[object]) -> pl.DataFrame:
    """Rows of a day with a column."""
    return pl.DataFrame({column: values, "rescued": pl.Series([None] * len(values), dtype=pl.String)})


def test_a_text_column_that_the_table_has_as_numbers_keeps_what_is_none() -> None:
    columns = RawColumns("fleet.raw", {"smart_health": pl.Int64()})
    fitted = columns.fit(rows_with("smart_health", ["7", "PASSED", None, "8.0", "2.5E1"]), "a.csv")
    assert fitted["smart_health"].to_list() == [7, None, None, 8, 25]
    assert fitted["rescued"].to_list() == [None, json.dumps({"smart_health": "PASSED"}), None, None, None]


def test_a_column_of_numbers_that_the_table_has_as_text_is_refused_for_the_file() -> None:
    columns = RawColumns("fleet.raw", {"SMART_5_RAW": pl.String()})
    with pytest.raises(SourceError, match=r"^a\.csv: the column 'SMART_5_RAW' holds numbers, and fleet\.raw has it as"):
        columns.fit(rows_with("smart_5_raw", [1]), "a.csv")


def test_what_one_day_brings_is_known_to_the_next() -> None:
    columns = RawColumns("fleet.raw", {})
    assert columns.fit(rows_with("Room", ["a"]), "a.csv").columns == ["Room", "rescued"]
    assert columns.fit(rows_with("room", ["a"]), "b.csv").columns == ["Room", "rescued"]
