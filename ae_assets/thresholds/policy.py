"""What every threshold policy is: a typed configuration that turns calibration scores into a cut."""

from abc import ABC, abstractmethod

import polars as pl
from pydantic import BaseModel, ConfigDict


class ThresholdPolicy(BaseModel, ABC):
    """Base of the policies. A policy is its own configuration, so the YAML that names it is all there is to store.

    A subclass lives in a file of its own, has a `policy` literal that names it in YAML, and joins the union in
    `config.py`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def cut(self, calibration: pl.DataFrame) -> float:
        """The score above which an entity-day is an alarm.

        Args:
            calibration: `day, entity, cohort, score`, one row per entity and day, at least one row, every score finite.

        Returns:
            The cut, in units of the score. An alarm is a score strictly above it.
        """
