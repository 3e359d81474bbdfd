"""Peaks over threshold: a cut for rates too small to be counted, from a generalised Pareto tail."""

from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field, PositiveInt

from ae_assets.errors import ModelError
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SURPRISE = 0.001
"""A fitted tail whose cut lets through so improbable a number of calibration peaks is refused."""


class PeaksOverThresholdConfig(ThresholdPolicy):
    """Cuts where the fitted tail leaves at most `rate` of the healthy entities with an alarm within `window_days`.

    The POT step of Siffer, Fouque, Termier and Largouet (2017, Anomaly Detection in Streams with Extreme Value Theory,
    section 3): the excesses over a high initial quantile follow a generalised Pareto distribution (Pickands 1975;
    Balkema and de Haan 1974), which is fitted by maximum likelihood and read at the small rate. It asks for independent
    peaks, which the rows of an entity are not; the peaks here are the entities' highest scores over calibration. Where
    calibration is shorter than the window, the rate is lowered by the growth of the share of entities over the initial
    quantile from one to the other, as `WindowedMaxima` states it.

    It answers for rates below one entity in the whole of calibration, where `target_far` cannot, and pays for it with
    the assumption that the tail goes on as it begins. Scores with few distinct values have no such tail.
    """

    policy: Literal["peaks_over_threshold"] = "peaks_over_threshold"
    rate: float = Field(
        default=0.001, gt=0, lt=1, description="Share of healthy entities with an alarm within a window."
    )
    window_days: PositiveInt = Field(default=30, description="Days of the window.")
    initial_quantile: float = Field(
        default=0.98, ge=0.5, lt=1, description="Quantile of the entities' highest scores above which the tail begins."
    )
    min_peaks: PositiveInt = Field(default=50, ge=10, description="Fewest peaks that a tail is fitted to.")

    def cut(self, calibration: pl.DataFrame) -> float:
        """The score that the fitted tail exceeds at the rate.

        Raises:
            ModelError: too few peaks, a rate above the initial quantile, or a tail that does not fit them.
        """
        import numpy as np
        from scipy.stats import binom, genpareto

        from ae_assets.thresholds.windows import WindowedMaxima

        maxima = WindowedMaxima.of(calibration, self.window_days)
        start = float(np.quantile(maxima.highest, self.initial_quantile, method="inverted_cdf"))
        peaks = maxima.highest[maxima.highest > start] - start
        if len(peaks) < self.min_peaks:
            raise ModelError(
                f"{len(peaks)} of {len(maxima.highest)} highest scores lie above the initial quantile "
                f"{self.initial_quantile:.4g}, at {start:.4g}; a tail needs {self.min_peaks}. Lower initial_quantile, "
                "calibrate on more entities, or choose the policy target_far"
            )
        share = len(peaks) / len(maxima.highest)
        rate = self.rate / maxima.growth(start)
        if rate >= share:
            raise ModelError(
                f"the rate {self.rate:.4g} per {self.window_days} days is {rate:.4g} per calibration, and only "
                f"{share:.4g} of the entities lie above the initial quantile {self.initial_quantile:.4g}; the cut must "
                f"lie in the tail: lower rate, set initial_quantile below {1 - rate:.4g}, or choose target_far"
            )
        shape, scale = fitted_tail(peaks)
        excess = float(genpareto.isf(rate / share, shape, scale=scale))
        over, expected = int((peaks > excess).sum()), rate / share * len(peaks)
        below, above = binom.cdf(over, len(peaks), rate / share), binom.sf(over - 1, len(peaks), rate / share)
        if min(below, above) < SURPRISE / 2:
            raise ModelError(
                f"the tail fitted to {len(peaks)} peaks (shape {shape:.3g}, scale {scale:.3g}) expects {expected:.1f} "
                f"of them over its cut and {over} are, so it does not describe these scores; raise initial_quantile, "
                "or choose the policy target_far"
            )
        return start + excess

    def promise(self) -> Promise:
        return Promise(
            "false_alarm_rate",
            f"about {self.rate:.4g} of the healthy entities have an alarm within {self.window_days} days, if the tail "
            "of their scores is generalised Pareto",
            at_most=self.rate,
            window_days=self.window_days,
        )


def fitted_tail(peaks: "NDArray[np.float64]") -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of excesses over 0, by maximum likelihood.

    The shape is positive for a heavy tail, 0 for an exponential one, negative for one with an end.

    Raises:
        ModelError: the shape lies outside (-1, 1): the likelihood has no maximum at or below -1 (Smith 1985), and from
            1 on the tail has no mean.
    """
    import numpy as np
    from scipy.stats import genpareto

    unit = float(peaks.mean())
    with np.errstate(all="ignore"):
        shape, _, scale = genpareto.fit(peaks / unit, 0.1, floc=0.0, scale=0.9)
    if not -1 < shape < 1:
        raise ModelError(
            f"the tail of {len(peaks)} peaks was fitted with shape {shape:.3g}, and only shapes between -1 and 1 can "
            "be relied on; use another initial_quantile, a detector whose score grows like a logarithm, or the policy "
            "target_far"
        )
    return float(shape), float(scale) * unit
