"""Tail probabilities: what makes scores of different kinds comparable, and their sum meaningful."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

KNOTS = 512
"""Levels of surprise at which the tail is kept; jumps between them are kept whole."""

TAIL_ROWS = 100.0


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
        single = np.asarray(values, np.float32)
        knots, position = np.unique(single, return_inverse=True)
        mass = np.bincount(position, weight)
        at_or_above = np.cumsum(mass[::-1])[::-1]
        surprise = -np.log((1 + at_or_above) / (1 + at_or_above[0]))
        scale = _mean_excess(knots.astype(np.float64), np.asarray(mass, np.float64))
        above = np.minimum(np.searchsorted(surprise, np.linspace(0, surprise[-1], KNOTS)), len(knots) - 1)
        kept = np.unique([np.maximum(above - 1, 0), above])  # both sides of a jump, so that none is interpolated
        return cls(knots[kept], surprise[kept].astype(np.float32), scale)

    def __call__(self, values: jax.Array) -> jax.Array:
        """The surprise of values of any shape, >= 0 and never falling with the value."""
        within = jnp.interp(values, self.value, self.surprise)
        return within + jnp.maximum(values - self.value[-1], 0) / self.scale

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary, read back by :meth:`from_json`."""
        return {"value": self.value.tolist(), "surprise": self.surprise.tolist(), "scale": self.scale}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Tail":
        value, surprise = (np.asarray(record[name], np.float32) for name in ("value", "surprise"))
        return cls(value, surprise, float(record["scale"]))


def _mean_excess(knots: NDArray[np.float64], mass: NDArray[np.float64]) -> float:
    """Mean excess of the highest rows over the lowest of them, but at least 1.

    The values are nats or log-odds: beyond what was seen, a nat more in them is at most a nat more of surprise.
    """
    above = np.cumsum(mass[::-1])[::-1]
    first = max(int(np.searchsorted(-above, -TAIL_ROWS, side="right")) - 1, 0)
    top, weight = knots[first:], mass[first:]
    return max(1.0, float(((top - top[0]) * weight).sum() / weight.sum()))
