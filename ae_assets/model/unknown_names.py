"""Names in a table's YAML that must be known elsewhere: attributes to the layout, features to what is made of them."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from ae_assets.detectors.config import DetectorConfig
from ae_assets.features.catalogue import feature_names
from ae_assets.features.config import feature_prefix
from ae_assets.model.definition import WatchedTable

_NEAREST = 3

WRITTEN_BESIDE: Mapping[str, str] = {
    "entity": "names one device: a detector would learn devices by heart",
    "cohort": "names the cohort: compare cohorts in the evaluation, do not learn their names",
    **dict.fromkeys(
        ("day", "hour", "week", "time", "loaded_at"),
        "is a date: it separates training days from later ones, not sick devices",
    ),
    "label": "is the answer itself",
    **dict.fromkeys(("source_file", "source_fingerprint", "source_row", "rescued"), "tells where the row came from"),
}
"""Columns of the tables themselves that are never features, each with the reason."""


Path = tuple[str, ...]


def unknown_names(table: WatchedTable) -> Iterator[tuple[Path, str, str]]:
    """The names of a table's attributes and of the features of its detectors that nothing has.

    Returns:
        of each the path of its key below ``attributes``, the name, and in words what would be known there.
    """
    layout = table.layout
    for column in table.features.attributes:
        path = ("features", "attributes", column)
        if (reason := {**WRITTEN_BESIDE, **layout.never_features}.get(column.strip().lower())) is not None:
            expected = f"it {reason}. Columns that identify a device, a place or a date are never features; remove it"
            yield path, column, expected
        elif not layout.is_attribute(column):
            yield path, column, layout.attributes + nearest(column, layout.attribute_names)
    yield from _of_detector(table, table.detector, ("detector",))
    for number, detector in enumerate(table.comparisons):
        yield from _of_detector(table, detector, ("comparisons", str(number)))


def nearest(name: str, known: Collection[str]) -> str:
    """The most alike of some names as the end of a sentence; empty where none is."""
    alike = get_close_matches(name, known, _NEAREST)
    return f"; nearest: {', '.join(alike)}" if alike else ""


def _of_detector(table: WatchedTable, detector: DetectorConfig, path: Path) -> Iterator[tuple[Path, str, str]]:
    known = feature_names(table.features)
    for number, member in enumerate(getattr(detector, "members", ())):
        yield from _of_detector(table, member, (*path, "members", str(number)))
    age = getattr(detector, "age", None)
    named = [("features", name) for name in getattr(detector, "features", None) or ()]
    for key, name in named if age is None else [*named, ("age", age)]:
        if name not in known:
            yield (*path, key), name, f"no such feature is made by features.attributes{nearest(name, known)}"
    prefixes = [feature_prefix(column) for column in table.features.attributes]
    for counter in getattr(detector, "counters", ()):
        if not any(name == f"{counter}_level" or name.startswith(f"{counter}_growth_") for name in known):
            expected = f"no feature {counter}_level nor {counter}_growth_* is made by features.attributes"
            yield (*path, "counters"), counter, expected + nearest(counter, prefixes)
