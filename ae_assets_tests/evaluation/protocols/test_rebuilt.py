"""The percentage error of what is rebuilt, by hand: what is near zero or unknown does not count."""

import numpy as np
import pytest

from ae_assets.evaluation.protocols.rebuilt import rebuilt_figures

NAN = np.nan
ENTITIES = ["a", "a", "b", "b"]


def test_the_error_is_the_mean_share_of_the_values_that_count() -> None:
    values = np.array([[10.0, 100], [20, NAN], [-10, 100], [10, 100]])
    expected = np.array([[11.0, 100], [15, 5], [-10, NAN], [10, 150]])
    found = rebuilt_figures(values, expected, ENTITIES, ("x", "y"))
    assert found is not None
    # x: 10%, 25%, 0%, 0%; y: 0%, 50%
    assert found.error.value == pytest.approx(0.85 / 6)
    assert (found.counted, found.records) == (1.0, 4)
    assert {name: pair[0] for name, pair in found.features.items()} == pytest.approx({"y": 0.25, "x": 0.35 / 4})
    assert list(found.features) == ["y", "x"]
    # the medians are 10 and 100: x is off by 0%, 50%, 200%, 0%
    assert found.of_constant == pytest.approx(2.5 / 6)


def test_a_value_below_a_tenth_of_the_median_size_does_not_count() -> None:
    values, expected = np.array([[10.0], [0.99], [1.0], [0.0]]) * [1, 1], np.zeros((4, 2))
    values[:, 0] += [0, 9, 9, 10]
    found = rebuilt_figures(values, expected, ENTITIES, ("x", "y"))
    assert found is not None
    # y has a median of 0.995: all but its zero count, each off by 100%
    assert found.counted == 7 / 8
    assert found.error.value == 1.0


def test_a_feature_that_is_mostly_zero_has_no_percentage() -> None:
    values = np.array([[0.0, 1], [0, 1], [0, 1], [7, 1]])
    found = rebuilt_figures(values, values * 1.5, ENTITIES, ("x", "y"))
    assert found is not None
    assert found.features == {"y": (0.5, 0.0)}
    assert found.counted == 0.5
    assert (found.error.low, found.error.high) == (0.5, 0.5)


@pytest.mark.parametrize("expected", [np.full((4, 2), NAN), np.full((4, 2), np.inf)])
def test_who_expects_nothing_has_no_error(expected: np.ndarray) -> None:
    assert rebuilt_figures(np.ones((4, 2)), expected, ENTITIES, ("x", "y")) is None
    assert rebuilt_figures(np.zeros((4, 2)), np.ones((4, 2)), ENTITIES, ("x", "y")) is None
