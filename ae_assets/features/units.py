"""Features in the unit of their attribute: 40 sectors, where the feature is their logarithm."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ae_assets.features.catalogue import Feature
from ae_assets.features.config import FeatureConfig

Scale = Literal["as it is", "log1p", "signed log1p", "log ratio", "log"]
SCALES: tuple[Scale, ...] = ("as it is", "log1p", "signed log1p", "log ratio", "log")

SMALLEST_RANGE = 1e-6
"""Values that differ by less stand still; of their range there would be no logarithm."""

LARGEST_EXPONENT = 50.0
"""Logarithms beyond it are no reading, and their exponential would be infinite sooner or later."""

PRECISION = 2e-6
"""Relative error of a count whose logarithm is float32: 40 sectors come back as 40.00001, which are 40."""


def scale_of(feature: Feature, config: FeatureConfig) -> Scale:
    """How a feature's values come from the unit of its attribute; a ratio has none and is a number of times."""
    gauge = feature.column is not None and config.attributes[feature.column].kind == "gauge"
    match feature.transform:
        case "growth" | "drift" | "magnitude":
            return "signed log1p"
        case "per_1000_hours" | "flatline":
            return "log1p"
        case "range":
            return "log"
        case "level":
            return "as it is" if gauge else "log1p"
        case "deviation":
            return "as it is" if gauge else "log ratio"
        case _:
            return "as it is"


def in_own_units(values: NDArray[np.floating], scales: Sequence[Scale]) -> NDArray[np.float64]:
    """Undoes the logarithms of feature values.

    Args:
        values: (rows, features) in feature units; NaN stays NaN.
        scales: (features,) of the columns.

    Returns:
        (rows, features): counters, hours and readings as they are reported, a growth as their difference, a deviation
        of a rate or counter as a ratio; never a count below 0.
    """
    return undone(values, np.array([SCALES.index(scale) for scale in scales], np.int8))


def undone(values: NDArray[np.floating], scales: NDArray[np.int8]) -> NDArray[np.float64]:
    """As `in_own_units`, with a position in ``SCALES`` for each value or column."""
    result = values.astype(np.float64).ravel()
    which = np.broadcast_to(scales, values.shape).ravel()
    for position, scale in enumerate(SCALES[1:], 1):
        chosen = np.flatnonzero(which == position)
        argument = np.clip(result[chosen], -LARGEST_EXPONENT, LARGEST_EXPONENT)
        match scale:
            case "log1p":
                result[chosen] = _whole(np.expm1(np.maximum(argument, 0)))
            case "signed log1p":
                result[chosen] = _whole(np.copysign(np.expm1(np.abs(argument)), argument))
            case _:
                result[chosen] = np.exp(argument)
    return result.reshape(values.shape)


def _whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values that are a whole number but for the error of their logarithm as that number."""
    nearest = np.rint(values)
    return np.where(np.abs(values - nearest) <= PRECISION * np.abs(values), nearest, values)
