"""What becomes of features before a detector sees them, fitted on training rows only, kept as JSON beside a network."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.settings import Preprocessing, Scaling

INTERQUARTILE_RANGE_OF_NORMAL = 1.3489795
SMALLEST_RELATIVE_SCALE = 1e-4

LEVEL, MAGNITUDE, ACTIVE = "_level", "_magnitude", "_active"
"""How the names of features of these transforms end."""

_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("centre", "scale", "limit", "filled"), np.float32),
    "is_used": np.bool_,
}

Row = NDArray[np.float32]
"""A number for each feature."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """Centre and scale per feature: ``scaled = clip((value - centre) / scale, -clip, clip)``.

    A missing value becomes 0 (the centre) with weight 0, it is no evidence for the network's loss nor for a score; but
    for those that are filled.

    Attributes:
        centre: float32 (features,), the median or mean of the known training values; 0 for a feature never known.
        scale: float32 (features,), > 0.
        clip: bound of scaled values.
        limit: float32 (features,), the largest size of a value before it is scaled; None: none is cut.
        filled: float32 (features,), what a missing value counts as in scaled units; None: nothing.
        is_used: boolean (features,), false where no value counts; None: all do.
    """

    centre: Row
    scale: Row
    clip: float
    limit: Row | None = None
    filled: Row | None = None
    is_used: NDArray[np.bool_] | None = None

    @classmethod
    def fit(
        cls,
        values: NDArray[np.float32],
        settings: Preprocessing,
        names: Sequence[str],
        wanted: Collection[str] | None = None,
    ) -> "Scaler":
        """Fits on training rows.

        - robust: median, and the interquartile range in units of a normal's standard deviation. A feature that hardly
          ever moves, such as a counter that is 0 on most drives, has none: its standard deviation stands in.
        - standard: mean and standard deviation.
        - min_max: median, and the highest less the lowest value. Training values then lie in [-1, 1], 1 from the lowest
          to the highest, as in [0, 1]; but 0 still is a usual value, which missing ones count as.

        Where the scale is nothing beside the centre the feature is constant and keeps its own units, as indicators do.

        Args:
            values: float32 (rows, features), NaN = missing.
            settings: scaling, clip, and what else is wished.
            names: of the features.
            wanted: those that count; all where None.
        """
        limit = _limits(values, settings.magnitude_percentile, names)
        if limit is not None:
            values = np.clip(values, -limit, limit)
        columns = (
            (0.0, 1.0) if name.endswith(ACTIVE) else _centre_and_scale(column, settings.scaling)
            for column, name in zip(values.T, names, strict=True)
        )
        moments = np.array(list(columns), np.float32).reshape(-1, 2)
        centre, scale = np.ascontiguousarray(moments[:, 0]), np.ascontiguousarray(moments[:, 1])
        counts = np.array([wanted is None or name in wanted for name in names], np.bool_)
        if settings.sparse_share is not None:
            counts &= _used(values, settings.sparse_share, names)
        is_used = None if counts.all() else counts
        filled = None
        if settings.fill is not None:
            usual = np.median if settings.fill == "median" else np.mean
            typical = [usual(known) if len(known := _known(column)) else 0.0 for column in values.T]
            filled = np.clip((np.array(typical) - centre) / scale, -settings.clip, settings.clip).astype(np.float32)
        return cls(centre, scale, settings.clip, limit, filled, is_used)

    def apply(self, values: NDArray[np.float32]) -> None:
        """Scales values (rows, features) in place; NaN where a value counts for nothing."""
        values[~np.isfinite(values)] = np.nan
        if self.limit is not None:
            np.clip(values, -self.limit, self.limit, out=values)
        values -= self.centre
        values /= self.scale
        np.clip(values, -self.clip, self.clip, out=values)
        if self.filled is not None:
            np.copyto(values, self.filled, where=np.isnan(values))
        if self.is_used is not None:
            values[:, ~self.is_used] = np.nan

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary that keeps every bit, read back by :meth:`from_json`."""
        return {"clip": self.clip, **{name: row.tolist() for name, row in self.to_arrays().items()}}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Scaler":
        return cls.from_arrays(record, float(record["clip"]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What was fitted, by name; what is not there is left out."""
        rows = {name: getattr(self, name) for name in _TYPES}
        return {name: row for name, row in rows.items() if row is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], clip: float) -> "Scaler":
        """Reads what :meth:`to_arrays` gave, among others."""
        rows = {name: np.asarray(arrays[name], kind) for name, kind in _TYPES.items() if name in arrays}
        return cls(clip=clip, **rows)


def _known(column: NDArray[np.float32]) -> NDArray[np.float64]:
    return column[np.isfinite(column)].astype(np.float64)


def _limits(values: NDArray[np.float32], percentile: float | None, names: Sequence[str]) -> Row | None:
    """The percentile of the size of the magnitudes that are not 0; the largest number for other features."""
    if percentile is None:
        return None
    limits = np.full(len(names), np.finfo(np.float32).max)
    for place, name in enumerate(names):
        sizes = np.abs(_known(values[:, place]))
        if name.endswith(MAGNITUDE) and sizes.any():
            limits[place] = np.percentile(sizes[sizes > 0], percentile)
    return limits.astype(np.float32)


def _used(values: NDArray[np.float32], sparse_share: float, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which features count, where attributes that are mostly 0 and others count by different ones."""
    places = {name: place for place, name in enumerate(names)}
    is_used = np.ones(len(names), np.bool_)
    for name, place in places.items():
        prefix = name.removesuffix(ACTIVE)
        if name == prefix or not {prefix + LEVEL, prefix + MAGNITUDE} <= places.keys():
            continue
        active = _known(values[:, place])
        is_sparse = len(active) > 0 and 1 - active.mean() >= sparse_share
        for left_out in [LEVEL] if is_sparse else [MAGNITUDE, ACTIVE]:
            is_used[places[prefix + left_out]] = False
    return is_used


def _centre_and_scale(column: NDArray[np.float32], scaling: Scaling) -> tuple[float, float]:
    """Centre and scale of the known values of one feature."""
    known = _known(column)
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
