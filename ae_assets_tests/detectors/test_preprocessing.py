"""How features are scaled."""

import json

import numpy as np
import pytest

from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.settings import Scaling


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_centre_and_scale_are_median_and_interquartile_range() -> None:
    values = np.random.default_rng(0).normal(5, 2, (20_000, 1)).astype(np.float32)
    scaler = Scaler.fit(values, 10)
    np.testing.assert_allclose([scaler.centre[0], scaler.scale[0]], [5, 2], rtol=0.03)


def test_the_other_kinds_of_scaling_are_mean_and_standard_deviation_and_median_and_range() -> None:
    values = np.random.default_rng(0).exponential(2, (1_001, 1)).astype(np.float32)
    standard, by_range = (Scaler.fit(values, 10, scaling) for scaling in ("standard", "min_max"))
    np.testing.assert_allclose([standard.centre[0], standard.scale[0]], [values.mean(), values.std()], rtol=1e-5)
    np.testing.assert_allclose([by_range.centre[0], by_range.scale[0]], [np.median(values), np.ptp(values)], rtol=1e-6)
    by_range.apply(values)
    assert np.ptp(values) == np.float32(1)


@pytest.mark.parametrize("scaling", ["robust", "standard", "min_max"])
def test_a_feature_that_is_constant_or_never_known_keeps_its_units(scaling: Scaling) -> None:
    scaler = Scaler.fit(np.array([[3, np.nan]] * 5, np.float32), 10, scaling)
    assert scaler.centre.tolist() == [3, 0]
    assert scaler.scale.tolist() == [1, 1]


def test_a_counter_that_is_0_on_most_drives_falls_back_to_its_standard_deviation() -> None:
    values = column(*[0.0] * 99, 10.0)
    assert Scaler.fit(values, 10).scale[0] == np.float32(values.astype(np.float64).std())


def test_missing_and_infinite_values_do_not_reach_the_fit() -> None:
    clean, dirty = column(1, 2, 3, 4, 5), column(1, np.nan, 2, 3, np.inf, 4, 5, -np.inf)
    assert Scaler.fit(clean, 10).to_json() == Scaler.fit(dirty, 10).to_json()


def test_scaled_values_are_clipped_and_missing_ones_stay_missing() -> None:
    values = column(-1e9, 0, 1e9, np.nan, np.inf)
    Scaler(np.zeros(1, np.float32), np.ones(1, np.float32), 10).apply(values)
    np.testing.assert_array_equal(values[:, 0], [-10, 0, 10, np.nan, np.nan])


def test_json_keeps_every_bit() -> None:
    scaler = Scaler.fit(np.random.default_rng(0).normal(size=(99, 7)).astype(np.float32), 3.5)
    again = Scaler.from_json(json.loads(json.dumps(scaler.to_json())))
    np.testing.assert_array_equal(again.centre, scaler.centre)
    np.testing.assert_array_equal(again.scale, scaler.scale)
    assert again.clip == scaler.clip
