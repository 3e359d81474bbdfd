"""Fitted autoencoders: sampling, scaling and training tied together, scoring, and the files of a model version."""

import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ae_assets.detectors.base import (
    FittedDetector,
    Scores,
    TrainingHistory,
    write_preprocessing,
)
from ae_assets.detectors.config import DenseAutoencoderConfig, LstmAutoencoderConfig
from ae_assets.detectors.networks import Model, build_model, initial_weights, load_model, network_of
from ae_assets.detectors.preprocessing import RobustScaler
from ae_assets.detectors.sampling import require_windows, sample
from ae_assets.detectors.scoring import Scorer
from ae_assets.detectors.training import on_devices, shards_for, train
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import Progress, ProgressSink

MODEL_FILE = "model.keras"
VALIDATION_SHARE = 4


class FittedAutoencoder(FittedDetector):
    """A trained network with its scaler."""

    def __init__(
        self,
        config: DenseAutoencoderConfig | LstmAutoencoderConfig,
        feature_names: tuple[str, ...],
        history: TrainingHistory,
        scaler: RobustScaler,
        model: Model,
    ) -> None:
        """Takes the parts as they are; see :func:`fit` and :func:`load`."""
        self.config = config
        self.feature_names = feature_names
        self.window_days = config.window_days
        self.history = history
        self.scaler = scaler
        self.model = model
        weights = [jnp.array(weight) for weight in model.get_weights()]
        self._scorer = Scorer(network_of(config), weights, scaler)

    def score(self, windows: Windows) -> Scores:
        """Scores by mean squared error in scaled units over the known values of a window's recorded days."""
        self.require_fitting(windows)
        return self._scorer.score(windows)

    def save(self, directory: Path) -> None:
        """Writes ``model.keras`` and ``preprocessing.json``."""
        write_preprocessing(directory, self, scaler=self.scaler.to_json())
        self.model.save(directory / MODEL_FILE)


def fit(
    config: DenseAutoencoderConfig | LstmAutoencoderConfig,
    data: TrainingData,
    progress: ProgressSink,
) -> FittedAutoencoder:
    """Samples windows, fits the scaler on the training rows, trains the network; see ``detectors.fit``."""
    names = data.windows.feature_names
    for name, windows in (("training", data.train), ("validation", data.validation)):
        _require_usable(windows, name, config.window_days)
    began = time.perf_counter()
    generator = np.random.default_rng(config.seed)
    sampled = sample(data.train, config.max_windows, generator)
    checked = sample(data.validation, max(1, config.max_windows // VALIDATION_SHARE), generator)
    scaler = RobustScaler.fit(sampled.values[sampled.last_row], config.clip)
    model = build_model(config, len(names))
    network = network_of(config)
    shards = min(shards_for(network, config.batch_size), len(sampled), len(checked))

    def report(epoch: int, loss: float) -> None:
        seconds = time.perf_counter() - began
        note = f"validation loss {loss:.4f}"
        progress(
            Progress(
                f"training {config.type}", epoch + 1, config.epochs, "epochs", (epoch + 1) * len(sampled), seconds, note
            )
        )

    trained = train(
        network,
        [jnp.array(weight) for weight in initial_weights(config, len(names))],
        on_devices(sampled, scaler, config.window_days, shards),
        on_devices(checked, scaler, config.window_days, shards),
        config,
        report,
    )
    model.set_weights([np.asarray(weight) for weight in trained.weights])
    history = TrainingHistory(
        train_loss=trained.train_loss,
        validation_loss=trained.validation_loss,
        best_epoch=trained.best_epoch,
        windows_seen=len(sampled),
        windows_available=len(data.train),
        validation_windows=len(checked),
        median_loss=trained.median_loss,
        seconds=time.perf_counter() - began,
        converged=trained.converged,
    )
    return FittedAutoencoder(config, names, history, scaler, model)


def load(
    config: DenseAutoencoderConfig | LstmAutoencoderConfig, directory: Path, record: dict[str, Any]
) -> FittedAutoencoder:
    """Loads the network of a saved detector.

    Args:
        config: its config.
        directory: the folder of one model version.
        record: its ``preprocessing.json``.

    Raises:
        ModelError: the network's file is missing, cannot be read, or does not fit the record.
    """
    names = tuple(record["feature_names"])
    model = load_model(directory / MODEL_FILE, like=build_model(config, len(names)))
    history = TrainingHistory.from_json(record["history"])
    return FittedAutoencoder(config, names, history, RobustScaler.from_json(record["scaler"]), model)


def _require_usable(windows: Windows, name: str, window_days: int) -> None:
    require_windows(windows, name)
    if window_days not in (1, windows.window_days):
        raise ModelError(
            f"The {name} windows span {windows.window_days} days, the config says {window_days}; "
            f"build them with windows_of(..., window_days={window_days})."
        )
