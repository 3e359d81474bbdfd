"""What a feature's value says, in the attribute's own unit: logarithms are undone for people who decide on a device."""

import math
from collections.abc import Callable, Mapping

from ae_assets.features.catalogue import Feature, catalogue
from ae_assets.features.config import FeatureConfig

Wording = Callable[[str, float | None, float | None], str]
"""Name of a feature, its value (None = missing) and what the detector expected (None = nothing) to a short sentence."""


def wording_of(config: FeatureConfig) -> Wording:
    """How the features of a config are put into words, e.g. ``reallocated sectors +40 in 7 days (expected 0)``."""
    features = {feature.name: feature for feature in catalogue(config)}

    def words(name: str, value: float | None, expected: float | None) -> str:
        if name not in features:
            return name
        feature = features[name]
        if feature.transform == "missing":
            return f"{'no' if value else 'has'} {_subject(feature, config)}"
        shown = "unknown" if value is None else _amount(feature, value, config)
        usual = "" if expected is None or math.isnan(expected) else f" (expected {_amount(feature, expected, config)})"
        return f"{_subject(feature, config)} {shown}{_span(feature)}{usual}"

    return words


def _subject(feature: Feature, config: FeatureConfig) -> str:
    rows: Mapping[str, str] = {"gap_days": "days since its last record", "history_days": "earlier days with a record"}
    if feature.column is None:
        return rows.get(feature.transform, feature.name)
    meaning = config.attributes[feature.column].meaning.partition(" (")[0]
    return f"{meaning}: clock off by" if feature.transform == "drift" else meaning


def _span(feature: Feature) -> str:
    if feature.transform == "growth":
        return " in a day" if feature.span == 1 else f" in {feature.span} days"
    return {"per_1000_hours": " per 1,000 hours", "drift": " days", "deviation": " against its own past"}.get(
        feature.transform, ""
    )


def _amount(feature: Feature, value: float, config: FeatureConfig) -> str:
    kind = None if feature.column is None else config.attributes[feature.column].kind
    if feature.transform in {"growth", "drift"}:
        return _number(math.copysign(math.expm1(abs(value)), value), signed=True)
    if feature.transform == "deviation":
        return _number(value, signed=True) if kind == "gauge" else f"{math.exp(min(value, 50.0)):.2g} times"
    if feature.transform == "per_1000_hours" or (feature.transform == "level" and kind != "gauge"):
        return _number(math.expm1(min(value, 50.0)))
    return _number(value)


def _number(value: float, *, signed: bool = False) -> str:
    rounded = round(value, 1) if abs(value) < 10 else round(value)
    if rounded == int(rounded):
        rounded = int(rounded)
    return f"{rounded:+,}" if signed and rounded else f"{rounded:,}"
