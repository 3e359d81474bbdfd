"""From calibration scores to a cut: one file per policy, all behind `fit_threshold`. Scoring lives in detectors."""

from ae_assets.thresholds.policy import ThresholdPolicy

__all__ = ["ThresholdPolicy"]
