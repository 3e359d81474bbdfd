"""The percentile policy: at most a stated share of calibration rows lies above the cut."""

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise


class PercentileConfig(ThresholdPolicy):
    """Cuts at a percentile of the calibration scores, one score per record.

    It promises a row rate: with 99.9, at most one healthy calibration row in a thousand is an alarm. Rows of one entity
    are alike, so the share of entities with an alarm within 30 days is larger than that and has to be measured.
    """

    by_record: ClassVar[bool] = True

    policy: Literal["percentile"] = "percentile"
    percentile: float = Field(
        default=99.9,
        gt=0,
        lt=100,
        description="Percentage of calibration rows at or below the cut, e.g. 99.9 for one alarm in a thousand rows.",
    )

    def cut(self, calibration: pl.DataFrame) -> float:
        """The smallest calibration score with at least `percentile` % of the rows at or below it.

        It is a score that occurred, never a value between two of them: ties at the cut are no alarms, and the share of
        rows above the cut never exceeds what the percentile allows.
        """
        import numpy as np

        scores = calibration["score"].to_numpy()
        return float(np.quantile(scores, self.percentile / 100, method="inverted_cdf"))

    def promise(self) -> Promise:
        # 100 - 99.9 is 0.09999999999999432 in binary floating point.
        rate = round(1 - self.percentile / 100, 12)
        return Promise("row_rate", f"at most {100 * rate:.4g}% of the rows of healthy devices are alarms", at_most=rate)
