"""Which features a config gives, in which order, and what each means. How they are computed is in ``block.py``."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ae_assets.features.config import FeatureConfig, Transform, feature_prefix
from ae_assets.schemas.durations import in_words, written


@dataclass(frozen=True)
class Feature:
    """One column of a features table.

    Attributes:
        name: the column.
        description: what a person reads beside it.
        column: the raw attribute it is made of; None for what is known of the row itself.
        transform: how it is made of it.
        span: the length of time that a growth looks back over; None for other transforms.
    """

    name: str
    description: str
    column: str | None
    transform: Transform | Literal["missing", "gap_days", "history_days"]
    span: timedelta | None = None


def catalogue(config: FeatureConfig) -> tuple[Feature, ...]:
    """The features of a config, in the order of their columns: attributes as the YAML names them, then the row."""
    features: list[Feature] = []
    for column in config.attributes:
        features.extend(_features_of(column, config))
    look_back = in_words(config.look_back)
    features.append(
        Feature(
            "gap_days",
            f"days of the table since the device's previous record; null if none in {look_back}",
            None,
            "gap_days",
        )
    )
    features.append(
        Feature(
            "history_days",
            f"days of the last {look_back} with an earlier record of the device; days that the table lacks count alike",
            None,
            "history_days",
        )
    )
    return tuple(features)


def feature_names(config: FeatureConfig) -> tuple[str, ...]:
    """The names of the features, in the order that the config fixes."""
    return tuple(feature.name for feature in catalogue(config))


def _features_of(column: str, config: FeatureConfig) -> list[Feature]:
    attribute = config.attributes[column]
    prefix, meaning = feature_prefix(column), attribute.meaning
    features = []
    for transform in attribute.chosen_transforms:
        if transform == "level":
            scale = "" if attribute.kind == "gauge" else "log1p of "
            features.append(Feature(f"{prefix}_level", f"{scale}{meaning}", column, transform))
        elif transform == "growth":
            for span in config.spans_of(column):
                words = f"signed log1p of the change over {in_words(span)} of {meaning}"
                features.append(Feature(f"{prefix}_growth_{written(span)}", words, column, transform, span))
        elif transform == "deviation":
            against = (
                "minus the device's own mean" if attribute.kind == "gauge" else "log1p against the device's own mean"
            )
            words = f"{meaning}: {against} of the last {in_words(config.look_back)}"
            features.append(Feature(f"{prefix}_deviation", words, column, transform))
        elif transform == "drift":
            words = f"signed log1p of the days by which the clock departs from the calendar: {meaning}"
            features.append(Feature(f"{prefix}_drift", words, column, transform))
        elif config.age_column is not None:
            features.append(
                Feature(f"{prefix}_per_1000_hours", f"log1p per 1000 power-on hours of {meaning}", column, transform)
            )
    features.append(Feature(f"{prefix}_missing", f"1 where the row has no {meaning}", column, "missing"))
    return features
