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

Reading: TypeAlias = tuple[float | None, float | None]
"""A feature's value (None = missing) and what the detector expected instead (None = nothing), in feature units."""


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
    values: NDArray[np.float32],
    expected: NDArray[np.float32],
    feature_names: Sequence[str],
    attribute_of: Mapping[str, str],
    most: int = MOST_ATTRIBUTES,
) -> list[tuple[Reason, ...]]:
    """The attributes that raised the scores of n rows.

    Args:
        contributions: (n, features), each feature's part of the score.
        values: (n, features), in feature units; NaN = missing.
        expected: (n, features), in feature units; NaN = the detector expects nothing.
        feature_names: names of the columns.
        attribute_of: the raw attribute of each feature; a feature that is not named stands for itself.
        most: attributes to name for a row.

    Returns:
        For each row its attributes with a contribution above 0, the largest first; of equal ones, the first in order.
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

    return [
        tuple(reason(row, int(place)) for place in order[row] if parts[row, place] > 0) for row in range(len(parts))
    ]


def _known(value: np.float32) -> float | None:
    return float(value) if np.isfinite(value) else None
