"""Files in long form, whose rows hold one metric each: their rows become records with a column for each metric.

A record is of a step of the clock, which the cadence gives: it holds the rows after the step before and up to its own,
none of its future. Each row is in one record; `readings` says how many are in it.
"""

import json
from datetime import timedelta
from typing import Literal

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.columns import READINGS_COLUMN
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN, Layout
from ae_assets.schemas.records import TIME_TYPE
from ae_assets.sources.notes import note_of

_TAKEN_AT = "__taken_at"
_MICROSECOND = timedelta(microseconds=1)


def by_metric(rows: pl.DataFrame, path: str, origin: str, layout: Layout) -> pl.DataFrame:
    """The rows of a file, each with its number in the column of its metric and the time of its record.

    A row of a metric that the table does not name has no number.

    Args:
        rows: as the file has them, with time and device.
        path: the name of the file with the folders above it.
        origin: printable place of the file; named in errors.
        layout: of the table.

    Raises:
        SourceError: the file's name tells no metric of the table.
    """
    if (metric := layout.metric) is None:
        return rows
    if metric.column is None:
        told = layout.metric_in(path)
        if told is None:
            raise SourceError(
                f"{origin}: the file's name tells no metric: source.columns.metric finds none of"
                f" {', '.join(layout.values)} in it. If it is a file of this table, correct one of them."
            )
        of_row = pl.lit(told)
    else:
        of_row = pl.col(metric.column)
    time, value = layout.time.name, metric.value
    notes = _notes_by_metric(rows.select(RESCUED_COLUMN, of_row.alias("metric")), value)
    columns = [name for name in rows.columns if name not in (value, metric.column, ROW_COLUMN, RESCUED_COLUMN)]
    return rows.with_columns(notes).select(
        pl.col(time).alias(_TAKEN_AT),
        *(_step_of_the_clock(time, layout.time.cadence) if name == time else name for name in columns),
        *(pl.when(of_row == name).then(value).alias(name) for name in layout.values),
        ROW_COLUMN,
        RESCUED_COLUMN,
    )


def records(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """The records of the rows of a period, by time and device, then the rows that can be in none, to be set aside.

    A row that a cell could not be read of stands by itself.
    """
    if (metric := layout.metric) is None:
        return rows
    keys = [layout.time.name, layout.entity]
    is_whole = pl.all_horizontal(pl.col(*keys).is_not_null(), pl.col(RESCUED_COLUMN).is_null())
    others = [
        name for name in rows.columns if name not in (*keys, *layout.values, _TAKEN_AT, ROW_COLUMN, RESCUED_COLUMN)
    ]
    together = (
        rows.filter(is_whole)
        .sort(*keys, _TAKEN_AT, maintain_order=True)
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col(*others).drop_nulls().last() if others else [],
            *(_together(name, metric.several) for name in layout.values),
            pl.len().cast(pl.Int32).alias(READINGS_COLUMN),
        )
        .with_columns(pl.lit(None, pl.String).alias(RESCUED_COLUMN))
    )
    alone = rows.filter(~is_whole).with_columns(pl.lit(1, pl.Int32).alias(READINGS_COLUMN))
    names = [name for name in rows.columns if name not in (_TAKEN_AT, ROW_COLUMN, RESCUED_COLUMN)]
    both = pl.concat([frame.select(*names, READINGS_COLUMN, RESCUED_COLUMN) for frame in (together, alone)])
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias(ROW_COLUMN)
    return both.select(*names, READINGS_COLUMN, number, RESCUED_COLUMN)


def _together(metric: str, several: Literal["mean", "last", "sum"]) -> pl.Expr:
    """The number of a metric in a record; null without any."""
    numbers = pl.col(metric).drop_nulls()
    if several == "sum":
        return pl.when(numbers.len() > 0).then(numbers.sum()).alias(metric)
    return numbers.mean() if several == "mean" else numbers.last()


def _step_of_the_clock(time: str, cadence: timedelta | None) -> pl.Expr:
    """The first step of the clock at or after a time; of a date the date."""
    if cadence is None:
        return pl.col(time)
    step = cadence // _MICROSECOND
    at = pl.col(time).cast(TIME_TYPE)
    return ((at.to_physical() + (step - 1)) // step * step).cast(TIME_TYPE).alias(time)


def _notes_by_metric(rows: pl.DataFrame, value: str) -> pl.Series:
    """The notes of cells that could not be read, by the columns that they would be in."""
    places = rows[RESCUED_COLUMN].is_not_null().arg_true()
    notes = [
        note_of({metric if name == value else name: text for name, text in json.loads(note).items()})
        for note, metric in rows[places].iter_rows()
    ]
    return rows[RESCUED_COLUMN].scatter(places, notes) if notes else rows[RESCUED_COLUMN]
