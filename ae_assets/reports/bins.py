"""Bins for scores: which scale they need, where the edges lie, and how many scores fall into each."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ae_assets.thresholds.curve import CalibrationCurve

Floats = NDArray[np.float64]

BINS = 48
ATOM_SHARE = 0.02
LONG_FACTOR = 20.0
"""Scores that spread over this factor of a typical one need a logarithmic axis."""

LONGEST_FACTOR = 1e15
"""An axis spans this factor at most; smaller scores are as good as 0 beside the largest."""


@dataclass(frozen=True)
class ScoreScale:
    """How scores are spread along an axis.

    Attributes:
        kind: asinh is logarithmic for large scores and linear near 0, for scores of which some are 0 or less.
        width: of the linear part of asinh.
    """

    kind: Literal["linear", "log", "asinh"]
    width: float = 1.0

    def places(self, scores: Floats) -> Floats:
        """Where scores lie on the axis."""
        if self.kind == "log":
            return np.log(scores)
        return np.arcsinh(scores / self.width) if self.kind == "asinh" else scores

    def scores(self, places: Floats) -> Floats:
        """The scores at places on the axis; undoes `places`."""
        if self.kind == "log":
            return np.exp(places)
        return self.width * np.sinh(places) if self.kind == "asinh" else places.copy()


def scale_for(known: Floats, typical: float) -> ScoreScale:
    """A logarithmic axis where scores spread over a factor of 20 or more, linear near 0 where some are 0 or nearly.

    Args:
        known: all scores that are to be on the axis, at least one.
        typical: a score as most are, more than 0.
    """
    if known.max() <= LONG_FACTOR * typical:
        return ScoreScale("linear")
    least = float(np.abs(known).max()) / LONGEST_FACTOR
    return ScoreScale("log") if known.min() > least else ScoreScale("asinh", max(typical, least))


def typical_score(scores: ArrayLike) -> float:
    """The median of scores, the smallest positive one where that is not positive, and 1 where none is."""
    values = np.asarray(scores, dtype=np.float64)
    positive = values[values > 0]
    if not len(positive):
        return 1.0
    middle = float(np.median(values))
    return middle if middle > 0 else float(positive.min())


def typical_of_curve(calibration: CalibrationCurve) -> float:
    """The same of calibration scores, read from their tail probabilities."""
    scores, tail = np.asarray(calibration.scores), np.asarray(calibration.tail_probabilities)
    middle = float(scores[np.searchsorted(-tail, -0.5, side="right") - 1])
    return middle if middle > 0 else typical_score(scores[scores > 0])


def bin_edges(known: Floats, cut: float, scale: ScoreScale) -> Floats:
    """Bin edges evenly spaced on the axis.

    Args:
        known: all scores that are to be on the axis, at least one.
        cut: a threshold; one edge is exactly there, with a bin on either side. A cut that is not finite has no place.
        scale: of the axis.
    """
    placed = np.isfinite(cut)
    ends = [known.min(), known.max(), *([cut] if placed else [])]
    low, high = float(min(ends)), float(max(ends))
    if low == high:
        low, high = (low - 0.5, high + 0.5) if scale.kind == "linear" else (low / 2, high * 2)
    anchor = cut if placed else low
    first, middle, last = scale.places(np.array([low, anchor, high])).tolist()
    size = (last - first) / BINS
    below = max(int(np.ceil((middle - first) / size - 1e-9)), 1)
    above = max(int(np.ceil((last - middle) / size - 1e-9)), 1)
    edges = scale.scores(middle + size * np.arange(-below, above + 1))
    edges[below] = anchor
    return edges


def bin_counts(scores: ArrayLike, edges: Floats) -> NDArray[np.int64]:
    """How many scores lie in each bin: over its lower edge and up to its upper one, as an alarm is over a threshold.

    Scores beyond the edges count in the outermost bins, so the counts add up to all scores.
    """
    return np.bincount(_bins_of(np.asarray(scores, dtype=np.float64), edges), minlength=len(edges) - 1)


def calibration_shares(calibration: CalibrationCurve, edges: Floats, scale: ScoreScale) -> Floats:
    """Share of calibration rows in each bin, read from the tail probabilities.

    The stored scores are at most 1% of the rows apart, so more mass than that between two of them are ties at the lower
    one and belong to its bin; the rest is spread evenly on the axis.
    """
    scores = np.asarray(calibration.scores, dtype=np.float64)
    tail = np.asarray(calibration.tail_probabilities, dtype=np.float64)
    mass = np.concatenate([tail[:-1] - tail[1:], tail[-1:]])
    ends = np.concatenate([scores[1:], scores[-1:]])
    tied = np.where((mass > ATOM_SHARE) | (ends == scores), mass, 0.0)
    shares = np.bincount(_bins_of(scores, edges), tied, len(edges) - 1)
    places = scale.places(edges)
    for low, high, share in zip(scale.places(scores), scale.places(ends), mass - tied, strict=True):
        if share > 0:
            shares += share * np.diff(np.clip((places - low) / (high - low), 0, 1))
    return np.asarray(shares, dtype=np.float64)


def _bins_of(scores: Floats, edges: Floats) -> NDArray[np.int64]:
    """The bin of each score: a score on an edge, as one at the cut, lies below it."""
    return np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, len(edges) - 2)
