"""Networks of many groups in one program: each is what a fit of its group alone gives."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import TrainingData, fit, load_detector, windows_of
from ae_assets.detectors.backend import initial_weights
from ae_assets.detectors.base import TrainingHistory
from ae_assets.detectors.group_training import GroupTrainer, Trained, shuffled
from ae_assets.detectors.network_detector import Learned
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.network import NetworkConfig
from ae_assets.detectors.networks.variational import VariationalAutoencoderConfig
from ae_assets.detectors.per_group import FEW, FittedPerGroup
from ae_assets.detectors.training import in_shards, on_devices, train
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import LSTM, NAMES, fleet

COMMON: dict[str, Any] = {"batch_size": 32, "learning_rate": 0.02, "patience": 2, "min_improvement": 0.05}
DENSE = DenseAutoencoderConfig(units=(16, 4, 16), epochs=9, reduce_after=1, jitter=0.05, dropout=0.1, **COMMON)
VARIATIONAL = VariationalAutoencoderConfig(units=(8,), code=3, epochs=4, **COMMON)
NETWORKS: dict[str, NetworkConfig] = {
    "dense": DENSE,
    "normalised": DENSE.model_copy(
        update={"batch_normalisation": True, "dropout": 0.0, "sparse_share": 0.5, "fill": "median"}
    ),
    "variational": VARIATIONAL,
    "lstm": LSTM.model_copy(update={"epochs": 2}),
}


def data_of(config: NetworkConfig, sizes: tuple[int, ...] = (6, 9, 30)) -> list[TrainingData]:
    """Groups with so many devices each."""
    groups = []
    for number, entities in enumerate(sizes):
        windows = windows_of(fleet(entities, seed=number), NAMES, config.window)
        held_out = (windows.keys()["entity"] <= "E001").to_numpy()
        groups.append(TrainingData(windows, np.zeros(len(windows), np.bool_), held_out))
    return groups


def trained_alone(config: NetworkConfig, data: TrainingData) -> tuple[list[np.ndarray], TrainingHistory]:
    """By the loop of a single fit, on one device."""
    one = Learned.of(config, data)
    sides = (on_devices(side.windows, one.scaler, one.steps, 1, side.target, one.numbers(side))
             for side in (one.train, one.validation))  # fmt: skip
    start = initial_weights(one.model, config.seed)
    best, history = train(config, one.model, one.steps, start, *sides, lambda *_: None)
    return [np.asarray(part) for part in best.weights], history


def trained_together(
    config: NetworkConfig, groups: list[TrainingData], together: int | None = None
) -> list[Trained | ModelError]:
    learned = [Learned.of(config, data) for data in groups]
    trainer = GroupTrainer(config, learned[0].model, learned[0].steps, together)

    def data(one: Learned) -> Any:
        sides = (in_shards(side.windows, one.scaler, one.steps, 1, side.target, one.numbers(side))
                 for side in (one.train, one.validation))  # fmt: skip
        return trainer.filled_up(*sides)

    return list(trainer.train([partial(data, one) for one in learned]))


@pytest.mark.parametrize("count", [1, 2, 300, 1624, 1700])
def test_windows_are_shuffled_as_they_are_alone(count: int) -> None:
    key = jax.random.key(3)
    rounds = jnp.int32(np.ceil(3 * np.log(count) / np.log(2**32 - 1)))
    order = np.asarray(shuffled(key, jnp.int32(count), rounds, 2048))
    assert np.array_equal(order[:count], jax.random.permutation(key, count))
    assert np.array_equal(order[count:], np.arange(count, 2048))


@pytest.mark.parametrize("together", [None, 4], ids=["a thread each", "vmap"])
@pytest.mark.parametrize(
    "name", ["dense", *(pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS if name != "dense")]
)
def test_a_group_learns_what_it_learns_alone(name: str, together: int | None) -> None:
    config = NETWORKS[name]
    groups, epochs = data_of(config), []
    for data, trained in zip(groups, trained_together(config, groups, together), strict=True):
        weights, history = trained_alone(config, data)
        assert isinstance(trained, Trained)
        assert len(trained.history.validation_loss) == len(history.validation_loss)
        np.testing.assert_allclose(trained.history.validation_loss, history.validation_loss, rtol=2e-4)
        np.testing.assert_allclose(trained.history.train_loss, history.train_loss, rtol=2e-4)
        assert trained.history.median_loss == pytest.approx(history.median_loss, rel=1e-5)
        for one, other in zip(trained.weights, weights, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3)
        epochs.append(len(history.validation_loss))
    assert name != "dense" or min(epochs) < max(epochs), "one of them stops before the others, with its best weights"


@pytest.mark.parametrize("together", [None, 2], ids=["a thread each", "vmap"])
def test_a_group_whose_loss_is_not_finite_stops_no_other(together: int | None) -> None:
    config = DENSE.model_copy(update={"clip": 1e30, "epochs": 2, "jitter": 0.0})
    wild, tame = data_of(config, (6, 6))
    wild.windows.values[:] *= np.where(np.arange(len(wild.windows.values)) % 9 == 0, 1e25, 1)[:, None]
    first, second = trained_together(config, [wild, tame], together)
    assert isinstance(first, ModelError)
    assert isinstance(second, Trained)


def per_cohort(config: NetworkConfig) -> tuple[FittedPerGroup, TrainingData]:
    """Two cohorts that are large, and one that knows nothing of what is looked at."""
    table = fleet(60, 12)
    table = table.with_columns(
        cohort=pl.when(pl.col("entity") > "E044").then(pl.lit("mute")).otherwise(pl.col("cohort"))
    ).with_columns(pl.when(pl.col("cohort") != "mute").then(pl.col(name)).alias(name) for name in NAMES)
    windows = windows_of(table, NAMES, config.window)
    held_out = (windows.keys()["entity"].str.slice(3) == "7").to_numpy()
    data = TrainingData(windows, np.zeros(len(windows), np.bool_), held_out)
    fitted = fit(config, data)
    assert isinstance(fitted, FittedPerGroup)
    return fitted, data


@pytest.fixture(scope="module")
def by_cohort() -> tuple[FittedPerGroup, TrainingData]:
    return per_cohort(DENSE.model_copy(update={"per": "cohort", "epochs": 3, "least_group_windows": 100}))


def test_a_group_that_cannot_be_fitted_is_scored_by_the_detector_of_all(
    by_cohort: tuple[FittedPerGroup, TrainingData],
) -> None:
    fitted, data = by_cohort
    assert fitted.own == ("even", "odd")
    [because] = fitted.groups.filter(group="mute")["pooled_because"]
    assert because not in (None, FEW)
    mute = np.flatnonzero((data.windows.keys()["cohort"] == "mute").to_numpy())
    alone = fitted.of_all.score(data.windows.take(mute)) / np.float32(fitted.unit_of_all)
    assert np.array_equal(fitted.score(data.windows)[mute], alone)


def test_an_accelerator_scores_blocks_of_groups_at_once_as_a_core_one_after_the_other(
    by_cohort: tuple[FittedPerGroup, TrainingData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, data = by_cohort
    fitted.save(tmp_path)
    monkeypatch.setattr(jax, "default_backend", lambda: "an accelerator")
    at_once = load_detector(tmp_path).explain(data.windows)
    one_by_one = fitted.explain(data.windows)
    np.testing.assert_allclose(at_once.score, one_by_one.score, rtol=1e-4)
    np.testing.assert_allclose(at_once.contributions, one_by_one.contributions, rtol=1e-3, atol=1e-5)


def test_scores_of_all_groups_at_once_are_those_of_each_alone(by_cohort: tuple[FittedPerGroup, TrainingData]) -> None:
    fitted, data = by_cohort
    scores, cohorts = fitted.explain(data.windows), data.windows.keys()["cohort"]
    for group, unit in fitted.groups.select("group", "unit").drop_nulls().iter_rows():
        own = np.flatnonzero((cohorts == group).to_numpy())
        alone = fitted.detector(group).explain(data.windows.take(own))
        np.testing.assert_allclose(scores.score[own] * unit, alone.score, rtol=1e-4)
        np.testing.assert_allclose(scores.contributions[own] * unit, alone.contributions, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(scores.expected[own], alone.expected, rtol=1e-3, atol=1e-3)


def test_a_model_of_groups_is_a_few_files_of_which_those_are_read_that_score(
    by_cohort: tuple[FittedPerGroup, TrainingData], tmp_path: Path
) -> None:
    fitted, data = by_cohort
    fitted.save(tmp_path)
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert files == [
        "all/model.keras", "all/preprocessing.json", "groups.parquet", "preprocessing.json", "scalers.npz",
        "weights.npy",
    ]  # fmt: skip
    loaded = load_detector(tmp_path, NAMES)
    assert isinstance(loaded, FittedPerGroup)
    assert isinstance(loaded.members.weights, np.memmap)  # type: ignore[attr-defined]  # of networks
    assert loaded.score(data.windows).tobytes() == fitted.score(data.windows).tobytes()
    assert loaded.detector("odd").history == fitted.detector("odd").history
    (tmp_path / "weights.npy").write_bytes((tmp_path / "weights.npy").read_bytes()[:-400])
    with pytest.raises(ModelError):
        load_detector(tmp_path)
    np.save(tmp_path / "weights.npy", np.zeros((2, 7), np.float32))
    with pytest.raises(ModelError):
        load_detector(tmp_path)


def test_where_no_group_is_large_enough_all_are_scored_by_the_detector_of_all(tmp_path: Path) -> None:
    config = DENSE.model_copy(update={"per": "entity", "epochs": 1})
    [data] = data_of(config, (12,))
    fitted = fit(config, data)
    assert isinstance(fitted, FittedPerGroup)
    assert fitted.own == ()
    assert set(fitted.groups["pooled_because"]) == {FEW}
    fitted.save(tmp_path)
    alone = fitted.of_all.score(data.windows) / np.float32(fitted.unit_of_all)
    for detector in (fitted, load_detector(tmp_path)):
        assert np.array_equal(detector.score(data.windows), alone)
