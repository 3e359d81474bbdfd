"""Detectors: a typed config and windows in, a fitted detector out, which scores windows and explains its scores.

What computes is loaded when it is asked for: the configs are read with every table's YAML, in every Dagster process,
and keras and jax cost seconds.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ae_assets.detectors.config import (
    CounterRuleConfig,
    DenseAutoencoderConfig,
    DetectorConfig,
    LstmAutoencoderConfig,
)
from ae_assets.progress import ProgressSink, silent

if TYPE_CHECKING:
    from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory
    from ae_assets.detectors.windows import Windows, windows_of

__all__ = [
    "CounterRuleConfig",
    "DenseAutoencoderConfig",
    "DetectorConfig",
    "FittedDetector",
    "LstmAutoencoderConfig",
    "Scores",
    "TrainingHistory",
    "Windows",
    "fit",
    "load_detector",
    "windows_of",
]

_LOADED_LATER = {
    "FittedDetector": "base",
    "Scores": "base",
    "TrainingHistory": "base",
    "Windows": "windows",
    "windows_of": "windows",
}


def __getattr__(name: str) -> object:
    if name in _LOADED_LATER:
        return getattr(import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def fit(
    config: DenseAutoencoderConfig | LstmAutoencoderConfig | CounterRuleConfig,
    train: "Windows",
    validation: "Windows",
    progress: ProgressSink = silent,
) -> "FittedDetector":
    """Fits a detector.

    Args:
        config: its settings.
        train: windows to learn from, of entities believed healthy.
        validation: windows of other entities, for early stopping only.
        progress: told about each epoch.

    Raises:
        ModelError: there are no windows, or windows that do not suit the config, or the loss is not finite.
    """
    if isinstance(config, CounterRuleConfig):
        from ae_assets.detectors.counter_rule import FittedCounterRule

        return FittedCounterRule(config, train.feature_names)
    from ae_assets.detectors.autoencoder import fit_autoencoder

    return fit_autoencoder(config, train, validation, progress)


def load_detector(directory: Path, feature_names: tuple[str, ...] | None = None) -> "FittedDetector":
    """Loads what ``FittedDetector.save`` wrote into ``directory``.

    Args:
        directory: the folder of one model version.
        feature_names: the features that the caller will score with; checked against the model's where given.

    Raises:
        ModelError: a file is missing or damaged, has another format version, or the features differ.
    """
    from ae_assets.detectors.base import read_preprocessing, require_features

    record = read_preprocessing(directory)
    if feature_names is not None:
        require_features(tuple(feature_names), tuple(record["feature_names"]), "the features to be scored")
    if record["config"]["type"] == "counter_rule":
        from ae_assets.detectors.counter_rule import FittedCounterRule

        return FittedCounterRule.from_record(record)
    from ae_assets.detectors.autoencoder import FittedAutoencoder

    return FittedAutoencoder.from_saved(directory, record)
