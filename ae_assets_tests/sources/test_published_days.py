"""Every generation of the published files loads completely."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from ae_assets.schemas.layouts.drive_stats_columns import IDENTITY_COLUMNS, column_type
from ae_assets.sources import open_source
from ae_assets_tests.conftest import real_data

pytestmark = pytest.mark.real_data


def test_the_days_before_the_reporting_gap_of_2013_have_the_known_numbers_of_rows_and_failures() -> None:
    source = open_source(str(real_data("drive_stats/data_2013.zip")))
    days = source.days()
    assert len(days) == 205
    rows = failures = 0
    for day, listed in days.items():
        if f"{day}" <= "2013-08-19":
            frame = source.read(listed)
            assert frame.select(pl.col("rescued").null_count(), pl.col("date").n_unique()).row(0) == (frame.height, 1)
            assert frame["date"][0] == day
            rows += frame.height
            failures += int(frame["failure"].sum())
    assert (rows, failures) == (2_995_078, 406)


@pytest.mark.parametrize(
    ("name", "days", "rows", "columns"),
    [
        ("data_2013.zip", 205, 21195, 85),
        ("data_2016_ST4000DM000_selected_drives.zip", 36, 336, 53),
        ("data_Q1_2024_failed_drives_only.zip", 90, 139, 193),
        ("data_2024-12-15_selected_rows.zip", 1, 5314, 175),
    ],
)
def test_each_generation_of_headers_loads_with_one_typing_rule(name: str, days: int, rows: int, columns: int) -> None:
    source = open_source(str(real_data(f"drive_stats/{name}")))
    listed = source.days()
    frame = source.read(next(iter(listed.values())))
    assert (len(listed), frame.height, len(frame.columns)) == (days, rows, columns + 2)
    assert all(frame.schema[column] == column_type(column) for column in frame.columns[:-2])
    assert frame.select(pl.col(*IDENTITY_COLUMNS).null_count()).row(0) == (0,) * 5
    assert frame["rescued"].null_count() == rows


def test_numbers_written_as_decimals_are_read_without_loss() -> None:
    source = open_source(str(real_data("drive_stats/data_Q1_2024_failed_drives_only.zip")))
    frame = source.read(next(iter(source.days().values())))
    assert frame.row(0, named=True)["capacity_bytes"] == 12000138625024
    assert frame.row(1, named=True)["smart_188_raw"] == 4295032833
    assert frame["is_legacy_format"].unique().to_list() == ["False"]


def test_all_published_archives_together_are_one_source() -> None:
    source = open_source(str(real_data("drive_stats")))
    assert len(source.days()) == 205 + 36 + 90 + 1


def test_the_fleet_days_of_2014_load(tmp_path: Path) -> None:
    tool = real_data("../tools/fleet_days.py")
    subprocess.run(
        [sys.executable, tool, "--start", "2014-07-01", "--end", "2014-07-02", "--output", tmp_path], check=True
    )
    source = open_source(str(tmp_path))
    for listed in source.days().values():
        frame = source.read(listed)
        assert frame.height == len((tmp_path / listed.origin).read_bytes().splitlines()) - 1
        assert frame["rescued"].null_count() == frame.height > 25_000
