"""What the fitted baselines and the rules find, and that each is the method that it is named after."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ae_assets.detectors import Windows, fit, load_detector, windows_of
from ae_assets.detectors.config import (
    CounterRuleConfig,
    DetectorConfig,
    EcodConfig,
    GradientBoostingConfig,
    GrowthRuleConfig,
    IsolationForestConfig,
    KMeansConfig,
    PcaConfig,
)
from ae_assets.detectors.paths import Trees
from ae_assets.errors import ModelError
from ae_assets_tests.detectors import simulated as invented
from ae_assets_tests.detectors.fleets import BASELINES, FEATURES, NAMES, fit_on, fitted, fleet, split, with_values
from ae_assets_tests.detectors.simulated import SimulatedFleet

WEAR = tuple(name for name in invented.NAMES if name.endswith("growth_7d"))
FINDS_WORN_DRIVES: dict[str, DetectorConfig] = {
    "counter_rule": CounterRuleConfig(features=("smart_5_level", "smart_197_level")),
    "growth_rule": GrowthRuleConfig(features=WEAR),
    "pca": PcaConfig(),
    "kmeans": KMeansConfig(),
    "isolation_forest": IsolationForestConfig(),
    "ecod": EcodConfig(),
    "gradient_boosting": GradientBoostingConfig(trees=40),
}
FINDS_ODD_ATTRIBUTES = [
    PcaConfig(),
    KMeansConfig(),
    IsolationForestConfig(windows_per_tree=1024),
    EcodConfig(),
    GradientBoostingConfig(trees=40),
]


def ranked_above(high: NDArray[np.float32], low: NDArray[np.float32]) -> float:
    """Share of pairs in which the first scores higher, ties counted half: the area under the ROC curve."""
    below = np.searchsorted(np.sort(low), high, "left") + np.searchsorted(np.sort(low), high, "right")
    return float(below.mean() / 2 / len(low))


def rows_of(values: NDArray[np.float32]) -> Windows:
    """A window of one day for each row of values (rows, FEATURES), each of a drive of its own."""
    table = pl.DataFrame(values.astype(np.float32), schema=list(NAMES)).fill_nan(None)
    keys = {"day": pl.lit(invented.SimulatedSource(invented.LOCATION).span()[0]), "cohort": pl.lit("one")}
    entity = pl.Series("entity", [f"E{number:06d}" for number in range(len(values))])
    return windows_of(table.with_columns(**keys).with_columns(entity), NAMES)


def normal(rows: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, FEATURES)).astype(np.float32)


def correlated(rows: int, seed: int) -> NDArray[np.float32]:
    """Features that follow three hidden causes."""
    return normal(rows, seed)[:, :3] @ normal(3, 9) + 0.3 * normal(rows, seed + 100)


@pytest.mark.parametrize("name", FINDS_WORN_DRIVES)
def test_worn_drives_of_the_simulated_fleet_rank_above_healthy_ones(name: str, simulated: SimulatedFleet) -> None:
    detector = fit_on(FINDS_WORN_DRIVES[name], simulated.train, simulated.validation, failing=simulated.failing)
    worn, healthy = detector.explain(simulated.worn), detector.explain(simulated.healthy)
    assert len(worn.score) >= 8
    assert ranked_above(worn.score, healthy.score) > 0.95
    counters = [column for column, feature in enumerate(detector.feature_names) if feature.startswith("smart_")]
    assert np.isin(worn.contributions.argmax(axis=1), counters).all()


@pytest.mark.parametrize("config", FINDS_ODD_ATTRIBUTES, ids=lambda config: config.type)
def test_the_attribute_that_leaves_its_course_comes_out_on_top(config: DetectorConfig) -> None:
    worn, strange = correlated(400, 1), correlated(400, 3)
    worn[:, 4] += 20
    detector = fit_on(config, rows_of(correlated(4000, 0)), rows_of(worn), failing=rows_of(worn))
    before = detector.score(rows_of(strange))
    strange[:, 4] += 20
    after = detector.explain(rows_of(strange))
    assert (after.score > before).mean() > 0.95
    assert (after.contributions.argmax(axis=1) == 4).mean() > 0.9


@pytest.mark.parametrize("name", ["pca", "kmeans", "ecod"])
def test_a_missing_value_adds_nothing(name: str) -> None:
    detector = fitted(BASELINES[name])
    windows = windows_of(fleet(seed=5), NAMES)
    scores = detector.explain(windows)
    assert np.isnan(windows.values).any()
    assert not scores.contributions[np.isnan(windows.values)].any()
    assert not detector.score(with_values(windows, np.full_like(windows.values, np.nan))).any()


@pytest.mark.parametrize("name", BASELINES)
def test_only_the_features_of_the_config_are_looked_at(name: str) -> None:
    config = BASELINES[name].model_copy(update={"features": (NAMES[6], NAMES[1], NAMES[2])})
    detector = fitted(config)
    windows = windows_of(fleet(seed=5), NAMES)
    others = [column for column in range(FEATURES) if column not in {1, 2, 6}]
    strange = windows.values.copy()
    strange[:, others] = 1e6
    scores, same = detector.explain(windows), detector.explain(with_values(windows, strange))
    assert np.array_equal(scores.score, same.score)
    assert scores.contributions[:, [1, 2, 6]].any(axis=0).all()
    assert not scores.contributions[:, others].any()
    assert np.isnan(scores.expected[:, others]).all()


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_seed_gives_the_same_detector_and_another_sample_another(name: str) -> None:
    windows = windows_of(fleet(seed=5), NAMES)
    first, again, other = (
        fitted(BASELINES[name].model_copy(update={"max_windows": 200, "seed": seed})) for seed in (3, 3, 4)
    )
    assert 200 <= first.history.windows_seen < first.history.windows_available
    assert np.array_equal(first.score(windows), again.score(windows))
    assert not np.array_equal(first.score(windows), other.score(windows))


@pytest.mark.parametrize("name", BASELINES)
def test_a_feature_that_no_training_row_knows_is_left_out(name: str) -> None:
    lacking = fleet().with_columns(pl.lit(None, pl.Float32).alias(NAMES[5]))
    scores = fitted(BASELINES[name], lacking).explain(windows_of(fleet(seed=5), NAMES))
    assert not scores.contributions[:, 5].any()


@pytest.mark.parametrize("name", BASELINES)
def test_what_cannot_be_fitted_is_said(name: str) -> None:
    config = BASELINES[name]
    with pytest.raises(ModelError, match=rf"features of {name} name \['smart_5'\], which the table lacks"):
        fitted(config.model_copy(update={"features": ("smart_5", NAMES[0])}))
    with pytest.raises(ModelError, match=f"None of the features of {name} is known in any of .* training windows"):
        fitted(config, fleet().with_columns(pl.lit(None, pl.Float32).alias(feature) for feature in NAMES))
    data = split(config, fleet())
    with pytest.raises(ModelError, match="There are no training windows"):
        fit_on(config, data.train.take(np.zeros(0, np.int64)), data.validation, failing=data.train)


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "ecod"])
def test_a_library_that_is_not_installed_is_named_with_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sklearn.decomposition", "sklearn.cluster", "sklearn.ensemble", "lightgbm"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=r"pip install 'ae_assets\[baselines\]'"):
        fitted(BASELINES[name])


@pytest.mark.parametrize("name", BASELINES)
def test_a_file_that_is_damaged_or_missing_is_named(name: str, tmp_path: Path) -> None:
    detector = fitted(BASELINES[name])
    detector.save(tmp_path)
    file = "model.txt" if name == "gradient_boosting" else "arrays.npz"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([file, "preprocessing.json"])
    content = (tmp_path / file).read_bytes()
    for damaged in (content[: len(content) // 2], content[:-20] + b"x" + content[-19:], b""):
        (tmp_path / file).write_bytes(damaged)
        with pytest.raises(ModelError, match=f"{file} cannot be used"):
            load_detector(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(ModelError, match=f"{file} does not exist"):
        load_detector(tmp_path)


def test_pca_scores_are_the_squared_errors_of_scikit_learns_reconstruction() -> None:
    from sklearn.decomposition import PCA

    values, strange = normal(2000, 0) @ normal(FEATURES, 9), normal(500, 1) @ normal(FEATURES, 9) * 1.5
    detector = fit_on(PcaConfig(clip=1e6), rows_of(values), rows_of(values))
    strange[::7, 2] = np.nan  # counts as the median, and its own error is left out
    scaled, others = (_scaled(values, of).astype(np.float64) for of in (values, strange))
    plane = PCA(0.6).fit(scaled)
    on_plane = plane.inverse_transform(plane.transform(others))
    scores = detector.explain(rows_of(strange))
    errors = np.where(np.isnan(strange), 0, np.square(others - on_plane))
    np.testing.assert_allclose(scores.score, errors.sum(axis=1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(_scaled(values, scores.expected), on_plane, rtol=1e-3, atol=1e-3)


def test_pca_adds_up_hotellings_t2_and_q_in_units_that_one_of_twenty_training_rows_exceeds() -> None:
    from sklearn.decomposition import PCA

    values, strange = normal(2000, 0) @ normal(FEATURES, 9), normal(500, 1) @ normal(FEATURES, 9) * 1.5
    detector = fit_on(PcaConfig(clip=1e6, statistic="t2_and_q"), rows_of(values), rows_of(values))
    scaled, others = (_scaled(values, of).astype(np.float64) for of in (values, strange))
    plane = PCA(0.6).fit(scaled)

    def statistics(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        within = plane.transform(rows)
        off = rows - plane.inverse_transform(within)
        return (np.square(within) / plane.explained_variance_).sum(axis=1), np.square(off).sum(axis=1)

    units = [np.quantile(one, 0.95) for one in statistics(scaled)]
    expected = sum(one / unit for one, unit in zip(statistics(others), units, strict=True))
    scores = detector.explain(rows_of(strange))
    np.testing.assert_allclose(scores.score, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.score, rtol=1e-4)
    far_out = np.zeros((1, FEATURES)) + 1e3 * _unscaled(values, plane.components_[:1])
    assert detector.score(rows_of(far_out))[0] > 1e3  # in the plane, where Q is 0


def test_kmeans_scores_are_the_squared_distances_to_the_nearest_centre() -> None:
    centres = 10 * normal(3, 5)
    values = np.concatenate([centre + normal(500, seed) for seed, centre in enumerate(centres)])
    detector = fit_on(KMeansConfig(clusters=3, clip=1e6), rows_of(values), rows_of(values))
    strange = 10 * normal(300, 8)
    distances = np.square(_scaled(values, strange)[:, None] - _scaled(values, centres)[None]).sum(axis=2)
    scores = detector.explain(rows_of(strange))
    np.testing.assert_allclose(scores.score, distances.min(axis=1), rtol=0.05)
    second, first = -np.partition(-distances, 1, axis=1)[:, 1:].T
    clear = second > 1.2 * first
    assert np.abs(scores.expected - centres[distances.argmin(axis=1)])[clear].max() < 0.3


def test_isolation_forest_scores_are_those_of_scikit_learn() -> None:
    from sklearn.ensemble import IsolationForest

    values, strange = normal(2000, 0), 2 * normal(500, 1)
    strange[::7, 2] = np.nan  # counts as the median
    config = IsolationForestConfig(trees=25, windows_per_tree=128, clip=1e6)
    scores = fit_on(config, rows_of(values), rows_of(values)).explain(rows_of(strange))
    theirs = IsolationForest(n_estimators=25, max_samples=128, random_state=config.seed).fit(_scaled(values, values))
    np.testing.assert_allclose(scores.score, -theirs.score_samples(_scaled(values, strange)), rtol=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=2, max_size=40), st.integers(-6, 6))
def test_ecod_tails_are_those_of_the_training_rows(known: list[int], asked: int) -> None:
    values = normal(len(known), 0)
    values[:, 0] = known
    detector = fit_on(EcodConfig(features=NAMES[:1]), rows_of(values), rows_of(values))
    at_or_below, at_or_above = (np.asarray(known) <= asked).sum(), (np.asarray(known) >= asked).sum()
    rarest = -np.log((min(at_or_below, at_or_above) + 1) / (len(known) + 1))
    scores = detector.explain(rows_of(np.full((1, FEATURES), asked, np.float32)))
    assert scores.score[0] == pytest.approx(rarest, abs=1e-5)
    assert scores.expected[0, 0] == pytest.approx(np.median(known), abs=1e-5)


def test_ecod_takes_the_largest_of_the_three_sums_of_the_paper() -> None:
    train, asked = np.exp(normal(500, 0)), np.exp(2 * normal(200, 1))
    train[:, 3:6] *= -1
    asked[:, 3:6] *= -1
    left = -np.log(((train[None] <= asked[:, None]).sum(axis=1) + 1) / (len(train) + 1))
    right = -np.log(((train[None] >= asked[:, None]).sum(axis=1) + 1) / (len(train) + 1))
    long = np.where(((train - train.mean(axis=0)) ** 3).mean(axis=0) < 0, left, right)
    detector = fit_on(EcodConfig(), rows_of(train), rows_of(train))
    expected = np.max([tails.sum(axis=1) for tails in (left, right, long)], axis=0)
    np.testing.assert_allclose(detector.score(rows_of(asked)), expected, rtol=1e-5)


def test_ecod_keeps_few_values_and_errs_little_in_the_tails() -> None:
    train = normal(60_000, 0)
    detector = fit_on(EcodConfig(features=NAMES[:1]), rows_of(train), rows_of(train))
    asked = np.sort(normal(2000, 1)[:, :1], axis=0)
    rows = np.repeat(asked, FEATURES, axis=1)
    ranked = np.sort(train[:, 0])
    below, above = (np.searchsorted(ranked, asked[:, 0], side) for side in ("right", "left"))
    exact = -np.log((np.minimum(below, len(train) - above) + 1) / (len(train) + 1))
    error = exact - detector.score(rows_of(rows))
    assert error.min() > -0.03
    assert error.max() < 1e-4
    assert len(detector.packed()) < 20_000


def test_gradient_boosting_refuses_a_range_without_failures() -> None:
    data = split(BASELINES["gradient_boosting"], fleet())
    with pytest.raises(ModelError, match="no window inside the horizon before a known failure; train on a range"):
        fit(BASELINES["gradient_boosting"], data)


def test_gradient_boosting_refuses_windows_too_few_for_its_leaves() -> None:
    healthy, failing = rows_of(normal(150, 0)), rows_of(normal(40, 1) + 3)
    with pytest.raises(ModelError, match=r"split its 150 healthy and 40 failing windows.* min_windows_per_leaf is 200"):
        fit_on(GradientBoostingConfig(trees=5), healthy, healthy, failing=failing)
    enough = fit_on(GradientBoostingConfig(trees=5, min_windows_per_leaf=20), healthy, healthy, failing=failing)
    assert np.ptp(enough.score(healthy)) > 0


@pytest.mark.parametrize(("shuffled", "least", "most"), [(False, 0.97, 1.0), (True, 0.45, 0.55)])
def test_shuffled_labels_bring_gradient_boosting_to_chance(shuffled: bool, least: float, most: float) -> None:
    failing, healthy = normal(1000, 0), normal(4000, 1)
    failing[:, 3] += 3
    if shuffled:
        mixed = np.random.default_rng(2).permutation(np.concatenate([failing, healthy]))
        failing, healthy = mixed[:1000], mixed[1000:]
    train = slice(None, None, 2), slice(1, None, 2)
    detector = fit_on(
        GradientBoostingConfig(trees=30),
        rows_of(healthy[train[0]]),
        rows_of(healthy),
        failing=rows_of(failing[train[0]]),
    )
    scores = [detector.score(rows_of(rows[train[1]])) for rows in (failing, healthy)]
    assert least <= ranked_above(*scores) <= most


def test_gradient_boosting_scores_are_those_of_lightgbm() -> None:
    detector = fitted(BASELINES["gradient_boosting"])
    windows = windows_of(fleet(seed=5), NAMES)
    probability = detector.booster.predict(windows.values)
    np.testing.assert_allclose(detector.score(windows), -np.log1p(-probability), rtol=1e-5)


def test_a_failed_drive_with_many_windows_weighs_no_more_than_one_with_few() -> None:
    coarse = normal(600, 0).round(1)
    early, late = normal(1, 1).round(1) + 3, normal(1, 2).round(1) - 3
    config = GradientBoostingConfig(trees=10, min_windows_per_leaf=1)

    def scores(windows_of_the_early_drive: int) -> NDArray[np.float32]:
        failing = rows_of(np.concatenate([early] * windows_of_the_early_drive + [late]))
        entity = ["early"] * windows_of_the_early_drive + ["late"]
        drives = replace(failing, rows=failing.rows.with_columns(pl.Series("entity", entity)))
        return fit_on(config, rows_of(coarse), rows_of(coarse), failing=drives).score(rows_of(coarse))

    np.testing.assert_allclose(scores(1), scores(40), rtol=1e-4)


def test_failed_drives_weigh_together_as_much_as_the_healthy_windows() -> None:
    windows_of_drive = [1, 2, 3, 24, 30]
    shift = np.repeat([0, 0, 0, 2, 2], windows_of_drive)[:, None]
    healthy, failing = rows_of(normal(900, 0)), rows_of(normal(60, 1) + shift)
    drive = np.repeat(np.arange(5), windows_of_drive)
    drives = replace(failing, rows=failing.rows.with_columns(pl.Series("entity", [f"D{number}" for number in drive])))
    detector = fit_on(GradientBoostingConfig(trees=40, min_windows_per_leaf=20), healthy, healthy, failing=drives)
    well, worn = (1 - np.exp(-detector.score(rows).astype(np.float64)) for rows in (healthy, drives))
    of_each_drive = [worn[drive == number].mean() for number in range(5)]
    assert (well.mean() + np.mean(of_each_drive)) / 2 == pytest.approx(0.5, abs=0.02)


def test_the_credits_of_a_path_add_up_to_what_it_changed() -> None:
    #        0 splits on 1
    #   1            2 splits on 0
    #             3      4
    trees = Trees(
        np.array([[1, 2], [1, 1], [3, 4], [3, 3], [4, 4]], np.int32),
        np.array([1, 0, 0, 0, 0], np.int32),
        np.array([0], np.int32),
    )
    credit = trees.credits(np.array([1.0, -1.0, 2.0, 1.5, 5.0]), 2)
    assert credit.tolist() == [[0, 0], [0, -2], [0, 1], [-0.5, 1], [3, 1]]


def _unscaled(train: NDArray[np.float32], scaled: NDArray[np.floating]) -> NDArray[np.floating]:
    from ae_assets.detectors.preprocessing import Scaler
    from ae_assets.detectors.settings import Preprocessing

    scaler = Scaler.fit(train.astype(np.float32), Preprocessing(clip=1e6), [""] * train.shape[1])
    return scaled * scaler.scale + scaler.centre


def _scaled(train: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    from ae_assets.detectors.preprocessing import Scaler
    from ae_assets.detectors.settings import Preprocessing

    scaled = np.array(values, np.float32)
    Scaler.fit(train.astype(np.float32), Preprocessing(clip=1e6), [""] * train.shape[1]).apply(scaled)
    return np.nan_to_num(scaled)
