"""What a feature's value, in the unit of its attribute, says to people who decide on a device."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import numpy as np

from ae_assets.features.catalogue import CALENDAR, Feature, catalogue
from ae_assets.features.config import FeatureConfig
from ae_assets.features.units import SMALLEST_RANGE, in_own_units, scale_of
from ae_assets.schemas.durations import in_words

Wording = Callable[[str, float | None, float | None], str]
"""Name of a feature, its value (None = missing) and what the detector expected (None = nothing), both as the features
table has them, to a short sentence."""

AttributeWording = Callable[[str, Mapping[str, tuple[float | None, float | None]], int | None], str]
"""Name of an attribute, value and expectation of each of its features by name, in the unit of the attribute, and days
since the device's earliest record in the look-back (None = not known) to a short sentence."""


def wording_of(config: FeatureConfig) -> Wording:
    """How the features of a config are put into words, e.g. ``reallocated sectors +40 in 7 days (expected 0)``."""
    features = {feature.name: feature for feature in catalogue(config)}

    def words(name: str, value: float | None, expected: float | None) -> str:
        if name not in features:
            return name
        feature = features[name]
        if feature.transform == "missing":
            return f"{'no' if value else 'has'} {_subject(feature, config)}"
        given = np.array([[math.nan if one is None else one for one in (value, expected)]])
        reading, usual_one = in_own_units(given, [scale_of(feature, config)] * 2)[0].tolist()
        shown = "unknown" if math.isnan(reading) else _amount(feature, reading, config)
        usual = "" if math.isnan(usual_one) else f" (expected {_amount(feature, usual_one, config)})"
        return f"{_subject(feature, config)} {_verb(feature)}{shown}{_span(feature)}{usual}"

    return words


def attribute_wording_of(config: FeatureConfig) -> AttributeWording:
    """How the features of one attribute are told together, e.g. ``reallocated sectors 24, expected 0, +16 in 7 days``.

    First the attribute's value, as far as a feature tells it, and what the detector expected; then its history: each
    span over which it changed by another amount than over the shorter ones, or that it did not change. No span is told
    that the device has not lived: of one that came two days ago its counters are unchanged in 2 days, not in 28.
    """
    features = {feature.name: feature for feature in catalogue(config)}

    def words(
        attribute: str, readings: Mapping[str, tuple[float | None, float | None]], seen_days: int | None = None
    ) -> str:
        found = {features[name]: reading for name, reading in readings.items() if name in features}
        if not found:
            return attribute
        known = {feature: value for feature, (value, _) in found.items() if value is not None}
        subject = _subject(min(found, key=_place_in_words), config)
        if any(feature.transform == "missing" and value for feature, value in known.items()):
            return f"{subject} not reported"
        told = _told(known, config, seen_days)
        if not told:
            return f"{subject} unknown"
        feature, first = told[0]
        expected = None if feature is None else found[feature][1]
        usual = "" if feature is None or expected is None else f", expected {_amount(feature, expected, config)}"
        return ", ".join([f"{subject} {first}{usual}", *(text for _, text in told[1:])])

    return words


def unknown_in_words(config: FeatureConfig, lost: Sequence[str], missing: Sequence[str], new: Sequence[str]) -> str:
    """Why a record is not judged, e.g. ``not reported on this day: reallocated sectors, pending sectors``.

    By the attributes that it lacks though its device reported them before, that it lacks as before, and that it has for
    the first time.
    """
    parts = {
        "not reported on this day": lost,
        "not reported": missing,
        f"no earlier value in {in_words(config.look_back)}": new,
    }
    return "; ".join(
        f"{said}: {', '.join(_name(name, config) for name in names)}" for said, names in parts.items() if names
    )


def _name(attribute: str, config: FeatureConfig) -> str:
    return config.attributes[attribute].meaning.partition(" (")[0] if attribute in config.attributes else attribute


def age_in_words(age: float, config: FeatureConfig) -> str | None:
    """What a device's readings are judged against, e.g. ``33,704 power-on hours``; of a table without age nothing."""
    return None if config.age_column is None else f"{_number(age)} {_name(config.age_column, config)}"


def _told(
    known: Mapping[Feature, float], config: FeatureConfig, seen_days: int | None
) -> list[tuple[Feature | None, str]]:
    """What is worth saying of an attribute, each with the feature that says it; the state first, then its history."""
    told: list[tuple[Feature | None, str]] = []
    growths = [feature for feature in sorted(known, key=_place_in_words) if feature.transform == "growth"]
    amounts = [_amount(feature, known[feature], config) for feature in growths]
    grew = [growth for growth, text, before in zip(growths, amounts, ["0", *amounts], strict=False) if text != before]
    ranges = [feature for feature in sorted(known, key=_place_in_words) if feature.transform == "range"]
    silent = {*growths, *ranges} - {*grew, *ranges[:1], *ranges[-1:]}
    for feature in sorted(known, key=_place_in_words):
        amount = _amount(feature, known[feature], config)
        text = f"{_verb(feature)}{amount}{_span(feature, seen_days)}"
        match feature.transform:
            case "drift" if not told or amount != "0":
                told.append((feature, f"clock off by {text}" if told else text))
            case "magnitude" | "active" | "per_1000_hours" if told:
                continue
            case "excess" | "flatline" if not known[feature] > 0:
                continue
            case "missing" | "drift":
                continue
            case _ if feature not in silent:
                told.append((feature, text))
    if not told and any(feature.transform == "excess" for feature in known):
        told.append((None, "inside of its past range"))
    if growths and not grew:
        told.append((None, f"unchanged{_span(growths[-1], seen_days)}"))
    return told


def _place_in_words(feature: Feature) -> tuple[int, timedelta]:
    order = ("level", "magnitude", "active", "per_1000_hours", "growth", "deviation", "excess", "range", "drift")
    return (order.index(feature.transform) if feature.transform in order else len(order), feature.span or timedelta())


def _subject(feature: Feature, config: FeatureConfig) -> str:
    rows: Mapping[str, str] = {"gap_days": "days since its last record", "history_days": "earlier days with a record"}
    if feature.column is None:
        return rows.get(feature.transform, feature.name.replace(CALENDAR, ""))
    meaning = _name(feature.column, config)
    return f"{meaning}: clock off by" if feature.transform == "drift" else meaning


def _verb(feature: Feature) -> str:
    return {"range": "varied by ", "flatline": "unchanged for "}.get(feature.transform, "")


def _span(feature: Feature, seen_days: int | None = None) -> str:
    if feature.transform in {"growth", "range"}:
        span = feature.span or timedelta()
        return f" in {in_words(min(span, timedelta(days=seen_days)) if seen_days else span)}"
    if feature.transform == "excess":
        return f" outside of its past range{f' in the mean of {in_words(feature.span)}' if feature.span else ''}"
    return {
        "flatline": " records",
        "per_1000_hours": " per 1,000 hours",
        "drift": " days",
        "deviation": " against its own past",
    }.get(feature.transform, "")


def _amount(feature: Feature, value: float, config: FeatureConfig) -> str:
    if scale_of(feature, config) == "log ratio":
        return f"{value:.2g} times"
    if feature.transform == "excess":
        return f"{value:.0%}"
    if feature.transform == "active":
        return "active" if value else "0"
    if feature.transform == "range" and value < 1:
        return "0" if value < 2 * SMALLEST_RANGE else f"{value:.1g}"
    return _number(value, signed=feature.transform in {"growth", "drift", "deviation"})


def _number(value: float, *, signed: bool = False) -> str:
    rounded = round(value, 1) if abs(value) < 10 else round(value)
    if rounded == int(rounded):
        rounded = int(rounded)
    return f"{rounded:+,}" if signed and rounded else f"{rounded:,}"
