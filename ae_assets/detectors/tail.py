"""Tail probabilities: what makes scores of different kinds comparable, and their sum meaningful."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import jax

KNOTS = 512
"""Levels of surprise at which the tail is kept; jumps between them are kept whole."""

TAIL_ROWS = 100.0

TAIL_BEGINS = 0.98
"""Quantile of scores above which their tail is fitted."""

FEWEST_EXCESSES = 10
"""Below which a tail is taken for exponential."""


@dataclass(frozen=True, eq=False)
class Tail:
    """How rare a value is among healthy rows, as the negative logarithm of its tail probability.

    Between knots it is interpolated linearly. Beyond the highest it goes on rising by 1 for every mean excess of the
    highest rows, as an exponential tail would: a ranking of values never seen, not a tested probability.

    Attributes:
        value: float32 (knots,), ascending.
        surprise: float32 (knots,), ``-log P(at least this value)``, ascending from 0.
        scale: mean excess of the highest rows, at least 1.
    """

    value: NDArray[np.float32]
    surprise: NDArray[np.float32]
    scale: float

    @classmethod
    def of(cls, values: NDArray[np.float64], weight: NDArray[np.float64]) -> "Tail":
        """The tail of finite values (rows,), at least one, each with the number of rows that stand behind it."""
        knots, position = np.unique(np.asarray(values, np.float32), return_inverse=True)
        mass = np.bincount(position, weight)
        scale = _mean_excess(knots.astype(np.float64), np.asarray(mass, np.float64))
        value, surprise = _curve(knots, mass)
        return cls(value, surprise.astype(np.float32), scale)

    def __call__(self, values: "jax.Array") -> "jax.Array":
        """The surprise of values of any shape, >= 0 and never falling with the value."""
        import jax.numpy as jnp

        within = jnp.interp(values, self.value, self.surprise)
        return within + jnp.maximum(values - self.value[-1], 0) / self.scale

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary, read back by :meth:`from_json`."""
        return {"value": self.value.tolist(), "surprise": self.surprise.tolist(), "scale": self.scale}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Tail":
        value, surprise = (np.asarray(record[name], np.float32) for name in ("value", "surprise"))
        return cls(value, surprise, float(record["scale"]))


@dataclass(frozen=True)
class ScoreTail:
    """How rare a score in any unit is among those of normal records, as the negative logarithm of its tail probability.

    Up to the highest it is interpolated between knots. Beyond, it goes on along a generalised Pareto tail, which is
    fitted to the highest fiftieth by probability-weighted moments (Hosking and Wallis 1987, section 3), its shape 0
    (exponential) or above, since an end would make all beyond it equal.

    Attributes:
        value: (knots,), ascending.
        surprise: (knots,), ``-log P(at least this score)``, ascending from 0.
        begins: where the tail begins.
        shape: 0 or above, below 1: the higher, the slower surprise rises with the score.
        scale: of an excess, above 0.
    """

    value: Sequence[float]
    surprise: Sequence[float]
    begins: float
    shape: float
    scale: float

    @classmethod
    def of(cls, scores: NDArray[np.float32]) -> "ScoreTail":
        """The tail of finite scores (rows,), at least one."""
        value, surprise = _curve(*np.unique(scores.astype(np.float64), return_counts=True))
        begins = float(np.quantile(scores, TAIL_BEGINS, method="inverted_cdf"))
        excesses = np.sort(scores[scores > begins].astype(np.float64)) - begins
        return cls(tuple(value), tuple(surprise), begins, *_pareto(excesses))

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """The surprise of scores (n,), >= 0 and never falling with the score."""
        highest = self.value[-1]
        beyond = self._surprise_of_excess(np.maximum(scores.astype(np.float64), highest) - self.begins)
        at_highest = self._surprise_of_excess(np.array(highest - self.begins))
        return np.interp(scores, self.value, self.surprise) + beyond - at_highest

    def _surprise_of_excess(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log1p(self.shape * excess / self.scale) / self.shape if self.shape else excess / self.scale

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary, which the class takes by name."""
        return asdict(self)


def _curve(knots: NDArray[Any], mass: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Knots and surprise of a distribution of ascending values, each with the rows that stand behind it."""
    at_or_above = np.cumsum(mass[::-1])[::-1]
    surprise = -np.log((1 + at_or_above) / (1 + at_or_above[0]))
    above = np.minimum(np.searchsorted(surprise, np.linspace(0, surprise[-1], KNOTS)), len(knots) - 1)
    kept = np.unique([np.maximum(above - 1, 0), above])  # both sides of a jump, so that none is interpolated
    return knots[kept], surprise[kept]


def _pareto(excesses: NDArray[np.float64]) -> tuple[float, float]:
    """Shape and scale of ascending excesses (k,) over 0."""
    if not len(excesses):
        return 0.0, 1.0
    mean = float(excesses.mean())
    if len(excesses) < FEWEST_EXCESSES:
        return 0.0, mean
    weighted = float((excesses * np.linspace(1, 0, len(excesses))).mean())
    spread = mean - 2 * weighted
    shape = 2 - mean / spread if spread > 0 else 0.0
    return (shape, 2 * mean * weighted / spread) if shape > 0 else (0.0, mean)


def _mean_excess(knots: NDArray[np.float64], mass: NDArray[np.float64]) -> float:
    """Mean excess of the highest rows over the lowest of them, but at least 1.

    The values are nats or log-odds: beyond what was seen, a nat more in them is at most a nat more of surprise.
    """
    above = np.cumsum(mass[::-1])[::-1]
    first = max(int(np.searchsorted(-above, -TAIL_ROWS, side="right")) - 1, 0)
    top, weight = knots[first:], mass[first:]
    return max(1.0, float(((top - top[0]) * weight).sum() / weight.sum()))
