"""How polars columns become table columns: the type a column is stored with, and whether a frame fits a table."""

from collections.abc import Mapping
from datetime import date, datetime

import polars as pl
from polars.datatypes import DataTypeClass

from ae_assets.errors import ContractError, LakehouseError
from ae_assets.schemas.periods import HOURLY, Periods

DAY = "day"
"""The partition column of every frame; tables of hours and weeks store it by another name."""

ENTITY = "entity"
"""The column whose rows can be read alone."""

_WIDENS_TO: dict[type[pl.DataType], tuple[type[pl.DataType], ...]] = {
    pl.Int8: (pl.Int16, pl.Int32, pl.Int64),
    pl.Int16: (pl.Int32, pl.Int64),
    pl.Int32: (pl.Int64,),
    pl.UInt8: (pl.UInt16, pl.UInt32, pl.Int16, pl.Int32, pl.Int64),
    pl.UInt16: (pl.UInt32, pl.Int32, pl.Int64),
    pl.UInt32: (pl.Int64,),
    pl.Float32: (pl.Float64,),
}
_STORED_AS: dict[type[pl.DataType], pl.DataType] = {
    pl.Int8: pl.Int32(),
    pl.Int16: pl.Int32(),
    pl.UInt8: pl.Int32(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
}
_STORED_AS_IS = (pl.Boolean, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.String, pl.Binary, pl.Date, pl.Decimal)
NARROW_TYPES: dict[str, pl.DataType] = {
    str(narrow): narrow for narrow in (pl.Int8(), pl.Int16(), pl.UInt8(), pl.UInt16(), pl.UInt32())
}
"""Types that Iceberg lacks and that a read gives back, by name."""


def stored_type(dtype: pl.DataType) -> pl.DataType | None:
    """The nearest type that Iceberg has, in lists and structs too; None: there is none, as of Time, UInt64, Object."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = stored_type(_instance(dtype.inner))
        return None if inner is None else pl.List(inner)
    if isinstance(dtype, pl.Struct):
        fields = {field.name: stored_type(_instance(field.dtype)) for field in dtype.fields}
        kinds = {name: kind for name, kind in fields.items() if kind is not None}
        return pl.Struct(kinds) if len(kinds) == len(fields) else None
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, _STORED_AS_IS):
        return dtype
    return _STORED_AS.get(type(dtype))


def type_read_back(dtype: pl.DataType) -> pl.DataType | None:
    """The type that a read gives back for a column written with `dtype`; None where it cannot be stored."""
    return dtype if str(dtype) in NARROW_TYPES else stored_type(dtype)


def check_day(table: str, day: date, frame: pl.DataFrame, periods: Periods) -> None:
    """Raises LakehouseError unless the day is one of the table's periods and every row of the frame lies in it."""
    if isinstance(day, datetime) != (periods is HOURLY) or periods.of(day) != day:
        raise LakehouseError(f"{table} is stored by {periods.noun}s, and {day!r} is not the beginning of one.")
    if DAY in frame.columns and frame.schema[DAY] != periods.dtype:
        raise LakehouseError(
            f"Column '{DAY}' of the frame for {table} on {day} has type {frame.schema[DAY]}: cast it to "
            f"{periods.dtype}."
        )
    if frame.is_empty():
        return
    if DAY not in frame.columns:
        raise LakehouseError(
            f"The frame for {table} on {day} lacks the column '{DAY}': add pl.lit(day).alias('{DAY}')."
        )
    lowest, highest, nulls = frame.select(
        pl.col(DAY).min().alias("lowest"), pl.col(DAY).max().alias("highest"), pl.col(DAY).null_count().alias("nulls")
    ).row(0)
    if (lowest, highest, nulls) != (day, day, 0):
        raise LakehouseError(
            f"The frame given for {table} on {day} has rows from {lowest} to {highest} and {nulls} without a day: "
            "write one day at a time."
        )


def new_columns(
    table: str, day: date, frame: pl.DataFrame, existing: Mapping[str, pl.DataType], periods: Periods
) -> dict[str, pl.DataType]:
    """Columns of the frame that a table with the columns `existing` lacks, with the type that a read will give back.

    Raises:
        ContractError: a column cannot be stored, or its type conflicts with the table's.
    """
    added: dict[str, pl.DataType] = {}
    spelled = {name.lower(): name for name in existing}
    if taken := [name for name in frame.columns if name != DAY and name.lower() == periods.noun]:
        raise ContractError(
            f"Column {taken[0]!r} of the frame for {table} on {day} is what the table calls the {periods.noun} by "
            "which it is stored: rename it."
        )
    for name, dtype in frame.schema.items():
        if name in existing:
            _check_fits(table, day, name, dtype, existing[name])
            continue
        if (other := spelled.get(name.lower())) is not None:
            raise ContractError(
                f"Column '{name}' of the frame for {table} on {day} differs from column '{other}' only in case, which "
                "Spark and Glue do not tell apart: rename one of them."
            )
        spelled[name.lower()] = name
        read_back = type_read_back(dtype)
        if read_back is None:
            raise ContractError(
                f"Column '{name}' of the frame for {table} on {day} has type {dtype}, which a table cannot store: "
                "cast it, e.g. to Int64, String or Datetime."
            )
        added[name] = read_back
    return added


def _check_fits(table: str, day: date, name: str, dtype: pl.DataType, existing: pl.DataType) -> None:
    if dtype == pl.Null or type_read_back(dtype) == existing or type(existing) in _WIDENS_TO.get(type(dtype), ()):
        return
    raise ContractError(
        f"Column '{name}' of {table} has type {existing}, but the frame for {day} has {dtype}: "
        f"cast it to {existing} before writing, or write it under another name."
    )


def _instance(dtype: pl.DataType | DataTypeClass) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()
