"""Detectors: a typed config and windows in, a fitted detector out, which scores windows and explains its scores.

What computes is loaded when it is asked for: the configs are read with every table's YAML, in every Dagster process,
and keras and jax cost seconds.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ae_assets.detectors.config import (
    CounterRuleConfig,
    DenseAutoencoderConfig,
    DetectorConfig,
    EcodConfig,
    GradientBoostingConfig,
    GrowthRuleConfig,
    IsolationForestConfig,
    KMeansConfig,
    LstmAutoencoderConfig,
    OrdinalAutoencoderConfig,
    PcaConfig,
)
from ae_assets.errors import ModelError
from ae_assets.progress import ProgressSink, silent

if TYPE_CHECKING:
    from ae_assets.detectors.base import DetectorModule, FittedDetector, Scores, TrainingHistory
    from ae_assets.detectors.windows import Windows, windows_of

__all__ = [
    "CounterRuleConfig",
    "DenseAutoencoderConfig",
    "DetectorConfig",
    "EcodConfig",
    "FittedDetector",
    "GradientBoostingConfig",
    "GrowthRuleConfig",
    "IsolationForestConfig",
    "KMeansConfig",
    "LstmAutoencoderConfig",
    "OrdinalAutoencoderConfig",
    "PcaConfig",
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

_MODULES = {
    "dense_autoencoder": "autoencoder",
    "lstm_autoencoder": "autoencoder",
    "ordinal_autoencoder": "ordinal_autoencoder",
    "counter_rule": "rule",
    "growth_rule": "rule",
    "pca": "pca",
    "kmeans": "kmeans",
    "isolation_forest": "isolation_forest",
    "ecod": "ecod",
    "gradient_boosting": "gradient_boosting",
}
"""The module that fits and loads each type of detector, a ``base.DetectorModule``."""


def __getattr__(name: str) -> object:
    if name in _LOADED_LATER:
        return getattr(import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def fit(
    config: DetectorConfig,
    train: "Windows",
    validation: "Windows",
    progress: ProgressSink = silent,
    failing: "Windows | None" = None,
) -> "FittedDetector":
    """Fits a detector.

    Args:
        config: its settings.
        train: windows to learn from, of entities believed healthy.
        validation: windows of other entities, for early stopping only.
        progress: told about each epoch.
        failing: windows that end inside the horizon before a known failure, the day of failure left out, for detectors
            that learn from labelled failures; the others do not look at them. None where no failure is known.

    Raises:
        ModelError: there are no windows, or windows that do not suit the config, or the loss is not finite, or a
            library that the detector needs is not installed.
    """
    return _module_of(config.type).fit(config, train, validation, progress, failing)


def load_detector(directory: Path, feature_names: tuple[str, ...] | None = None) -> "FittedDetector":
    """Loads what ``FittedDetector.save`` wrote into ``directory``.

    Args:
        directory: the folder of one model version.
        feature_names: the features that the caller will score with; checked against the model's where given.

    Raises:
        ModelError: a file is missing, incomplete or damaged, has another format version, or the features differ.
    """
    from ae_assets.detectors.base import PREPROCESSING_FILE, read_preprocessing, require_features

    record = read_preprocessing(directory)
    try:
        if feature_names is not None:
            require_features(tuple(feature_names), tuple(record["feature_names"]), "the features to be scored")
        kind = record["config"]["type"]
        if kind not in _MODULES:
            raise ModelError(
                f"{directory} holds a detector of type {kind!r}, this release knows {sorted(_MODULES)}; load it with "
                "the release that wrote it, or train one of these."
            )
        return _module_of(kind).load(directory, record)
    except (KeyError, TypeError) as error:
        lacks = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{directory / PREPROCESSING_FILE} is incomplete: {lacks}; train it again.") from error


def _module_of(kind: str) -> "DetectorModule":
    return cast("DetectorModule", import_module(f"{__name__}.{_MODULES[kind]}"))
