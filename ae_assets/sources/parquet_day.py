"""Bytes of a Parquet file -> a typed frame with every row of it. Row groups are read by parts, and counted."""

import io

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.sources.columnar import conformed
from ae_assets.sources.csv_day import MAX_DAY_CELLS, MAX_DAY_ROWS
from ae_assets.sources.header import MAX_COLUMNS, acceptable_names
from ae_assets.sources.printable import printable

ROWS_AT_ONCE = 2**16

MAX_UNPACKED_BYTES = 2**32
"""Most bytes that a file may unpack to: ten times the largest official day as CSV."""

_PROBLEMS = (
    *(pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException),
    *(OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError),
)


def parse_parquet(data: bytes, origin: str, reading: Reading) -> pl.DataFrame:
    """Rows of one Parquet file, see `csv_day.parse_day`; `source_row` counts them from 1.

    A cell that has another type than its column and stands for no value of it becomes null and keeps its text in
    `rescued`, as one of CSV.

    Args:
        data: the whole file.
        origin: printable place of the file, named in errors.
        reading: layout and missing cells.

    Raises:
        SourceError: the file is damaged, has unacceptable columns, or is larger than a day can be.
    """
    if not data:
        raise SourceError(f"{origin}: the file is empty (0 bytes). Expected a Parquet file: fetch it again.")
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        names = [str(name) for name in file.schema_arrow.names]
        _refuse_too_much(file.metadata.num_rows, len(names), origin)
        columns = acceptable_names(names, origin, reading.layout, "the file")
        parts, rows, size = [], 0, 0
        for batch in file.iter_batches(ROWS_AT_ONCE):
            rows, size = rows + batch.num_rows, size + batch.nbytes
            _refuse_too_much(rows, len(names), origin, size)
            batch.validate(full=True)
            parts.append(batch)
        _refuse_lost_rows(file.metadata, rows, origin)
        table = pa.Table.from_batches(parts, file.schema_arrow)
        # Under names that are known to be text, without the file's own metadata, which Polars would read.
        frame = pl.DataFrame(pa.Table.from_arrays(table.columns, columns))
    except SourceError:
        raise
    except _PROBLEMS as problem:
        reason = printable(str(problem).split("\n")[0]) or type(problem).__name__
        raise SourceError(
            f"{origin}: not readable as Parquet ({reason[:200]}). It is probably damaged or cut off: fetch it again."
        ) from problem
    numbered = frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW_COLUMN))
    return conformed(numbered, columns, origin, reading, {})


def _refuse_lost_rows(metadata: pq.FileMetaData, rows: int, origin: str) -> None:
    """Raises SourceError where the file contradicts itself on how many rows it has: a reader stops without a word."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    said = {metadata.num_rows, sum(group.num_rows for group in groups)}
    for column in range(metadata.num_columns if groups else 0):
        said.add(sum(group.column(column).num_values for group in groups))
    if said | {rows} != {rows} and not _is_nested(metadata):
        raise SourceError(
            f"{origin}: {rows:,} rows can be read and the file says that it has {max(said):,}. It is damaged: fetch it"
            " again."
        )


def _is_nested(metadata: pq.FileMetaData) -> bool:
    return any(metadata.schema.column(number).max_repetition_level for number in range(metadata.num_columns))


def _refuse_too_much(rows: int, width: int, origin: str, size: int = 0) -> None:
    most = min(MAX_DAY_ROWS, MAX_DAY_CELLS // max(width, 1))
    if width <= MAX_COLUMNS and (rows > most or size > MAX_UNPACKED_BYTES):
        raise SourceError(
            f"{origin}: {rows:,} rows of {width} columns ({size:,} bytes unpacked) are more than the {most:,} rows or"
            f" {MAX_UNPACKED_BYTES:,} bytes that a file of so many columns may have."
        )
