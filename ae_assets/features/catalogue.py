"""Which features a config gives, in which order, and what each means. How they are computed is in ``block.py``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ae_assets.features.config import Calendar, FeatureConfig, Transform, feature_prefix
from ae_assets.schemas.durations import in_words, written


@dataclass(frozen=True)
class Feature:
    """One column of a features table.

    Attributes:
        name: the column.
        description: what a person reads beside it.
        column: the raw attribute it is made of; None for what is known of the row itself.
        transform: how it is made of it.
        span: the length of time that a growth or a range looks back over, or over whose mean an excess is measured;
            None for others.
    """

    name: str
    description: str
    column: str | None
    transform: Transform | Calendar | Literal["missing", "gap_days", "history_days"]
    span: timedelta | None = None


CALENDAR = "calendar_"
"""How the names of features begin that say when a record was taken."""

_OF_SPANS: Mapping[str, str] = {
    "growth": "signed log1p of the change over",
    "range": "log of the range of nine tenths of the values in",
}
"""Transforms that are made for each span."""


def catalogue(config: FeatureConfig) -> tuple[Feature, ...]:
    """The features of a config, in the order of their columns: attributes as the YAML names them, then the row."""
    return (
        *(feature for column in config.attributes for feature in _features_of(column, config)),
        *(Feature(f"{CALENDAR}{part}", f"{part} of the record, in UTC", None, part) for part in config.calendar),
        *(_presence(config) if config.presence else ()),
    )


def _presence(config: FeatureConfig) -> tuple[Feature, Feature]:
    look_back = in_words(config.look_back)
    gap = f"days of the table since the device's previous record; null if none in {look_back}"
    history = (
        f"days of the last {look_back} with an earlier record of the device; days that the table lacks count alike"
    )
    return Feature("gap_days", gap, None, "gap_days"), Feature("history_days", history, None, "history_days")


def feature_names(config: FeatureConfig) -> tuple[str, ...]:
    """The names of the features, in the order that the config fixes."""
    return tuple(feature.name for feature in catalogue(config))


def _features_of(column: str, config: FeatureConfig) -> Iterator[Feature]:
    attribute = config.attributes[column]
    prefix, meaning, gauge = feature_prefix(column), attribute.meaning, attribute.kind == "gauge"
    against = "minus the device's own mean" if gauge else "log1p against the device's own mean"
    outside = f"share of its range that lies outside of the device's range of the last {in_words(config.look_back)}"
    descriptions = {
        "level": meaning if gauge else f"log1p of {meaning}",
        "magnitude": f"signed log1p of {meaning}",
        "active": f"1 where {meaning} is not 0",
        "flatline": f"log1p of the earlier records since which it has not changed: {meaning}",
        "per_1000_hours": f"log1p per 1000 power-on hours of {meaning}",
        "deviation": f"{meaning}: {against} of the last {in_words(config.look_back)}",
        "drift": f"signed log1p of the days by which the clock departs from the calendar: {meaning}",
        "excess": f"{meaning}: {outside}",
    }
    for transform in attribute.chosen_transforms:
        if transform in _OF_SPANS:
            for span in config.spans_of(column):
                words = f"{_OF_SPANS[transform]} {in_words(span)} of {meaning}"
                yield Feature(f"{prefix}_{transform}_{written(span)}", words, column, transform, span)
        elif transform != "per_1000_hours" or config.age_column is not None:
            yield Feature(f"{prefix}_{transform}", descriptions[transform], column, transform)
        for span in (attribute.excess_of_means or ()) if transform == "excess" else ():
            words = f"{meaning}, mean of {in_words(span)}: {outside}"
            yield Feature(f"{prefix}_excess_{written(span)}", words, column, transform, span)
    yield Feature(f"{prefix}_missing", f"1 where the row has no {meaning}", column, "missing")
