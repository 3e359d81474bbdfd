"""The share of entities with an alarm within a window: exact where calibration is long enough, a bound where not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import ModelError
from ae_assets.thresholds.windows import Steps, WindowedMaxima
from ae_assets_tests.thresholds.scores import autoregressive, panel_of


def share_with_an_alarm(scores: np.ndarray, cut: float) -> float:
    return float((scores.max(axis=1) > cut).mean())


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 5).map(float), st.sampled_from([-0.5, 1.0, 1.5])), max_size=30),
    cut=st.integers(-1, 6).map(float),
)
def test_steps_add_up_the_weights_strictly_above_a_cut(steps: list[tuple[float, float]], cut: float) -> None:
    levels, weights = np.array([s[0] for s in steps]), np.array([s[1] for s in steps])
    assert float(Steps.of(levels, weights).over(cut)) == pytest.approx(sum(w for v, w in steps if v > cut))


@pytest.mark.parametrize("days", [30, 45, 60, 89])
def test_calibration_as_long_as_the_window_is_tiled_from_its_last_day(days: int) -> None:
    scores = autoregressive(300, days, 4, memory=0.7)
    maxima = WindowedMaxima.of(panel_of(scores), 30)
    windows = [scores[:, days - 30 * (number + 1) : days - 30 * number] for number in range(days // 30)]
    for cut in (0.0, 1.5, 2.5):
        assert maxima.alarmed.over(cut) / len(maxima.highest) == pytest.approx(
            np.mean([share_with_an_alarm(window, cut) for window in windows])
        )
    assert maxima.largest_weight == 1.0


def test_an_entity_that_is_always_over_the_cut_counts_once_and_one_that_is_once_over_it_counts_in_full() -> None:
    always, once, never = np.full((1, 20), 5.0), np.zeros((1, 20)), np.zeros((1, 20))
    once[0, 3] = 5.0
    maxima = WindowedMaxima.of(panel_of(np.concatenate([always, once, never])), 30)
    assert float(maxima.alarmed.over(4.0)) == pytest.approx(1 + 30 / 20)
    assert float(maxima.alarmed.over(5.0)) == 0.0
    assert maxima.growth(4.0) == pytest.approx((1 + 30 / 20) / 2)


@pytest.mark.parametrize(("memory", "spread"), [(0.0, 0.0), (0.9, 0.0), (0.5, 0.7), (0.95, 0.9)])
@pytest.mark.parametrize("days", [12, 23])
def test_a_shorter_calibration_bounds_the_share_within_the_window_and_not_by_much(
    days: int, memory: float, spread: float
) -> None:
    scores = autoregressive(40_000, 30, 8, memory=memory, spread=spread)
    maxima = WindowedMaxima.of(panel_of(scores[:, :days]), 30)
    cut = float(np.quantile(scores.max(axis=1), 0.98))
    observed, estimate = share_with_an_alarm(scores[:, :days], cut), float(maxima.alarmed.over(cut)) / 40_000
    truth = share_with_an_alarm(scores, cut)
    # 800 entities of 40,000 are over the cut within 30 days: 3 standard errors are 11%.
    assert 0.89 * truth < estimate < (1.4 if days == 12 else 1.2) * truth
    assert observed < estimate <= 30 / days * observed


def test_a_calibration_too_short_for_the_window_is_refused() -> None:
    with pytest.raises(ModelError, match=r"calibration holds 9 days.*at least 10; set calibration.days"):
        WindowedMaxima.of(panel_of(np.zeros((3, 9))), 30)
    with pytest.raises(ModelError, match="at least 2"):
        WindowedMaxima.of(panel_of(np.zeros((3, 1))), 2)
