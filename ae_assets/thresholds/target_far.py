"""The target FAR: a cut that at most a stated share of healthy entities exceeds within a window."""

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, PositiveInt

from ae_assets.errors import ModelError
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise


class TargetFarConfig(ThresholdPolicy):
    """Cuts where at most `rate` of the healthy entities have an alarm within `window_days`.

    The unit is the entity with its highest score over the window, so that it does not matter how alike the rows of an
    entity are. Calibration that is shorter than the window is extrapolated by `WindowedMaxima`, which states the rule
    and its assumption. The cut keeps the rate with `confidence` over which entities happened to be in calibration; it
    knows nothing of days that are unlike those of calibration.

    Entities that fail soon after calibration are still in it, since their labels are not known yet, and they score
    high: at small rates most of the entities over the cut may be such. `KnownFailures.to_come` says how many are to be
    expected, and they are not counted as false alarms. How well their rate is known is part of the confidence.
    """

    sees_failures: ClassVar[bool] = True

    policy: Literal["target_far"] = "target_far"
    rate: float = Field(
        default=0.01, gt=0, lt=1, description="Largest share of healthy entities with an alarm within a window."
    )
    window_days: PositiveInt = Field(default=30, description="Days of the window.")
    confidence: float = Field(
        default=0.95,
        ge=0.5,
        lt=1,
        description="Probability, over the entities of calibration, with which the rate is kept; 0.5 aims at the rate.",
    )
    discount_failures_to_come: bool = Field(
        default=True,
        description="Whether the failures to be expected soon after calibration are taken out of the count; needs "
        "known failures, and is too kind where the detector learned from these.",
    )

    def cut(self, calibration: pl.DataFrame) -> float:
        """The lowest cut from which on upwards the upper confidence bound of the rate stays within `rate`.

        Raises:
            ModelError: calibration is too short for the window, or has too few entities for the rate.
        """
        import numpy as np
        from scipy.special import bdtr

        from ae_assets.thresholds.failures import KnownFailures
        from ae_assets.thresholds.windows import WindowedMaxima

        known = KnownFailures.of(calibration)
        maxima = WindowedMaxima.of(known.healthy, self.window_days)
        cuts, pairs = np.unique(maxima.alarmed.levels)[::-1], len(maxima.highest)
        alarmed = maxima.alarmed.over(cuts) / pairs
        to_come = known.to_come(maxima.observed_days).over(cuts) / pairs if self.discount_failures_to_come else 0
        # A pair counts for at most `largest_weight`. Of all variables within that range and of that mean, the one that
        # is either 0 or the largest varies most, so its exact binomial bound (Clopper, Pearson 1934) holds here. The
        # pairs of an entity are alike: only entities count as trials. Parts of an alarm count as a whole one.
        alarms = np.ceil(alarmed * maxima.entities / maxima.largest_weight - 1e-6)
        shares = [self.rate + (1 - self.rate) * factor * to_come for factor in known.likely_factors()]
        chances = [np.minimum(share / maxima.largest_weight, 1) for share in shares]
        as_few = np.mean([bdtr(alarms, maxima.entities, chance) for chance in chances], axis=0)
        within = as_few <= 1 - self.confidence
        if not within[0]:
            raise ModelError(
                f"{maxima.entities} calibration entities are too few for a false alarm rate of {self.rate:.4g} per "
                f"{self.window_days} days with confidence {self.confidence:.4g}: even without any alarm it is not "
                "shown; raise rate, lower confidence, or calibrate on more entities"
            )
        return float(cuts[int(np.argmin(within)) - 1]) if not within.all() else float(cuts[-1])

    def promise(self) -> Promise:
        return Promise(
            "false_alarm_rate",
            f"at most {self.rate:.4g} of the healthy entities have an alarm within {self.window_days} days, with "
            f"confidence {self.confidence:.4g} over the entities of calibration",
            at_most=self.rate,
            window_days=self.window_days,
        )
