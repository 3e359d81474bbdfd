"""What features were made by: the settings that belong to a model version and to each day of features.

Only what changes a number counts: a table's description or an attribute's meaning may be written otherwise.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ae_assets.features.catalogue import CALENDAR, Feature, catalogue
from ae_assets.features.config import TRANSFORMS_OF_KIND, AttributeConfig, FeatureConfig
from ae_assets.schemas.durations import days_or_written, in_words

FORMAT = 1
"""How features are computed; to be raised when the same settings give other numbers than before."""

COMPUTATION = "how features are computed, by the version of this package"
LOOK_BACK = "features.spans, whose longest is the look-back"
CLOCK = "features.attributes, the one of kind age"
_SOURCE_DEFAULTS: Mapping[str, object] = {"source.partitions": "daily", "source.columns.time.cadence": None}
"""Settings that are kept only where they are others than these."""
PRESENT, ABSENT = "present", "absent"


@dataclass(frozen=True)
class Change:
    """A setting that differs between two sets of features, by its path in the YAML; None where it is not set."""

    key: str
    before: object
    now: object

    def in_words(self, before: str, now: str) -> str:
        """Both values, each with whose it is."""
        values = ["none" if value is None else value for value in (self.before, self.now)]
        return f"{self.key}: {before} {values[0]}, {now} {values[1]}"


@dataclass(frozen=True)
class FeatureSettings:
    """The settings that a table's features follow from.

    Attributes:
        config: attributes and spans.
        source: the contract of the raw rows, such as their layout, by key of the YAML's ``source``.
        format: how features were computed from these.
    """

    config: FeatureConfig
    source: Mapping[str, object]
    format: int = FORMAT

    @cached_property
    def record(self) -> dict[str, Any]:
        """Plain values that `from_record` reads; defaults that the YAML left out are spelled out."""
        attributes = {
            column: {
                "kind": attribute.kind,
                "transforms": list(attribute.chosen_transforms),
                "spans": [days_or_written(span) for span in self.config.spans_of(column)],
                "cap": attribute.cap,
                "low_bits": attribute.low_bits,
                **_only_where_set(attribute),
            }
            for column, attribute in self.config.attributes.items()
        }
        # Only where they are set: settings from before there were these stay as they are.
        calendar = {"calendar": list(self.config.calendar)} if self.config.calendar else {}
        presence = {} if self.config.presence else {"presence": False}
        groups = {"groups": list(self.config.groups)} if self.config.groups else {}
        spans = [days_or_written(span) for span in self.config.spans]
        features = {"spans": spans, "attributes": attributes, **calendar, **presence, **groups}
        return {"format": self.format, "source": dict(self.source), "features": features}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], meanings: Mapping[str, str] | None = None) -> "FeatureSettings":
        """Reads what `record` gave; settings of a newer version of this package are left out.

        ``meanings`` says what each attribute means, which is no setting.
        """
        known = AttributeConfig.model_fields.keys()
        features = record["features"]
        attributes = {
            column: {
                "meaning": (meanings or {}).get(column, "not kept"),
                **{key: value for key, value in settings.items() if key in known and not _is_default(settings, key)},
            }
            for column, settings in features["attributes"].items()
        }
        kept = {key: features[key] for key in ("calendar", "presence", "groups") if key in features}
        config = FeatureConfig.model_validate({"spans": features["spans"], "attributes": attributes, **kept})
        return cls(config, record["source"], record["format"])

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that differ where the settings do."""
        return hashlib.sha256(json.dumps(self.record, sort_keys=True).encode()).hexdigest()[:12]

    def changes(self, now: "FeatureSettings", names: Collection[str]) -> list[Change]:
        """What makes the features of these names other numbers under other settings.

        Settings that these features do not rest on, such as an attribute that came later, are no change. Nor is a key
        of the source that one side does not know: it was no setting then.
        """
        found = [] if self.format == now.format else [Change(COMPUTATION, self.format, now.format)]
        before, after = ({**_SOURCE_DEFAULTS, **_flat(one.source, "source")} for one in (self, now))
        found += [
            Change(key, before[key], after[key])
            for key in sorted(before.keys() & after.keys())
            if before[key] != after[key]
        ]
        known = {feature.name: feature for feature in (*catalogue(now.config), *catalogue(self.config))}
        of_features = (
            change
            for name in names
            if name in known
            for change in _unlike(self._settings_of(known[name]), now._settings_of(known[name]))  # noqa: SLF001 - as ours
        )
        absent = [name for name in now.config.groups if name not in self.config.groups]
        found += [Change("features.groups", None, name) for name in absent]
        return [*found, *dict.fromkeys(of_features)]

    def _settings_of(self, feature: Feature) -> dict[str, object]:
        """The settings that a feature's values follow from, by key; whether it is made is the first that count."""
        look_back: dict[str, object] = {LOOK_BACK: days_or_written(self.config.look_back)}
        column = feature.column
        if feature.name.startswith(CALENDAR):
            made = feature.transform in self.config.calendar
            return {"features.calendar": feature.transform if made else f"not {feature.transform}"}
        if column is None:
            return {**look_back, "features.presence": self.config.presence}
        key, attribute = f"features.attributes.{column}", self.config.attributes.get(column)
        if attribute is None:
            return {key: ABSENT}
        settings: dict[str, object] = {key: PRESENT, **self._settings_of_values(column)}
        if feature.transform in {"growth", "range"}:
            span = feature.span or self.config.look_back
            made = feature.transform in attribute.chosen_transforms and span in self.config.spans_of(column)
            settings[f"{key}.spans"] = in_words(span) if made else f"not {in_words(span)}"
        elif feature.transform == "excess" and feature.span is not None:
            made = feature.span in (attribute.excess_of_means or ())
            settings[f"{key}.excess_of_means"] = ("" if made else "not ") + in_words(feature.span)
        elif feature.transform != "missing":
            made = feature.transform in attribute.chosen_transforms
            settings[f"{key}.transforms"] = feature.transform if made else f"not {feature.transform}"
        if feature.transform in {"deviation", "drift", "excess", "flatline"}:
            settings |= look_back
        if feature.transform == "per_1000_hours":
            clock = self.config.age_column
            settings |= {CLOCK: clock, **({} if clock is None else self._settings_of_values(clock))}
        return settings

    def _settings_of_values(self, column: str) -> dict[str, object]:
        attribute, key = self.config.attributes[column], f"features.attributes.{column}"
        filled = None if attribute.fill_forward is None else in_words(attribute.fill_forward)
        values = {f"{key}.{name}": getattr(attribute, name) for name in ("kind", "cap", "low_bits")}
        return {**values, f"{key}.fill_forward": filled}


def _only_where_set(attribute: AttributeConfig) -> dict[str, Any]:
    """Keys that came later: settings from before there were these stay as they are."""
    means, filled = attribute.excess_of_means, attribute.fill_forward
    of_means = {} if means is None else {"excess_of_means": [days_or_written(span) for span in means]}
    return of_means | ({} if filled is None else {"fill_forward": days_or_written(filled)})


def _is_default(settings: Mapping[str, Any], key: str) -> bool:
    """Whether transforms are those that suit the kind, of which a table without a clock makes what it can."""
    return key == "transforms" and tuple(settings[key]) == TRANSFORMS_OF_KIND.get(settings["kind"])


def _flat(section: Mapping[str, object], key: str) -> dict[str, object]:
    """The settings of a section, and of those in it, by their keys with dots."""
    flat: dict[str, object] = {}
    for name, value in section.items():
        flat |= _flat(value, f"{key}.{name}") if isinstance(value, Mapping) else {f"{key}.{name}": value}
    return flat


def _unlike(before: Mapping[str, object], now: Mapping[str, object]) -> list[Change]:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    absent = [key for key in keys if ABSENT in (before.get(key), now.get(key))]
    return [Change(key, before.get(key), now.get(key)) for key in absent or keys]
