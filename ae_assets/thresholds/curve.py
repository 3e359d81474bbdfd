"""How calibration scores were distributed, kept as a few hundred points, and the tail probability read from them."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

BODY_LEVELS = 101
TAIL_LEVELS = 200
FOOT_LEVELS = 30
TAIL_SHARE = 0.01
TAIL_ROWS = 50


@dataclass(frozen=True)
class CalibrationCurve:
    """Tail probabilities of the calibration scores.

    Attributes:
        scores: strictly increasing scores that occurred in calibration, from the smallest to the largest.
        tail_probabilities: for each of them (1 + rows at or above it) / (1 + rows), strictly decreasing from 1: the
            conformal p-value of that score (Vovk, Gammerman, Shafer 2005, section 2.2).
        tail_scale: mean excess of the highest 1% of rows (at least 50 rows) over the lowest score among them; scale of
            the exponential tail beyond the largest score.
        rows: calibration rows.
        entities: distinct entities among them.
        first_day: first calibration day.
        last_day: last calibration day.
    """

    scores: tuple[float, ...]
    tail_probabilities: tuple[float, ...]
    tail_scale: float
    rows: int
    entities: int
    first_day: date
    last_day: date

    @classmethod
    def of(cls, calibration: pl.DataFrame) -> "CalibrationCurve":
        """The curve of `day, entity, score`, at least one row, every score finite."""
        ordered = np.sort(calibration["score"].to_numpy().astype(np.float64))
        rows = len(ordered)
        knots = np.unique(ordered[_positions(rows)])
        at_or_above = rows - np.searchsorted(ordered, knots, side="left")
        day = pl.col("day").cast(pl.Date)
        days = calibration.select(day.min().alias("first"), day.max().alias("last"))
        return cls(
            scores=tuple(knots.tolist()),
            tail_probabilities=tuple(((1 + at_or_above) / (1 + rows)).tolist()),
            tail_scale=_tail_scale(ordered),
            rows=rows,
            entities=calibration["entity"].n_unique(),
            first_day=days["first"].item(),
            last_day=days["last"].item(),
        )

    def tail_probability(self, score: ArrayLike) -> NDArray[np.float64]:
        """Probability under calibration of a score at least this high.

        Between two stored scores the logarithm of the probability is interpolated linearly. Below the smallest score it
        is 1. Beyond the largest it falls exponentially, by a factor e every `tail_scale`, starting from the
        probability of the largest score: a ranking of scores never seen in calibration, not a tested probability.

        Takes scores of any shape, finite or infinite; gives probabilities in (0, 1], never rising with the score.
        """
        values = np.asarray(score, dtype=np.float64)
        known = np.log(self.tail_probabilities)
        # Interpolation may undershoot the next stored value in the last bit, which would let severity rise there.
        following = known[np.minimum(np.searchsorted(self.scores, values, side="left"), len(known) - 1)]
        within = np.maximum(np.interp(values, self.scores, known), following)
        beyond = np.maximum(values - self.scores[-1], 0.0) / self.tail_scale
        floor = np.finfo(np.float64).tiny
        return np.asarray(np.maximum(np.exp(within - beyond), floor), dtype=np.float64)

    def entity_p_values(self, score: ArrayLike) -> NDArray[np.float64]:
        """Conformal p-values that count each calibration entity once, however many rows it has.

        (1 + n t) / (1 + n) for n entities, where t is the share of calibration rows with a score at least as high: the
        p-value of a day's entities (Vovk, Gammerman, Shafer 2005, section 2.2), averaged over the calibration days. The
        rows of an entity are alike, so its further days do not make rarer events known. Between two stored scores it is
        that of the lower one, and beyond the largest 1 / (1 + n), so it errs towards larger p-values.

        Takes scores of any shape, finite or infinite; gives p-values in (0, 1], never rising with the score.
        """
        values = np.asarray(score, dtype=np.float64)
        place = np.searchsorted(self.scores, values, side="right") - 1
        shares = np.where(place < 0, 1.0, np.asarray(self.tail_probabilities)[np.maximum(place, 0)])
        shares = np.where(values > self.scores[-1], 0.0, shares)
        return np.asarray((1 + self.entities * shares) / (1 + self.entities), dtype=np.float64)


def _positions(rows: int) -> NDArray[np.int64]:
    """Ranks to keep: evenly spaced in the body, evenly on a logarithmic scale of the share beyond them at both ends."""
    body = np.linspace(0, rows - 1, BODY_LEVELS)
    tail = rows - np.geomspace(1, max(rows * 0.1, 1), TAIL_LEVELS)
    foot = np.geomspace(1, max(rows * 0.01, 1), FOOT_LEVELS) - 1
    kept = np.concatenate([foot, body, tail]).round().astype(np.int64)
    return np.unique(np.clip(kept, 0, rows - 1))


def _tail_scale(ordered: NDArray[np.float64]) -> float:
    """Mean excess of the top rows; where they are all equal, the spread of all scores; where those are, their size."""
    rows = len(ordered)
    top = ordered[-min(rows, max(int(rows * TAIL_SHARE), TAIL_ROWS)) :]
    candidates = (float(np.mean(top - top[0])), float(ordered[-1] - ordered[0]), abs(float(ordered[-1])))
    return next((scale for scale in candidates if scale > 0), 1.0)
