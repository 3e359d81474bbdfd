"""How fast days are written to and read from the lakehouse, and what a thousand days cost; on generated frames."""

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ae_assets.lakehouse import Lakehouse
from benchmarks.row import Row

START = date(2013, 4, 10)
DRIVES = 22_700
NULL_COLUMNS = 60
KEEP_SNAPSHOTS = 5
READ_COLUMNS = ("day", "serial_number", "model", "failure", *(f"smart_{number}_raw" for number in range(6)))


def drive_day(day: date, rows: int = DRIVES, attributes: int = 20, null_columns: int = NULL_COLUMNS) -> pl.DataFrame:
    """A day as drive stats had it in 2013: some 90 columns of which two thirds hold nothing."""
    random = np.random.default_rng(day.toordinal())
    return pl.DataFrame(
        {
            "day": pl.repeat(day, rows, dtype=pl.Date, eager=True),
            "serial_number": [f"S{number:08d}" for number in range(rows)],
            "model": pl.Series(random.integers(0, 40, rows)).cast(pl.String),
            "capacity_bytes": random.choice([2_000_398_934_016, 3_000_592_982_016], rows),
            "failure": pl.repeat(0, rows, dtype=pl.Int8, eager=True),
            **{f"smart_{number}_raw": random.poisson(3, rows) * 10 ** (number % 5) for number in range(attributes)},
            **{
                f"smart_{number}_normalized": pl.repeat(None, rows, dtype=pl.Int64, eager=True)
                for number in range(null_columns)
            },
            "source_file": pl.repeat(f"data_2013.zip!2013/{day}.csv", rows, dtype=pl.String, eager=True),
            "source_row": pl.int_range(rows, dtype=pl.Int32, eager=True),
        }
    )


def nth_day(number: int) -> date:
    """The days that benchmarks write, from 0."""
    return START + timedelta(days=number)


def of_day(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    """The rows of a frame as those of a day."""
    return frame.with_columns(day=pl.lit(nth_day(number), dtype=pl.Date))


def maintain(lakehouse: Lakehouse, table: str) -> None:
    """Maintenance as it is when the states were replaced long ago: only its clock is not waited for."""
    from ae_assets.lakehouse import compaction, maintenance

    access = lakehouse._access  # noqa: SLF001 - the parts of `maintain`, with a time that `maintain` refuses
    compaction.compact(access, table)
    now = datetime.now(UTC) + timedelta(minutes=1)
    maintenance.expire_snapshots(access, table, now, KEEP_SNAPSHOTS)
    maintenance.remove_unnamed_files(access, table, now)


def run() -> list[Row]:
    """Measures in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_range_write_and_read(Lakehouse.open(Path(folder) / "range")),
            *_wide_write(Lakehouse.open(Path(folder) / "wide")),
            *_many_days(Path(folder)),
        ]


def _range_write_and_read(lakehouse: Lakehouse) -> Iterator[Row]:
    days = [nth_day(number) for number in range(29)]
    frames = [drive_day(day) for day in days]
    on = f"29 days x {DRIVES} rows x {frames[0].width} columns"

    with lakehouse.writer("bench.imports") as writer:
        writer.write(days[0], frames[0].head(1))

    def write() -> None:
        with lakehouse.writer("bench.raw") as writer:
            for day, frame in zip(days, frames, strict=True):
                writer.write(day, frame)

    def read() -> None:
        lakehouse.read("bench.raw", days[0], days[-1], READ_COLUMNS)

    yield _row("write a day of a range", _seconds(write) / len(days), 0.060, on)
    yield _row("read a range, 10 columns", _seconds(read, 5), 0.150, on)


def _wide_write(lakehouse: Lakehouse) -> Iterator[Row]:
    frame = drive_day(START, rows=300_000, attributes=193, null_columns=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def write() -> None:
        with lakehouse.writer("bench.raw") as writer:
            writer.write(START, frame)

    seconds = _seconds(write)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    yield _row("write one wide day", seconds, 4.0, f"{frame.shape}, {extra:.0f} MiB more memory")


def _many_days(folder: Path) -> Iterator[Row]:
    """Rewriting one day of many: the cost beside that of one of ten."""
    few = 0.0
    for count in (10, 1000):
        lakehouse = Lakehouse.open(folder / f"days{count}")
        days = [nth_day(number) for number in range(count)]
        with lakehouse.writer("bench.raw", commit_rows=500) as writer:
            for day in days:
                writer.write(day, drive_day(day, rows=20))
        middle = days[len(days) // 2]
        rewrite = _rewrite(lakehouse, middle, drive_day(middle, rows=20))
        seconds = _seconds(rewrite, 10)
        few = few or seconds
        on = f"20 rows a day, committed 25 days at a time; {seconds / few:.1f} times the cost at 10 days"
        yield _row(f"rewrite one day of {count:,}", seconds, None, on)


def _rewrite(lakehouse: Lakehouse, day: date, frame: pl.DataFrame) -> Callable[[], None]:
    def rewrite() -> None:
        with lakehouse.writer("bench.raw") as writer:
            writer.write(day, frame)

    return rewrite


def _row(name: str, seconds: float, most: float | None, note: str) -> Row:
    target = "" if most is None else f"at most {most * 1000:.0f}"
    return Row(name, seconds * 1000, "ms", target, None if most is None else seconds <= most, note)


def _seconds(work: Callable[[], object], times: int = 1) -> float:
    """Median wall time."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))
