"""What a table's YAML may say about features, and how it is told what it may not."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from ae_assets.features.catalogue import catalogue, feature_names
from ae_assets.features.config import FeatureConfig

COUNTER = {"kind": "counter", "meaning": "bad sectors"}
HOURS = {"kind": "age", "meaning": "power-on hours"}


def config_of(**attributes: dict[str, object]) -> FeatureConfig:
    return FeatureConfig.model_validate({"attributes": attributes})


def test_the_order_of_the_yaml_is_the_order_of_the_features():
    names = feature_names(config_of(smart_5_raw=COUNTER, smart_9_raw=HOURS))
    assert names == (
        "smart_5_level",
        "smart_5_growth_1d",
        "smart_5_growth_7d",
        "smart_5_growth_28d",
        "smart_5_per_1000_hours",
        "smart_5_missing",
        "smart_9_level",
        "smart_9_drift",
        "smart_9_missing",
        "gap_days",
        "history_days",
    )


def test_without_a_clock_nothing_is_rated_against_age():
    assert "smart_5_per_1000_hours" not in feature_names(config_of(smart_5_raw=COUNTER))


def test_transforms_and_spans_of_an_attribute_replace_the_defaults():
    config = config_of(smart_5_raw=COUNTER | {"transforms": ["growth"], "spans": [3, 60]})
    assert feature_names(config)[:3] == ("smart_5_growth_3d", "smart_5_growth_60d", "smart_5_missing")
    assert config.look_back_days == 60


def test_every_feature_says_what_its_attribute_means():
    features = catalogue(config_of(smart_5_raw=COUNTER, smart_9_raw=HOURS))
    assert all("bad sectors" in f.description for f in features if f.column == "smart_5_raw")
    assert all(f.description for f in features)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attributes": {}}, "attributes"),
        ({"attributes": {"a": {"kind": "counter"}}}, "meaning"),
        ({"attributes": {"a": COUNTER | {"kind": "temperature"}}}, "'counter', 'gauge', 'age' or 'rate'"),
        ({"attributes": {"a": COUNTER | {"smoothing": 3}}}, "smoothing"),
        ({"attributes": {"a": COUNTER | {"transforms": ["drift"]}}}, "'drift' does not suit the kind 'counter'"),
        ({"attributes": {"a": COUNTER | {"transforms": ["level", "level"]}}}, "named twice"),
        ({"attributes": {"a": COUNTER | {"transforms": ["per_1000_hours"]}}}, "needs an attribute of kind 'age'"),
        ({"attributes": {"a": HOURS, "b": HOURS}}, "only one can be of kind 'age'"),
        ({"attributes": {"a": COUNTER, "a_raw": COUNTER}}, "the same names as 'a'"),
        ({"attributes": {"a": COUNTER}, "spans": [7, 1]}, "lengths that rise"),
        ({"attributes": {"a": COUNTER}, "spans": [0]}, "or a number of days; received 0"),
        ({"attributes": {"a": COUNTER}, "spans": ["1h", "9000h"]}, "at most 366d long, received 375d"),
        ({"attributes": {"a": COUNTER | {"spans": []}}}, "lengths that rise"),
    ],
)
def test_a_wrong_setting_is_told_with_what_was_received_and_what_is_allowed(settings, message):
    with pytest.raises(ValidationError) as caught:
        FeatureConfig.model_validate(settings)
    assert message in str(caught.value)


def test_a_config_survives_the_trip_through_json():
    config = config_of(smart_5_raw=COUNTER | {"cap": 65_535}, smart_9_raw=HOURS)
    assert FeatureConfig.model_validate_json(config.model_dump_json()) == config


def test_the_config_loads_without_frames_pandera_or_networks():
    loaded = "import sys, ae_assets.features.catalogue; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"polars", "pandera", "keras", "jax", "dagster"} & set(modules)
