"""What an editor and ``dg check yaml`` say of a table's YAML, by the schema that they are given."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from dagster_shared.yaml_utils import parse_yaml_with_source_position
from jsonschema import Draft202012Validator

from ae_assets.pipeline.component import TEMPLATE, AnomalyPipeline
from ae_assets_tests.conftest import REPOSITORY

DRIVE_STATS = REPOSITORY / "ae_assets" / "defs" / "drive_stats" / "defs.yaml"
SCHEMA = AnomalyPipeline.get_model_cls().model_json_schema()


def attributes_of(path: Path) -> dict[str, Any]:
    value = parse_yaml_with_source_position(path.read_text().replace("TABLE_NAME", "my_table")).value
    attributes: dict[str, Any] = value["attributes"]
    return attributes


def complaints(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong, by path."""
    found = Draft202012Validator(SCHEMA).iter_errors(attributes)
    return {".".join(map(str, error.absolute_path)): error.message for error in found}


@pytest.mark.parametrize("path", [DRIVE_STATS, TEMPLATE], ids=["drive_stats", "template"])
def test_the_yaml_that_is_there_and_the_one_that_is_scaffolded_are_right(path: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert complaints(attributes_of(path)) == {}


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
