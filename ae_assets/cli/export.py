"""``export``: days of a table to one Parquet or CSV file, in bounded memory."""

import os
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from ae_assets.errors import ConfigError
from ae_assets.lakehouse import Lakehouse
from ae_assets.pipeline.resources import home_folder


def export_days(table: str, asset: str, start: date, end: date, output: Path) -> tuple[int, int]:
    """Writes the days of a table that lie in a range; the file appears under its name only when it is complete.

    Returns:
        Rows and days written.

    Raises:
        ConfigError: when the file's ending is not .parquet or .csv, or there is nothing to write.
    """
    if output.suffix not in {".parquet", ".csv"}:
        raise ConfigError(f"--output {output}: the file's ending says its format; use .parquet or .csv")
    tables = Lakehouse.open(home_folder(), None)
    name = f"{table}.{asset}"
    held = {day: rows for day, rows in tables.day_rows(name).items() if start <= day <= end and rows}
    if not held:
        raise ConfigError(f"{name} holds no rows between {start} and {end}; run `ae-assets run {table}` for these days first")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    try:
        frames = (frame for _, frame in tables.iter_days(name, min(held), max(held)))
        rows = _write_csv(frames, partial) if output.suffix == ".csv" else _write_parquet(frames, partial)
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)
    return rows, len(held)


def _write_parquet(frames, path: Path) -> int:  # type: ignore[no-untyped-def]
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


def _write_csv(frames, path: Path) -> int:  # type: ignore[no-untyped-def]
    rows = 0
    with path.open("wb") as file:
        for frame in frames:
            _flat(frame).write_csv(file, include_header=rows == 0)
            rows += frame.height
    return rows


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Nested columns as JSON text, since CSV has none."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns(
        pl.col(name).map_elements(lambda items: pl.Series([items]).struct.json_encode()[0] if isinstance(items, dict) else _json(items), return_dtype=pl.String)
        for name in nested
    )


def _json(items: pl.Series) -> str:
    import json

    return json.dumps(items.to_list())
