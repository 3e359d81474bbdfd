"""A threshold policy of somebody's own."""

import polars as pl

from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise


class MiddleConfig(ThresholdPolicy):
    """Cuts at a share of the way from the lowest to the highest score."""

    share: float = 0.5

    def cut(self, calibration: pl.DataFrame) -> float:
        lowest, highest = calibration.select(low=pl.col("score").min(), high=pl.col("score").max()).row(0)
        return float(lowest + self.share * (highest - lowest))

    def promise(self) -> Promise:
        return Promise("nothing", "promises no rate")
