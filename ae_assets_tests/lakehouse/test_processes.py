"""Several processes writing one SQLite catalog, and processes killed while they write."""

import multiprocessing
import random
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import polars as pl
import pytest

from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import day_after, frame_of

WRITERS = 4
DAYS = 5
ROWS = 200
KILLS = 6

REWRITE_FOREVER = """
import sys
from pathlib import Path
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import day_after, frame_of

lakehouse = Lakehouse.open(Path(sys.argv[1]))
lakehouse.exists("t.raw")
print("ready", flush=True)
value = int(sys.stdin.readline())
while True:
    value += 1
    with lakehouse.writer("t.raw", commit_rows=400) as writer:
        for number in range(5):
            writer.write(day_after(number), frame_of(day_after(number), 200, value))
"""


def write_own_and_shared_days(home: Path | None, catalog: dict[str, str] | None, writer: int, start: Barrier) -> None:
    lakehouse = Lakehouse.open(home, catalog)
    start.wait()
    for number in range(DAYS):
        with lakehouse.writer("t.raw") as days:
            shared, own = day_after(number), day_after(100 + 10 * writer + number)
            days.write(
                shared, frame_of(shared, rows=10 + writer, value=writer).with_columns(pl.lit(1).alias(f"by_{writer}"))
            )
            days.write(own, frame_of(own, value=writer))


def test_four_processes_write_at_once_and_one_of_them_wins_each_shared_day(tmp_path: Path) -> None:
    write_at_once(tmp_path / "home", None)


def write_at_once(home: Path | None, catalog: dict[str, str] | None) -> None:
    """Processes that write equal and different days of one table; every row of each of them is accounted for."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(WRITERS)
    writers = [
        context.Process(target=write_own_and_shared_days, args=(home, catalog, number, start))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    lakehouse = Lakehouse.open(home, catalog)
    for number in range(DAYS):
        day = lakehouse.read("t.raw", day_after(number), day_after(number))
        winner = day["value"].unique().to_list()
        assert len(winner) == 1, "a shared day holds the rows of one writer only"
        assert day.height == 10 + winner[0]
        assert day[f"by_{winner[0]}"].null_count() == 0
    own = {day: rows for day, rows in lakehouse.day_rows("t.raw").items() if day >= day_after(100)}
    assert own == {day_after(100 + 10 * writer + number): 3 for writer in range(WRITERS) for number in range(DAYS)}
    lakehouse.close()


def start_rewriting(home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", REWRITE_FOREVER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kills"), [(7, KILLS)])
def test_a_process_killed_while_writing_leaves_each_day_whole(tmp_path: Path, seed: int, kills: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    home = tmp_path / "home"
    lakehouse = Lakehouse.open(home)
    rewriting = start_rewriting(home)
    for trial in range(kills):
        following = start_rewriting(home)
        assert rewriting.stdin is not None
        assert rewriting.stdout is not None
        assert rewriting.stdout.readline() == "ready\n"
        rewriting.stdin.write(f"{1000 * trial}\n")
        rewriting.stdin.flush()
        time.sleep(chance.uniform(0.02, 0.5))
        rewriting.kill()
        rewriting.communicate()
        if lakehouse.exists("t.raw"):
            days = (
                lakehouse.read("t.raw", day_after(0), day_after(DAYS))
                .group_by("day")
                .agg(pl.len().alias("rows"), pl.col("value").n_unique().alias("values"))
            )
            assert days.filter((pl.col("rows") != ROWS) | (pl.col("values") != 1)).is_empty(), trial
        rewriting = following
    rewriting.kill()
    rewriting.communicate()
    with lakehouse.writer("t.raw") as writer:
        for number in range(DAYS):
            writer.write(day_after(number), frame_of(day_after(number), ROWS, -1))
    expected = pl.concat([frame_of(day_after(number), ROWS, -1) for number in range(DAYS)])
    assert lakehouse.read("t.raw", day_after(0), day_after(DAYS)).equals(expected)
    lakehouse.close()


def test_threads_share_one_lakehouse(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    lakehouse = Lakehouse.open(tmp_path / "home")

    def write(number: int) -> None:
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(number), frame_of(day_after(number)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    assert lakehouse.day_rows("t.raw") == dict.fromkeys(map(day_after, range(8)), 3)
    lakehouse.close()
