"""ECOD: how improbable each feature is under its own healthy distribution, added up. No library, no parameters.

Li et al. 2022, ECOD: unsupervised outlier detection using empirical cumulative distribution functions, algorithm 1,
with the distributions taken from the training rows alone: pyod's version ranks a row among the rows that it is scored
with as well, so that there a score depends on its neighbours.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores
from ae_assets.detectors.baseline import Arrays, HealthyBaseline
from ae_assets.detectors.config import EcodConfig

TAIL_STEPS = 512
"""Most values of a feature that are kept per tail, spaced evenly in the log of the tail's count: with 200,000 training
rows a tail probability is then at most 3% too small."""


class FittedEcod(HealthyBaseline):
    """Tables of -log tail probabilities at values of each feature.

    The arrays are ``values`` (used, steps), rising distinct values of each feature, filled up with infinity; ``left``
    and ``right`` (used, steps + 1), -log of the tail at or below, and at or above, for each count of values below;
    ``skewness`` and ``median`` (used,). All float32.
    """

    config: EcodConfig

    @classmethod
    def learn(cls, _config: EcodConfig, values: NDArray[np.float32], _used: Sequence[str]) -> Arrays:
        known = [column[np.isfinite(column)] for column in values.T]
        tables = [_tails(column) for column in known]
        longest = max(len(steps) for steps, _, _ in tables)
        arrays = {
            "values": np.stack([_filled(steps, longest, np.inf) for steps, _, _ in tables]),
            "left": np.stack([_filled(left, longest + 1, left[-1]) for _, left, _ in tables]),
            "right": np.stack([_filled(right, longest + 1, right[-1]) for _, _, right in tables]),
            "skewness": np.array([_skewness(column) for column in known]),
            "median": np.array([np.median(column) for column in known]),
        }
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    def judge(self, values: NDArray[np.float32]) -> Scores:
        """The largest of three sums: all left tails, all right tails, and each feature's longer tail.

        The contributions are the terms of that sum; a missing value has none. Expected is the training median.
        """
        left, right = np.zeros_like(values), np.zeros_like(values)
        for feature, column in enumerate(np.ascontiguousarray(values.T)):
            steps = self.arrays["values"][feature]
            below = np.searchsorted(steps, column)
            right[:, feature] = self.arrays["right"][feature][below]
            met = steps[np.minimum(below, len(steps) - 1)] == column
            left[:, feature] = self.arrays["left"][feature][below + met]
        missing = np.isnan(values)
        left[missing] = right[missing] = 0
        longer = np.where(self.arrays["skewness"] < 0, left, right)
        tails = np.stack([longer, left, right])
        sums = tails.sum(axis=2)
        largest = sums.argmax(axis=0)
        rows = np.arange(len(values))
        expected = np.broadcast_to(self.arrays["median"], values.shape)
        return Scores(sums[largest, rows], tails[largest, rows], expected)


def _tails(known: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Distinct values, and -log of the left and of the right tail for each count of values below the one that is asked.

    A tail counts the asked row itself in, (count + 1) / (rows + 1), so that no training row is impossible.
    """
    values, counts = np.unique(known, return_counts=True)
    at_or_below = np.cumsum(counts)
    at_or_above = len(known) - at_or_below + counts
    if len(values) > 2 * TAIL_STEPS:
        wanted = np.unique(np.geomspace(1, len(known), TAIL_STEPS).round().astype(np.int64))
        kept = np.union1d(
            np.searchsorted(at_or_below, wanted), np.searchsorted(-at_or_above, -wanted, side="right") - 1
        )
        values, at_or_below, at_or_above = values[kept], at_or_below[kept], at_or_above[kept]
    left, right = np.concatenate([[0], at_or_below]), np.concatenate([at_or_above, [0]])
    rows = len(known)
    return values, -np.log((left + 1) / (rows + 1)), -np.log((right + 1) / (rows + 1))


def _skewness(known: NDArray[np.float32]) -> float:
    """Third standardised moment; 0 for a constant."""
    centred = known - known.mean(dtype=np.float64)
    spread = np.sqrt(np.square(centred).mean())
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def _filled(values: NDArray[Any], length: int, filling: float) -> NDArray[Any]:
    return np.concatenate([values, np.full(length - len(values), filling)])
