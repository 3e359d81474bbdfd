"""What training does, and that it does the same again."""

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import DenseAutoencoderConfig, FittedDetector, LstmAutoencoderConfig, fit, windows_of
from ae_assets.detectors.networks import initial_weights, network_of
from ae_assets.detectors.preprocessing import RobustScaler
from ae_assets.detectors.training import Trainer, has_converged, initial_state, on_devices, train
from ae_assets.errors import ModelError
from ae_assets.progress import Progress
from ae_assets_tests.detectors.fleets import DENSE, FEATURES, LSTM, NAMES, fit_on, fleet, split

Config = DenseAutoencoderConfig | LstmAutoencoderConfig


def test_training_finds_the_structure_of_the_features(network: FittedDetector) -> None:
    history = network.history
    assert min(history.validation_loss) < 0.8 * history.median_loss
    assert history.validation_loss[history.best_epoch] == min(history.validation_loss)
    assert history.train_loss[-1] < history.train_loss[0]
    assert history.windows_seen == history.windows_available
    assert history.seconds > 0


@pytest.mark.parametrize("config", [DENSE, LSTM], ids=lambda config: config.type)
def test_the_same_seed_gives_the_same_scores_bit_for_bit(
    config: Config, dense: FittedDetector, lstm: FittedDetector
) -> None:
    before = dense if config is DENSE else lstm
    again = fit(config, split(config, fleet()))
    windows = windows_of(fleet(seed=5), NAMES, config.window_days)
    assert again.history.validation_loss == before.history.validation_loss
    assert np.array_equal(again.score(windows).contributions, before.score(windows).contributions)


def test_another_seed_gives_other_scores(dense: FittedDetector) -> None:
    other = fit(DENSE.model_copy(update={"seed": 8, "epochs": 1}), split(DENSE, fleet()))
    windows = windows_of(fleet(seed=5), NAMES, 1)
    assert not np.array_equal(other.score(windows).score, dense.score(windows).score)


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


def test_early_stopping_keeps_the_weights_of_the_best_epoch() -> None:
    """Validation data of another structure: the loss over it falls at first and then rises for good."""
    config = DENSE.model_copy(update={"epochs": 40, "patience": 3, "learning_rate": 0.02})
    table = fleet()
    training = windows_of(table, NAMES, 1)
    scaler = RobustScaler.fit(training.values, config.clip)
    shuffled = table.with_columns(pl.col(name).shuffle(seed=number) for number, name in enumerate(NAMES))
    data = on_devices(training, scaler, 1, 1)
    validation = on_devices(windows_of(shuffled, NAMES, 1), scaler, 1, 1)
    start = [jnp.asarray(weight) for weight in initial_weights(config, FEATURES)]
    trained = train(network_of(config), start, data, validation, config, lambda epoch, loss: None)
    assert len(trained.validation_loss) < config.epochs
    assert trained.best_epoch <= len(trained.validation_loss) - 1 - config.patience
    trainer = Trainer(network_of(config), config.batch_size, config.learning_rate, 1)
    loss, _ = trainer.mean_loss(initial_state(trained.weights, validation).weights, validation)
    assert float(loss) == pytest.approx(min(trained.validation_loss), rel=1e-6)


def test_a_part_of_the_batch_on_each_device_is_the_whole_batch() -> None:
    """Both losses are means over the same windows, however many devices share them."""
    windows = windows_of(fleet(), NAMES, 6)
    scaler = RobustScaler.fit(windows.values, 10)
    start = [jnp.asarray(weight) for weight in initial_weights(LSTM, FEATURES)]
    losses = []
    for shards in (1, 2):
        data = on_devices(windows, scaler, 6, shards)
        trainer = Trainer(network_of(LSTM), LSTM.batch_size, LSTM.learning_rate, shards)
        losses.append(float(trainer.mean_loss(initial_state(start, data).weights, data)[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_feature_never_seen_in_training_does_not_break_it() -> None:
    table = fleet().with_columns(pl.lit(None, pl.Float32).alias(NAMES[0]))
    fitted = fit(DENSE.model_copy(update={"epochs": 1}), split(DENSE, table))
    scores = fitted.score(windows_of(table, NAMES, 1))
    assert np.isfinite(scores.score).all()
    assert not scores.contributions[:, 0].any()


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


def test_windows_of_other_days_are_refused() -> None:
    windows = windows_of(fleet(), NAMES, 5)
    with pytest.raises(ModelError, match="span 5 days, the config says 6"):
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
