"""Revising days: all or nothing, and never over what another run wrote in the meantime."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of


def one_more(rows: pl.DataFrame) -> Mapping[date, pl.DataFrame]:
    """A row more on the first day."""
    return {FIRST: frame_of(FIRST, rows.filter(pl.col("day") == FIRST).height + 1 if rows.width else 1)}


def test_days_are_replaced_by_what_is_made_of_them_and_the_others_stay(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.lives") as writer:
        for number in range(3):
            writer.write(day_after(number), frame_of(day_after(number), value=number))
    lakehouse.revise(
        "t.lives",
        day_after(1),
        day_after(2),
        lambda rows: {day_after(1): rows.filter(pl.col("value") == 1).head(1), day_after(2): rows.clear()},
    )
    assert lakehouse.day_rows("t.lives") == {day_after(0): 3, day_after(1): 1}


def test_a_table_that_is_not_there_is_made(lakehouse: Lakehouse) -> None:
    lakehouse.revise("t.lives", FIRST, FIRST, one_more)
    assert lakehouse.read("t.lives", FIRST, FIRST).equals(frame_of(FIRST, 1))


def test_no_change_is_no_commit(lakehouse: Lakehouse) -> None:
    lakehouse.revise("t.lives", FIRST, FIRST, lambda _: {})
    assert not lakehouse.exists("t.lives")


def test_a_run_that_comes_between_is_not_undone(lakehouse: Lakehouse, tmp_path: Path) -> None:
    with lakehouse.writer("t.lives") as writer:
        for number in range(2):
            writer.write(day_after(number), frame_of(day_after(number)))
    seen = []

    def change(rows: pl.DataFrame) -> Mapping[date, pl.DataFrame]:
        seen.append(rows.height)
        if len(seen) == 1:
            with lakehouse.writer("t.lives") as writer:
                writer.write(day_after(1), frame_of(day_after(1), rows=10))
        return {day: rows.filter(pl.col("day") == day).head(-1) for day in (day_after(0), day_after(1))}

    lakehouse.revise("t.lives", day_after(0), day_after(1), change)
    assert seen == [6, 13]
    assert lakehouse.day_rows("t.lives") == {day_after(0): 2, day_after(1): 9}
    assert len(list(tmp_path.rglob("*.parquet"))) == 5, "the files of the refused try are removed"


def test_eight_threads_that_count_up_at_once_lose_no_step(lakehouse: Lakehouse) -> None:
    lakehouse.revise("t.lives", FIRST, FIRST, one_more)
    start = Barrier(8)

    def count(_: int) -> None:
        start.wait()
        lakehouse.revise("t.lives", FIRST, FIRST, one_more)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    assert lakehouse.day_rows("t.lives") == {FIRST: 9}


def test_rows_of_another_day_are_refused(lakehouse: Lakehouse) -> None:
    with pytest.raises(LakehouseError, match="write one day at a time"):
        lakehouse.revise("t.lives", FIRST, FIRST, lambda _: {FIRST: frame_of(day_after(1))})


def test_a_day_has_another_version_after_each_write_and_the_others_keep_theirs(lakehouse: Lakehouse) -> None:
    assert lakehouse.day_versions("t.raw") == {}
    versions = []
    for _ in range(2):
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(0), frame_of(day_after(0)))
            if not versions:
                writer.write(day_after(1), frame_of(day_after(1)))
        versions.append(lakehouse.day_versions("t.raw"))
    before, after = versions
    assert list(after) == [day_after(0), day_after(1)]
    assert before[day_after(0)] != after[day_after(0)]
    assert before[day_after(1)] == after[day_after(1)]
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(0), frame_of(day_after(0), rows=0))
    assert list(lakehouse.day_versions("t.raw")) == [day_after(1)]
