"""The mean absolute percentage error of what a detector rebuilds, on records where nothing is known to be wrong.

A percentage error says nothing where the value itself is near zero, so a value counts where it is at least a tenth of
the median size of its feature. Beside it stands the error of one constant for each feature, its median: a detector that
is no better than that has learned no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ae_assets.evaluation.intervals import Floats
from ae_assets.evaluation.protocols.figure import Figure, of_entities, share_of

NEAR_ZERO = 0.1
"""Part of the median size of a feature below which a value does not count."""


@dataclass(frozen=True)
class RebuiltFigures:
    """How far the values of normal records lie from those that a detector expects.

    Attributes:
        error: mean of |value - expected| / |value| over all values that count, with its interval over entities.
        of_constant: the same error where the median of each feature is expected.
        counted: share of the known values that count.
        records: that they are of.
        features: the error of each feature, with that of its median, those that are rebuilt worst first.
    """

    error: Figure
    of_constant: float | None
    counted: float
    records: int
    features: Mapping[str, tuple[float, float]]


def rebuilt_figures(
    values: Floats, expected: Floats, entities: Sequence[str], features: Sequence[str]
) -> RebuiltFigures | None:
    """The percentage errors of normal records.

    Args:
        values: (records, features), in the unit of each attribute, NaN = unknown.
        expected: (records, features), likewise; NaN where the detector expects nothing.
        entities: (records,) whose they are.
        features: the names of the columns.

    Returns:
        None where no value counts, so of a detector that expects nothing.
    """
    known = np.isfinite(values) & np.isfinite(expected)
    if not known.any():
        return None
    of_known = np.where(known, values, np.nan)
    has_any = known.any(axis=0)
    middle, size = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    middle[has_any] = np.nanmedian(of_known[:, has_any], axis=0)
    size[has_any] = np.nanmedian(np.abs(of_known[:, has_any]), axis=0)
    with np.errstate(invalid="ignore"):
        counts = known & (np.abs(values) >= NEAR_ZERO * size) & (size > 0)
    if not counts.any():
        return None
    divided_by = np.where(counts, np.abs(values), 1)
    errors, of_middle = (
        np.where(counts, np.abs(values - other), 0) / divided_by for other in (np.where(known, expected, 0), middle)
    )
    of_middle[~counts] = 0
    sums = pl.DataFrame({"entity": entities, "error": errors.sum(axis=1), "count": counts.sum(axis=1)})
    parts = sums.group_by("entity", maintain_order=True).sum().select("error", "count").to_numpy().astype(np.float64)
    by_feature = {
        name: (float(errors[:, place].sum() / count), float(of_middle[:, place].sum() / count))
        for place, name in enumerate(features)
        if (count := int(counts[:, place].sum()))
    }
    return RebuiltFigures(
        of_entities(parts, lambda drawn: share_of(drawn[:, 0], drawn[:, 1])),
        float(of_middle.sum() / counts.sum()),
        float(counts.sum() / known.sum()),
        len(values),
        dict(sorted(by_feature.items(), key=lambda one: -one[1][0])),
    )
