"""A day computed alone and the same day inside a range are equal, and the tail stays as long as the look-back."""

from datetime import date, timedelta

import polars as pl
import pytest

from ae_assets.features.block import features_of_block
from ae_assets.features.config import FeatureConfig
from ae_assets.features.look_back import LookBack
from ae_assets.features.validation import validate_day
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.sources import open_source
from ae_assets_tests.conftest import real_data
from ae_assets_tests.features.frames import CONFIG, DAY, series, valid_rows


def features_of_range(days: dict[date, pl.DataFrame], config: FeatureConfig) -> dict[date, pl.DataFrame]:
    look_back, features = LookBack(config), {}
    for day in sorted(days):
        look_back.push(days[day])
        features[day] = features_of_block(look_back.history(day), day, config)
    return features


def features_alone(days: dict[date, pl.DataFrame], day: date, config: FeatureConfig) -> pl.DataFrame:
    near = {known: rows for known, rows in days.items() if day - timedelta(days=config.look_back_days) <= known <= day}
    return features_of_range(near, config)[day]


def test_a_single_day_and_a_range_give_equal_rows_bit_for_bit():
    first = date(2024, 1, 1)
    days = {}
    for number in range(40):
        if number % 9 == 4:
            continue
        drives = [
            {
                "entity": f"ZA{drive}",
                "smart_5_raw": (number * drive) % 7 * 10 ** (number // 10),
                "smart_9_raw": 1000 * drive + 23 * number,
                "smart_194_raw": 25 + (number * drive) % 5,
                "smart_1_raw": (number * 7919 * drive) % 2**40,
            }
            for drive in range(1, 30)
            if (number + drive) % 11
        ]
        day = first + timedelta(days=number)
        days[day] = valid_rows(drives).with_columns(pl.lit(day).alias("day"))
    in_range = features_of_range(days, CONFIG)
    for day in days:
        assert in_range[day].equals(features_alone(days, day, CONFIG))


def test_the_width_of_stored_integers_changes_no_feature():
    history = series("smart_5_raw", {3: 65_535, 2: 70_000, 0: 2**47}, smart_9_raw=40_000)
    look_back = LookBack(CONFIG)
    for day in sorted(history["day"].unique()):
        look_back.push(history.filter(pl.col("day") == day))
    direct = features_of_block(history, DAY, CONFIG)
    assert features_of_block(look_back.history(DAY), DAY, CONFIG).equals(direct)


def test_only_the_look_back_and_the_columns_that_features_read_are_kept():
    look_back = LookBack(CONFIG)
    first = date(2024, 1, 1)
    for number in range(100):
        day = first + timedelta(days=number)
        rows = series("smart_5_raw", {0: number}).with_columns(
            pl.lit(day).alias("day"), pl.lit(1).alias("smart_240_raw")
        )
        look_back.push(rows)
        history = look_back.history(day)
        assert history.height <= CONFIG.look_back_days + 1
        assert "smart_240_raw" not in history.columns
        assert history["day"].is_sorted()
    assert history["day"].min() == day - timedelta(days=28)
    assert history.estimated_size() < 20_000


def test_a_day_pushed_again_replaces_itself_and_an_empty_day_adds_nothing():
    look_back = LookBack(CONFIG)
    look_back.push(series("smart_5_raw", {0: 1}))
    look_back.push(series("smart_5_raw", {0: 2}))
    look_back.push(valid_rows([]))
    assert look_back.history(DAY)["smart_5_raw"].to_list() == [2]


def test_before_the_first_row_there_is_an_empty_history_that_features_accept():
    assert features_of_block(LookBack(CONFIG).history(DAY), DAY, CONFIG).is_empty()


def test_a_year_without_an_attribute_and_the_next_one_with_it_stand_in_one_history():
    look_back = LookBack(CONFIG)
    look_back.push(series("smart_5_raw", {1: 1}).drop("smart_194_raw"))
    look_back.push(series("smart_194_raw", {0: 30}))
    assert features_of_block(look_back.history(DAY), DAY, CONFIG)["smart_194_level"].item() == 30


@pytest.mark.real_data
def test_real_days_alone_and_in_a_range_are_equal_across_a_gap_in_the_fleet():
    source = open_source(str(real_data("drive_stats/data_2013.zip")))
    listed = source.days()
    contract = contract_of(DRIVE_STATS, tuple(CONFIG.attributes))
    first = date(2013, 8, 15)
    days = {
        day: validate_day(source.read(listed[day]), day, contract).valid.sort("entity").gather_every(20)
        for day in (first + timedelta(days=number) for number in range(12))
    }
    in_range = features_of_range(days, CONFIG)
    for day, rows in days.items():
        assert in_range[day].equals(features_alone(days, day, CONFIG))
        assert in_range[day].height == rows.height
