"""What a feature's value says, in the attribute's own unit: logarithms are undone for people who decide on a device."""

import math
from collections.abc import Callable, Mapping, Sequence

from ae_assets.features.catalogue import Feature, catalogue
from ae_assets.features.config import FeatureConfig

Wording = Callable[[str, float | None, float | None], str]
"""Name of a feature, its value (None = missing) and what the detector expected (None = nothing) to a short sentence."""

AttributeWording = Callable[[str, Mapping[str, tuple[float | None, float | None]]], str]
"""Name of an attribute, and value and expectation of each of its features by name, to a short sentence."""

UnknownWording = Callable[[Sequence[str], Sequence[str], Sequence[str]], str]
"""Attributes that a record lacks though its device reported them before, that it lacks as before, and that it has for
the first time, to a short sentence."""


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


def attribute_wording_of(config: FeatureConfig) -> AttributeWording:
    """How the features of one attribute are told together, e.g. ``reallocated sectors 24, expected 0, +16 in 7 days``.

    First the attribute's value, as far as a feature tells it, and what the detector expected; then its history: each
    span over which it changed by another amount than over the shorter ones, or that it did not change.
    """
    features = {feature.name: feature for feature in catalogue(config)}

    def words(attribute: str, readings: Mapping[str, tuple[float | None, float | None]]) -> str:
        found = {features[name]: reading for name, reading in readings.items() if name in features}
        if not found:
            return attribute
        known = {feature: value for feature, (value, _) in found.items() if value is not None}
        subject = _subject(min(found, key=_place_in_words), config)
        if any(feature.transform == "missing" and value for feature, value in known.items()):
            return f"{subject} not reported"
        told = _told(known, config)
        if not told:
            return f"{subject} unknown"
        feature, first = told[0]
        expected = None if feature is None else found[feature][1]
        usual = "" if feature is None or expected is None else f", expected {_amount(feature, expected, config)}"
        return ", ".join([f"{subject} {first}{usual}", *(text for _, text in told[1:])])

    return words


def unknown_wording_of(config: FeatureConfig) -> UnknownWording:
    """Why a record is not judged, e.g. ``not reported on this day: reallocated sectors, pending sectors``."""

    def words(lost: Sequence[str], missing: Sequence[str], new: Sequence[str]) -> str:
        days = config.look_back_days
        parts = (
            ("not reported on this day", lost),
            ("not reported", missing),
            (f"no earlier value in {days} days", new),
        )
        return "; ".join(
            f"{said}: {', '.join(_name(name, config) for name in names)}" for said, names in parts if names
        )

    return words


def _name(attribute: str, config: FeatureConfig) -> str:
    return config.attributes[attribute].meaning.partition(" (")[0] if attribute in config.attributes else attribute


def _told(known: Mapping[Feature, float], config: FeatureConfig) -> list[tuple[Feature | None, str]]:
    """What is worth saying of an attribute, each with the feature that says it; the state first, then its history."""
    told: list[tuple[Feature | None, str]] = []
    growths = [feature for feature in sorted(known, key=_place_in_words) if feature.transform == "growth"]
    amounts = [_amount(feature, known[feature], config) for feature in growths]
    grew = [growth for growth, text, before in zip(growths, amounts, ["0", *amounts], strict=False) if text != before]
    for feature in sorted(known, key=_place_in_words):
        text = f"{_amount(feature, known[feature], config)}{_span(feature)}"
        match feature.transform:
            case "growth" if feature in grew:
                told.append((feature, text))
            case "per_1000_hours" if not told:
                told.append((feature, text))
            case "drift" if not told or known[feature]:
                told.append((feature, f"clock off by {text}" if told else text))
            case "missing" | "growth" | "per_1000_hours" | "drift":
                continue
            case _:
                told.append((feature, text))
    if growths and not grew:
        told.append((None, f"unchanged{_span(growths[-1])}"))
    return told


def _place_in_words(feature: Feature) -> tuple[int, int]:
    order = ("level", "per_1000_hours", "growth", "deviation", "drift")
    return (order.index(feature.transform) if feature.transform in order else len(order), feature.span or 0)


def _subject(feature: Feature, config: FeatureConfig) -> str:
    rows: Mapping[str, str] = {"gap_days": "days since its last record", "history_days": "earlier days with a record"}
    if feature.column is None:
        return rows.get(feature.transform, feature.name)
    meaning = _name(feature.column, config)
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
        return _number(math.copysign(math.expm1(min(abs(value), 50.0)), value), signed=True)
    if feature.transform == "deviation":
        return _number(value, signed=True) if kind == "gauge" else f"{math.exp(min(value, 50.0)):.2g} times"
    if feature.transform == "per_1000_hours" or (feature.transform == "level" and kind != "gauge"):
        return _number(math.expm1(min(max(value, 0.0), 50.0)))
    return _number(value)


def _number(value: float, *, signed: bool = False) -> str:
    rounded = round(value, 1) if abs(value) < 10 else round(value)
    if rounded == int(rounded):
        rounded = int(rounded)
    return f"{rounded:+,}" if signed and rounded else f"{rounded:,}"
