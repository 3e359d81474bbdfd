"""Bins hold every score once, with an edge at the threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ae_assets.reports.bins import (
    ScoreScale,
    bin_counts,
    bin_edges,
    calibration_shares,
    scale_for,
    typical_of_curve,
    typical_score,
)
from ae_assets.thresholds.curve import CalibrationCurve
from ae_assets_tests.thresholds.scores import calibration_of

MANY_SCORES = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e3, 1e9, allow_subnormal=False))


def calibrated(scores: np.ndarray) -> CalibrationCurve:
    return CalibrationCurve.of(calibration_of(scores.tolist()))


@settings(deadline=None)
@given(MANY_SCORES, st.floats(-1e3, 1e6, allow_subnormal=False))
def test_counts_add_up_to_all_scores_and_those_over_the_threshold_to_the_alarms(scores: np.ndarray, cut: float) -> None:
    scale = scale_for(np.append(scores, cut), typical_score(scores))
    edges = bin_edges(scores, cut, scale)
    counts = bin_counts(scores, edges)
    at_cut = int(np.flatnonzero(edges == cut)[0])
    assert counts.sum() == len(scores)
    assert counts[at_cut:].sum() == (scores > cut).sum()
    assert 0 < at_cut < len(edges) - 1
    assert (np.diff(edges) >= 0).all()


@settings(deadline=None)
@given(MANY_SCORES)
def test_a_threshold_that_is_infinite_takes_no_place(scores: np.ndarray) -> None:
    edges = bin_edges(scores, np.inf, scale_for(scores, typical_score(scores)))
    assert np.isfinite(edges).all()
    assert bin_counts(scores, edges).sum() == len(scores)


@pytest.mark.parametrize("scale", [ScoreScale("linear"), ScoreScale("log"), ScoreScale("asinh", 3.0)])
def test_places_on_an_axis_lead_back_to_the_scores(scale: ScoreScale) -> None:
    scores = np.array([1e-3, 0.5, 1.0, 20.0, 1e6])
    assert scale.scores(scale.places(scores)) == pytest.approx(scores)
    assert (np.diff(scale.places(scores)) > 0).all()


def test_scores_of_many_sizes_need_a_logarithmic_axis_and_one_with_a_place_for_zero_where_some_are_zero() -> None:
    assert scale_for(np.array([1.0, 19.0]), 1.0).kind == "linear"
    assert scale_for(np.array([1.0, 21.0]), 1.0).kind == "log"
    assert scale_for(np.array([0.0, 21.0]), 1.0) == ScoreScale("asinh", 1.0)


def test_a_typical_score_is_the_same_read_from_scores_and_from_their_curve() -> None:
    scores = np.random.default_rng(1).lognormal(size=5_000)
    assert typical_of_curve(calibrated(scores)) == pytest.approx(typical_score(scores), rel=0.05)
    assert typical_score([0.0, 0.0, 0.0, 7.0]) == 7.0
    assert typical_score([]) == typical_score([-3.0]) == 1.0


def test_the_bins_of_a_calibration_hold_every_row_where_it_is() -> None:
    scores = np.random.default_rng(2).lognormal(size=20_000)
    calibration, scale = calibrated(scores), ScoreScale("log")
    edges = bin_edges(np.asarray(calibration.scores), 5.0, scale)
    shares = calibration_shares(calibration, edges, scale)
    assert 5.0 in edges
    assert shares.sum() == pytest.approx(1)
    assert shares == pytest.approx(bin_counts(scores, edges) / len(scores), abs=0.004)
    assert shares[edges[:-1] >= 5.0].sum() == pytest.approx((scores > 5.0).mean(), rel=0.05)


def test_tied_calibration_scores_are_drawn_where_they_are_and_not_smeared() -> None:
    calibration = calibrated(np.concatenate([np.zeros(9_000), np.random.default_rng(3).uniform(5, 10, 1_000)]))
    shares = calibration_shares(calibration, np.linspace(0, 10, 21), ScoreScale("linear"))
    assert shares[0] == pytest.approx(0.9, abs=0.01)
    assert shares[1:10].sum() == pytest.approx(0, abs=0.01)


def test_calibration_scores_tied_at_the_threshold_are_drawn_below_it_as_they_are_no_alarms() -> None:
    scores = np.concatenate([np.random.default_rng(5).uniform(1, 2, 500), np.full(450, 3.0), np.full(50, 4.0)])
    calibration, scale = calibrated(scores), ScoreScale("linear")
    edges = bin_edges(np.asarray(calibration.scores), 3.0, scale)
    at_cut = int(np.flatnonzero(edges == 3.0)[0])
    shares = calibration_shares(calibration, edges, scale)
    assert shares[at_cut:].sum() == pytest.approx((scores > 3.0).mean(), abs=0.002)
    assert shares[at_cut - 1] == pytest.approx(0.45, abs=0.01)
    assert shares == pytest.approx(bin_counts(scores, edges) / len(scores), abs=0.02)
