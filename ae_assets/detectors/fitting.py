"""Fitting and loading of any detector, of the table or of each group. Nothing that computes is imported before."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ae_assets.detectors.config import DetectorConfig
from ae_assets.detectors.settings import TABLE
from ae_assets.errors import ModelError
from ae_assets.plugins import STORED
from ae_assets.progress import ProgressSink, silent

if TYPE_CHECKING:
    from ae_assets.detectors.base import FittedDetector
    from ae_assets.detectors.per_group import FitOwn
    from ae_assets.detectors.windows import TrainingData


def fit(
    config: DetectorConfig,
    data: "TrainingData",
    progress: ProgressSink = silent,
    fit_own: "FitOwn | None" = None,
) -> "FittedDetector":
    """Fits a detector; one that does not learn from labels leaves windows with a target aside.

    ``fit_own`` fits the detectors of groups where there are such, as an engine does; in this process if None.

    Raises:
        ModelError: there are no windows, or windows that do not suit the config, or the loss is not finite, or a
            library that the detector needs is not installed.
    """
    if config.per != TABLE:
        from ae_assets.detectors.per_group import FittedPerGroup

        return FittedPerGroup.fit(config, data, progress, fit_own)
    return config.fit(data, progress)


def load_detector(directory: Path, feature_names: tuple[str, ...] | None = None) -> "FittedDetector":
    """Loads what ``FittedDetector.save`` wrote; the features to be scored with, where given, must be the model's.

    Raises:
        ModelError: a file is missing, incomplete or damaged, has another format version, or the features differ.
    """
    from ae_assets.detectors.base import PREPROCESSING_FILE, read_preprocessing, require_features

    record = read_preprocessing(directory)
    try:
        if feature_names is not None:
            require_features(tuple(feature_names), tuple(record["feature_names"]), "the features to be scored")
        config = _config_of(record)
        if config.per != TABLE:
            from ae_assets.detectors.per_group import FittedPerGroup

            return FittedPerGroup.load(config, directory, record, load_detector)
        return config.load(directory, record)
    except (KeyError, TypeError) as error:
        lacks = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{directory / PREPROCESSING_FILE} is incomplete: {lacks}; train it again.") from error


def _config_of(record: dict[str, Any]) -> DetectorConfig:
    """The config in a ``preprocessing.json``, which this release may not know or allow."""
    kind = record["config"]["type"]
    try:
        return TypeAdapter[DetectorConfig](DetectorConfig).validate_python(record["config"], context=STORED)
    except ValidationError as error:
        raise ModelError(
            f"The config of a saved {kind} detector is not one of this release ({error}); "
            "load it with the release that wrote it, or train it again."
        ) from error
