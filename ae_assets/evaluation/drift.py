"""Whether scores are still distributed as they were in calibration."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10
SMALLEST_SHARE = 1e-4


def population_stability_index(
    scores: ArrayLike, knots: ArrayLike, tail_probabilities: ArrayLike, bins: int = BINS
) -> float:
    """Population stability index of scores against a calibration curve.

    The bins are cut at scores that occurred in calibration, as near as they come to equal shares, so that tied scores
    fall into one bin on both sides. 0 = alike; by the custom of credit scoring, from which the index comes (Siddiqi
    2006, Credit Risk Scorecards), 0.1 to 0.25 is a shift to watch and more is a change.

    Args:
        scores: (n,) scores to judge.
        knots: strictly increasing calibration scores.
        tail_probabilities: share of calibration scores at or above each knot, strictly decreasing from about 1.
        bins: number of bins aimed at.
    """
    values = np.asarray(scores, dtype=np.float64)
    edges, reached = _edges(np.asarray(knots, np.float64), np.asarray(tail_probabilities, np.float64), bins)
    expected = -np.diff(np.concatenate([[1.0], reached, [0.0]]))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    observed = counts / max(len(values), 1)
    expected, observed = (np.maximum(share, SMALLEST_SHARE) for share in (expected, observed))
    return float(np.sum((observed - expected) * np.log(observed / expected)))


def _edges(
    knots: NDArray[np.float64], tail: NDArray[np.float64], bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distinct knots nearest to equal shares, without the smallest one, and the share at or above each."""
    wanted = 1 - np.arange(1, bins) / bins
    nearest = np.unique(np.abs(tail[:, None] - wanted).argmin(axis=0))
    nearest = nearest[nearest > 0]
    return knots[nearest], tail[nearest]
