"""The target: what is known to have gone wrong, and which records are therefore normal, abnormal or neither.

Failures and labelled intervals answer the same questions, so that who learns from records need not know which it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol

import polars as pl

from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets.schemas.records import day_of, time_of

MOMENT = timedelta(microseconds=1)
"""The smallest step of time."""

NO_TIME = timedelta()


class Target(Protocol):
    """What is known to have gone wrong by some date."""

    def normal(self, rows: pl.DataFrame, window: timedelta = NO_TIME) -> pl.Series:
        """Whether each record may stand for what is normal.

        Args:
            rows: ``day, entity`` and, where the table has it, ``time``.
            window: how far back from a record its window reaches; one that holds an abnormal record is not normal.
        """

    def abnormal(self, rows: pl.DataFrame) -> pl.Series:
        """Whether each record is one that should be noticed; those that are neither count for nothing."""

    def entities_within(self, first: datetime, last: datetime) -> list[str]:
        """The entities with an abnormal record from one moment to another, both included."""


@dataclass(frozen=True)
class Failures:
    """Failures: an entity is abnormal in the horizon before its first one, and not normal from then on.

    Attributes:
        frame: ``entity, day`` of every failure.
        horizon_days: days before a failure in which a record is abnormal.
    """

    frame: pl.DataFrame
    horizon_days: int

    @cached_property
    def first(self) -> pl.DataFrame:
        """``entity, failed_on`` of each first failure."""
        return self.frame.group_by("entity").agg(failed_on=pl.col("day").min())

    def days_ahead(self, rows: pl.DataFrame) -> pl.Series:
        """Days from each row to its entity's first failure, negative after it, null where none is known."""
        failing = rows.select("entity", day=day_of(rows.columns)).join(
            self.first, on="entity", how="left", maintain_order="left"
        )
        return (failing["failed_on"] - failing["day"]).dt.total_days()

    def normal(self, rows: pl.DataFrame, window: timedelta = NO_TIME) -> pl.Series:  # noqa: ARG002 - lies before its row
        """Rows of entities that do not fail within the horizon, and did not fail before."""
        ahead = self.days_ahead(rows)
        return ahead.is_null() | (ahead > self.horizon_days)

    def abnormal(self, rows: pl.DataFrame) -> pl.Series:
        """Rows within the horizon before the first failure."""
        return self.days_ahead(rows).is_between(1, self.horizon_days).fill_null(value=False)

    def entities_within(self, first: datetime, last: datetime) -> list[str]:
        """The entities that fail within the horizon after one of these days, whether for the first time or not."""
        ahead = pl.col("day").is_between(
            first.date() + timedelta(days=1), last.date() + timedelta(days=self.horizon_days)
        )
        return self.frame.filter(ahead)["entity"].to_list()


@dataclass(frozen=True)
class Intervals:
    """Labelled intervals.

    Attributes:
        frame: with the columns of `INTERVAL_SCHEMA`, by entity and start; those of one entity do not overlap.
        unknown: entities of intervals that no record names.
    """

    frame: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=INTERVAL_SCHEMA))
    unknown: tuple[str, ...] = ()

    def until(self, moment: datetime) -> "Intervals":
        """What of them was known before a moment: later ones do not exist yet, and one that goes on ends there."""
        begun = self.frame.filter(pl.col("start") < moment)
        return Intervals(begun.with_columns(pl.col("end").clip(upper_bound=moment - MOMENT)), self.unknown)

    def normal(self, rows: pl.DataFrame, window: timedelta = NO_TIME) -> pl.Series:
        """Records whose window holds no record within an interval."""
        return ~self._is_within(rows, window)

    def abnormal(self, rows: pl.DataFrame) -> pl.Series:
        """Records within an interval."""
        return self._is_within(rows, NO_TIME)

    def entities_within(self, first: datetime, last: datetime) -> list[str]:
        """The entities with an interval that has a moment from one to another."""
        return self.frame.filter(pl.col("start") <= last, pl.col("end") >= first)["entity"].unique().to_list()

    def numbers(self, rows: pl.DataFrame) -> pl.Series:
        """Which interval each record lies in, as its row in `frame`; null where in none."""
        return self._latest(rows).select(pl.when(pl.col("end") >= pl.col("at")).then("number")).to_series()

    def _is_within(self, rows: pl.DataFrame, window: timedelta) -> pl.Series:
        return self._latest(rows).select((pl.col("end") + window >= pl.col("at")).fill_null(value=False)).to_series()

    def _latest(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Of each row its time, ``at``, and the last interval of its entity that began by then."""
        begun = self.frame.select("entity", "start", "end", number=pl.int_range(pl.len())).sort("start")
        at = rows.select("entity", at=time_of(rows.columns)).with_row_index("row").sort("at")
        return at.join_asof(begun, left_on="at", right_on="start", by="entity", check_sortedness=False).sort("row")


def joined(pieces: pl.DataFrame, gap: timedelta = NO_TIME) -> pl.DataFrame:
    """Pieces of an entity that overlap, or lie no further apart than a gap, as one interval each.

    Args:
        pieces: with the columns of `INTERVAL_SCHEMA`, in any order; those of different kinds become one as well.
        gap: largest time between the end of one and the start of the next.

    Returns:
        With the same columns, by entity and start; the kinds of what became one are listed with commas.
    """
    ordered = pieces.select(INTERVAL_SCHEMA.names()).sort("entity", "start", "end", "kind")
    reached = pl.col("end").cum_max().shift().over("entity")
    begins = (pl.col("start") > reached + gap).fill_null(value=True)
    kinds = pl.col("kind").drop_nulls().unique().sort()
    return (
        ordered.with_columns(interval=begins.cum_sum())
        .group_by("interval", maintain_order=True)
        .agg(
            pl.col("entity").first(),
            pl.when(kinds.len() > 0).then(kinds.str.join(", ")).alias("kind"),
            pl.col("start").first(),
            pl.col("end").max(),
        )
        .select(INTERVAL_SCHEMA.names())
        .cast(INTERVAL_SCHEMA)
    )


def labelled_pieces(records: pl.DataFrame, columns: Sequence[str], abnormal: Sequence[str]) -> pl.DataFrame:
    """Each abnormal record as a piece of an interval, for each of the columns that say so.

    Args:
        records: ``entity``, ``at``, when it was taken, and the columns; those without entity or time belong to nobody.
        columns: whose cells say that a record is abnormal; the kind of a piece is its column.
        abnormal: the cells that say so, as text; none: every cell that is not missing.
    """
    cells = records.drop_nulls(["entity", "at"]).unpivot(columns, index=["entity", "at"], variable_name="kind")
    says = pl.col("value").is_in(list(abnormal)) if abnormal else pl.col("value").is_not_null()
    return cells.filter(says).select("entity", "kind", start="at", end="at").cast(INTERVAL_SCHEMA)
