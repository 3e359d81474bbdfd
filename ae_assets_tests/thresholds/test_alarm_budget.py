"""The alarm budget is never exceeded, and its cut keeps quiet days quiet."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import ModelError
from ae_assets.thresholds.alarm_budget import AlarmBudgetConfig
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.thresholds.scores import autoregressive, cut_of_day, panel_of

PANEL = panel_of(autoregressive(200, 20, 3, memory=0.9))
COARSE = st.lists(st.integers(-3, 8).map(float), min_size=1, max_size=80)


@settings(deadline=None)
@given(day=COARSE, budget=st.integers(1, 30))
def test_no_day_has_more_alarms_than_the_budget_however_many_scores_are_tied(day: list[float], budget: int) -> None:
    threshold = fit_threshold(AlarmBudgetConfig(alarms_a_day=budget), PANEL)
    assert sum(score > cut_of_day(threshold, day) for score in day) <= budget


@settings(deadline=None)
@given(
    day=st.lists(st.floats(-5, 20, allow_nan=False), min_size=1, max_size=80, unique=True), budget=st.integers(1, 30)
)
def test_the_alarms_of_a_day_are_the_highest_scores_over_the_fitted_cut_as_far_as_the_budget_goes(
    day: list[float], budget: int
) -> None:
    threshold = fit_threshold(AlarmBudgetConfig(alarms_a_day=budget), PANEL)
    expected = sorted((score for score in day if score > threshold.cut), reverse=True)[:budget]
    assert sorted((score for score in day if score > cut_of_day(threshold, day)), reverse=True) == expected


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_the_fitted_cut_alone_keeps_the_budget_on_the_share_of_days_and_no_lower_cut_does(share: float) -> None:
    cut = fit_threshold(AlarmBudgetConfig(alarms_a_day=5, share_of_days=share), PANEL).cut

    def share_kept(at: float) -> float:
        alarms = PANEL.group_by("day").agg((pl.col("score") > at).sum().alias("alarms"))
        return (alarms["alarms"] <= 5).mean()

    assert share_kept(cut) >= share
    assert share_kept(float(np.nextafter(cut, -np.inf))) < share


def test_a_larger_budget_never_raises_the_cut() -> None:
    cuts = [fit_threshold(AlarmBudgetConfig(alarms_a_day=budget), PANEL).cut for budget in (1, 2, 5, 20, 100)]
    assert cuts == sorted(cuts, reverse=True)


def test_a_budget_for_the_whole_fleet_is_refused() -> None:
    with pytest.raises(ModelError, match=r"allows 200 alarms a day.*small part of the fleet"):
        fit_threshold(AlarmBudgetConfig(alarms_a_day=200), PANEL)
