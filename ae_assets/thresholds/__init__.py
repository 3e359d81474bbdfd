"""From calibration scores to a cut: one file per policy, all behind `fit_threshold`. Scoring lives in detectors.

What computes is loaded when it is asked for: the configs are read with every table's YAML, in every Dagster process.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ae_assets.thresholds.alarm_budget import AlarmBudgetConfig
from ae_assets.thresholds.config import ThresholdConfig, default_policies
from ae_assets.thresholds.conformal import ConformalConfig
from ae_assets.thresholds.iqr import IqrConfig
from ae_assets.thresholds.labelled import LabelledConfig
from ae_assets.thresholds.peaks_over_threshold import PeaksOverThresholdConfig
from ae_assets.thresholds.percentile import PercentileConfig
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise
from ae_assets.thresholds.target_far import TargetFarConfig

if TYPE_CHECKING:
    from ae_assets.thresholds.curve import CalibrationCurve
    from ae_assets.thresholds.threshold import FORMAT_VERSION, Threshold, fit_threshold

__all__ = [
    "FORMAT_VERSION",
    "AlarmBudgetConfig",
    "CalibrationCurve",
    "ConformalConfig",
    "IqrConfig",
    "LabelledConfig",
    "PeaksOverThresholdConfig",
    "PercentileConfig",
    "Promise",
    "TargetFarConfig",
    "Threshold",
    "ThresholdConfig",
    "ThresholdPolicy",
    "default_policies",
    "fit_threshold",
]

_LOADED_LATER = {
    "CalibrationCurve": "curve",
    "FORMAT_VERSION": "threshold",
    "Threshold": "threshold",
    "fit_threshold": "threshold",
}


def __getattr__(name: str) -> object:
    if name in _LOADED_LATER:
        return getattr(import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
