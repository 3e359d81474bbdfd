"""How features are scaled."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import TrainingData, fit, load_detector, windows_of
from ae_assets.detectors.config import DetectorConfig, IsolationForestConfig, PcaConfig
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.settings import Fill, Preprocessing, Scaling
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import DENSE, fleet, split
from ae_assets_tests.detectors.fleets import NAMES as NAMES_OF_FLEET

NAMES = ("disk_level", "disk_magnitude", "disk_active")


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def fitted(values: np.ndarray, names: Sequence[str] = (), **settings: Any) -> Scaler:
    return Scaler.fit(
        values, Preprocessing.model_validate(settings), names or [f"x{place}" for place in range(values.shape[1])]
    )


def test_centre_and_scale_are_median_and_interquartile_range() -> None:
    values = np.random.default_rng(0).normal(5, 2, (20_000, 1)).astype(np.float32)
    scaler = fitted(values)
    np.testing.assert_allclose([scaler.centre[0], scaler.scale[0]], [5, 2], rtol=0.03)


def test_the_other_kinds_of_scaling_are_mean_and_standard_deviation_and_median_and_range() -> None:
    values = np.random.default_rng(0).exponential(2, (1_001, 1)).astype(np.float32)
    standard, by_range = (fitted(values, scaling=scaling) for scaling in ("standard", "min_max"))
    np.testing.assert_allclose([standard.centre[0], standard.scale[0]], [values.mean(), values.std()], rtol=1e-5)
    np.testing.assert_allclose([by_range.centre[0], by_range.scale[0]], [np.median(values), np.ptp(values)], rtol=1e-6)
    by_range.apply(values)
    assert np.ptp(values) == np.float32(1)


@pytest.mark.parametrize("scaling", ["robust", "standard", "min_max"])
def test_a_feature_that_is_constant_or_never_known_keeps_its_units(scaling: Scaling) -> None:
    scaler = fitted(np.array([[3, np.nan]] * 5, np.float32), scaling=scaling)
    assert scaler.centre.tolist() == [3, 0]
    assert scaler.scale.tolist() == [1, 1]


def test_a_counter_that_is_0_on_most_drives_falls_back_to_its_standard_deviation() -> None:
    values = column(*[0.0] * 99, 10.0)
    assert fitted(values).scale[0] == np.float32(values.astype(np.float64).std())


def test_missing_and_infinite_values_do_not_reach_the_fit() -> None:
    clean, dirty = column(1, 2, 3, 4, 5), column(1, np.nan, 2, 3, np.inf, 4, 5, -np.inf)
    assert fitted(clean).to_json() == fitted(dirty).to_json()


def test_scaled_values_are_clipped_and_missing_ones_stay_missing() -> None:
    values = column(-1e9, 0, 1e9, np.nan, np.inf)
    Scaler(np.zeros(1, np.float32), np.ones(1, np.float32), 10).apply(values)
    np.testing.assert_array_equal(values[:, 0], [-10, 0, 10, np.nan, np.nan])


def test_json_keeps_every_bit() -> None:
    plain = {"clip": 3.5}
    whole: dict[str, Any] = {**plain, "fill": "mean", "magnitude_percentile": 90, "sparse_share": 0.5}
    for settings in (plain, whole):
        scaler = fitted(np.random.default_rng(0).normal(size=(99, 3)).astype(np.float32), NAMES, **settings)
        again = Scaler.from_json(json.loads(json.dumps(scaler.to_json(), allow_nan=False)))
        assert again.clip == scaler.clip
        assert again.to_arrays().keys() == scaler.to_arrays().keys()
        for name, row in again.to_arrays().items():
            assert row.tobytes() == scaler.to_arrays()[name].tobytes()


@pytest.mark.parametrize("scaling", ["robust", "standard", "min_max"])
@pytest.mark.parametrize(("fill", "usual"), [("median", 2.0), ("mean", 7.0)])
def test_a_missing_value_counts_as_the_median_or_the_mean_of_the_training_rows(
    scaling: Scaling, fill: Fill, usual: float
) -> None:
    values = column(1, 2, 2, 2, 28, np.nan)
    scaler = fitted(values, scaling=scaling, fill=fill)
    given = column(np.nan, np.inf, usual)
    scaler.apply(given)
    assert given[0] == given[1] == pytest.approx(given[2])
    assert (given[2] == 0) == (fill == ("mean" if scaling == "standard" else "median"))


def test_without_a_fill_a_missing_value_counts_for_nothing() -> None:
    values = column(1, np.nan)
    fitted(values).apply(values)
    assert np.isnan(values[1])


def test_magnitudes_are_cut_at_the_percentile_of_those_that_are_not_0() -> None:
    train = np.zeros((1_000, 3), np.float32)
    train[:100] = np.arange(1, 101, dtype=np.float32)[:, None] * [1, -1, 1]
    scaler = fitted(train, NAMES, scaling="min_max", magnitude_percentile=50, clip=1e6)
    values = np.array([[100, 100, 100], [-1e9, -1e9, -1e9], [0, 0, 0], [np.nan] * 3], np.float32)
    scaler.apply(values)
    np.testing.assert_allclose(values[:, 1], [1, -1, 0, np.nan])  # at 50.5, the range of the training rows
    assert values[1, 0] == -1e6
    untouched = fitted(train * 0, NAMES, magnitude_percentile=50)
    assert untouched.limit is not None
    assert untouched.limit[1] == np.finfo(np.float32).max


@pytest.mark.parametrize(("zeros", "used"), [(50, [False, True, True]), (49, [True, False, False])])
def test_an_attribute_that_is_mostly_0_counts_by_magnitude_and_activity_another_by_its_level(
    zeros: int, used: list[bool]
) -> None:
    train = np.full((100, 3), 5, np.float32)
    train[:zeros] = 0
    train[:, 2] = train[:, 2] != 0
    scaler = fitted(train, NAMES, sparse_share=0.5, fill="median")
    assert scaler.is_used is not None
    assert scaler.is_used.tolist() == used
    values = np.array([[5, 5, 1], [np.nan] * 3], np.float32)
    scaler.apply(values)
    assert np.isfinite(values).tolist() == [used, used]
    assert fitted(train[:, 2:], NAMES[2:], sparse_share=0.5).is_used is None


def test_an_indicator_stays_0_or_1() -> None:
    values = np.array([[0.0], [0.0], [0.0], [1.0]], np.float32)
    fitted(values, ["disk_active"]).apply(values)
    assert values[:, 0].tolist() == [0, 0, 0, 1]


def sparse_fleet(seed: int) -> pl.DataFrame:
    """A fleet with a metric that is 0 in three quarters of the records."""
    size = pl.col(NAMES_OF_FLEET[0]).abs() * 100
    disk = pl.when(pl.col(NAMES_OF_FLEET[1]) > 0.7).then(size).when(pl.col(NAMES_OF_FLEET[1]).is_not_null()).then(0.0)
    made = {"level": disk, "magnitude": disk.log1p(), "active": (disk > 0).cast(pl.Float32)}
    names = NAMES_OF_FLEET[2:]
    return fleet(seed=seed).select(
        "day", "entity", "cohort", "label", *names, *(one.alias(f"disk_{name}") for name, one in made.items())
    )


@pytest.mark.parametrize("config", [DENSE, PcaConfig(), IsolationForestConfig(trees=5)], ids=lambda one: one.type)
def test_what_is_fitted_is_stored_and_a_filled_value_is_judged_as_one_that_was_measured(
    config: DetectorConfig, tmp_path: Path
) -> None:
    settings = {"fill": "median", "magnitude_percentile": 90, "sparse_share": 0.5, "scaling": "standard"}
    config = config.model_copy(update={**settings, **({"epochs": 1} if "epochs" in type(config).model_fields else {})})
    train, table = sparse_fleet(0), sparse_fleet(5)
    names = [name for name in train.columns if name not in ("day", "entity", "cohort", "label")]
    windows = windows_of(train, names, config.window)
    held_out = windows.keys()["entity"].to_numpy() >= "E030"
    detector = fit(config, TrainingData(windows, np.zeros(len(windows), np.bool_), held_out))
    scores = detector.explain(windows_of(table, names, config.window))
    learned = windows.keys()["entity"].to_numpy() < "E030"
    median = np.nanmedian(windows.values[windows.last_row[learned]], axis=0)
    measured = [pl.col(name).fill_null(value) for name, value in zip(names, median.tolist(), strict=True)]
    again = detector.explain(windows_of(table.with_columns(measured), names, config.window))
    np.testing.assert_allclose(again.score, scores.score, rtol=1e-5)
    of_other_level, wild, wilder = (
        detector.score(windows_of(table.with_columns(pl.lit(size).alias(name)), names, config.window)).tobytes()
        for name, size in (("disk_level", 1e6), ("disk_magnitude", 1e3), ("disk_magnitude", 1e6))
    )
    assert of_other_level == scores.score.tobytes()
    assert wild == wilder != scores.score.tobytes()
    detector.save(tmp_path)
    assert load_detector(tmp_path).score(windows_of(table, names, config.window)).tobytes() == scores.score.tobytes()


def test_a_network_looks_at_the_features_that_it_is_told(tmp_path: Path) -> None:
    config = DENSE.model_copy(update={"features": NAMES_OF_FLEET[:2], "epochs": 1})
    detector = fit(config, split(config, fleet()))
    windows = windows_of(fleet(seed=5), NAMES_OF_FLEET)
    scores = detector.explain(windows)
    assert (scores.contributions > 0).any(axis=0).tolist() == [True] * 2 + [False] * 7
    assert detector.evidence == NAMES_OF_FLEET[:2]
    others = windows_of(fleet(seed=5).with_columns(pl.lit(9.0).alias(NAMES_OF_FLEET[2])), NAMES_OF_FLEET)
    assert detector.score(others).tobytes() == scores.score.tobytes()
    with pytest.raises(ModelError, match="which the table lacks"):
        fit(config.model_copy(update={"features": ("torque",)}), split(config, fleet()))
