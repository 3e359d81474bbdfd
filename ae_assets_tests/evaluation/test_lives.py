"""Lives: first day, last day and first failure of each entity, as known on a date."""

from datetime import date

import polars as pl
import pytest

from ae_assets.errors import ContractError, EvaluationError
from ae_assets.evaluation import lives_of
from ae_assets_tests.conftest import real_data
from ae_assets_tests.evaluation.fleet import day, records_of


def test_a_life_spans_the_records_of_an_entity_and_ends_with_its_failure() -> None:
    lives = lives_of(records_of({"a": (0, 9, None), "b": (3, 5, 5)}))
    assert lives.known_until == day(9)
    assert lives.frame.to_dicts() == [
        {"entity": "a", "first_day": day(0), "last_day": day(9), "failed_on": None},
        {"entity": "b", "first_day": day(3), "last_day": day(5), "failed_on": day(5)},
    ]


def test_the_first_of_several_failures_counts_and_a_drive_that_comes_back_is_named() -> None:
    records = pl.concat([records_of({"a": (0, 3, 3)}), records_of({"a": (7, 9, 9)}), records_of({"b": (0, 9, None)})])
    lives = lives_of(records)
    assert lives.frame["failed_on"].to_list() == [day(3), None]
    assert lives.frame.filter(pl.col("last_day") > pl.col("failed_on"))["entity"].to_list() == ["a"]


def test_a_failure_after_the_knowledge_cut_off_does_not_exist() -> None:
    records = records_of({"a": (0, 9, 9), "b": (9, 12, None)})
    before, after = lives_of(records, day(8)), lives_of(records, day(9))
    assert before.frame.to_dicts() == [{"entity": "a", "first_day": day(0), "last_day": day(8), "failed_on": None}]
    assert after.frame["failed_on"].to_list() == [day(9), None]


def test_nothing_after_the_cut_off_can_change_what_is_known_before_it() -> None:
    records = records_of({"a": (0, 20, 15), "b": (2, 30, 30), "c": (12, 30, None)})
    truncated = records.filter(pl.col("day") <= day(10))
    assert lives_of(records, day(10)).frame.equals(lives_of(truncated, day(10)).frame)


def test_an_unknown_label_is_no_failure() -> None:
    records = records_of({"a": (0, 3, 3)}).with_columns(pl.lit(None, dtype=pl.Int8).alias("label"))
    assert lives_of(records).frame["failed_on"].to_list() == [None]


def test_row_order_is_irrelevant() -> None:
    records = records_of({"a": (0, 9, 4), "b": (3, 5, 5), "c": (1, 8, None)})
    assert lives_of(records).frame.equals(lives_of(records.sample(fraction=1, shuffle=True, seed=1)).frame)


def test_records_without_labels_or_before_the_cut_off_are_refused() -> None:
    with pytest.raises(ContractError, match="label"):
        lives_of(records_of({"a": (0, 3, None)}).drop("label"))
    with pytest.raises(EvaluationError, match="no records on or before 2023-01-01"):
        lives_of(records_of({"a": (0, 3, None)}), date(2023, 1, 1))


@pytest.mark.real_data
def test_the_second_fleet_has_2780_failures_and_one_life_per_drive() -> None:
    intervals = pl.read_parquet(real_data("drive_stats/fleet_2014_2015_intervals.parquet"))
    ends = intervals.select(
        pl.col("last_day").alias("day"), entity="serial_number", label=pl.col("failed_on_last_day").cast(pl.Int8)
    )
    lives = lives_of(ends)
    assert lives.frame.height == 55_216
    assert lives.frame["failed_on"].count() == 2_780
    assert lives.frame.filter(pl.col("last_day") > pl.col("failed_on")).is_empty()
