"""What one detector gains on another, and by how much chance would let it."""

import numpy as np
import pytest

from ae_assets.evaluation.gain import Ranked, gain_in_average_precision, gain_over_seeds
from ae_assets.evaluation.protocols.curves import average_precision

RANDOM = np.random.default_rng(0)
ABNORMAL = RANDOM.random(3000) < 0.05
GROUP = np.arange(3000) // 30
NOISE = RANDOM.normal(size=3000)


def test_a_better_ranking_is_beyond_chance_and_the_figures_are_those_of_the_protocol() -> None:
    better = NOISE + 2 * ABNORMAL
    gain = gain_in_average_precision([Ranked(ABNORMAL, NOISE, better, GROUP)])
    assert gain.before == pytest.approx(average_precision(ABNORMAL, NOISE))
    assert gain.after == pytest.approx(average_precision(ABNORMAL, better))
    assert gain.low < gain.difference < gain.high
    assert gain.is_beyond_chance


def test_another_draw_of_the_same_ranking_is_within_chance() -> None:
    first, second = (np.random.default_rng(seed).normal(size=3000) + ABNORMAL for seed in (1, 2))
    assert not gain_in_average_precision([Ranked(ABNORMAL, first, second, GROUP)]).is_beyond_chance


def test_the_same_scores_gain_nothing_whatever_is_drawn() -> None:
    gain = gain_in_average_precision([Ranked(ABNORMAL, NOISE, 2 * NOISE, GROUP)])
    assert (gain.difference, gain.low, gain.high) == (0, 0, 0)


def test_equal_scores_and_records_that_are_not_judged_are_taken_together() -> None:
    score = np.where(RANDOM.random(3000) < 0.3, -np.inf, np.round(NOISE + ABNORMAL))
    gain = gain_in_average_precision([Ranked(ABNORMAL, score, score[::-1].copy(), GROUP)], resamples=20)
    assert gain.before == pytest.approx(average_precision(ABNORMAL, score))


def test_seeds_that_agree_are_beyond_chance_and_those_that_do_not_are_within() -> None:
    before = np.array([0.5, 0.52, 0.48, 0.51, 0.49])
    assert gain_over_seeds(before, before + np.array([0.1, 0.11, 0.09, 0.1, 0.1])).is_beyond_chance
    mixed = gain_over_seeds(before, before + np.array([0.1, -0.11, 0.09, -0.1, 0.1]))
    assert not mixed.is_beyond_chance
    assert mixed.difference == pytest.approx(0.016)


def test_stretches_are_ranked_apart_and_many_comparisons_widen_the_interval() -> None:
    better, half = NOISE + 0.7 * ABNORMAL, GROUP < 50
    shifted = [np.where(half, score, score + 100) for score in (NOISE, better)]
    parts = [
        Ranked(ABNORMAL[part], *(score[part] for score in shifted), GROUP[part] - GROUP[part].min())
        for part in (half, ~half)
    ]
    gain, many = (gain_in_average_precision(parts, comparisons=count) for count in (1, 12))
    expected = np.mean([average_precision(ABNORMAL[part], better[part]) for part in (half, ~half)])
    assert gain.after == many.after == pytest.approx(expected)
    assert many.low < gain.low < gain.high < many.high
