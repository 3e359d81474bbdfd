"""What a thousand days of 20,000 rows in one table cost: rewriting, listing and planning a day, beside ten days.

``python -m benchmarks.load_figure`` measures on SQLite and local files, every day in a commit of its own, before and
after maintenance; with ``--backfill`` the days are written as a backfill writes them, with ``--servers`` too, on
PostgreSQL and SeaweedFS.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from ae_assets.lakehouse import Lakehouse
from benchmarks.lakehouse import START, drive_day, maintain, nth_day, of_day
from benchmarks.row import Row

FEW, MANY, ROWS = 10, 1_000, 20_000
TABLE = "bench.raw"
REPEATS = 15
TARGET_RATIO, TARGET_SECONDS = 2.0, 1.0


def run() -> list[Row]:
    """Measures on SQLite and local files, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_daily(lambda name: Lakehouse.open(Path(folder) / name)))


def run_backfilled() -> list[Row]:
    """As `run`, with days that a backfill wrote."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_backfilled(lambda name: Lakehouse.open(Path(folder) / name)))


def run_on_servers() -> list[Row]:
    """Measures on PostgreSQL and S3, which the integration tests' own servers stand in for."""
    from ae_assets_tests.integration import postgres, seaweed

    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "seaweed").mkdir()
        database = stack.enter_context(postgres.running())
        store = stack.enter_context(seaweed.running(Path(folder) / "seaweed"))

        def opened(name: str) -> Lakehouse:
            settings = {
                "type": "sql",
                "uri": database.url(database.new_database()),
                "warehouse": f"s3://warehouse/{name}",
                "s3.endpoint": store.endpoint,
                "s3.access-key-id": seaweed.KEY,
                "s3.secret-access-key": seaweed.SECRET,
                "s3.region": "us-east-1",
            }
            return Lakehouse.open(None, settings)

        return list(_backfilled(opened))


def _backfilled(opened: Callable[[str], Lakehouse]) -> Iterator[Row]:
    """All days in one run, which commits a hundred at a time."""
    frame = drive_day(START, rows=ROWS)
    few, many = opened("few"), opened("many")
    _write(few, frame, FEW)
    began = time.perf_counter()
    with many.writer(TABLE) as writer:
        for number in range(MANY):
            writer.write(nth_day(number), of_day(frame, number))
    on = f"{ROWS:,} rows x {frame.width} columns a day, as a backfill"
    yield Row(f"write {MANY:,} days", time.perf_counter() - began, "s", note=on)
    yield from _figures(few, many, frame, "backfilled", judged=True)


def _daily(opened: Callable[[str], Lakehouse]) -> Iterator[Row]:
    """Every day in a commit of its own, as a daily schedule writes them; then the same after maintenance."""
    frame = drive_day(START, rows=ROWS)
    few, many = opened("few"), opened("many")
    _write(few, frame, FEW)
    began = time.perf_counter()
    _write(many, frame, MANY)
    seconds = time.perf_counter() - began
    on = f"{ROWS:,} rows x {frame.width} columns a day, one commit each"
    yield Row(f"write {MANY:,} days", seconds, "s", note=on)
    yield from _figures(few, many, frame, "never maintained", judged=False)
    maintain(few, TABLE)
    began = time.perf_counter()
    maintain(many, TABLE)
    yield Row("maintenance of all of it", time.perf_counter() - began, "s")
    yield from _figures(few, many, frame, "maintained", judged=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Row("peak memory of the process", peak, "MiB", note="it wrote, maintained and measured all of it")


def _figures(few: Lakehouse, many: Lakehouse, frame: pl.DataFrame, state: str, *, judged: bool) -> Iterator[Row]:
    held = f"{state}: {_state(many)}"
    short, long = [], []
    for _ in range(REPEATS):  # turn by turn, so that what else the machine does reaches both
        short.append(_times(lambda: _write_day(few, frame, FEW // 2)))
        long.append(_times(lambda: _write_day(many, frame, MANY // 2)))
    of_few, of_many = (np.median(times, axis=0) for times in (short, long))
    ratio, ratio_of_processor = (float(value) for value in of_many / of_few)
    yield Row(
        f"rewrite a day of {MANY:,}, beside one of {FEW}, {state}",
        ratio,
        "x",
        f"under {TARGET_RATIO:.0f}" if judged else "",
        ratio < TARGET_RATIO if judged else None,
        f"{of_few[0] * 1000:.0f} ms of {FEW} days, {of_many[0] * 1000:.0f} ms of {MANY:,}; {ratio_of_processor:.2f} in "
        f"processor time; {held}",
    )
    middle = nth_day(MANY // 2)
    for name, work, is_target in (
        ("list the days", lambda: many.day_rows(TABLE), judged),
        ("plan one day's scan", lambda: _plan(many, middle), judged),
        ("plan and read one day", lambda: many.read(TABLE, middle, middle), False),
    ):
        wall, processor = np.median([_times(work) for _ in range(REPEATS)], axis=0)
        yield Row(
            f"{name}, {state}",
            float(wall) * 1000,
            "ms",
            f"under {TARGET_SECONDS * 1000:.0f}" if is_target else "",
            bool(wall < TARGET_SECONDS) if is_target else None,
            f"{processor * 1000:.0f} ms of processor time",
        )


def _write(lakehouse: Lakehouse, frame: pl.DataFrame, days: int) -> None:
    for number in range(days):
        _write_day(lakehouse, frame, number)
        if number % 100 == 99:
            print(f"  {number + 1} days", file=sys.stderr, flush=True)


def _write_day(lakehouse: Lakehouse, frame: pl.DataFrame, number: int) -> None:
    with lakehouse.writer(TABLE) as writer:
        writer.write(nth_day(number), of_day(frame, number))


def _plan(lakehouse: Lakehouse, day: date) -> None:
    from ae_assets.lakehouse.snapshots import files_by_day

    files_by_day(lakehouse._access.get(TABLE), day, day)  # noqa: SLF001 - what `read` does before it reads


def _state(lakehouse: Lakehouse) -> str:
    from ae_assets.lakehouse.snapshots import manifest_count

    table = lakehouse._access.get(TABLE)  # noqa: SLF001 - what no caller needs to know
    size = len(table.io.new_input(table.metadata_location)) / 1024
    return f"{len(table.metadata.snapshots):,} states, {manifest_count(table)} manifests, metadata of {size:.0f} KiB"


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor time; the second says what a busy machine does not disturb."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    from benchmarks.row import table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backfill", action="store_true", help="the days written as a backfill writes them")
    parser.add_argument("--servers", action="store_true", help="the same on PostgreSQL and SeaweedFS")
    chosen = parser.parse_args()
    measure = run_on_servers if chosen.servers else run_backfilled if chosen.backfill else run
    print(table(measure()))
