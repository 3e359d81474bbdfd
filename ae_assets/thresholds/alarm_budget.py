"""The alarm budget: a cut that most days keep within k alarms, and that rises on the days that do not."""

from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field, PositiveInt

from ae_assets.errors import ModelError
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ae_assets.thresholds.curve import CalibrationCurve


class AlarmBudgetConfig(ThresholdPolicy):
    """Lets at most `alarms_a_day` entities a day be alarms, those with the highest scores.

    The fitted cut keeps quiet days quiet: it is chosen so that `share_of_days` of the calibration days stay within the
    budget. On a day with more scores over it the cut rises to the first score that the budget has no place for, so the
    budget is never exceeded; entities tied there are no alarms, which leaves such a day below its budget. An entity
    that stays over the cut takes a place on each of its days; one that is muted takes none. Where rows come by the hour
    the cut follows the hour, and each hour keeps the budget.
    """

    policy: Literal["alarm_budget"] = "alarm_budget"
    alarms_a_day: PositiveInt = Field(
        default=20, description="Most alarms of one day; those of muted entities are not counted."
    )
    share_of_days: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of calibration days on which the fitted cut alone keeps the budget.",
    )

    def cut(self, calibration: pl.DataFrame) -> float:
        """The lowest cut that keeps the budget on `share_of_days` of the calibration days.

        Raises:
            ModelError: on so many days no more entities report than the budget allows: every one would be an alarm.
        """
        import numpy as np

        first_beyond = pl.col("score").top_k(self.alarms_a_day + 1).min()
        days = calibration.group_by("day").agg(
            pl.when(pl.len() > self.alarms_a_day).then(first_beyond).otherwise(float("-inf")).alias("needed")
        )
        cut = float(np.quantile(days["needed"].to_numpy(), self.share_of_days, method="inverted_cdf"))
        if cut == float("-inf"):
            raise ModelError(
                f"alarm_budget allows {self.alarms_a_day} alarms a day, and on {self.share_of_days:.0%} of the "
                f"{days.height} calibration days no more entities than that report: every one of them would be an "
                "alarm; set alarms_a_day to a small part of the fleet"
            )
        return cut

    def cut_of_day(
        self,
        cut: float,
        calibration: "CalibrationCurve",  # noqa: ARG002 - the budget of a day needs no calibration
        scores: "NDArray[np.float64]",
    ) -> float:
        """The fitted cut, or the first score beyond the budget where that is higher."""
        import numpy as np

        if len(scores) <= self.alarms_a_day:
            return cut
        beyond = len(scores) - self.alarms_a_day - 1
        return max(cut, float(np.partition(scores, beyond)[beyond]))

    def promise(self) -> Promise:
        return Promise("alarms_a_day", f"no day has more than {self.alarms_a_day} alarms", at_most=self.alarms_a_day)
