"""Which record a row is: the entity and, where a period holds several records of it, the time; else the period."""

from collections.abc import Collection

import polars as pl

PERIOD, TIME, ENTITY = "day", "time", "entity"
TIME_TYPE = pl.Datetime("us", "UTC")
"""Of ``time``, in every frame after raw."""


def key_of(columns: Collection[str]) -> tuple[str, str]:
    """The columns that tell the rows of a frame apart, the moment first."""
    return (TIME if TIME in columns else PERIOD, ENTITY)


def keys_of(columns: Collection[str]) -> tuple[str, ...]:
    """The columns that say which record a row is and in which period, in their order."""
    return (PERIOD, TIME, ENTITY) if TIME in columns else (PERIOD, ENTITY)


def time_of(columns: Collection[str]) -> pl.Expr:
    """When the record of a row was taken, as a point in time in UTC; of a period with one record, its beginning."""
    return pl.col(key_of(columns)[0]).cast(TIME_TYPE)
