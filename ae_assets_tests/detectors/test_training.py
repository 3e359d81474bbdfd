"""What training does, and that it does the same again."""

from datetime import timedelta
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import FittedDetector, TrainingData, Windows, fit, load_detector, windows_of
from ae_assets.detectors.backend import initial_weights, keras
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.detectors.networks.network import Shape
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.settings import Preprocessing
from ae_assets.detectors.training import Trainer, WindowData, has_converged, on_devices, optimiser_of, train
from ae_assets.errors import ModelError
from ae_assets.progress import Progress
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.records import TIME_TYPE
from ae_assets_tests.detectors.fleets import CONVOLUTIONAL, DENSE, FEATURES, LSTM, NAMES, START, fit_on, fleet, split

SHAPE = Shape(FEATURES, 1, 6)

Config = DenseAutoencoderConfig | LstmAutoencoderConfig


def test_training_finds_the_structure_of_the_features(network: FittedDetector) -> None:
    history = network.history
    assert min(history.validation_loss) < 0.8 * history.median_loss
    assert history.validation_loss[history.best_epoch] == min(history.validation_loss)
    assert history.train_loss[-1] < history.train_loss[0]
    assert history.windows_seen == history.windows_available
    assert history.seconds > 0


@pytest.mark.parametrize("config", [DENSE, LSTM], ids=lambda config: config.type)
@pytest.mark.bits
def test_the_same_seed_gives_the_same_scores_bit_for_bit(
    config: Config, dense: FittedDetector, lstm: FittedDetector
) -> None:
    before = dense if config is DENSE else lstm
    again = fit(config, split(config, fleet()))
    windows = windows_of(fleet(seed=5), NAMES, config.window)
    assert again.history.validation_loss == before.history.validation_loss
    assert np.array_equal(again.explain(windows).contributions, before.explain(windows).contributions)


def test_another_seed_gives_other_scores(dense: FittedDetector) -> None:
    other = fit(DENSE.model_copy(update={"seed": 8, "epochs": 1}), split(DENSE, fleet()))
    windows = windows_of(fleet(seed=5), NAMES)
    assert not np.array_equal(other.score(windows), dense.score(windows))


def test_more_windows_than_the_setting_are_sampled_and_counted() -> None:
    data = split(DENSE, fleet())
    fitted = fit(DENSE.model_copy(update={"max_windows": 100, "epochs": 1}), data)
    history = fitted.history
    assert (history.windows_seen, history.validation_windows) == (100, 25)
    assert history.windows_available == len(data.train)


def test_each_epoch_is_reported() -> None:
    seen: list[Progress] = []
    fit(DENSE.model_copy(update={"epochs": 2}), split(DENSE, fleet()), seen.append)
    assert [(step.done, step.total, step.unit) for step in seen] == [(1, 2, "epochs"), (2, 2, "epochs")]
    assert "validation loss" in seen[0].note


def on_device(windows: Windows, days: int, shards: int) -> WindowData:
    nothing = np.zeros(len(windows))
    return on_devices(
        windows,
        Scaler.fit(windows.values, Preprocessing(), windows.feature_names),
        days,
        shards,
        nothing > 0,
        nothing.astype(np.int32),
    )


def test_early_stopping_keeps_the_weights_of_the_best_epoch() -> None:
    """Validation data of another structure: the loss over it falls at first and then rises for good."""
    config = DENSE.model_copy(update={"epochs": 40, "patience": 3, "learning_rate": 0.02})
    table, model = fleet(), config.build(SHAPE)
    shuffled = table.with_columns(pl.col(name).shuffle(seed=number) for number, name in enumerate(NAMES))
    data, validation = (on_device(windows_of(part, NAMES), 1, 1) for part in (table, shuffled))
    best, history = train(config, model, 1, initial_weights(model, 7), data, validation, lambda epoch, loss: None)
    assert len(history.validation_loss) < config.epochs
    assert history.best_epoch <= len(history.validation_loss) - 1 - config.patience
    loss, _ = Trainer(config, model, 1, 1).mean_loss(best, validation)
    assert float(loss) == pytest.approx(min(history.validation_loss), rel=1e-6)


def test_a_part_of_the_batch_on_each_device_is_the_whole_batch() -> None:
    """Both losses are means over the same windows, however many devices share them."""
    windows, model = windows_of(fleet(), NAMES, 6 * DAY), LSTM.build(SHAPE)
    losses = []
    for shards in (1, 2):
        trainer = Trainer(LSTM, model, 6, shards)
        variables = trainer.initial_state(initial_weights(model, 7)).variables
        losses.append(float(trainer.mean_loss(variables, on_device(windows, 6, shards))[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


class StepByStep(DenseAutoencoderConfig):
    """Trained as convolutions are."""

    convolves = True


@pytest.mark.parametrize("shards", [1, 2])
def test_an_epoch_of_calls_for_each_step_is_one_of_a_single_call(shards: int) -> None:
    windows, model = windows_of(fleet(), NAMES), DENSE.build(SHAPE)
    ends = []
    for config in (DENSE, StepByStep.model_validate(DENSE.model_dump())):
        trainer, data = Trainer(config, model, 1, shards), on_device(windows, 1, shards)
        state = trainer.initial_state(initial_weights(model, 7))
        for epoch in range(2):
            state, loss = trainer.epoch(state, jax.random.key(epoch), 0.01, data)
        ends.append((float(loss), state.variables.weights))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    for one, other in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_defaults_are_adam_as_keras_has_it() -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(5, 3)).astype(np.float32)
    theirs, adam = keras.Variable(weight), keras.optimizers.Adam(0.01)
    ours, optimiser = jnp.asarray(weight), optimiser_of(DENSE)
    state = optimiser.init(ours)
    for _ in range(20):
        gradient = jnp.asarray(random.normal(size=weight.shape), jnp.float32)
        adam.apply_gradients([(gradient, theirs)])
        move, state = optimiser.update(gradient, state, ours)
        ours = ours - 0.01 * move
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_gradients_are_clipped_and_kernels_decay_where_the_settings_say_so() -> None:
    weights = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    gradient = {"kernel": jnp.full((2, 2), 1e6), "bias": jnp.zeros(2)}
    decaying = optimiser_of(DENSE.model_copy(update={"weight_decay": 0.1}))
    move, _ = decaying.update(jax.tree.map(jnp.zeros_like, gradient), decaying.init(weights), weights)
    assert move["kernel"].tolist() == pytest.approx(np.full((2, 2), 0.1))
    assert not move["bias"].any()
    penalised = optimiser_of(DENSE.model_copy(update={"l2": 0.1}))
    _, state = penalised.update(jax.tree.map(jnp.zeros_like, gradient), penalised.init(weights), weights)
    adam = next(
        part for part in jax.tree.leaves(state, is_leaf=lambda part: hasattr(part, "mu")) if hasattr(part, "mu")
    )
    assert adam.mu["kernel"].tolist() == pytest.approx(np.full((2, 2), 0.1 * 2 * 0.1))  # a tenth of the gradient 2 l2 w
    assert not adam.mu["bias"].any()
    clipping = optimiser_of(DENSE.model_copy(update={"gradient_clip": 1e-3}))
    _, state = clipping.update(gradient, clipping.init(weights), weights)
    moments = jax.tree.leaves(state)
    assert max(float(jnp.abs(part).max()) for part in moments) <= 1.0  # the count of steps is 1, the moments are small


@pytest.fixture(scope="module")
def of_two_epochs() -> FittedDetector:
    config = DENSE.model_copy(update={"epochs": 2})
    return fit(config, split(config, fleet()))


@pytest.mark.parametrize("change", [{"jitter": 0.3}, {"jitter": 0.3, "jitter_share": 0.5}, {"dropout": 0.3}])
def test_noise_and_dropout_act_in_training_only_and_by_the_seed(
    change: dict[str, float], of_two_epochs: FittedDetector
) -> None:
    config = DENSE.model_copy(update={"epochs": 2, **change})
    first, again = (fit(config, split(config, fleet())) for _ in range(2))
    assert first.history.train_loss == again.history.train_loss
    assert first.history.train_loss[0] > of_two_epochs.history.train_loss[0]
    windows = windows_of(fleet(seed=5), NAMES)
    assert first.score(windows).tobytes() == again.score(windows).tobytes()


def test_the_step_size_is_cut_where_the_validation_loss_stays() -> None:
    stuck = {"epochs": 6, "patience": 6, "min_improvement": 0.99}
    config = DENSE.model_copy(update={**stuck, "reduce_after": 2, "reduce_by": 1e-6})
    history = fit(config, split(config, fleet())).history
    free = fit(DENSE.model_copy(update=stuck), split(config, fleet())).history
    assert history.validation_loss[:3] == free.validation_loss[:3]
    assert history.validation_loss[3:] == pytest.approx([history.validation_loss[2]] * 3, rel=1e-3)
    assert free.validation_loss[-1] < 0.99 * history.validation_loss[-1]


def test_a_learning_rate_that_diverges_is_named() -> None:
    with pytest.raises(ModelError, match=r"not finite.*lower learning_rate"):
        fit(DENSE.model_copy(update={"learning_rate": 1e30}), split(DENSE, fleet()))


def test_no_windows_are_refused() -> None:
    data = split(DENSE, fleet())
    none = data.validation.take(np.zeros(0, np.int64))
    with pytest.raises(ModelError, match="no validation windows"):
        fit_on(DENSE, data.train, none)
    with pytest.raises(ModelError, match="no training windows"):
        fit_on(DENSE, none, data.validation)


def test_a_network_sees_as_many_steps_as_records_fit_its_window_and_a_stored_one_still_does(tmp_path: Path) -> None:
    table = fleet(entities=12, days=20)
    hours = pl.duration(hours=(pl.col("day") - START).dt.total_days())
    hourly = table.with_columns(time=pl.lit(START).cast(TIME_TYPE) + hours)
    config = CONVOLUTIONAL.model_copy(update={"window": timedelta(hours=6), "epochs": 1})
    windows = windows_of(hourly, NAMES, config.window, step=timedelta(hours=1))
    held_out = (windows.keys()["entity"] > "E008").to_numpy()
    detector = fit(config, TrainingData(windows, np.zeros(len(windows), np.bool_), held_out))
    assert detector.steps == 6
    detector.save(tmp_path)
    again = load_detector(tmp_path)
    assert (again.window, again.step, again.steps) == (config.window, timedelta(hours=1), 6)
    np.testing.assert_array_equal(again.score(windows), detector.score(windows))
    by_day = fit(config.model_copy(update={"window": 6 * DAY}), split(CONVOLUTIONAL, table))
    usual = windows_of(table, NAMES, 6 * DAY)
    assert len(by_day.score(usual)) == len(usual)
    with pytest.raises(ModelError, match="span 6h"):
        by_day.score(windows)


def test_windows_of_other_days_are_refused() -> None:
    windows = windows_of(fleet(), NAMES, 5 * DAY)
    with pytest.raises(ModelError, match="span 5d, the config says 6d"):
        fit_on(LSTM, windows, windows)


@pytest.mark.parametrize(
    ("losses", "median_loss", "expected"),
    [
        ([0.9, 0.5, 0.4, 0.4, 0.41, 0.42], 1.0, True),  # early stopping after the best epoch
        ([0.9, 0.5, 0.4, 0.399, 0.398, 0.3975], 1.0, True),  # flat at the end
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 1.0, False),  # still falling when the epochs ran out
        ([1.2, 1.1, 1.1, 1.1, 1.1, 1.1], 1.0, False),  # no better than the median
        ([0.9, 0.5], 1.0, False),  # too short to say
    ],
)
def test_converged_means_better_than_the_median_and_no_longer_falling(
    losses: list[float], median_loss: float, expected: bool
) -> None:
    assert has_converged(losses, median_loss, patience=3) is expected
