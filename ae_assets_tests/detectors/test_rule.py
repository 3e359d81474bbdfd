"""The baselines without a fit."""

import numpy as np
import pytest
from pydantic import ValidationError

from ae_assets.detectors import fit, windows_of
from ae_assets.detectors.config import CounterRuleConfig, GrowthRuleConfig, LastValueConfig
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import DENSE, NAMES, fleet, split


def test_the_score_is_the_sum_of_the_counters_and_missing_counts_as_0() -> None:
    rule = fit(CounterRuleConfig(features=(NAMES[2], NAMES[5])), split(DENSE, fleet()))
    windows = windows_of(fleet(seed=5), NAMES)
    counters = np.maximum(np.nan_to_num(windows.values[:, [2, 5]]), 0)
    scores = rule.explain(windows)
    np.testing.assert_array_equal(scores.score, counters.sum(axis=1))
    np.testing.assert_array_equal(scores.contributions[:, [2, 5]], counters)
    np.testing.assert_array_equal(scores.contributions.sum(axis=1), scores.score)


def test_only_its_own_features_have_an_expectation_and_it_is_0() -> None:
    rule = fit(CounterRuleConfig(features=(NAMES[2],)), split(DENSE, fleet()))
    expected = rule.explain(windows_of(fleet(seed=5), NAMES)).expected
    assert not expected[:, 2].any()
    assert np.isnan(np.delete(expected, 2, axis=1)).all()


def test_it_needs_no_training_and_counts_as_converged() -> None:
    rule = fit(CounterRuleConfig(features=NAMES[:1]), split(DENSE, fleet()))
    assert rule.history.converged
    assert rule.history.windows_seen == 0


def test_a_feature_that_the_table_lacks_is_named() -> None:
    with pytest.raises(ModelError, match=r"adds up \['smart_5'\], which the features lack"):
        fit(CounterRuleConfig(features=("smart_5",)), split(DENSE, fleet()))


def test_the_growth_rule_adds_up_growth_and_leaves_falling_counters_out() -> None:
    rule = fit(GrowthRuleConfig(features=NAMES[:3]), split(DENSE, fleet()))
    windows = windows_of(fleet(seed=5, missing=0), NAMES)
    growth = windows.values[:, :3]
    assert (growth < 0).any()
    np.testing.assert_array_equal(rule.score(windows), np.where(growth > 0, growth, 0).sum(axis=1))


def test_a_fall_from_the_last_value_counts_as_much_as_a_rise() -> None:
    rule = fit(LastValueConfig(features=NAMES[:3]), split(DENSE, fleet()))
    windows = windows_of(fleet(seed=5, missing=0), NAMES)
    np.testing.assert_array_equal(rule.score(windows), np.abs(windows.values[:, :3]).sum(axis=1))


def test_a_feature_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="name each feature once; repeated: a"):
        GrowthRuleConfig(features=("a", "b", "a"))
