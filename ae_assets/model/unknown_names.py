"""Names in a table's YAML that must be known elsewhere: attributes to the layout, features to what is made of them."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from ae_assets.detectors.config import DetectorConfig
from ae_assets.features.catalogue import feature_names
from ae_assets.features.config import feature_prefix
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.layouts.drive_stats_columns import MODERN_COLUMNS

_ATTRIBUTE = re.compile(r"smart_([1-9]\d*)_(raw|normalized)")
_LARGEST_NUMBER = 255
_NEAREST = 3


@dataclass(frozen=True)
class UnknownName:
    """A name that nothing has.

    Attributes:
        path: its key, below ``attributes``.
        name: the name.
        expected: what would be known there, in words.
    """

    path: tuple[str, ...]
    name: str
    expected: str


def unknown_names(table: WatchedTable) -> Iterator[UnknownName]:
    """The names of a table's attributes and of the features of its detectors that are not known, with the nearest."""
    for column in table.features.attributes:
        if not is_attribute(column):
            path = ("features", "attributes", column)
            expected = (
                f"the layout {table.source.layout} has attributes smart_N_raw and smart_N_normalized, N from 1 to "
            )
            yield UnknownName(path, column, f"{expected}{_LARGEST_NUMBER}{nearest(column, MODERN_COLUMNS)}")
    yield from _of_detector(table, table.detector, ("detector",))
    for number, detector in enumerate(table.comparisons):
        yield from _of_detector(table, detector, ("comparisons", str(number)))


def is_attribute(column: str) -> bool:
    """Whether the layout can have a column of this name that features are made of."""
    named = _ATTRIBUTE.fullmatch(column)
    return named is not None and int(named[1]) <= _LARGEST_NUMBER


def nearest(name: str, known: Collection[str]) -> str:
    """The most alike of some names as the end of a sentence; empty where none is."""
    alike = get_close_matches(name, known, _NEAREST)
    return f"; nearest: {', '.join(alike)}" if alike else ""


def _of_detector(table: WatchedTable, detector: DetectorConfig, path: tuple[str, ...]) -> Iterator[UnknownName]:
    known = feature_names(table.features)
    for name in getattr(detector, "features", None) or ():
        if name not in known:
            yield UnknownName((*path, "features"), name, _no_feature(name, known))
    if (age := getattr(detector, "age", None)) is not None and age not in known:
        yield UnknownName((*path, "age"), age, _no_feature(age, known))
    prefixes = [feature_prefix(column) for column in table.features.attributes]
    for counter in getattr(detector, "counters", ()):
        if not any(name == f"{counter}_level" or name.startswith(f"{counter}_growth_") for name in known):
            expected = f"no feature {counter}_level nor {counter}_growth_* is made by features.attributes"
            yield UnknownName((*path, "counters"), counter, expected + nearest(counter, prefixes))


def _no_feature(name: str, known: Collection[str]) -> str:
    return f"no such feature is made by features.attributes{nearest(name, known)}"
