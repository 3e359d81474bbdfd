"""The decision section of a table's YAML: defaults that change nothing, and settings that contradict each other."""

import subprocess
import sys
from datetime import date

import pytest
from pydantic import ValidationError

from ae_assets.decisions.config import AggregationConfig, DecisionConfig, EpisodeConfig
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.periods import DAILY
from ae_assets.schemas.records import DAILY_RECORDS
from ae_assets_tests.conftest import REPOSITORY


def test_by_default_scores_and_alarms_stay_as_the_detector_gives_them() -> None:
    config = DecisionConfig()
    assert config.aggregation.method == "none"
    assert config.aggregation.window is None
    assert (config.episodes.alarms, config.episodes.clear_below, config.episodes.clear_after) == (1, 1.0, 1)
    assert config.mute_list is None


@pytest.mark.parametrize("method", ["max", "mean", "exponential"])
def test_a_method_looks_back_over_the_days_before_the_scored_one(method: str) -> None:
    config = AggregationConfig(method=method, days=7)
    assert DAILY_RECORDS.look_back(config.window) == 6 * DAY
    assert DAILY.before(date(2024, 3, 10), DAILY_RECORDS.look_back(config.window)) == date(2024, 3, 4)


def test_keys_of_earlier_releases_mean_what_they_meant() -> None:
    former = EpisodeConfig.model_validate({"alarms": 2, "within_days": 4, "clear_after_days": 3})
    assert former == EpisodeConfig(alarms=2, within="4d", clear_after=3)
    assert EpisodeConfig.model_validate(former.model_dump(mode="json")) == former
    with pytest.raises(ValidationError, match="mean the same"):
        EpisodeConfig.model_validate({"within_days": 4, "within": "4d"})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"aggregation": {"method": "median"}}, "aggregation.method"),
        ({"aggregation": {"method": "max", "days": 0}}, "aggregation.span"),
        ({"aggregation": {"method": "exponential", "half_life_days": 0}}, "aggregation.half_life"),
        ({"episodes": {"within": "9w"}, "aggregation": {"span": "60w"}}, "at most 366d"),
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
    code = "import sys, ae_assets.decisions.config; print([n for n in ('numpy', 'polars', 'yaml') if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
