"""The labelled policy: the cut that best tells the entities that failed from those that did not."""

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import Field, PositiveFloat, PositiveInt

from ae_assets.errors import ModelError
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LabelledConfig(ThresholdPolicy):
    """Cuts where F-beta is highest, or the cost lowest, on normal and abnormal entities.

    An entity counts once: a healthy one with its highest score over calibration, a failed one with its highest score
    over the horizon before its failure. The two are weighted as they occur: the share of failures is their number a day
    (`KnownFailures.failures_a_day`), times the days of calibration, over the entities. So failures from before
    calibration may be given to know the detection rate better, and do not make failures look frequent. Healthy entities
    that are to be expected to fail soon after calibration (`KnownFailures.to_come`) do not count as false alarms.

    It promises no rate, and it needs failures: with few of them the best cut is the best for these few. Scores of
    entities that the detector learned from as failures are too good, and the cut then too high.
    """

    sees_failures: ClassVar[bool] = True
    needs_failures: ClassVar[bool] = True

    policy: Literal["labelled"] = "labelled"
    objective: Literal["f_beta", "cost"] = Field(
        default="f_beta", description="f_beta: the highest F-beta score; cost: the lowest expected cost."
    )
    beta: PositiveFloat = Field(
        default=1.0, description="How many times as important detection is as precision, with objective: f_beta."
    )
    cost_of_a_miss: PositiveFloat = Field(
        default=10.0, description="Cost of a failure without an alarm before it, with objective: cost."
    )
    cost_of_a_false_alarm: PositiveFloat = Field(
        default=1.0, description="Cost of a healthy entity with an alarm in calibration, with objective: cost."
    )
    min_failed: PositiveInt = Field(default=20, description="Fewest failed entities that a cut is chosen on.")

    def cut(self, calibration: pl.DataFrame) -> float:
        """The highest of the best cuts; always a score that occurred.

        Raises:
            ModelError: too few failed entities, all on one day, or scores that do not tell them from the healthy ones.
        """
        import numpy as np

        from ae_assets.thresholds.failures import KnownFailures
        from ae_assets.thresholds.windows import first_and_last_day

        if "fails_in" not in calibration.columns:
            raise ModelError(
                "the policy labelled received calibration scores without fails_in, the days to each entity's known "
                "failure; add the column, or choose a policy that needs no failures, e.g. target_far"
            )
        known = KnownFailures.of(calibration)
        failed, healthy = _highest(known.failed), _highest(known.healthy)
        if len(failed) < self.min_failed:
            raise ModelError(
                f"{len(failed)} failed entities are known at the end of calibration, the policy labelled needs "
                f"{self.min_failed}; lengthen calibration.days (or training.days, for a detector that does not learn "
                "from failures), lower min_failed, or choose a policy that needs no failures, e.g. target_far"
            )
        if not known.later_failures:
            raise ModelError(
                f"all {len(failed)} failed entities failed on one day, which does not say how often entities fail; "
                "lengthen calibration.days, or choose a policy that needs no failures, e.g. target_far"
            )
        cuts = np.unique(np.concatenate([healthy, failed]))
        found = 1 - np.searchsorted(failed, cuts, side="right") / len(failed)
        first, last = first_and_last_day(known.healthy)
        days = (last - first).days + 1
        # Failures to come are among the healthy ones; their expected number may exceed what chance put over a cut.
        over = len(healthy) - np.searchsorted(healthy, cuts, side="right") - known.to_come(days).over(cuts)
        alarmed = np.maximum(over, 0) / len(healthy)
        failures = known.failures_a_day * days
        merit = self._merit(found, alarmed, failures / (failures + len(healthy)))
        best = len(cuts) - 1 - int(np.argmax(merit[::-1]))
        if found[best] == 0 or alarmed[best] > 0.5:
            what = "no alarm at all" if found[best] == 0 else f"an alarm on {alarmed[best]:.0%} of the healthy entities"
            raise ModelError(
                f"by {self.objective} the best cut on {len(failed)} failed and {len(healthy)} healthy entities gives "
                f"{what}: the scores do not tell them apart at these settings; raise beta or cost_of_a_miss for more "
                "alarms, lower it for fewer, or use a better detector"
            )
        return float(cuts[best])

    def promise(self) -> Promise:
        aim = f"F-{self.beta:g}" if self.objective == "f_beta" else "expected cost"
        return Promise("nothing", f"promises no rate: it aims at the best {aim} on the failures known to it")

    def _merit(
        self, found: "NDArray[np.float64]", alarmed: "NDArray[np.float64]", base_rate: float
    ) -> "NDArray[np.float64]":
        """What is to be as large as possible, per entity and calibration range."""
        right, missed, wrong = base_rate * found, base_rate * (1 - found), (1 - base_rate) * alarmed
        if self.objective == "cost":
            return -(self.cost_of_a_miss * missed + self.cost_of_a_false_alarm * wrong)
        weight = self.beta**2
        return (1 + weight) * right / ((1 + weight) * right + weight * missed + wrong)


def _highest(rows: pl.DataFrame) -> "NDArray[np.float64]":
    """The highest score of each entity, rising."""
    return rows.group_by("entity").agg(pl.col("score").max())["score"].sort().to_numpy()
