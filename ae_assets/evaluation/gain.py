"""What one detector gains on another in ranking the same records, and whether that is more than chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ae_assets.evaluation.bootstrap import RESAMPLES, spread
from ae_assets.evaluation.intervals import Flags, Floats


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


def gain_in_average_precision(
    abnormal: Flags,
    before: Floats,
    after: Floats,
    group: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Gain:
    """The average precision of two scores, and its gain over groups that are drawn again with replacement.

    Args:
        abnormal: (n,), at least one of them.
        before: score (n,), -inf where a record was not judged.
        after: score (n,) of the other.
        group: of each record (n,), from 0: records of one group are drawn together, since they are no evidence apart.
        resamples: number of resamples; those without an abnormal record say nothing and are left out.
        seed: of the draws.
    """
    generator, count = np.random.default_rng(seed), int(group.max()) + 1
    curves = [_Curve.of(abnormal, score) for score in (before, after)]
    gains = []
    for _ in range(resamples):
        weight = np.bincount(generator.integers(count, size=count), minlength=count)[group]
        if weight[abnormal].any():
            drawn_before, drawn_after = (curve.average_precision(weight) for curve in curves)
            gains.append(drawn_after - drawn_before)
    low, high = spread(np.array(gains))
    whole = [curve.average_precision(np.ones(len(abnormal), np.int64)) for curve in curves]
    return Gain(whole[0], whole[1], float(low), float(high))


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
