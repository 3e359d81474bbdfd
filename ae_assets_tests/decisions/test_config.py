"""The decision section of a table's YAML: defaults that change nothing, and settings that contradict each other."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from ae_assets.decisions import AggregationConfig, DecisionConfig
from ae_assets_tests.conftest import REPOSITORY


def test_by_default_scores_and_alarms_stay_as_the_detector_gives_them() -> None:
    config = DecisionConfig()
    assert config.aggregation.method == "none"
    assert config.aggregation.look_back_days == 0
    assert (config.episodes.alarms, config.episodes.clear_below, config.episodes.clear_after_days) == (1, 1.0, 1)
    assert config.mute_list is None


@pytest.mark.parametrize(("method", "days"), [("none", 0), ("max", 6), ("mean", 6), ("exponential", 6)])
def test_a_method_looks_back_over_the_days_before_the_scored_one(method: str, days: int) -> None:
    assert AggregationConfig(method=method, days=7).look_back_days == days


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"aggregation": {"method": "median"}}, "aggregation.method"),
        ({"aggregation": {"method": "max", "days": 0}}, "aggregation.days"),
        ({"aggregation": {"method": "exponential", "half_life_days": 0}}, "aggregation.half_life_days"),
        ({"episodes": {"alarms": 3, "within_days": 2}}, "3 alarms cannot lie within 2 days"),
        ({"episodes": {"clear_below": 1.2}}, "episodes.clear_below"),
        ({"episodes": {"clear_below": 0.5, "clear_severity": 0.1}}, "give one of them"),
        ({"mute_list": ""}, "mute_list"),
        ({"mutes": "mutes.csv"}, "mutes"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as error:
        DecisionConfig.model_validate(given)
    assert says in str(error.value)


def test_reading_the_settings_imports_nothing_that_computes() -> None:
    code = "import sys, ae_assets.decisions; print([n for n in ('numpy', 'polars', 'yaml') if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
