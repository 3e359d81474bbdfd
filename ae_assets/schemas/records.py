"""Which record a row is: the entity and, where a period holds several records of it, the time; else the period."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from ae_assets.schemas.periods import DAILY, Periods

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


def day_of(columns: Collection[str]) -> pl.Expr:
    """The calendar day, in UTC, on which the record of a row was taken; of a week with one record, its Monday."""
    return time_of(columns).cast(pl.Date)


@dataclass(frozen=True)
class Rhythm:
    """How the records of an entity follow each other.

    Attributes:
        periods: by which a table is kept.
        cadence: the usual step between records where a period holds several; None: a period holds one.
    """

    periods: Periods = DAILY
    cadence: timedelta | None = None

    @property
    def step(self) -> timedelta:
        """The usual length of time from a record to the next."""
        return self.cadence or self.periods.step

    def look_back(self, length: timedelta | None) -> timedelta:
        """How far before its beginning a period reaches whose records look at the last ``length``, themselves included.

        With it `Periods.before` gives the first period that is needed; None looks at no other record.
        """
        if length is None:
            return timedelta()
        shortest = self.periods.step if self.cadence is None else timedelta.resolution
        return max(length - shortest, timedelta())


DAILY_RECORDS = Rhythm()
"""One record of each entity a day."""
