"""The interquartile policy builds Tukey's fence and refuses scores that have none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import ModelError
from ae_assets.thresholds.iqr import IqrConfig
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.thresholds.scores import calibration_of

SCORES = st.lists(st.floats(0.01, 1e4), min_size=8, max_size=100, unique=True)


def test_the_cut_is_the_upper_fence() -> None:
    assert fit_threshold(IqrConfig(), calibration_of([1.0, 2.0, 3.0, 4.0, 5.0])).cut == 4 + 1.5 * (4 - 2)


def test_the_logarithmic_fence_lies_the_same_factor_above_the_upper_quartile() -> None:
    cut = fit_threshold(IqrConfig(log=True), calibration_of([1.0, 10.0, 100.0, 1000.0, 10000.0])).cut
    assert cut == pytest.approx(1000 * 100**1.5)


def test_normal_scores_leave_about_a_third_of_a_percent_beyond_the_fence() -> None:
    scores = np.random.default_rng(1).normal(size=200_000)
    cut = fit_threshold(IqrConfig(), calibration_of(scores.tolist())).cut
    assert (scores > cut).mean() == pytest.approx(0.0035, abs=0.0005)


@settings(deadline=None)
@given(scores=SCORES, k=st.floats(0.1, 5))
def test_a_larger_k_never_lowers_the_cut(scores: list[float], k: float) -> None:
    calibration = calibration_of(scores)
    assert fit_threshold(IqrConfig(k=k + 1), calibration).cut >= fit_threshold(IqrConfig(k=k), calibration).cut


def test_scores_that_are_mostly_0_have_no_fence_and_are_refused() -> None:
    with pytest.raises(ModelError, match=r"half of the 100 calibration scores are 0,.*percentile or target_far"):
        fit_threshold(IqrConfig(), calibration_of([0.0] * 90 + [5.0] * 10))


def test_logarithms_of_0_are_refused() -> None:
    with pytest.raises(ModelError, match=r"received 1 of 5 calibration scores at or below 0.*log: false"):
        fit_threshold(IqrConfig(log=True), calibration_of([0.0, 1.0, 2.0, 3.0, 4.0]))
