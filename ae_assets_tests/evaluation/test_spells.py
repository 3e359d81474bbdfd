"""Spells: what they say of every device is what all records say, whatever was replaced, loaded late or emptied."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.spells import (
    FAILED,
    RECORDED,
    SPELL_SCHEMA,
    failures_of_spells,
    lives_of_spells,
    touches,
    with_days,
)
from ae_assets_tests.conftest import real_data
from ae_assets_tests.evaluation.fleet import day, lives_of, records_of

NOTHING = pl.DataFrame(schema=SPELL_SCHEMA)
RECORD_SCHEMA = {"day": pl.Date, "entity": pl.String, "label": pl.Int8}

ROW = st.tuples(st.sampled_from([*"abcde", None]), st.sampled_from([0, 0, 0, 1, None, 7]))
WRITE = st.tuples(st.integers(0, 12), st.integers(1, 3), st.lists(st.lists(ROW, max_size=7), min_size=3, max_size=3))
"""First day, number of days, the rows of each; no rows empty a day."""


def frame_of(rows: list[tuple[date, str | None, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=RECORD_SCHEMA, orient="row")


@settings(deadline=None)
@given(st.lists(WRITE, max_size=14), st.integers(-1, 16))
def test_spells_say_what_all_records_say_on_every_day_of_knowledge(
    writes: list[tuple[int, int, list[list[tuple[str | None, int | None]]]]], known: int
) -> None:
    held: dict[date, list[tuple[date, str | None, int | None]]] = {}
    spells = NOTHING
    for first, count, rows in writes:
        days = [day(first + number) for number in range(count)]
        held.update({at: [(at, *row) for row in of_day] for at, of_day in zip(days, rows, strict=False)})
        new = frame_of([row for at in days for row in held[at]])
        near = touches(days[0], days[-1])
        spells = pl.concat([spells.filter(~near), with_days(spells.filter(near), days[0], days[-1], new)])
    records = frame_of([row for rows in held.values() for row in rows]).filter(pl.col("entity").is_not_null())
    for cut in (None, day(known)):
        told = records if cut is None else records.filter(pl.col("day") <= cut)
        failures = told.filter(pl.col("label") == 1).select("entity", "day").unique().sort("day", "entity")
        assert_frame_equal(failures_of_spells(spells, cut), failures)
        if told.is_empty():
            with pytest.raises(EvaluationError, match="no records"):
                lives_of_spells(spells, cut)
            continue
        lives = lives_of_spells(spells, cut)
        assert_frame_equal(lives.frame, lives_of(told).frame)
        assert lives.known_until == told["day"].max()


@settings(deadline=None)
@given(st.lists(WRITE, max_size=14))
def test_no_two_spells_of_a_device_border_on_each_other(
    writes: list[tuple[int, int, list[list[tuple[str | None, int | None]]]]],
) -> None:
    spells = NOTHING
    for first, count, rows in writes:
        days = [day(first + number) for number in range(count)]
        new = frame_of([(at, *row) for at, of_day in zip(days, rows, strict=False) for row in of_day])
        spells = with_days(spells, days[0], days[-1], new)
    gaps = spells.select((pl.col("start") - pl.col("end").shift().over("entity", "kind")).dt.total_days()).to_series()
    assert (gaps.drop_nulls() > 1).all()
    assert (spells["start"] <= spells["end"]).all()


def test_a_device_that_reports_every_day_is_one_spell_however_long() -> None:
    spells = NOTHING
    for number in range(400):
        spells = with_days(spells, day(number), day(number), frame_of([(day(number), "a", 0)]))
    assert spells.rows() == [("a", RECORDED, day(0), day(399))]


def test_a_replaced_day_ends_what_only_it_said() -> None:
    spells = with_days(NOTHING, day(0), day(9), records_of({"a": (0, 9, None), "b": (0, 9, 9)}))
    replaced = with_days(spells, day(9), day(9), frame_of([(day(9), "a", 0)]))
    assert replaced.rows() == [("a", RECORDED, day(0), day(9)), ("b", RECORDED, day(0), day(8))]
    split = with_days(replaced, day(4), day(5), frame_of([(day(4), "b", 1)]))
    assert split.rows() == [
        ("a", RECORDED, day(0), day(3)),
        ("a", RECORDED, day(6), day(9)),
        ("b", FAILED, day(4), day(4)),
        ("b", RECORDED, day(0), day(4)),
        ("b", RECORDED, day(6), day(8)),
    ]
    lives = lives_of_spells(split).frame
    assert lives.filter(pl.col("last_day") > pl.col("failed_on"))["entity"].to_list() == ["b"]
    assert lives_of_spells(split, day(5)).frame["last_day"].to_list() == [day(3), day(4)]


def test_days_far_from_a_spell_do_not_touch_it() -> None:
    spells = with_days(NOTHING, day(0), day(9), records_of({"a": (4, 6, None)}))
    for first, last, expected in ((0, 2, False), (0, 3, True), (5, 5, True), (7, 7, True), (8, 9, False)):
        assert spells.select(touches(day(first), day(last))).item() is expected


def test_a_life_spans_the_records_and_ends_with_the_first_failure() -> None:
    pieces = [{"a": (0, 3, 3), "b": (3, 5, None)}, {"a": (7, 9, 9)}]
    records = pl.concat([records_of(one) for one in pieces])
    lives = lives_of_spells(with_days(NOTHING, day(0), day(9), records))
    assert lives.known_until == day(9)
    assert lives.frame.to_dicts() == [
        {"entity": "a", "first_day": day(0), "last_day": day(9), "failed_on": day(3)},
        {"entity": "b", "first_day": day(3), "last_day": day(5), "failed_on": None},
    ]


@pytest.mark.real_data
def test_the_second_fleet_has_2780_failures_and_one_life_per_drive() -> None:
    intervals = pl.read_parquet(real_data("drive_stats/fleet_2014_2015_intervals.parquet"))
    ends = intervals.select(
        pl.col("last_day").alias("day"), entity="serial_number", label=pl.col("failed_on_last_day").cast(pl.Int8)
    )
    lives = lives_of_spells(with_days(NOTHING, ends["day"].min(), ends["day"].max(), ends))
    assert lives.frame.height == 55_216
    assert lives.frame["failed_on"].count() == 2_780
    assert lives.frame.filter(pl.col("last_day") > pl.col("failed_on")).is_empty()
