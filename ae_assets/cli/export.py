"""``export``: days of a table to one Parquet or CSV file, in bounded memory."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from ae_assets.chain import Workspace
from ae_assets.chain.empty_days import empty_days, no_rows_of
from ae_assets.errors import ConfigError
from ae_assets.pipeline.home import home_folder

FORMULA_STARTS = "=+@\t\r\n-"
"""How a cell begins that spreadsheets take for a formula, or for a command of an older one."""


def export_days(
    space: Workspace,
    asset: str,
    days: tuple[date, date],
    output: Path,
    as_of: datetime | None = None,
    *,
    spreadsheet_safe: bool = False,
) -> tuple[int, int]:
    """Writes the periods of an asset that lie in a range, as they are or as they were at a time.

    In a ``spreadsheet_safe`` CSV, texts that a spreadsheet would take for a formula are marked as text.

    Returns:
        Rows and periods written; periods that were made and have no rows give a file without rows.

    Raises:
        ConfigError: as `write_frames`, or there is nothing to write.
        LakehouseError: the state asked for is not held.
    """
    require_format(output)
    if spreadsheet_safe and output.suffix != ".csv":
        raise ConfigError(
            f"--spreadsheet-safe marks texts in a CSV file, and --output is {output}; leave one of them out"
        )
    tables, name = space.tables, space.name(asset)
    first, last = map(space.table.periods.key, days)
    held = {day: rows for day, rows in tables.day_rows(name, as_of).items() if days[0] <= day <= days[1] and rows}
    if not held and as_of is not None:
        raise ConfigError(f"--as-of {as_of.isoformat()}: {name} then held no rows between {first} and {last}")
    made = sorted(held) or empty_days(space, asset, *days)
    if not made:
        raise ConfigError(
            f"{name} in {home_folder()} holds no rows between {first} and {last}; "
            f"`ae-assets run {space.table.table} --start {first} --end {last}` makes them"
        )
    frames: Iterable[pl.DataFrame] = (
        (frame for _, frame in tables.iter_days(name, min(held), max(held), None, as_of))
        if held
        else [no_rows_of(space, asset)]
    )
    return write_frames(map(_without_formulas, frames) if spreadsheet_safe else frames, output), len(made)


def require_format(output: Path) -> None:
    """Refuses a file of an unknown format.

    Raises:
        ConfigError: its ending says none that can be written.
    """
    if output.suffix not in WRITERS:
        raise ConfigError(f"--output {output}: the file's ending says its format; use {' or '.join(WRITERS)}")


def write_frames(frames: Iterable[pl.DataFrame], output: Path) -> int:
    """Writes frames of equal columns to one file, which appears under its name only when it is complete.

    Returns:
        The rows.

    Raises:
        ConfigError: as `require_format`, or the file cannot be written.
    """
    require_format(output)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            rows = WRITERS[output.suffix](frames, partial)
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {output}: the file cannot be written ({error.strerror})") from None
    return rows


def _write_parquet(frames: Iterable[pl.DataFrame], path: Path) -> int:
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for frame in frames:
            content = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(path, content.schema, compression="zstd")
            writer.write_table(content.cast(writer.schema))
            rows += frame.height
    finally:
        if writer is not None:
            writer.close()
    return rows


def _write_csv(frames: Iterable[pl.DataFrame], path: Path) -> int:
    rows = 0
    with path.open("wb") as file:
        for number, frame in enumerate(frames):
            _flat(frame).write_csv(file, include_header=number == 0)
            rows += frame.height
    return rows


WRITERS: Mapping[str, Callable[[Iterable[pl.DataFrame], Path], int]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}


def _without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Texts and column names that a spreadsheet would run, with an apostrophe before them, which makes them text."""
    named = frame.rename(lambda name: f"'{name}" if name.startswith(tuple(FORMULA_STARTS)) else name)
    return named.with_columns(pl.col(pl.String).str.replace(f"^([{FORMULA_STARTS}])", "'${1}"))


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Nested columns as JSON text, since CSV has none."""
    return frame.with_columns(
        pl.Series(column.name, [None if value is None else json.dumps(value) for value in column.to_list()], pl.String)
        for column in frame.iter_columns()
        if column.dtype.is_nested()
    )
