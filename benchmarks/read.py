"""Reading a day's file however its writer wrote it, and looking at a folder of files."""

import io
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl

from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.sources import open_source
from ae_assets.sources.csv_day import parse_day
from benchmarks.row import Row

DRIVES = 60_000
FILES = 200


def run() -> list[Row]:
    """Times of one day written in several ways, beside that of the plain one, and of first and later looks."""
    source = open_source(f"simulated://?drives={DRIVES}&days=1&seed=7")
    day, listed = next(iter(source.days().items()))
    rows = source.read(listed).drop(ROW_COLUMN, RESCUED_COLUMN)
    numbers = [name for name, kind in rows.schema.items() if kind == pl.Int64]
    ways = {
        "doubles (24.0)": _csv(rows.with_columns(pl.col(numbers).cast(pl.Float64))),
        "doubles as Spark writes them (2.40793248E8)": _csv(
            rows.with_columns(_as_java(rows[name]) for name in numbers)
        ),
        "NULL for each empty cell": _csv(rows, "NULL"),
        "a time of day behind each date": _csv(rows.with_columns(pl.col("date").cast(pl.String) + " 00:00:00")),
    }
    plain = _csv(rows)
    seconds = _seconds(lambda: parse_day(plain, "a.csv"))
    on = f"{rows.height:,} rows by {rows.width} columns, {len(plain) / 2**20:,.0f} MiB"
    figures = [Row("read a modern day, processor time", seconds * 1000, "ms", note=on)]
    for way, data in ways.items():
        ratio = _seconds(lambda data=data: parse_day(data, "a.csv")) / seconds  # type: ignore[misc]
        note = f"{len(data) / 2**20:,.0f} MiB"
        figures.append(Row(f"the same with {way}", ratio, "x", "at most 3", ratio <= 3, note))
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "in")
        folder.mkdir()
        for number in range(FILES):
            (folder / f"{day + timedelta(days=number)}.csv").write_bytes(plain[: 2**22])
        time.sleep(2.1)  # files that were only just written are read at every look
        first, later = (_once(lambda: open_source(str(folder), memory=Path(home)).days()) for _ in range(2))
    looked = f"{FILES} files of 4 MiB"
    return [
        *figures,
        Row("first look at a folder", first * 1000, "ms", note=looked),
        Row("later looks, in a new process as well", later * 1000, "ms", "at most 200", later <= 0.2, looked),
    ]


def _csv(rows: pl.DataFrame, empty: str = "") -> bytes:
    content = io.BytesIO()
    rows.write_csv(content, null_value=empty)
    return content.getvalue()


def _as_java(values: pl.Series) -> pl.Series:
    """Whole numbers as Java writes doubles: with an exponent from ten million on."""
    written = {number: _double(number) for number in values.drop_nulls().unique()}
    if not written:
        return values.cast(pl.String)
    return values.replace_strict(written, default=None, return_dtype=pl.String)


def _double(number: int) -> str:
    digits = str(number)
    return f"{number}.0" if number < 10**7 else f"{digits[0]}.{digits[1:].rstrip('0') or 0}E{len(digits) - 1}"


def _once(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


def _seconds(work: Callable[[], object]) -> float:
    """Of all threads together, so that a ratio does not change with what else the machine does."""
    return min(_once(work, time.process_time) for _ in range(5))
