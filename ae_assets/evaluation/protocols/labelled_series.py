"""Scores of one entity in order of time, and the labelled intervals beside them: what every protocol judges."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ContractError
from ae_assets.evaluation.target import joined
from ae_assets.schemas.records import ENTITY, time_of

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Positions = NDArray[np.int64]

SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, eq=False)
class LabelledSeries:
    """n records of an entity and its k events.

    Attributes:
        time: seconds since 1970 in UTC (n,), ascending; records may share a time.
        score: (n,), higher = more anomalous; -inf where a record was not judged, so that it is never flagged.
        start: of each event, in seconds (k,), ascending; events do not overlap.
        end: of each event (k,), which it includes.

    Raises:
        ContractError: a score is NaN, times fall, or an event ends before it starts or after the next one starts.
    """

    time: Floats
    score: Floats
    start: Floats
    end: Floats

    def __post_init__(self) -> None:
        if np.isnan(self.score).any():
            raise ContractError(f"{np.isnan(self.score).sum()} scores are NaN; -inf stands for a record not judged")
        if (np.diff(self.time) < 0).any():
            raise ContractError("the times of a series fall; sort its records by time")
        if (self.end < self.start).any() or (self.start[1:] <= self.end[:-1]).any():
            raise ContractError(
                f"the {len(self.start)} events of a series overlap, end before they start, or are not in order of "
                "time; join those that overlap and sort them"
            )

    @property
    def event(self) -> Positions:
        """The event that each record lies in (n,); -1: none."""
        latest = np.searchsorted(self.start, self.time, side="right") - 1
        inside = (
            (latest >= 0) & (self.time <= self.end[latest]) if len(self.end) else np.zeros(len(self.time), np.bool_)
        )
        return np.where(inside, latest, -1)

    @property
    def abnormal(self) -> Flags:
        """Whether each record lies within an event (n,)."""
        return self.event >= 0


def runs(flags: Flags) -> tuple[Positions, Positions]:
    """First and last position, both included, of each run of True."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def labelled_series(scores: pl.DataFrame, intervals: pl.DataFrame) -> dict[str, LabelledSeries]:
    """The series of each entity with a record.

    Args:
        scores: ``day, entity, score`` and, where the table has it, ``time``, a row for each record, null = not judged.
        intervals: with the columns of `INTERVAL_SCHEMA`, in any order; those of an entity that overlap are one event,
            those of entities without a record are left out.
    """
    records = scores.select(ENTITY, at=_seconds(time_of(scores.columns)), score=pl.col("score").cast(pl.Float64))
    ordered = records.with_columns(pl.col("score").fill_nan(None).fill_null(-np.inf)).sort("at", maintain_order=True)
    ends = joined(intervals).select(ENTITY, start=_seconds(pl.col("start")), end=_seconds(pl.col("end")))
    events = {entity: frame for (entity,), frame in ends.group_by(ENTITY)}
    return {
        str(entity): LabelledSeries(
            own["at"].to_numpy(),
            own["score"].to_numpy(),
            *(events.get(entity, ends.clear())[column].to_numpy() for column in ("start", "end")),
        )
        for (entity,), own in ordered.group_by(ENTITY, maintain_order=True)
    }


def _seconds(moment: pl.Expr) -> pl.Expr:
    return moment.dt.epoch("us") / 1e6
