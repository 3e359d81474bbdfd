"""The percentile policy keeps the row rate it promises."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ae_assets.thresholds.percentile import PercentileConfig
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.thresholds.scores import calibration_of

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@settings(deadline=None)
@given(scores=st.lists(FINITE, min_size=1, max_size=200), percentile=st.floats(0.1, 99.99))
def test_no_more_rows_lie_above_the_cut_than_the_percentile_allows_even_with_ties(
    scores: list[float], percentile: float
) -> None:
    rounded = [round(score, -4) for score in scores]
    threshold = fit_threshold(PercentileConfig(percentile=percentile), calibration_of(rounded))

    alarms = sum(score > threshold.cut for score in rounded)
    assert alarms <= len(rounded) * (1 - percentile / 100) + 1e-9


@settings(deadline=None)
@given(scores=st.lists(FINITE, min_size=2, max_size=200), percentile=st.floats(0.1, 90))
def test_a_higher_percentile_never_lowers_the_cut(scores: list[float], percentile: float) -> None:
    calibration = calibration_of(scores)
    lower = fit_threshold(PercentileConfig(percentile=percentile), calibration)
    higher = fit_threshold(PercentileConfig(percentile=percentile + 9), calibration)
    assert higher.cut >= lower.cut


def test_the_cut_is_the_lowest_score_that_keeps_the_promise() -> None:
    threshold = fit_threshold(
        PercentileConfig(percentile=99), calibration_of([float(score) for score in range(1, 1001)])
    )
    assert threshold.cut == 990.0


def test_the_order_of_calibration_rows_is_irrelevant() -> None:
    calibration = calibration_of([0.3, 5.0, 1.0, 1.0, 9.0, 2.0])
    shuffled = calibration.sample(fraction=1, shuffle=True, seed=3)
    assert fit_threshold(PercentileConfig(percentile=80), calibration) == fit_threshold(
        PercentileConfig(percentile=80), shuffled
    )


@pytest.mark.parametrize("percentile", [0, 100, -1, 101])
def test_a_percentile_outside_0_to_100_is_refused(percentile: float) -> None:
    with pytest.raises(ValidationError, match="percentile"):
        PercentileConfig(percentile=percentile)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="quantile"):
        PercentileConfig.model_validate({"policy": "percentile", "quantile": 0.9})


def test_scores_of_single_precision_are_accepted() -> None:
    calibration = calibration_of([1.0, 2.0, 3.0]).cast({"score": pl.Float32})
    assert fit_threshold(PercentileConfig(percentile=50), calibration).cut == 2.0
