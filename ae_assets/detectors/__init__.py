"""Detectors: a typed config and windows in, a fitted detector out, which scores windows and explains its scores.

What computes is loaded when it is asked for: the configs are read with every table's YAML, in every Dagster process,
and keras and jax cost seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ae_assets.detectors.fitting import fit, load_detector
from ae_assets.detectors.settings import DayDetectorConfig, WindowDetectorConfig

if TYPE_CHECKING:
    from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory
    from ae_assets.detectors.windows import TrainingData, Windows, windows_of

__all__ = [
    "DayDetectorConfig",
    "FittedDetector",
    "Scores",
    "TrainingData",
    "TrainingHistory",
    "WindowDetectorConfig",
    "Windows",
    "fit",
    "load_detector",
    "windows_of",
]

_LOADED_LATER = {
    "FittedDetector": "base",
    "Scores": "base",
    "TrainingHistory": "base",
    "TrainingData": "windows",
    "Windows": "windows",
    "windows_of": "windows",
}


def __getattr__(name: str) -> object:
    if name in _LOADED_LATER:
        return getattr(import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
