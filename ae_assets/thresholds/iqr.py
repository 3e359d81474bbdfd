"""The interquartile policy: Tukey's fence above the upper quartile of the calibration scores."""

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from ae_assets.errors import ModelError
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise


class IqrConfig(ThresholdPolicy):
    """Cuts at q3 + k (q3 - q1) of the calibration scores (Tukey 1977, Exploratory Data Analysis, section 2C).

    It promises nothing: which share of rows lies beyond the fence follows from the shape of the scores, 0.35% for
    k = 1.5 if they are normal, 5 to 10% if they are as skewed as scores usually are. Scores that are mostly one value,
    such as counters that are 0 on most entities, have equal quartiles and no fence: the policy refuses them, since it
    would otherwise call every score above that value abnormal.
    """

    by_record: ClassVar[bool] = True

    policy: Literal["iqr"] = "iqr"
    k: float = Field(default=1.5, gt=0, description="Interquartile ranges between the upper quartile and the cut.")
    log: bool = Field(
        default=False,
        description="Whether the fence is built on logarithms, for positive scores with a long tail.",
    )

    def cut(self, calibration: pl.DataFrame) -> float:
        """The upper fence.

        Raises:
            ModelError: the quartiles are equal, or a logarithm is asked of a score that is not positive.
        """
        import numpy as np

        scores = calibration["score"].to_numpy()
        if self.log and scores.min() <= 0:
            raise ModelError(
                f"iqr with log: true received {int((scores <= 0).sum())} of {len(scores)} calibration scores at or "
                "below 0, which have no logarithm; set log: false, or choose the policy percentile"
            )
        lower, upper = np.quantile(np.log(scores) if self.log else scores, [0.25, 0.75])
        if lower == upper:
            value = float(np.exp(upper)) if self.log else float(upper)
            raise ModelError(
                f"at least half of the {len(scores)} calibration scores are {value:.4g}, so both quartiles are and "
                "there is no interquartile range to build a fence on; choose the policy percentile or target_far"
            )
        fence = float(upper + self.k * (upper - lower))
        return float(np.exp(fence)) if self.log else fence

    def promise(self) -> Promise:
        return Promise("nothing", "promises no rate: how much lies beyond the fence follows from the scores' shape")
