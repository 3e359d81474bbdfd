"""The invented fleet is repeatable, in the official layout, and fails in believable ways."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS, MODERN_COLUMNS
from ae_assets.sources import SourceDay, open_source
from ae_assets.sources.csv_day import parse_day
from ae_assets.sources.simulated import SimulatedSource
from ae_assets_tests.conftest import real_data

WEAR = ["smart_5_raw", "smart_187_raw", "smart_197_raw", "smart_198_raw"]


def history(location: str) -> pl.DataFrame:
    source = open_source(location)
    return pl.concat(
        source.read(day).select("date", "serial_number", "model", "failure", "smart_9_raw", "smart_194_raw", *WEAR)
        for day in source.days().values()
    )


@pytest.fixture(scope="module")
def fleet() -> pl.DataFrame:
    return history("simulated://")


def test_the_default_is_4000_drives_for_120_days_and_says_that_it_is_simulated() -> None:
    source = open_source("simulated://")
    assert source.simulated
    assert source.location == "simulated://?drives=4000&days=120&seed=7&start=2013-04-10"
    assert source.span() == (date(2013, 4, 10), date(2013, 8, 7))
    assert len(source.days()) == 120
    assert source.strays() == []


def test_any_day_is_the_same_at_each_call_and_without_the_other_days() -> None:
    whole, other = open_source("simulated://?days=50&drives=300"), open_source("simulated://?days=20&drives=300")
    for day in list(whole.days().values())[19:10:-4]:
        assert whole.read(day).equals(other.read(other.days()[day.day]))
        assert other.days()[day.day].fingerprint == day.fingerprint


def test_another_seed_is_another_fleet() -> None:
    one, other = (open_source(f"simulated://?drives=100&seed={seed}") for seed in (1, 2))
    day = date(2013, 4, 10)
    assert not one.read(one.days()[day]).equals(other.read(other.days()[day]))
    assert one.days()[day].fingerprint != other.days()[day].fingerprint


def test_the_layout_is_the_official_one_of_2024() -> None:
    source = open_source("simulated://?drives=50")
    frame = source.read(source.days()[date(2013, 4, 10)])
    assert dict(frame.schema) == DRIVE_STATS.day_schema(MODERN_COLUMNS)
    assert len(MODERN_COLUMNS) == 197
    for name in ("data_Q1_2024_failed_drives_only.zip", "data_2024-12-15_selected_rows.zip"):
        published = open_source(str(real_data(f"drive_stats/{name}")))
        header = published.read(next(iter(published.days().values()))).columns
        assert [column for column in frame.columns if column in header] == header


def test_a_written_day_reads_back_as_it_was(tmp_path: Path) -> None:
    source = open_source("simulated://?drives=200")
    frame = source.read(source.days()[date(2013, 4, 20)])
    frame.drop("source_row", "rescued").write_csv(tmp_path / "2013-04-20.csv")
    assert parse_day((tmp_path / "2013-04-20.csv").read_bytes(), "a").equals(frame)
    folder = open_source(str(tmp_path))
    assert folder.read(folder.days()[date(2013, 4, 20)]).equals(frame)


def test_a_drive_reports_once_a_day(fleet: pl.DataFrame) -> None:
    assert not fleet.select("date", "serial_number").is_duplicated().any()
    assert (
        fleet.select(pl.col("serial_number", "model", "failure", "smart_9_raw").is_null().any()).row(0) == (False,) * 4
    )


def test_20_or_more_drives_fail_in_the_30_days_that_a_demo_judges(fleet: pl.DataFrame) -> None:
    judged = fleet.filter(pl.col("date") > pl.col("date").max() - timedelta(days=30))
    assert 20 <= judged["failure"].sum() <= 40


def test_new_drives_have_run_for_some_days_before_their_first_record(fleet: pl.DataFrame) -> None:
    first = fleet.sort("date").unique("serial_number", keep="first").filter(pl.col("date") > date(2013, 4, 12))
    assert first.height > 100
    assert first["smart_9_raw"].min() >= 4 * 24


@pytest.mark.parametrize("seed", [1, 2])
def test_the_share_of_failures_hardly_depends_on_the_seed(seed: int) -> None:
    source = open_source(f"simulated://?drives=20000&seed={seed}")
    share = sum(source.read(day)["failure"].sum() for day in list(source.days().values())[::10]) * 10 / 20000
    assert 0.018 <= share <= 0.042


def test_a_failed_drive_reports_its_failure_on_its_last_day_and_vanishes(fleet: pl.DataFrame) -> None:
    failed = fleet.filter(pl.col("failure") == 1)
    last = fleet.filter(pl.col("serial_number").is_in(failed["serial_number"].implode())).group_by("serial_number")
    ends = failed.join(last.agg(last=pl.col("date").max()), on="serial_number")
    assert failed["serial_number"].is_unique().all()
    assert (ends["date"] == ends["last"]).all()


def test_drives_join_later_and_leave_without_a_failure(fleet: pl.DataFrame) -> None:
    lives = fleet.group_by("serial_number").agg(
        first=pl.col("date").min(), last=pl.col("date").max(), failed=pl.col("failure").max()
    )
    start, end = fleet["date"].min(), fleet["date"].max()
    assert isinstance(start, date)
    assert isinstance(end, date)
    assert lives.filter(pl.col("first") > start + timedelta(days=5)).height > 30
    assert lives.filter((pl.col("last") < end - timedelta(days=5)) & (pl.col("failed") == 0)).height > 10


def test_a_good_share_of_failures_is_announced_by_growth_and_a_good_share_is_sudden(fleet: pl.DataFrame) -> None:
    failed = fleet.filter(pl.col("failure") == 1)["serial_number"]
    growth = (
        fleet.filter(pl.col("serial_number").is_in(failed.implode()))
        .sort("date")
        .group_by("serial_number")
        .agg(pl.max_horizontal(pl.col(name).fill_null(0).last() - pl.col(name).fill_null(0).first() for name in WEAR))
    )
    announced = (growth.to_series(1) > 5).mean()
    assert isinstance(announced, float)
    assert 0.35 < announced < 0.8


def test_some_healthy_drives_have_raised_counters_and_a_noisy_temperature(fleet: pl.DataFrame) -> None:
    by_drive = fleet.group_by("serial_number").agg(
        pl.col("failure").max(),
        raised=pl.sum_horizontal(pl.col(WEAR).fill_null(0)).min() > 0,
        swing=pl.col("smart_194_raw").std(),
    )
    healthy = by_drive.filter(pl.col("failure") == 0)
    raised, noisy = healthy["raised"].mean(), (healthy["swing"] > 3).mean()
    assert isinstance(raised, float)
    assert isinstance(noisy, float)
    assert 0.01 < raised < 0.1
    assert 0.005 < noisy < 0.05


def test_models_report_different_attributes() -> None:
    source = open_source("simulated://")
    frame = source.read(source.days()[date(2013, 4, 10)])
    reported = frame.group_by("model").agg(pl.col("^smart_.*_raw$").is_not_null().any())
    assert reported.height == 6
    assert reported.drop("model").is_unique().all()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("drive=5", "received the setting 'drive'. Expected .* drives, days, seed, start"),
        ("drives=0", "drives=0. Expected a whole number from 1 to"),
        ("drives=many", "drives=many. Expected a whole number"),
        ("days=1e3", "days=1e3. Expected a whole number"),
        ("seed=-1", "seed=-1. Expected a whole number from 0"),
        ("drives=", "drives=. Expected"),
        ("drives=5&drives=6", "each at most once"),
        ("start=2013-02-30", "start=2013-02-30 is no day. Expected YYYY-MM-DD"),
        ("start=9999-12-31", "start=9999-12-31 is no day"),
    ],
)
def test_a_setting_that_is_not_allowed_is_an_error_that_names_the_allowed(query: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(f"simulated://?{query}")


def test_settings_without_a_question_mark_are_an_error() -> None:
    with pytest.raises(SourceError, match=r"Expected simulated://\?"):
        open_source("simulated://drives=5")


def test_a_day_that_was_not_listed_is_an_error() -> None:
    source = SimulatedSource("simulated://?days=10")
    with pytest.raises(SourceError, match="is no period of this source"):
        source.read(SourceDay(date(2014, 1, 1), "x", "elsewhere", 1))
