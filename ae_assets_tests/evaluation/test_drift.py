"""The population stability index against a calibration curve."""

import numpy as np
import pytest

from ae_assets.evaluation.drift import population_stability_index
from ae_assets.thresholds import CalibrationCurve
from ae_assets_tests.thresholds.scores import calibration_of

GENERATOR = np.random.default_rng(1)
CURVE = CalibrationCurve.of(calibration_of(GENERATOR.normal(size=50_000).tolist()))


def index(scores: np.ndarray) -> float:
    return population_stability_index(scores, CURVE.scores, CURVE.tail_probabilities)


def test_scores_like_those_of_calibration_have_an_index_near_0() -> None:
    assert index(GENERATOR.normal(size=20_000)) == pytest.approx(0, abs=0.005)


def test_a_shift_by_one_standard_deviation_gives_the_index_of_theory() -> None:
    # The index of ten equal bins is close to the symmetrised Kullback-Leibler divergence, 1 for a shift by 1.
    assert 0.7 < index(GENERATOR.normal(1.0, size=20_000)) < 1.05


def test_a_larger_shift_has_a_larger_index_whatever_its_direction() -> None:
    scores = GENERATOR.normal(size=20_000)
    assert index(scores + 0.2) < index(scores + 0.5) < index(scores + 2.0)
    assert index(scores - 0.2) < index(scores - 0.5) < index(scores - 2.0)


def test_ties_are_no_drift() -> None:
    rule = CalibrationCurve.of(calibration_of([0.0] * 9_500 + [1.0] * 300 + [2.0] * 200))
    same = np.repeat([0.0, 1.0, 2.0], [950, 30, 20])
    assert population_stability_index(same, rule.scores, rule.tail_probabilities) == pytest.approx(0, abs=0.001)
