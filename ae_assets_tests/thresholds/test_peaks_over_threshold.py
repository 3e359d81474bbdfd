"""The generalised Pareto tail: known tails are recovered, and what is no such tail is refused."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genpareto

from ae_assets.errors import ModelError
from ae_assets.thresholds.peaks_over_threshold import PeaksOverThresholdConfig, fitted_tail
from ae_assets.thresholds.target_far import TargetFarConfig
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.thresholds.scores import autoregressive, panel_of


def reached_once(maxima: np.ndarray, days: int = 30) -> pl.DataFrame:
    """A panel in which every entity reaches its maximum on one day."""
    scores = np.full((len(maxima), days), maxima.min())
    scores[np.arange(len(maxima)), np.arange(len(maxima)) % days] = maxima
    return panel_of(scores)


@pytest.mark.parametrize(("shape", "scale"), [(-0.3, 0.01), (0.0, 1.0), (0.3, 50.0), (0.6, 1e6)])
def test_the_parameters_of_a_known_tail_are_recovered(shape: float, scale: float) -> None:
    peaks = genpareto.rvs(shape, scale=scale, size=4000, random_state=11)
    found_shape, found_scale = fitted_tail(peaks)
    # The standard error of the shape is (1 + shape) / sqrt(4000), at most 0.025 (Smith 1987).
    assert found_shape == pytest.approx(shape, abs=0.08)
    assert found_scale == pytest.approx(scale, rel=0.1)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_cut_is_the_score_that_the_true_tail_exceeds_at_the_rate(shape: float) -> None:
    # One in 20,000, of 10,000 entities: beyond what can be counted.
    policy = PeaksOverThresholdConfig(rate=0.00005, initial_quantile=0.9, window_days=2)
    rates = []
    for seed in range(30):
        maxima = 5 + genpareto.rvs(shape, scale=2.0, size=10_000, random_state=seed)
        rates.append(genpareto.sf(fit_threshold(policy, reached_once(maxima, days=2)).cut - 5, shape, scale=2.0))
    assert np.median(rates) == pytest.approx(0.00005, rel=0.35)


def test_the_rate_is_met_on_the_next_window_of_scores_whose_rows_are_alike() -> None:
    rates = []
    for seed in range(8):
        scores = np.exp(autoregressive(5000, 53, seed, memory=0.9, spread=0.3))
        cut = fit_threshold(PeaksOverThresholdConfig(rate=0.004), panel_of(scores[:, :23])).cut
        rates.append((scores[:, 23:].max(axis=1) > cut).mean())
    assert np.mean(rates) == pytest.approx(0.004, rel=0.25)


def test_where_the_rate_can_be_counted_it_agrees_with_the_target_far() -> None:
    calibration = panel_of(autoregressive(20_000, 23, 2, memory=0.8))
    counted = fit_threshold(TargetFarConfig(rate=0.005, confidence=0.5), calibration).cut
    assert fit_threshold(PeaksOverThresholdConfig(rate=0.005), calibration).cut == pytest.approx(counted, rel=0.03)


@settings(deadline=None, max_examples=20)
@given(rate=st.floats(0.0001, 0.005), seed=st.integers(0, 100))
def test_a_lower_rate_never_lowers_the_cut(rate: float, seed: int) -> None:
    calibration = panel_of(autoregressive(3000, 12, seed, memory=0.5))
    cut = fit_threshold(PeaksOverThresholdConfig(rate=rate), calibration).cut
    assert fit_threshold(PeaksOverThresholdConfig(rate=rate / 2), calibration).cut >= cut


@pytest.mark.parametrize("days", [23, 60])
def test_equal_rows_in_any_order_give_the_cut_bit_for_bit(days: int) -> None:
    calibration = panel_of(np.exp(autoregressive(3000, days, 2, memory=0.8)))
    shuffled = (calibration.sample(fraction=1, shuffle=True, seed=seed) for seed in range(4))
    policy = PeaksOverThresholdConfig(rate=0.004)
    assert len({fit_threshold(policy, rows).cut for rows in (calibration, calibration, *shuffled)}) == 1


def test_too_few_peaks_are_refused_with_what_to_change() -> None:
    with pytest.raises(ModelError, match=r"20 of 1000 highest scores.*0\.98.*needs 50. Lower initial_quantile"):
        fit_threshold(PeaksOverThresholdConfig(), reached_once(np.random.default_rng(1).normal(size=1000)))


def test_a_rate_above_the_initial_quantile_is_refused_and_not_taken_as_it_is() -> None:
    maxima = np.random.default_rng(1).exponential(size=10_000)
    with pytest.raises(ModelError, match=r"only 0\.02 of the entities.*set initial_quantile below 0\.95"):
        fit_threshold(PeaksOverThresholdConfig(rate=0.05), reached_once(maxima))


def test_a_tail_without_a_mean_is_refused() -> None:
    with pytest.raises(ModelError, match=r"shape 1\.\d+, and only shapes between -1 and 1.*target_far"):
        fit_threshold(PeaksOverThresholdConfig(), reached_once(genpareto.rvs(1.6, size=50_000, random_state=1)))


def test_scores_of_two_values_are_no_tail_and_are_refused() -> None:
    maxima = np.repeat([0.0, 1.0, 100.0], [9000, 900, 100])
    with pytest.raises(ModelError, match="tail"):
        fit_threshold(PeaksOverThresholdConfig(rate=0.002, initial_quantile=0.9), reached_once(maxima))
