"""Data files of a table: one Parquet file per written day, and reading such files, whoever wrote them, as one frame."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

import polars as pl
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.layout import Layout
from ae_assets.lakehouse.snapshots import data_file

_ZSTD_LEVEL = 1
"""Higher levels take twice the time and spare a few percent of a day's attributes."""
_ROW_GROUP_ROWS = 250_000


def write_file(table: Table, layout: Layout, day: date, frame: pl.DataFrame) -> DataFile:
    """Writes a day's rows into a new file of the table's warehouse; no reader sees it before a commit names it.

    Args:
        table: where to.
        layout: columns of the table; all columns of the frame are among them.
        day: the day of all rows.
        frame: at least one row.
    """
    # A column that a file lacks reads as null, so columns of nulls are left out: most of the attributes of a day.
    names = [name for name in layout.stored if name in frame.columns and frame[name].null_count() < frame.height]
    path = table.location_provider().new_data_location(f"day={day}/{uuid.uuid4()}.parquet")
    output = table.io.new_output(path)
    try:
        with output.create() as stream:
            frame.select(pl.col(name).cast(layout.stored[name]) for name in names).write_parquet(
                stream,  # type: ignore[arg-type]  # pyiceberg's stream has all of a file's methods that are used here
                compression="zstd",
                compression_level=_ZSTD_LEVEL,
                row_group_size=_ROW_GROUP_ROWS,
                arrow_schema=layout.arrow_of(names),
            )
        return data_file(table, path, day, frame.height, len(output))
    except BaseException:
        # Also on S3, where a broken-off file is there as soon as its stream is closed.
        with suppress(OSError):
            table.io.delete(path)
        raise


def read_files(table: Table, layout: Layout, files: Sequence[DataFile], columns: Sequence[str]) -> pl.DataFrame:
    """Rows of the files, in order of the files.

    Args:
        table: which the files belong to.
        layout: its columns.
        files: none gives a frame without rows.
        columns: in the order wanted; one that a file lacks is null there.

    Raises:
        LakehouseError: a file is missing or not what the table says it is.
    """
    kept = {column: layout.kept[column] for column in columns}
    if not files or not kept:
        return pl.DataFrame(schema=kept)
    try:
        frames = pl.scan_parquet(
            _readable(table, [file.file_path for file in files]),
            schema={name: dtype for name, dtype in layout.stored.items() if name in kept},
            missing_columns="insert",
            extra_columns="ignore",
            hive_partitioning=False,
            glob=False,
            # Other engines may widen a type without rewriting the files.
            cast_options=pl.ScanCastOptions(integer_cast="upcast", float_cast="upcast"),
        )
        return frames.select(pl.col(column).cast(dtype) for column, dtype in kept.items()).collect()
    except (OSError, pl.exceptions.PolarsError) as reason:
        raise LakehouseError(
            f"{len(files)} files of table {'.'.join(table.name())}, from {files[0].file_path} to {files[-1].file_path}"
            f", cannot be read: {reason}. If the storage could not be reached, run it again; if a file is lost, "
            "materialise its day again."
        ) from reason


def _readable(table: Table, paths: Sequence[str]) -> list[Path] | list[bytes]:
    """Paths of local files, or the content of remote ones."""
    local = [path.removeprefix("file://") for path in paths]
    if not any("://" in path for path in local):
        return [Path(path) for path in local]
    return [_content(table, path) for path in paths]


def _content(table: Table, path: str) -> bytes:
    with table.io.new_input(path).open() as stream:
        return bytes(stream.read())
