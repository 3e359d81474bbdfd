"""What every threshold policy is: a typed configuration that makes a cut of calibration scores, and a promise."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ae_assets.thresholds.promise import Promise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ae_assets.thresholds.curve import CalibrationCurve


class ThresholdPolicy(BaseModel, ABC):
    """Base of the policies. A policy is its own configuration, so the YAML that names it is all there is to store.

    A subclass lives in a file of its own and has defaults for every setting; `POLICY_KINDS` in `config.py` names those
    of this package. Its docstring says what it assumes and when it fails.

    Attributes:
        sees_failures: whether `cut` is given the entities that are known to fail. Every other policy describes what is
            normal, and never sees them.
        by_record: whether it describes single records; every other one is given the highest score of each entity and
            day. Where an entity has one record a day both are the same.
        needs_failures: whether it cannot choose a cut without them, so that a table of which none are known refuses it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sees_failures: ClassVar[bool] = False
    needs_failures: ClassVar[bool] = False
    by_record: ClassVar[bool] = False

    policy: str = Field(description="Which policy it is.")

    @property
    def name(self) -> str:
        return self.policy

    @property
    def follows_the_day(self) -> bool:
        """Whether a day's own scores move its cut."""
        return type(self).cut_of_day is not ThresholdPolicy.cut_of_day

    @abstractmethod
    def cut(self, calibration: pl.DataFrame) -> float:
        """The score above which an entity-day is an alarm.

        Args:
            calibration: `day, entity, cohort, score`, one row per entity and day (per record with `by_record`), at
                least one row, every score finite; with `sees_failures` also `fails_in`, days to the entity's known
                failure, null in entities without one.

        Returns:
            The cut, in units of the score. An alarm is a score strictly above it.

        Raises:
            ModelError: the scores do not bear what the policy promises; the message says what to change.
        """

    @abstractmethod
    def promise(self) -> Promise:
        """What the policy promises of the days after calibration."""

    def cut_of_day(
        self,
        cut: float,
        calibration: "CalibrationCurve",  # noqa: ARG002 - policies whose cut follows the day read it
        scores: "NDArray[np.float64]",  # noqa: ARG002
    ) -> float:
        """The cut of one day; the fitted one, unless a policy lets it follow the day's scores.

        Args:
            cut: the cut that was fitted.
            calibration: distribution of the calibration scores of healthy entities.
            scores: the scores of all entities on that day that are not muted, the highest of each, at least one, none
                of them NaN.
        """
        return cut
