"""Robust scaling of features, fitted on training rows only and kept as JSON beside the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INTERQUARTILE_RANGE_OF_NORMAL = 1.3489795
SMALLEST_RELATIVE_SCALE = 1e-4


@dataclass(frozen=True, eq=False)
class RobustScaler:
    """Centre and scale per feature: ``scaled = clip((value - centre) / scale, -clip, clip)``.

    A missing value becomes 0 (the centre) with weight 0: it is no evidence for the network's loss nor for a score.

    Attributes:
        centre: float32 (features,), the median of the known training values; 0 for a feature never known.
        scale: float32 (features,), > 0.
        clip: bound of scaled values.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float

    @classmethod
    def fit(cls, values: NDArray[np.float32], clip: float) -> "RobustScaler":
        """Fits on training rows.

        The scale is the interquartile range in units of a normal's standard deviation. A feature that hardly ever
        moves, such as a counter that is 0 on most drives, has none: its standard deviation stands in. Where that is
        nothing beside the centre either, the feature is constant and keeps its own units.

        Args:
            values: float32 (rows, features), NaN = missing.
            clip: bound of scaled values, > 0.
        """
        moments = np.array([_centre_and_scale(column) for column in values.T], np.float32).reshape(-1, 2)
        return cls(np.ascontiguousarray(moments[:, 0]), np.ascontiguousarray(moments[:, 1]), clip)

    def apply(self, values: NDArray[np.float32]) -> None:
        """Scales values (rows, features) in place; NaN where a value is missing or not finite."""
        values[~np.isfinite(values)] = np.nan
        values -= self.centre
        values /= self.scale
        np.clip(values, -self.clip, self.clip, out=values)

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary that keeps every bit, read back by :meth:`from_json`."""
        return {"centre": self.centre.tolist(), "scale": self.scale.tolist(), "clip": self.clip}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "RobustScaler":
        centre, scale = (np.asarray(record[name], np.float32) for name in ("centre", "scale"))
        return cls(centre, scale, float(record["clip"]))


def _centre_and_scale(column: NDArray[np.float32]) -> tuple[float, float]:
    """Median and robust scale of the known values of one feature."""
    known = column[np.isfinite(column)].astype(np.float64)
    if not len(known):
        return 0.0, 1.0
    low, centre, high = np.quantile(known, (0.25, 0.5, 0.75))
    smallest = SMALLEST_RELATIVE_SCALE * max(1.0, abs(centre))
    for scale in ((high - low) / INTERQUARTILE_RANGE_OF_NORMAL, known.std()):
        if scale > smallest:
            return float(centre), float(scale)
    return float(centre), 1.0
