"""The labelled policy finds the best cut on normal and abnormal entities, and refuses where there is none."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import ModelError
from ae_assets.thresholds.failures import KnownFailures
from ae_assets.thresholds.labelled import LabelledConfig
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.thresholds.scores import START, failing_of, panel_of, with_failures

DAYS = 23


def calibration_of(healthy: np.ndarray, failed: np.ndarray) -> pl.DataFrame:
    """Healthy entities reach these scores on the first day, failed ones a day before the failure, two failing a day."""
    panel = panel_of(np.concatenate([healthy[:, None], np.zeros((len(healthy), DAYS - 1))], axis=1))
    rows = [
        failing_of(np.array([[score]]), START + timedelta(days=number % (DAYS - 1)), f"failed-{number}-")
        for number, score in enumerate(failed)
    ]
    return with_failures(panel, pl.concat(rows))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), beta=st.sampled_from([0.3, 1.0, 3.0]))
def test_no_other_cut_has_a_higher_f_beta(seed: int, beta: float) -> None:
    generator = np.random.default_rng(seed)
    healthy, failed = generator.normal(2, 1, 400).clip(0.1).round(1), generator.normal(5, 1, 44).clip(0.1).round(1)
    cut = fit_threshold(LabelledConfig(beta=beta), calibration_of(healthy, failed)).cut
    failures = 44 / 22 * DAYS

    def merit(at: float) -> float:
        right = failures * (failed > at).mean()
        # Two of the healthy ones are to be expected to fail the day after calibration.
        wrong = max((healthy > at).sum() - 2 * (failed > at).mean(), 0)
        return (1 + beta**2) * right / ((1 + beta**2) * right + beta**2 * (failures - right) + wrong)

    assert merit(cut) == pytest.approx(max(merit(at) for at in [*healthy, *failed]))


def test_separable_scores_are_cut_between_the_healthy_and_the_failed() -> None:
    healthy, failed = np.linspace(1, 5, 300), np.linspace(8, 9, 25)
    assert fit_threshold(LabelledConfig(), calibration_of(healthy, failed)).cut == 5.0


def test_a_larger_beta_or_a_dearer_miss_never_raises_the_cut() -> None:
    generator = np.random.default_rng(4)
    calibration = calibration_of(generator.gamma(2, 1, 3000), generator.gamma(4, 2, 60))
    by_beta = [fit_threshold(LabelledConfig(beta=beta), calibration).cut for beta in (0.1, 0.5, 1, 2)]
    by_cost = [
        fit_threshold(LabelledConfig(objective="cost", cost_of_a_miss=cost), calibration).cut for cost in (2, 5, 10, 50)
    ]
    assert by_beta == sorted(by_beta, reverse=True)
    assert by_cost == sorted(by_cost, reverse=True)
    assert by_cost[0] > by_cost[-1]
    assert by_beta[0] > by_beta[-1]


def test_only_the_ratio_of_the_costs_counts() -> None:
    generator = np.random.default_rng(4)
    calibration = calibration_of(generator.gamma(2, 1, 3000), generator.gamma(4, 2, 60))
    cuts = {
        fit_threshold(
            LabelledConfig(objective="cost", cost_of_a_miss=20 * unit, cost_of_a_false_alarm=unit), calibration
        ).cut
        for unit in (1.0, 3.0, 100.0)
    }
    assert len(cuts) == 1


def test_failures_from_before_calibration_do_not_make_failures_look_frequent() -> None:
    generator = np.random.default_rng(9)
    healthy = panel_of(generator.gamma(2, 1, (2000, 20)))
    one_a_day = [
        failing_of(generator.gamma(4, 2, (1, 10)), START + timedelta(days=day), f"failed{day}")
        for day in range(-60, 19)
    ]
    known = KnownFailures.of(with_failures(healthy, pl.concat(one_a_day)))
    recent = KnownFailures.of(with_failures(healthy, pl.concat(one_a_day[-20:])))
    assert known.failed_entities == 79
    assert known.failures_a_day == pytest.approx(1, rel=0.02)
    assert recent.failures_a_day == pytest.approx(1, rel=0.06)


def test_four_times_as_many_days_with_failures_that_score_alike_leave_the_cut_where_it_was() -> None:
    generator = np.random.default_rng(9)
    healthy, scores = panel_of(generator.gamma(2, 1, (2000, 20))), generator.gamma(4, 2, 20)
    one_a_day = [
        failing_of(scores[[day % 20], None], START + timedelta(days=day - 1), f"failed{day}") for day in range(-60, 20)
    ]
    config = LabelledConfig(objective="cost")
    cuts = {
        fit_threshold(config, with_failures(healthy, pl.concat(known))).cut for known in (one_a_day, one_a_day[60:])
    }
    assert len(cuts) == 1


def test_too_few_failures_are_refused_with_what_to_do() -> None:
    calibration = calibration_of(np.linspace(1, 5, 300), np.linspace(8, 9, 19))
    with pytest.raises(ModelError, match=r"19 failed entities are known.*needs 20; lengthen calibration.days"):
        fit_threshold(LabelledConfig(), calibration)
    assert fit_threshold(LabelledConfig(min_failed=19), calibration).cut == 5.0


def test_failures_that_all_came_on_one_day_are_refused() -> None:
    failing = failing_of(np.full((25, 5), 9.0), START + timedelta(days=4))
    with pytest.raises(ModelError, match=r"all 25 failed entities failed on one day.*lengthen calibration.days"):
        fit_threshold(LabelledConfig(), with_failures(panel_of(np.ones((50, 20))), failing))


def test_scores_without_labels_are_refused() -> None:
    with pytest.raises(ModelError, match=r"without fails_in.*target_far"):
        fit_threshold(LabelledConfig(), panel_of(np.ones((5, 5))))


def test_scores_that_do_not_tell_failures_apart_are_refused() -> None:
    generator = np.random.default_rng(4)
    calibration = calibration_of(generator.uniform(1, 2, 3000), generator.uniform(1, 2, 30))
    with pytest.raises(ModelError, match=r"30 failed and 3000 healthy entities gives.*do not tell them apart"):
        fit_threshold(LabelledConfig(beta=10), calibration)


def test_costs_at_which_no_alarm_is_worth_it_are_refused() -> None:
    calibration = calibration_of(np.linspace(1, 9, 3000), np.linspace(2, 7, 30))
    with pytest.raises(ModelError, match=r"no alarm at all.*raise beta or cost_of_a_miss"):
        fit_threshold(LabelledConfig(objective="cost", cost_of_a_miss=0.01), calibration)
