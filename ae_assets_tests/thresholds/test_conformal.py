"""Conformal p-values are valid per entity, and the alarms of a day keep their share of false ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import ModelError
from ae_assets.thresholds.conformal import ConformalConfig
from ae_assets.thresholds.curve import CalibrationCurve
from ae_assets.thresholds.threshold import Threshold, fit_threshold
from ae_assets_tests.thresholds.scores import calibration_of, cut_of_day, panel_of


def fitted(scores: np.ndarray, level: float = 0.1) -> Threshold:
    """Fitted on entities with one row each."""
    return fit_threshold(ConformalConfig(level=level), panel_of(scores[:, None]))


def benjamini_hochberg(p_values: np.ndarray, level: float) -> np.ndarray:
    """Which hypotheses are rejected, as the paper writes it down."""
    count = len(p_values)
    ranks = [k for k in range(1, count + 1) if (p_values <= level * k / count).sum() >= k]
    return p_values <= (level * max(ranks) / count if ranks else -1)


@settings(deadline=None)
@given(
    calibration=st.lists(st.floats(-50, 50), min_size=20, max_size=120),
    day=st.lists(st.floats(-60, 60).map(lambda score: round(score, 1)), min_size=1, max_size=60),
    level=st.floats(0.06, 0.9),
)
def test_the_alarms_of_a_day_are_those_that_benjamini_and_hochberg_reject(
    calibration: list[float], day: list[float], level: float
) -> None:
    threshold, scores = fitted(np.array(calibration), level), np.array(day)
    rejected = benjamini_hochberg(threshold.calibration.entity_p_values(scores), level)
    assert ((scores > cut_of_day(threshold, scores)) == rejected).all()


@pytest.mark.parametrize("sick", [0, 30, 200])
def test_the_share_of_false_alarms_stays_within_the_level_on_average(sick: int) -> None:
    false_shares, found = [], []
    generator = np.random.default_rng(17 + sick)
    for _ in range(150):
        threshold = fitted(generator.normal(size=1000), 0.2)
        day = generator.normal(size=600)
        day[:sick] += 4
        alarms = day > cut_of_day(threshold, day)
        false_shares.append(alarms[sick:].sum() / max(alarms.sum(), 1))
        found.append(alarms[:sick].mean() if sick else 0)
    # At most level times the share of healthy entities; 3 standard errors of the mean on top.
    assert np.mean(false_shares) <= 0.2 * (600 - sick) / 600 + 3 * np.std(false_shares) / np.sqrt(150)
    if sick:
        assert np.mean(found) > 0.5


@settings(deadline=None)
@given(level=st.floats(0.05, 0.45), seed=st.integers(0, 1000))
def test_a_higher_level_never_raises_the_cut_of_a_day(level: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    calibration, day = generator.normal(size=200), generator.normal(1, 2, size=100)
    assert cut_of_day(fitted(calibration, 2 * level), day) <= cut_of_day(fitted(calibration, level), day)


def test_p_values_of_healthy_entities_are_no_smaller_than_uniform_ones() -> None:
    generator = np.random.default_rng(23)
    p_values = np.concatenate(
        [
            fitted(generator.exponential(size=99)).calibration.entity_p_values(generator.exponential(size=20))
            for _ in range(300)
        ]
    )
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p_values <= level).mean() <= level + 3 * np.sqrt(level / len(p_values)) + 0.01


def test_more_rows_of_the_same_entities_make_no_event_rarer() -> None:
    once = np.random.default_rng(5).normal(size=(50, 1))
    p_once, p_often = (
        CalibrationCurve.of(panel_of(scores)).entity_p_values([99.0, *once[:5, 0]])
        for scores in (once, np.repeat(once, 40, axis=1))
    )
    assert p_once[0] == p_often[0] == 1 / 51
    assert p_often == pytest.approx(p_once, abs=0.02)


@settings(deadline=None)
@given(
    calibration=st.lists(st.integers(0, 20).map(float), min_size=1, max_size=200),
    asked=st.lists(st.floats(-5, 30), min_size=2, max_size=30),
)
def test_p_values_lie_in_0_to_1_and_never_rise_with_the_score(calibration: list[float], asked: list[float]) -> None:
    p_values = CalibrationCurve.of(calibration_of(calibration)).entity_p_values(np.sort(asked))
    assert np.all((p_values > 0) & (p_values <= 1))
    assert np.all(np.diff(p_values) <= 0)


def test_fewer_outliers_than_one_over_the_level_are_not_raised_in_a_fleet_of_the_size_of_calibration() -> None:
    threshold = fitted(np.random.default_rng(7).normal(size=1000), 0.1)
    day = np.random.default_rng(8).normal(size=1000).clip(max=2)
    alarms = []
    for outliers in (9, 11):
        day[:outliers] = 100.0
        alarms.append(int((day > cut_of_day(threshold, day)).sum()))
    assert alarms == [0, 11]


def test_too_few_entities_for_any_alarm_are_refused() -> None:
    with pytest.raises(ModelError, match=r"8 calibration entities allow no p-value below 0\.1111.*raise level"):
        fitted(np.arange(8.0))
