"""Columns that are typed already, or are text, become columns of the contract: for formats other than CSV."""

from collections.abc import Mapping, Sequence

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.sources.csv_day import types_before_times, without_markers
from ae_assets.sources.dates import with_times
from ae_assets.sources.rescue import typed_rows


def conformed(
    frame: pl.DataFrame, columns: Sequence[str], origin: str, reading: Reading, notes: Mapping[int, Mapping[str, str]]
) -> pl.DataFrame:
    """Rows as `csv_day.parse_day` describes them.

    Args:
        frame: the columns, as text or typed, and `source_row` from 1.
        columns: their names, in order.
        origin: named in errors.
        reading: the layout, and which words stand for a missing cell.
        notes: by `source_row`, texts that stand for cells that are null.

    Raises:
        SourceError: a column holds lists or other nested values.
    """
    types = types_before_times(columns, reading.layout)
    ready = [
        converted
        for name, kind in types.items()
        if (converted := _typed(frame[name], kind, is_time=name in reading.layout.time.column)) is not None
    ]
    as_text = [name for name in columns if name not in {series.name for series in ready}]
    texts = frame.select(*(_text(frame[name], origin) for name in as_text), pl.col(ROW_COLUMN).cast(pl.Int64))
    typed = typed_rows(texts, as_text, 0, reading, notes)
    rows = typed.hstack(ready).select(*columns, ROW_COLUMN, RESCUED_COLUMN)
    return with_times(without_markers(rows, columns, reading), reading.layout.time)


def _typed(series: pl.Series, kind: type[pl.DataType], *, is_time: bool) -> pl.Series | None:
    """A column that needs no look at its texts, in its type; None for others."""
    given = series.dtype
    if is_time:
        return series if given in (pl.Date, pl.Datetime) else None
    if given == kind and not kind.is_float():
        return series
    if kind == pl.Int64 and given in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32):
        return series.cast(pl.Int64)
    if kind == pl.Float64 and (given.is_integer() or given in (pl.Float32, pl.Float64)):
        floats = series.cast(pl.Float64).fill_nan(None)
        return None if floats.is_infinite().any() else floats
    return None


def _text(series: pl.Series, origin: str) -> pl.Series:
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        raise SourceError(
            f"{origin}: the column {series.name!r} holds {series.dtype}, expected one number, text or time in each row."
            " Write its parts as columns of their own, or leave it out."
        )
    if series.dtype.is_float():
        # A year or an hour that was written as a float.
        return series.cast(pl.String).str.strip_suffix(".0")
    return series.cast(pl.String)
