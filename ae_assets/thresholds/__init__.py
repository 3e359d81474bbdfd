"""From calibration scores to a cut: one file per policy, all behind `fit_threshold`. Scoring lives in detectors."""

from ae_assets.thresholds.config import ThresholdConfig
from ae_assets.thresholds.curve import CalibrationCurve
from ae_assets.thresholds.percentile import PercentileConfig
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.threshold import FORMAT_VERSION, Threshold, fit_threshold

__all__ = [
    "FORMAT_VERSION",
    "CalibrationCurve",
    "PercentileConfig",
    "Threshold",
    "ThresholdConfig",
    "ThresholdPolicy",
    "fit_threshold",
]
