"""The failures to be expected after calibration: their rate is right on average, and they score as those before did."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from ae_assets.thresholds.failures import KnownFailures
from ae_assets_tests.thresholds.scores import START, failing_of, panel_of, with_failures

HEALTHY = panel_of(np.zeros((5, 30)))


def known_on(days: list[int], scores: list[float]) -> KnownFailures:
    """Entities that fail on these days of calibration with these scores, the last of them a day before the failure."""
    failing = [
        failing_of(np.array([scores]), START + timedelta(days=day - 1), f"failed-{number}-")
        for number, day in enumerate(days)
    ]
    return KnownFailures.of(with_failures(HEALTHY, pl.concat(failing)))


@pytest.mark.parametrize("expected", [0.5, 2.0, 20.0])
def test_the_rate_of_failures_is_right_on_average_however_few_are_known(expected: float) -> None:
    generator = np.random.default_rng(8)
    rates = []
    for _ in range(200):
        days = generator.integers(0, 30, generator.poisson(expected)).tolist()
        rates += [known_on(days, [1.0]).failures_a_day] if days else []
    assert np.mean(rates) == pytest.approx(expected / 30, abs=3 * np.std(rates) / np.sqrt(len(rates)))


def test_a_single_failure_says_nothing_of_the_rate() -> None:
    known = known_on([29], [1.0, 2.0])
    assert (known.failed_entities, known.later_failures, known.failures_a_day) == (1, 0, 0.0)
    assert float(known.to_come(30).over(0.0)) == 0.0


def test_failures_to_come_score_as_known_ones_did_on_the_days_before_them_that_are_seen() -> None:
    # High from the 10th to the 8th day before the failure: seen for 3 days by those that fail 6 to 10 days from now.
    known = known_on([9, 19, 29], [9.0, 9.0, 9.0, *[0.0] * 7])
    assert known.failures_a_day == 2 / 20
    assert float(known.to_come(3).over(5.0)) == pytest.approx(5 * 2 / 20)
    assert float(known.to_come(1).over(5.0)) == pytest.approx(3 * 2 / 20)
    assert float(known.to_come(30).over(5.0)) == pytest.approx(10 * 2 / 20)
    assert float(known.to_come(3).over(9.0)) == 0.0


@pytest.mark.parametrize(("failures", "spread"), [(2, 1.0), (26, 0.2)])
def test_the_rate_of_failures_is_the_better_known_the_more_there_are(failures: int, spread: float) -> None:
    factors = known_on(list(range(failures)), [1.0]).likely_factors()
    assert np.mean(factors) == pytest.approx(1, abs=0.03)
    assert np.std(factors) == pytest.approx(spread, rel=0.15)
