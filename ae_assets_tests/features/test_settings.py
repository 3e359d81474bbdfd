"""Which changes of a YAML make features other numbers, and which do not."""

import json
from datetime import timedelta
from typing import Any

import pytest

from ae_assets.features.catalogue import feature_names
from ae_assets.features.config import FeatureConfig
from ae_assets.features.settings import Change, FeatureSettings

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "smart_5_raw": {"kind": "counter", "meaning": "bad sectors"},
    "smart_188_raw": {"kind": "counter", "meaning": "timeouts", "transforms": ["level", "growth"], "low_bits": 16},
    "smart_9_raw": {"kind": "age", "meaning": "hours"},
    "smart_194_raw": {"kind": "gauge", "meaning": "temperature"},
}
SOURCE = {"layout": "drive_stats", "missing_markers": ["NA", "NULL"]}


def settings(
    spans: tuple[int, ...] = (1, 7), source: dict[str, Any] | None = None, **changed: dict[str, Any] | None
) -> FeatureSettings:
    """The settings with some attributes changed by other keys, or left out."""
    attributes = {
        column: {**attribute, **(changed.get(column) or {})}
        for column, attribute in ATTRIBUTES.items()
        if changed.get(column, {}) is not None
    }
    attributes |= {column: keys for column, keys in changed.items() if column not in ATTRIBUTES and keys}
    config = FeatureConfig.model_validate({"spans": spans, "attributes": attributes})
    return FeatureSettings(config, SOURCE if source is None else source)


BEFORE = settings()
NAMES = feature_names(BEFORE.config)
LOOK_BACK = "features.spans, whose longest is the look-back"


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        (settings(smart_5_raw={"cap": 1}), [("features.attributes.smart_5_raw.cap", None, 1.0)]),
        (settings(smart_188_raw={"low_bits": 8}), [("features.attributes.smart_188_raw.low_bits", 16, 8)]),
        (settings(smart_9_raw={"low_bits": 32}), [("features.attributes.smart_9_raw.low_bits", None, 32)]),
        (
            settings(smart_194_raw={"kind": "rate", "transforms": ["level", "deviation"]}),
            [("features.attributes.smart_194_raw.kind", "gauge", "rate")],
        ),
        (
            settings(smart_5_raw={"transforms": ["level"]}),
            [
                ("features.attributes.smart_5_raw.spans", "a day", "not a day"),
                ("features.attributes.smart_5_raw.spans", "7 days", "not 7 days"),
                ("features.attributes.smart_5_raw.transforms", "per_1000_hours", "not per_1000_hours"),
            ],
        ),
        (settings(smart_5_raw={"spans": [1]}), [("features.attributes.smart_5_raw.spans", "7 days", "not 7 days")]),
        (settings(smart_188_raw=None), [("features.attributes.smart_188_raw", "present", "absent")]),
        (settings(spans=(1, 7, 28)), [(LOOK_BACK, 7, 28)]),
        (settings(source={**SOURCE, "missing_markers": []}), [("source.missing_markers", ["NA", "NULL"], [])]),
        (settings(source={**SOURCE, "layout": "another"}), [("source.layout", "drive_stats", "another")]),
        (settings(source={**SOURCE, "partitions": "weekly"}), [("source.partitions", "daily", "weekly")]),
        (
            settings(source={**SOURCE, "columns": {"time": {"cadence": "15m"}}}),
            [("source.columns.time.cadence", None, "15m")],
        ),
    ],
)
def test_what_changes_a_feature_is_named_with_both_values(
    now: FeatureSettings, changes: list[tuple[str, object, object]]
) -> None:
    assert BEFORE.changes(now, NAMES) == [Change(*change) for change in changes]
    assert BEFORE.digest != now.digest


@pytest.mark.parametrize(
    "now",
    [
        settings(smart_5_raw={"meaning": "sectors replaced by spare ones"}),
        settings(smart_5_raw={"transforms": ["per_1000_hours", "growth", "level"], "spans": [1, 7]}),
        settings(smart_7_raw={"kind": "rate", "meaning": "an attribute that came later"}),
        settings(smart_194_raw={"transforms": ["level", "deviation", "growth"]}),
        settings(source={**SOURCE, "columns": "a setting that came later"}),
    ],
    ids=["meaning", "defaults spelled out", "another attribute", "another transform", "another key of the source"],
)
def test_what_leaves_the_features_as_they_are_is_no_change(now: FeatureSettings) -> None:
    assert BEFORE.changes(now, NAMES) == []
    assert now.changes(BEFORE, NAMES) == []


def test_only_what_the_named_features_rest_on_counts() -> None:
    now = settings(smart_5_raw={"cap": 1})
    assert BEFORE.changes(now, [name for name in NAMES if not name.startswith("smart_5_")]) == []
    clock = settings(smart_9_raw={"cap": 100_000})
    assert [change.key for change in BEFORE.changes(clock, ["smart_5_per_1000_hours"])] == [
        "features.attributes.smart_9_raw.cap"
    ]
    assert BEFORE.changes(clock, ["smart_5_level"]) == []


def test_features_that_are_computed_in_another_way_are_a_change_though_no_setting_is() -> None:
    later = FeatureSettings(BEFORE.config, BEFORE.source, format=BEFORE.format + 1)
    (change,) = BEFORE.changes(later, NAMES)
    assert (change.before, change.now) == (BEFORE.format, BEFORE.format + 1)


def test_settings_of_counters_without_a_clock_are_read_back_as_they_were() -> None:
    clockless = settings(smart_9_raw=None)
    again = FeatureSettings.from_record(json.loads(json.dumps(clockless.record)))
    assert (again.config.age_column, again.digest) == (None, clockless.digest)
    assert feature_names(again.config) == feature_names(clockless.config)


def test_a_record_says_all_that_counts_and_nothing_else() -> None:
    record = json.loads(json.dumps(BEFORE.record))
    again = FeatureSettings.from_record(record)
    assert again.changes(BEFORE, NAMES) == BEFORE.changes(again, NAMES) == []
    assert again.digest == BEFORE.digest == settings(smart_5_raw={"meaning": "other words"}).digest
    assert "bad sectors" not in json.dumps(record)
    record["features"]["attributes"]["smart_5_raw"]["of_a_later_version"] = 1
    assert FeatureSettings.from_record(record).changes(BEFORE, NAMES) == []


def test_presence_is_a_setting_where_it_is_off() -> None:
    now = FeatureSettings(BEFORE.config.model_copy(update={"presence": False}), SOURCE)
    assert "presence" not in BEFORE.record["features"]
    assert FeatureSettings.from_record(now.record).digest == now.digest
    assert BEFORE.changes(now, ["history_days"]) == [Change("features.presence", before=True, now=False)]
    assert BEFORE.changes(now, ["smart_5_level"]) == []


def test_a_calendar_is_a_setting_where_there_is_one() -> None:
    config = BEFORE.config.model_copy(update={"calendar": ("hour",)})
    now = FeatureSettings(config, BEFORE.source)
    again = FeatureSettings.from_record(json.loads(json.dumps(now.record)))
    assert again.digest == now.digest != BEFORE.digest
    assert "calendar" not in BEFORE.record["features"]
    assert BEFORE.changes(now, NAMES) == []
    assert now.changes(BEFORE, ["calendar_hour"]) == [Change("features.calendar", "hour", "not hour")]


def test_how_long_a_value_stands_in_is_a_setting_and_is_read_back() -> None:
    gauge = {"kind": "gauge", "meaning": "load", "transforms": ["level", "flatline"]}
    before, now = settings(load=gauge), settings(load={**gauge, "fill_forward": "30m"})
    again = FeatureSettings.from_record(json.loads(json.dumps(now.record)))
    assert again.digest == now.digest != before.digest
    assert again.config.attributes["load"].fill_forward == timedelta(minutes=30)
    changes = before.changes(now, ["load_level"])
    assert changes == [Change("features.attributes.load.fill_forward", None, "30 minutes")]
    longer = settings(load=gauge, spans=(1, 7, 28))
    assert before.changes(longer, ["load_level"]) == []
    assert [change.key for change in before.changes(longer, ["load_flatline"])] == [LOOK_BACK]


def test_means_whose_excess_is_measured_are_a_setting_and_are_read_back() -> None:
    gauge = {"kind": "gauge", "meaning": "load", "transforms": ["excess"]}
    before = settings(load={**gauge, "excess_of_means": [1]})
    again = FeatureSettings.from_record(json.loads(json.dumps(before.record)))
    assert again.digest == before.digest != settings(load=gauge).digest
    now = settings(load={**gauge, "excess_of_means": [2]})
    changes = before.changes(now, feature_names(before.config))
    assert changes == [Change("features.attributes.load.excess_of_means", "a day", "not a day")]
    assert before.changes(now, ["load_excess"]) == []
