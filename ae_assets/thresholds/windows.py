"""The share of entities with an alarm within a window, from calibration scores of more or of fewer days than it."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ae_assets.errors import ModelError

Floats = NDArray[np.float64]

LONGEST_EXTRAPOLATION = 3.0
"""A window may be this many times as long as calibration: beyond it the stated bound is far above any likely rate."""


@dataclass(frozen=True)
class Steps:
    """A step function of the cut: the sum of `weights` over `levels`, rising scores, strictly above it."""

    levels: Floats
    weights: Floats

    @classmethod
    def of(cls, levels: Floats, weights: Floats) -> "Steps":
        order = np.argsort(levels, kind="stable")
        return cls(levels[order], weights[order])

    def over(self, cut: ArrayLike) -> Floats:
        above = np.concatenate([np.cumsum(self.weights[::-1])[::-1], [0.0]])
        return np.asarray(above[np.searchsorted(self.levels, cut, side="right")], dtype=np.float64)


@dataclass(frozen=True)
class WindowedMaxima:
    """How many (entity, window) pairs have an alarm at any cut.

    If calibration is at least as long as the window, windows tile it from its last day backwards, and a pair has an
    alarm where its highest score is over the cut.

    If it is shorter, L days for a window of W, the count is extrapolated as s + (W - L) / L * h: s is the number of
    entities with an alarm within the L days, h the number with one in exactly one half of them. The number within l
    days of a stationary process is concave in l, because the share of entities whose first alarm comes on day l can
    only fall with l; so it grows beyond L days at most as fast as between L / 2 and L, which is by h / L a day. The
    result lies between s (the same entities every day) and s W / L (other entities every day). It is a bound from
    above, and as good as the assumption that the days to come are like those of calibration.

    Attributes:
        alarmed: number of pairs with an alarm within the window, as a function of the cut.
        highest: the highest score that each pair had in calibration, rising, so that sums over them have one order.
        entities: distinct entities.
        largest_weight: the most that one pair can count for in `alarmed`.
        observed_days: days of a pair that calibration shows, at most those of the window.
    """

    alarmed: Steps
    highest: Floats
    entities: int
    largest_weight: float
    observed_days: int

    @classmethod
    def of(cls, calibration: pl.DataFrame, window_days: int) -> "WindowedMaxima":
        """Gathers the maxima of `day, entity, score`, at least one row; ModelError where they span too few days."""
        first, last = first_and_last_day(calibration)
        days = (last - first).days + 1
        entities = calibration["entity"].n_unique()
        if days >= window_days:
            highest = _highest_in_windows(calibration, last, days // window_days, window_days)
            return cls(Steps.of(highest, np.ones(len(highest))), highest, entities, 1.0, window_days)
        needed = max(2, int(np.ceil(window_days / LONGEST_EXTRAPOLATION)))
        if days < needed:
            raise ModelError(
                f"calibration holds {days} days, from {first} to {last}; the share of entities with an alarm within "
                f"{window_days} days can be extrapolated from at least {needed}; set calibration.days to that, or a "
                "shorter window_days"
            )
        highest, lower = _highest_in_halves(calibration, first, days)
        # Above its highest score an entity has no alarm; from there down to the lower of its halves' highest it has one
        # in exactly one half, and counts W / L; below that it has one in both, and counts 1.
        stretch = window_days / days
        weights = np.concatenate([np.full(len(highest), stretch), np.full(len(lower), 1 - stretch)])
        steps = Steps.of(np.concatenate([highest, lower]), weights)
        return cls(steps, highest, entities, stretch, days)

    def growth(self, cut: float) -> float:
        """Pairs with an alarm within the window over those with one in the days observed, at a cut; 1 or more."""
        observed = int((self.highest > cut).sum())
        return float(self.alarmed.over(cut)) / observed if observed else 1.0


def first_and_last_day(rows: pl.DataFrame) -> tuple[date, date]:
    """The first and the last day of rows, of which there is at least one."""
    first, last = rows.select(pl.col("day").min().alias("first"), pl.col("day").max().alias("last")).row(0)
    return first, last


def _highest_in_windows(calibration: pl.DataFrame, last: date, windows: int, window_days: int) -> Floats:
    back = ((pl.lit(last) - pl.col("day")).dt.total_days() // window_days).alias("window")
    tiled = calibration.select("entity", "score", back).filter(pl.col("window") < windows)
    return np.sort(tiled.group_by("entity", "window").agg(pl.col("score").max())["score"].to_numpy().astype(np.float64))


def _highest_in_halves(calibration: pl.DataFrame, first: date, days: int) -> tuple[Floats, Floats]:
    """Highest score of each entity, and the lower of its two halves' highest, of the entities seen in both halves."""
    middle = first + timedelta(days=days // 2)
    maxima = calibration.group_by("entity").agg(
        pl.col("score").max().alias("whole"),
        pl.col("score").filter(pl.col("day") < middle).max().alias("early"),
        pl.col("score").filter(pl.col("day") >= middle).max().alias("late"),
    )
    both = maxima.drop_nulls().select(pl.min_horizontal("early", "late").alias("lower"))
    highest, lower = (np.sort(column.to_numpy().astype(np.float64)) for column in (maxima["whole"], both["lower"]))
    return highest, lower
