"""The target FAR holds on the windows that follow, as far as they are like calibration."""

import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ae_assets.errors import ModelError
from ae_assets.thresholds.target_far import TargetFarConfig
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.thresholds.scores import START, autoregressive, failing_of, panel_of, with_failures


@pytest.mark.parametrize(("memory", "spread"), [(0.0, 0.0), (0.9, 0.0), (0.8, 0.8)])
def test_the_rate_holds_on_the_next_window_of_autoregressive_scores(memory: float, spread: float) -> None:
    kept, rates = 0, []
    for seed in range(12):
        scores = autoregressive(6000, 23 + 7 + 30, seed, memory=memory, spread=spread)
        cut = fit_threshold(TargetFarConfig(rate=0.01), panel_of(scores[:, :23])).cut
        rates.append(float((scores[:, 30:].max(axis=1) > cut).mean()))
        # One in twenty may fail by chance of calibration, and the next window has a chance of its own.
        kept += rates[-1] <= 0.01 + 2 * np.sqrt(0.01 / 6000)
    assert kept >= 11
    assert 0.005 < np.mean(rates) < 0.01


def test_with_half_confidence_and_whole_windows_the_rate_is_met_on_average() -> None:
    rates = []
    for seed in range(20):
        scores = autoregressive(3000, 60, seed, memory=0.9)
        cut = fit_threshold(TargetFarConfig(rate=0.02, confidence=0.5), panel_of(scores[:, :30])).cut
        rates.append(float((scores[:, 30:].max(axis=1) > cut).mean()))
    assert np.mean(rates) == pytest.approx(0.02, rel=0.1)


def cut_or_refusal(config: TargetFarConfig, calibration: pl.DataFrame) -> float:
    """The cut; infinite where the entities are too few for any."""
    try:
        return fit_threshold(config, calibration).cut
    except ModelError:
        return math.inf


@settings(deadline=None, max_examples=30)
@example(seed=0, rate=0.02, confidence=0.9375, days=10, coarse=False)
@given(
    seed=st.integers(0, 10_000),
    rate=st.floats(0.02, 0.3),
    confidence=st.floats(0.5, 0.99),
    days=st.integers(10, 40),
    coarse=st.booleans(),
)
def test_a_lower_rate_or_a_higher_confidence_never_lowers_the_cut(
    seed: int, rate: float, confidence: float, days: int, coarse: bool
) -> None:
    scores = autoregressive(400, days, seed, memory=0.5, spread=0.3)
    calibration = panel_of(scores.round() if coarse else scores)
    cut = cut_or_refusal(TargetFarConfig(rate=rate, confidence=confidence), calibration)
    assert cut_or_refusal(TargetFarConfig(rate=rate * 2, confidence=confidence), calibration) <= cut
    assert cut_or_refusal(TargetFarConfig(rate=rate, confidence=0.5), calibration) <= cut


def test_how_often_an_entity_repeats_its_score_is_irrelevant() -> None:
    score = np.random.default_rng(1).normal(size=(2000, 1))
    often = panel_of(np.repeat(score, 30, axis=1))
    rarely = panel_of(np.concatenate([score, np.full((2000, 29), -9.0)], axis=1))
    assert fit_threshold(TargetFarConfig(), often).cut == fit_threshold(TargetFarConfig(), rarely).cut


def test_further_windows_of_the_same_entities_make_the_rate_no_better_known() -> None:
    scores = autoregressive(500, 30, 2, memory=0.5)
    once, twice = panel_of(scores), panel_of(np.tile(scores, 2))
    config = TargetFarConfig(rate=0.05)
    assert fit_threshold(config, twice).cut == fit_threshold(config, once).cut


def test_ties_at_the_cut_are_no_alarms() -> None:
    scores = np.zeros((1000, 30))
    scores[:100, 0] = 7.0
    cut = fit_threshold(TargetFarConfig(rate=0.05), panel_of(scores)).cut
    assert cut == 7.0
    assert fit_threshold(TargetFarConfig(rate=0.2), panel_of(scores)).cut == 0.0


def test_too_few_entities_for_the_rate_are_refused_with_what_to_change() -> None:
    with pytest.raises(ModelError, match=r"200 calibration entities are too few.*0\.01 per 30 days.*raise rate"):
        fit_threshold(TargetFarConfig(), panel_of(np.random.default_rng(1).normal(size=(200, 30))))


def test_failures_to_come_are_not_counted_as_false_alarms() -> None:
    # Of 4,000 entities 40 fail within 30 days after calibration and score above 9, as did 40 in the 30 days before.
    generator = np.random.default_rng(3)
    healthy = generator.uniform(0, 8, size=(3960, 30))
    to_come = generator.uniform(9, 10, size=(40, 30))
    known = [
        failing_of(
            generator.uniform(9, 10, size=(2 if day % 3 == 0 else 1, 30)), START + timedelta(days=day - 1), str(day)
        )
        for day in range(30)
    ]
    calibration = with_failures(panel_of(np.concatenate([healthy, to_come])), pl.concat(known))
    plain = TargetFarConfig(rate=0.005, confidence=0.5, discount_failures_to_come=False)
    assert fit_threshold(plain, calibration).cut > 9
    discounting = TargetFarConfig(rate=0.005, confidence=0.5)
    false_alarms = (healthy.max(axis=1) > fit_threshold(discounting, calibration).cut).mean()
    assert false_alarms == pytest.approx(0.005, abs=0.0005)


def constant_of(scores: np.ndarray, days: int) -> pl.DataFrame:
    """Entities that have the same score on all days, of which the first and the last are kept."""
    return panel_of(np.repeat(scores[:, None], days, axis=1)).filter(
        (pl.col("day") == pl.col("day").min()) | (pl.col("day") == pl.col("day").max())
    )


def test_the_rate_is_kept_with_confidence_where_calibration_is_a_little_shorter_than_the_window() -> None:
    config, generator = TargetFarConfig(rate=0.1), np.random.default_rng(5)
    cuts = np.array([config.cut(constant_of(generator.uniform(size=48), 29)) for _ in range(300)])
    # Scores are uniform, so the true rate is what lies above the cut; 2 standard errors on top of one in twenty.
    assert 0.01 < (1 - cuts > 0.1).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize(("failures", "entities", "rate"), [(1.5, 300, 0.02), (50, 2000, 0.02)])
def test_the_rate_is_kept_with_confidence_whether_few_or_many_failures_are_known(
    failures: float, entities: int, rate: float
) -> None:
    days, generator = 6, np.random.default_rng(5)
    config = TargetFarConfig(rate=rate, window_days=days)
    too_many = 0
    for _ in range(300):
        # As many are to be expected in the window to come; healthy scores are uniform, those before a failure are 2.
        known, to_come = generator.poisson(failures, size=2)
        scores = np.concatenate([generator.uniform(size=entities), np.full(to_come, 2.0)])
        failed_on = np.bincount(generator.integers(0, days, known))
        failing = [
            failing_of(np.full((count, days), 2.0), START + timedelta(days=day - 1), f"failed-{day}")
            for day, count in enumerate(failed_on)
            if count
        ]
        calibration = constant_of(scores, days)
        try:
            cut = config.cut(with_failures(calibration, pl.concat(failing)) if failing else calibration)
        except ModelError:
            continue
        too_many += 1 - cut > rate
    assert too_many / 300 <= 0.05
