"""Scaling of features, fitted on training rows only and kept as JSON beside the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.settings import Scaling

INTERQUARTILE_RANGE_OF_NORMAL = 1.3489795
SMALLEST_RELATIVE_SCALE = 1e-4


@dataclass(frozen=True, eq=False)
class Scaler:
    """Centre and scale per feature: ``scaled = clip((value - centre) / scale, -clip, clip)``.

    A missing value becomes 0 (the centre) with weight 0: it is no evidence for the network's loss nor for a score.

    Attributes:
        centre: float32 (features,), the median or mean of the known training values; 0 for a feature never known.
        scale: float32 (features,), > 0.
        clip: bound of scaled values.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float

    @classmethod
    def fit(cls, values: NDArray[np.float32], clip: float, scaling: Scaling = "robust") -> "Scaler":
        """Fits on training rows.

        - robust: median, and the interquartile range in units of a normal's standard deviation. A feature that hardly
          ever moves, such as a counter that is 0 on most drives, has none: its standard deviation stands in.
        - standard: mean and standard deviation.
        - min_max: median, and the highest less the lowest value. Training values then lie in [-1, 1], 1 from the lowest
          to the highest, as in [0, 1]; but 0 still is a usual value, which missing ones count as.

        Where the scale is nothing beside the centre the feature is constant and keeps its own units.

        Args:
            values: float32 (rows, features), NaN = missing.
            clip: bound of scaled values, > 0.
            scaling: which centre and scale.
        """
        columns = (_centre_and_scale(column, scaling) for column in values.T)
        moments = np.array(list(columns), np.float32).reshape(-1, 2)
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
    def from_json(cls, record: dict[str, Any]) -> "Scaler":
        centre, scale = (np.asarray(record[name], np.float32) for name in ("centre", "scale"))
        return cls(centre, scale, float(record["clip"]))


def _centre_and_scale(column: NDArray[np.float32], scaling: Scaling) -> tuple[float, float]:
    """Centre and scale of the known values of one feature."""
    known = column[np.isfinite(column)].astype(np.float64)
    if not len(known):
        return 0.0, 1.0
    low, median, high = np.quantile(known, (0.25, 0.5, 0.75))
    spread: dict[Scaling, tuple[float, ...]] = {
        "robust": ((high - low) / INTERQUARTILE_RANGE_OF_NORMAL, known.std()),
        "standard": (known.std(),),
        "min_max": (np.ptp(known),),
    }
    centre = known.mean() if scaling == "standard" else median
    smallest = SMALLEST_RELATIVE_SCALE * max(1.0, abs(centre))
    for scale in spread[scaling]:
        if scale > smallest:
            return float(centre), float(scale)
    return float(centre), 1.0
