"""Conformal p-values of a day's entities, and the Benjamini-Hochberg step that chooses among them."""

from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field

from ae_assets.errors import ModelError
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ae_assets.thresholds.curve import CalibrationCurve


class ConformalConfig(ThresholdPolicy):
    """Raises as many alarms a day as can be told from calibration with a share `level` of them false.

    Each entity of the day gets a conformal p-value (`CalibrationCurve.entity_p_values`), and the step-up procedure of
    Benjamini and Hochberg (1995) at `level` chooses the alarms; conformal p-values satisfy the dependence that it needs
    (Bates, Candes, Lei, Romano, Sesia 2023, Testing for Outliers with Conformal p-values, theorem 2). The cut follows
    the day: many outliers lower it, a day without any has no alarm.

    What it needs to find anything: n calibration entities allow no p-value below 1 / (n + 1), so in a fleet of that
    size fewer than 1 / level outliers in a day are not raised at all. And a false alarm is an entity that behaves like
    those of calibration: where these hold entities that fail later, unknown at the time, such entities are not found
    abnormal.
    """

    policy: Literal["conformal"] = "conformal"
    level: float = Field(default=0.1, gt=0, lt=1, description="Largest share of false alarms among the alarms.")

    def cut(self, calibration: pl.DataFrame) -> float:
        """The highest calibration score, beyond which no p-value is smaller; a day's own cut is `cut_of_day`.

        Raises:
            ModelError: there are too few entities for an alarm at this level, whatever a day brings.
        """
        entities = calibration["entity"].n_unique()
        if 1 / (entities + 1) > self.level:
            raise ModelError(
                f"{entities} calibration entities allow no p-value below {1 / (entities + 1):.4g}, and the level is "
                f"{self.level:.4g}; calibrate on more entities or raise level"
            )
        return float(calibration.select(pl.col("score").max()).item())

    def cut_of_day(
        self,
        cut: float,  # noqa: ARG002 - the day's scores decide
        calibration: "CalibrationCurve",
        scores: "NDArray[np.float64]",
    ) -> float:
        """The highest score of the day that is no alarm."""
        import numpy as np

        falling = np.sort(scores)[::-1]
        allowed = self.level * np.arange(1, len(falling) + 1) / len(falling)
        rejected = np.flatnonzero(calibration.entity_p_values(falling) <= allowed)
        if not len(rejected):
            return float(falling[0])
        lowest_alarm = falling[rejected[-1]]
        below = falling[falling < lowest_alarm]
        return float(below[0]) if len(below) else float(np.nextafter(lowest_alarm, -np.inf))

    def promise(self) -> Promise:
        return Promise(
            "false_discovery_rate",
            f"at most {self.level:.4g} of the alarms are entities that behave like those of calibration",
            at_most=self.level,
        )
