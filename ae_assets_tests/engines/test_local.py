"""Blocks of some devices each give what the whole gives, bit for bit, however many there are."""

from datetime import date, timedelta
from functools import partial

import numpy as np
import polars as pl
import pytest

from ae_assets.engines.local import LocalEngine
from ae_assets.features.block import entity_type, features_of_block
from ae_assets_tests.features.frames import CONFIG, DAY, TYPES

DRIVES = 400


def history() -> pl.DataFrame:
    """Four weeks of a fleet that began ten days ago, lost two days and has drives that come and go."""
    chance = np.random.default_rng(3)
    days = [DAY - timedelta(days=ago) for ago in range(10, -1, -1) if ago not in (3, 4)]
    frames = []
    for day in days:
        drives = np.flatnonzero(chance.random(DRIVES) < 0.8)
        values = {
            "smart_5_raw": chance.integers(0, 50, len(drives)),
            "smart_9_raw": chance.integers(0, 60_000, len(drives)),
            "smart_194_raw": chance.integers(20, 40, len(drives)),
            "smart_1_raw": chance.integers(0, 2**40, len(drives)),
        }
        frame = pl.DataFrame(values).with_columns(
            day=pl.lit(day), entity=pl.Series([f"ZA{drive}" for drive in drives]), cohort=pl.lit("A"), label=pl.lit(0)
        )
        frames.append(frame.cast({"label": pl.Int8}).select(*TYPES))
    return pl.concat(frames)


GAPS = frozenset({DAY - timedelta(days=3), DAY - timedelta(days=4)})


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("rows_in_block", [50, 700, 10**9])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.bits
def test_features_do_not_depend_on_the_blocks(threads: int, rows_in_block: int, coded: bool) -> None:
    rows = history()
    make = partial(features_of_block, first=DAY, config=CONFIG, gaps=GAPS, begins=DAY - timedelta(days=10))
    whole = make(rows)
    assert whole["history_days"].is_not_null().all()
    given = rows.with_columns(pl.col("entity").cast(entity_type())) if coded else rows
    assert LocalEngine(threads, rows_in_block, least_rows=100).map_blocks(make, given).equals(whole)


def test_each_block_has_all_rows_of_its_devices() -> None:
    rows, seen = history(), []

    def remembered(block: pl.DataFrame) -> pl.DataFrame:
        seen.append(block)
        return block

    made = LocalEngine(2, 500, least_rows=100).map_blocks(remembered, rows)
    assert len(seen) == -(-rows.height // 500)
    assert sum(block.height for block in seen) == rows.height == made.height
    of_blocks = [set(block["entity"]) for block in seen]
    assert sum(map(len, of_blocks)) == len(set.union(*of_blocks))
    assert made.equals(rows.sort("entity", "day"))


def test_what_goes_wrong_in_a_block_is_raised() -> None:
    def fails(block: pl.DataFrame) -> pl.DataFrame:
        raise ValueError(date.min)

    with pytest.raises(ValueError, match="0001-01-01"):
        LocalEngine(2, 500).map_blocks(fails, history())


def test_without_rows_there_is_one_block() -> None:
    empty = history().clear()
    assert LocalEngine().map_blocks(lambda block: block, empty).equals(empty)
