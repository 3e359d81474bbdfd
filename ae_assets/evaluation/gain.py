"""What one detector gains on another in ranking the same records, and whether that is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.evaluation.bootstrap import RESAMPLES
from ae_assets.evaluation.intervals import Flags, Floats

CONFIDENCE = 0.95

MANY_DEVICES = 30
"""Devices from which on they are drawn again whole; of fewer their periods are."""


def groups_of(records: pl.DataFrame) -> NDArray[np.int64]:
    """Of each record the group that is drawn together with it: its device, of few devices the period of the device."""
    by = ["entity"] if records["entity"].n_unique() >= MANY_DEVICES else ["entity", "day"]
    return records.select(pl.struct(by).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()


@dataclass(frozen=True)
class Gain:
    """A figure of two detectors, of which higher is better, and the 95% interval of the difference."""

    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True, eq=False)
class Ranked:
    """Records of one stretch of days with two scores, which are held against those of the same stretch alone.

    Attributes:
        abnormal: (n,), at least one of them.
        before: score (n,), -inf where a record was not judged.
        after: score (n,) of the other.
        group: of each record (n,), from 0: records of one group are drawn together, since they are no evidence apart.
            Stretches share no group.
    """

    abnormal: Flags
    before: Floats
    after: Floats
    group: NDArray[np.int64]


def gain_in_average_precision(
    stretches: Sequence[Ranked], *, comparisons: int = 1, resamples: int = RESAMPLES, seed: int = 0
) -> Gain:
    """The mean average precision of two scores over stretches, and its gain over groups drawn again with replacement.

    Args:
        stretches: at least one.
        comparisons: how many gains are looked at, so that all of their intervals together hold in 95% (Bonferroni).
        resamples: number of resamples; a stretch of which one draws no abnormal record does not count in it.
        seed: of the draws; equal seeds draw equal resamples.
    """
    generator = np.random.default_rng(seed)
    counts = [int(one.group.max()) + 1 for one in stretches]
    curves = [tuple(_Curve.of(one.abnormal, score) for score in (one.before, one.after)) for one in stretches]
    gains = []
    for _ in range(resamples):
        drawn = []
        for one, count, (before, after) in zip(stretches, counts, curves, strict=True):
            weight = np.bincount(generator.integers(count, size=count), minlength=count)[one.group]
            if weight[one.abnormal].any():
                drawn.append(after.average_precision(weight) - before.average_precision(weight))
        if drawn:
            gains.append(np.mean(drawn))
    tail = (1 - CONFIDENCE) / 2 / comparisons
    low, high = np.quantile(gains, [tail, 1 - tail])
    whole = np.mean(
        [
            [curve.average_precision(np.ones(len(one.abnormal), np.int64)) for curve in of_one]
            for one, of_one in zip(stretches, curves, strict=True)
        ],
        axis=0,
    )
    return Gain(float(whole[0]), float(whole[1]), float(low), float(high))


def gain_over_seeds(before: Floats, after: Floats) -> Gain:
    """The means of a figure over the same seeds (n,), at least two, and Student's interval of the mean difference."""
    from scipy.stats import t

    difference = after - before
    half = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    mean = difference.mean()
    return Gain(float(before.mean()), float(after.mean()), float(mean - half), float(mean + half))


@dataclass(frozen=True, eq=False)
class _Curve:
    """Records by falling score, and the last of each run of equal scores."""

    order: NDArray[np.int64]
    abnormal: Flags
    last: NDArray[np.int64]

    @classmethod
    def of(cls, abnormal: Flags, score: Floats) -> "_Curve":
        order = np.argsort(-score, kind="stable")
        falling = score[order]
        return cls(order, abnormal[order], np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1))

    def average_precision(self, weight: NDArray[np.int64]) -> float:
        """As `protocols.curves.average_precision`, of records that count as often as their weight says."""
        drawn = weight[self.order]
        true, flagged = np.cumsum(drawn * self.abnormal)[self.last], np.cumsum(drawn)[self.last]
        return float(np.sum(np.diff(true, prepend=0) * true / np.maximum(flagged, 1)) / true[-1])
