"""Intervals of shares against published values, coverage and limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.evaluation.intervals import clopper_pearson, clustered_rate, lower_bound, rate, upper_bound


def test_clopper_pearson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for count, total in [(0, 10), (3, 10), (10, 10), (35, 91), (13, 91), (235, 23_526)]:
        expected = binomtest(count, total).proportion_ci(0.95, method="exact")
        assert clopper_pearson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_is_known_without_trials() -> None:
    assert clopper_pearson(0, 0) == pytest.approx((0, 1))
    assert rate(0, 0).value is None


def test_no_success_in_n_trials_follows_the_rule_of_three() -> None:
    assert upper_bound(0, 300, 0.95) == pytest.approx(3 / 300, rel=0.01)
    assert lower_bound(0, 300, 0.95) == 0


@settings(deadline=None)
@given(total=st.integers(1, 500), data=st.data())
def test_an_interval_covers_the_measured_share_and_mirrors_when_success_and_failure_swap(
    total: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, total))
    low, high = clopper_pearson(count, total)
    mirrored_low, mirrored_high = clopper_pearson(total - count, total)
    assert 0 <= low <= count / total + 1e-12
    assert count / total - 1e-12 <= high <= 1
    assert (float(low), float(high)) == pytest.approx((1 - mirrored_high, 1 - mirrored_low), abs=1e-9)


def test_clopper_pearson_covers_at_least_what_it_states() -> None:
    from scipy.stats import binom

    counts = np.arange(92)
    for share in (0.02, 0.1, 0.38, 0.5):
        weights = binom.pmf(counts, 91, share)
        low, high = clopper_pearson(counts, 91)
        assert weights[(low <= share) & (share <= high)].sum() >= 0.95


def test_windows_that_always_agree_within_an_entity_count_as_one() -> None:
    alarmed = np.arange(400) < 20
    clustered = clustered_rate(alarmed * 4, np.full(400, 4))
    assert clustered.value == rate(20, 400).value
    assert clustered.effective_total == pytest.approx(400, rel=0.01)
    assert (clustered.low, clustered.high) == pytest.approx((rate(20, 400).low, rate(20, 400).high), rel=0.02)


def test_independent_windows_count_fully_though_entities_have_several() -> None:
    alarms = np.random.default_rng(5).random((2_000, 4)) < 0.05
    clustered = clustered_rate(alarms.sum(axis=1), np.full(2_000, 4))
    assert clustered.effective_total == pytest.approx(8_000, rel=0.08)


def test_without_any_alarm_each_entity_counts_as_one_trial() -> None:
    clustered = clustered_rate(np.zeros(100), np.full(100, 4))
    assert (clustered.count, clustered.total, clustered.effective_total) == (0, 400, 100)
    assert clustered.high == pytest.approx(rate(0, 100).high)


def test_the_interval_of_clustered_trials_covers_the_true_share_where_the_naive_one_does_not() -> None:
    generator = np.random.default_rng(11)
    share, entities, windows, covered, naive = 0.05, 300, 6, 0, 0
    for _ in range(300):
        sick = generator.random(entities) < share
        counts = sick * windows
        clustered, plain = (
            clustered_rate(counts, np.full(entities, windows)),
            rate(int(counts.sum()), entities * windows),
        )
        covered += clustered.low <= share <= clustered.high
        naive += plain.low <= share <= plain.high
    assert covered / 300 >= 0.93
    assert naive / 300 < 0.75
