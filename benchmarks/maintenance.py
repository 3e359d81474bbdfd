"""What maintenance gains: a table of 400 days, rewritten, with days in several files and with files of killed runs."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ae_assets.lakehouse import Lakehouse
from ae_assets.schemas.periods import DAILY
from benchmarks.lakehouse import READ_COLUMNS, START, drive_day, maintain, nth_day, of_day
from benchmarks.row import Row

DAYS, ROWS = 400, 5_000
RERUNS, DAYS_A_RERUN = 3, 10
IN_PIECES, PIECES = 60, 5
KILLED = 60
TABLE = "bench.raw"
REPEATS = 7


def run() -> list[Row]:
    """Measures on SQLite and local files, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_gained(Lakehouse.open(Path(folder)), Path(folder) / "warehouse"))


def _gained(lakehouse: Lakehouse, warehouse: Path) -> Iterator[Row]:
    frame = drive_day(START, rows=ROWS)
    _wear(lakehouse, frame)
    rows = lakehouse.day_rows(TABLE)
    before = _figures(lakehouse, warehouse)
    began = time.perf_counter()
    maintain(lakehouse, TABLE)
    seconds = time.perf_counter() - began
    after = _figures(lakehouse, warehouse)
    same = lakehouse.day_rows(TABLE) == rows
    on = (
        f"{DAYS} days x {ROWS:,} rows, one commit a day, each written again {RERUNS} times by reruns of {DAYS_A_RERUN} "
        f"days; {IN_PIECES} days in {PIECES} files; {KILLED} files of killed runs"
    )
    yield Row("maintenance", seconds, "s", "every day keeps its rows", same, on)
    for name, (value, unit) in after.items():
        was = before[name][0]
        yield Row(name, value, unit, note=f"{was:,.4g} before, {was / value:.1f} times as much")


def _wear(lakehouse: Lakehouse, frame: pl.DataFrame) -> None:
    """What two years of use leave behind."""
    for number in range(DAYS):
        _run(lakehouse, frame, [number])
    for _ in range(RERUNS):
        for first in range(0, DAYS, DAYS_A_RERUN):
            _run(lakehouse, frame, range(first, first + DAYS_A_RERUN))
    for number in range(0, DAYS, DAYS // IN_PIECES)[:IN_PIECES]:
        _cut(lakehouse, nth_day(number))
    for number in range(KILLED):
        _leave_a_file(lakehouse, number, of_day(frame, number))


def _run(lakehouse: Lakehouse, frame: pl.DataFrame, numbers: Iterable[int]) -> None:
    with lakehouse.writer(TABLE) as writer:
        for number in numbers:
            writer.write(nth_day(number), of_day(frame, number))


def _cut(lakehouse: Lakehouse, day: date) -> None:
    """Makes a day consist of several files, as other engines leave it."""
    from ae_assets.lakehouse.files import write_day

    access = lakehouse._access  # noqa: SLF001 - the way of another engine
    table = access.get(TABLE)
    rows = lakehouse.read(TABLE, day, day)
    pieces = rows.iter_slices(-(-rows.height // PIECES))
    files = [file for piece in pieces for file in write_day(table, access.layout(table), day, piece)]
    access.replace_days(table, {day: files})


def _leave_a_file(lakehouse: Lakehouse, number: int, frame: pl.DataFrame) -> None:
    """A run that is killed between the write and the commit: its file is there, and nobody cleans up."""
    from ae_assets.lakehouse.writer import DayWriter

    class Killed(DayWriter):
        def _discard(self, files: object) -> None:
            del files

    with suppress(KeyboardInterrupt), Killed(lakehouse._access, TABLE, DAILY, 10 * ROWS) as writer:  # noqa: SLF001
        writer.write(nth_day(number), frame)
        raise KeyboardInterrupt


def _figures(lakehouse: Lakehouse, warehouse: Path) -> dict[str, tuple[float, str]]:
    from ae_assets.lakehouse.snapshots import files_by_day

    access = lakehouse._access  # noqa: SLF001 - what no caller needs to know
    table = access.get(TABLE)
    files = [path for path in warehouse.rglob("*") if path.is_file()]
    middle, last = nth_day(DAYS // 2), nth_day(DAYS - 1)
    month = last - timedelta(days=29)

    def plan() -> None:
        files_by_day(access.get(TABLE), middle, middle)

    def scan() -> None:
        lakehouse.read(TABLE, month, last, READ_COLUMNS)

    def rewrite() -> None:
        with lakehouse.writer(TABLE) as writer:
            writer.write(middle, lakehouse.read(TABLE, middle, middle))

    return {
        "files in the warehouse": (len(files), ""),
        "their bytes": (sum(path.stat().st_size for path in files) / 2**20, "MiB"),
        "data files of the table": (sum(len(found) for found in files_by_day(table).values()), ""),
        "states that can be read": (len(table.metadata.snapshots), ""),
        "metadata.json": (len(table.io.new_input(table.metadata_location)) / 1024, "KiB"),
        "list the days": (_milliseconds(lambda: lakehouse.day_rows(TABLE)), "ms"),
        "plan one day's scan": (_milliseconds(plan), "ms"),
        "scan a month, 10 columns": (_milliseconds(scan), "ms"),
        "read and rewrite a day": (_milliseconds(rewrite), "ms"),
    }


def _milliseconds(work: Callable[[], object]) -> float:
    """Median wall time."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)) * 1000


if __name__ == "__main__":
    from benchmarks.row import table

    print(table(run()))
