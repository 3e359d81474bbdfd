"""What an editor and ``dg check yaml`` say of a table's YAML, by the schema that they are given."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from dagster_shared.yaml_utils import parse_yaml_with_source_position
from jsonschema import Draft202012Validator

from ae_assets.pipeline.component import DRIVE_STATS, AnomalyPipeline, scaffolded

DEFS = sorted(DRIVE_STATS.parent.parent.glob("*/defs.yaml"))
SCHEMA = AnomalyPipeline.get_model_cls().model_json_schema()


def attributes_of(path: Path) -> dict[str, Any]:
    return attributes_in(path.read_text())


def attributes_in(text: str) -> dict[str, Any]:
    value = parse_yaml_with_source_position(text).value
    attributes: dict[str, Any] = value["attributes"]
    return attributes


def complaints(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong, by path."""
    found = Draft202012Validator(SCHEMA).iter_errors(attributes)
    return {".".join(map(str, error.absolute_path)): error.message for error in found}


@pytest.mark.parametrize("path", DEFS, ids=lambda path: path.parent.name)
def test_the_yaml_of_each_table_is_right(path: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert complaints(attributes_of(path)) == {}


def test_a_scaffolded_yaml_is_that_of_drive_stats_for_another_table() -> None:
    text = scaffolded("my_table", "ae_assets.AnomalyPipeline")
    attributes, own = attributes_in(text), attributes_of(DRIVE_STATS)
    assert complaints(attributes) == {}
    assert (attributes["table"], attributes["owners"], attributes["source"]["location"]) == ("my_table", [], "FILL_IN")
    alike = {key: value for key, value in own.items() if key not in {"table", "description", "owners", "source"}}
    assert {key: attributes[key] for key in alike} == alike
    assert "Backblaze drive stats" not in text


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ({"threshold": {"policy": "percentile", "percentil": 99.9}}, "threshold", "percentil"),
        ({"threshold": {"policy": "percentil"}}, "threshold.policy", "percentile"),
        ({"threshold": {"percentile": 99.9}}, "threshold", "policy"),
        ({"comparisons": [{"type": "pca", "clusters": 3}]}, "comparisons.0", "clusters"),
        ({"detector": {"type": "counter_rule"}}, "detector", "features"),
        ({"training": {"validation_share": 2}}, "training.validation_share", "2"),
        ({"retraining": {"cron_schedule": 5}}, "retraining.cron_schedule", "5"),
        ({"features": {"attributes": {"smart_5_raw": {"kind": "count", "meaning": "x"}}}},
         "features.attributes.smart_5_raw.kind", "counter"),
        ({"colour": "red"}, "", "colour"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_found_at_its_place_and_nowhere_else(
    change: dict[str, Any], path: str, says: str
) -> None:
    found = complaints({**attributes_of(DRIVE_STATS), **change})
    assert list(found) == [path]
    assert says in found[path]


def test_a_template_may_stand_for_any_value() -> None:
    attributes = deepcopy(attributes_of(DRIVE_STATS))
    attributes["threshold"] = {"policy": "percentile", "percentile": "{{ env('CUT') }}"}
    attributes["training"] = "{{ training }}"
    attributes["sensor"]["enabled"] = "{{ env('SENSOR') }}"
    assert complaints(attributes) == {}
    assert complaints({**attributes, "sensor": {"enabled": "perhaps"}}) == {
        "sensor.enabled": "'perhaps' is not of type 'boolean'"
    }
