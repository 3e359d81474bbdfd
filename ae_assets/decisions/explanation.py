"""Why an entity is flagged: the attributes that its score is made of, each with the readings of its features.

A detector contributes by feature (a level, its growth over 7 days, a flag that it is missing). A person replaces a
drive because of an attribute, so the features of one attribute are added up and told together. The words themselves
come from the features room, which knows units and meanings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MOST_ATTRIBUTES = 3

LEAST_SHARE = 0.1
"""Part of the score that an attribute must make up to be a reason."""

SCATTERED_SHARE = 0.5
"""Where no attribute makes up so much, but all together make up this part, the largest is named all the same."""

Reading: TypeAlias = tuple[float | None, float | None]
"""A feature's value (None = missing) and what the detector expected instead (None = nothing)."""


@dataclass(frozen=True)
class Reason:
    """An attribute that raised a score.

    Attributes:
        attribute: the raw attribute, or the feature where it is made of none.
        contribution: the part of the score that its features make up, above 0.
        readings: each of its features by name, in the order of the features table.
    """

    attribute: str
    contribution: float
    readings: Mapping[str, Reading]


def reasons_of(
    contributions: NDArray[np.float32],
    scores: NDArray[np.float64],
    values: NDArray[np.floating],
    expected: NDArray[np.floating],
    feature_names: Sequence[str],
    attribute_of: Mapping[str, str],
    most: int = MOST_ATTRIBUTES,
) -> list[tuple[Reason, ...]]:
    """The attributes that moved the scores of n rows.

    Args:
        contributions: (n, features), each feature's part of the score; 0 for one that is not to be named.
        scores: (n,), the whole scores.
        values: (n, features), in the units in which they are to be told; NaN = missing.
        expected: (n, features), likewise; NaN = the detector expects nothing.
        feature_names: names of the columns.
        attribute_of: the raw attribute of each feature; a feature that is not named stands for itself.
        most: attributes to name for a row.

    Returns:
        For each row its attributes that make up at least ``LEAST_SHARE`` of the score, the largest first; of equal ones
        the first in order. Where many small ones make up most of the score it is the largest.
    """
    attributes = list(dict.fromkeys(attribute_of.get(name, name) for name in feature_names))
    columns = {
        attribute: [place for place, name in enumerate(feature_names) if attribute_of.get(name, name) == attribute]
        for attribute in attributes
    }
    parts = np.stack([contributions[:, places].sum(axis=1, dtype=np.float64) for places in columns.values()], axis=1)
    order = np.argsort(-parts, axis=1, kind="stable")[:, :most]

    def reason(row: int, place: int) -> Reason:
        attribute = attributes[place]
        readings = {
            feature_names[column]: (_known(values[row, column]), _known(expected[row, column]))
            for column in columns[attribute]
        }
        return Reason(attribute, float(parts[row, place]), readings)

    named = (parts > 0) & (parts >= LEAST_SHARE * scores[:, None])
    scattered = ~named.any(axis=1) & (parts.sum(axis=1) >= SCATTERED_SHARE * scores) & (parts > 0).any(axis=1)
    named[scattered, order[scattered, 0]] = True
    return [tuple(reason(row, int(place)) for place in order[row] if named[row, place]) for row in range(len(parts))]


def _known(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None
