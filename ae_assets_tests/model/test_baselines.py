"""Which detectors stand beside a table's own when everything is compared."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ae_assets.detectors.config import CounterRuleConfig, DetectorConfig, OrdinalConfig, PcaConfig
from ae_assets.features.catalogue import feature_names
from ae_assets.features.config import FeatureConfig
from ae_assets.model.baselines import all_baselines, compared_detectors
from ae_assets.model.parse import parse_table
from ae_assets_tests.chain.machines import attributes
from ae_assets_tests.chain.tables import watched_table

TYPES = {"counter_rule", "growth_rule", "pca", "isolation_forest", "kmeans", "ecod", "gradient_boosting"}


def features_of(attributes: Mapping[str, object]) -> FeatureConfig:
    return FeatureConfig.model_validate({"spans": [1, 7, 28], "attributes": attributes})


COUNTER = {"kind": "counter", "meaning": "errors"}
TEMPERATURE = {"kind": "gauge", "meaning": "temperature"}


def looked_at(config: DetectorConfig) -> tuple[str, ...] | None:
    return getattr(config, "features", None)


def test_every_kind_of_baseline_is_there_on_features_that_the_table_has() -> None:
    features = watched_table().features
    baselines = all_baselines(features)
    assert {config.type for config in baselines.values()} == TYPES
    for config in baselines.values():
        assert set(looked_at(config) or ()) <= set(feature_names(features))


def test_the_rules_add_up_levels_and_the_growth_over_the_longest_span() -> None:
    baselines = all_baselines(
        features_of({"smart_5_raw": COUNTER, "smart_197_raw": {**COUNTER, "spans": [3]}, "smart_194_raw": TEMPERATURE})
    )
    assert looked_at(baselines["counter_rule"]) == ("smart_5_level", "smart_197_level")
    assert looked_at(baselines["growth_rule"]) == ("smart_5_growth_28d", "smart_197_growth_3d")


def test_fitted_baselines_look_at_all_features_and_at_wear_alone() -> None:
    baselines = all_baselines(features_of({"smart_5_raw": COUNTER, "smart_194_raw": TEMPERATURE}))
    assert looked_at(baselines["pca"]) is None
    assert looked_at(baselines["pca (wear)"]) == (
        "smart_5_level",
        "smart_5_growth_1d",
        "smart_5_growth_7d",
        "smart_5_growth_28d",
    )


def test_counters_that_the_detector_does_not_judge_are_no_wear() -> None:
    baselines = all_baselines(features_of({"smart_5_raw": COUNTER, "smart_12_raw": COUNTER}), judged=("smart_5",))
    assert looked_at(baselines["counter_rule"]) == ("smart_5_level",)
    assert looked_at(baselines["growth_rule"]) == ("smart_5_growth_28d",)


def test_a_table_without_counters_has_no_rules_and_no_wear() -> None:
    baselines = all_baselines(features_of({"smart_194_raw": TEMPERATURE}))
    assert set(baselines) == TYPES - {"counter_rule", "growth_rule"}


def test_readings_have_rules_of_their_past_and_of_their_last_value_where_these_are_features() -> None:
    gauge = {**TEMPERATURE, "transforms": ["growth", "excess"], "excess_of_means": [2], "spans": [2, 7]}
    baselines = all_baselines(features_of({"smart_5_raw": COUNTER, "load": gauge}))
    assert looked_at(baselines["excess_rule"]) == ("load_excess", "load_excess_2d")
    assert looked_at(baselines["last_value"]) == ("load_growth_2d",)


def test_nothing_is_compared_twice_and_no_two_have_one_name() -> None:
    rule = {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]}
    other = {"type": "counter_rule", "features": ["smart_5_level"]}
    compared = compared_detectors(watched_table(comparisons=[other, rule]), comparisons=True, baselines=True)
    assert [one.name for one in compared[:4]] == ["dense_autoencoder", "counter_rule", "counter_rule 2", "growth_rule"]
    assert len({one.name for one in compared}) == len(compared)
    assert [one.config for one in compared].count(CounterRuleConfig(features=tuple(rule["features"]))) == 1
    assert [one.required for one in compared[:4]] == [True, True, True, False]


def test_a_table_of_intervals_always_has_the_baselines_of_series_beside_it(tmp_path: Path) -> None:
    table = parse_table(attributes(tmp_path, comparisons=[{"type": "pca", "explained_variance": 0.9}]), "defs.yaml")
    names = [one.name for one in compared_detectors(table, comparisons=True, baselines=False)]
    assert names == ["excess_rule", "pca", "last_value", "isolation_forest"]
    assert [one.name for one in compared_detectors(table, comparisons=False, baselines=False)] == ["excess_rule"]


def test_a_baseline_of_a_type_that_the_table_names_with_other_settings_is_marked() -> None:
    table = watched_table(comparisons=[{"type": "pca", "explained_variance": 0.9}])
    named = {one.name: one.config for one in compared_detectors(table, comparisons=True, baselines=True)}
    assert named["pca"] == table.comparisons[0]
    assert named["pca (defaults)"] == PcaConfig()


@pytest.mark.parametrize(
    ("comparisons", "baselines", "count"), [(False, False, 1), (True, False, 2), (False, True, 13)]
)
def test_what_is_not_asked_for_is_not_compared(comparisons: bool, baselines: bool, count: int) -> None:
    table = watched_table(comparisons=[{"type": "counter_rule", "features": ["smart_5_level"]}])
    assert len(compared_detectors(table, comparisons=comparisons, baselines=baselines)) == count


def test_what_the_detector_judges_is_what_the_rules_add_up() -> None:
    table = watched_table(detector=OrdinalConfig(counters=("smart_5", "smart_197"), judged=("smart_197",)).model_dump())
    named = {one.name: one.config for one in compared_detectors(table, comparisons=False, baselines=True)}
    assert looked_at(named["counter_rule"]) == ("smart_197_level",)


def test_detectors_of_groups_are_named_after_them_beside_one_of_all() -> None:
    table = watched_table(
        comparisons=[{"type": "pca"}, {"type": "pca", "per": "cohort"}, {"type": "pca", "per": "entity"}]
    )
    names = [one.name for one in compared_detectors(table, comparisons=True, baselines=False)]
    assert names[1:] == ["pca", "pca per cohort", "pca per entity"]
