"""Stretches of each entity's own days or records, for tables that count from the first of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from ae_assets.errors import ModelError

Unit = Literal["days", "records"]

SEEN: Mapping[Unit, str] = {"days": "seen_days", "records": "seen_records"}
"""The column of the features that says on which of these a record is."""


@dataclass(frozen=True)
class LifeRange:
    """From the ``first`` to the ``last`` of an entity's own days or records, counted from 1."""

    first: int
    last: int
    unit: Unit = "days"

    def holds(self, seen: pl.Series) -> pl.Series:
        """Whether each record lies in it, by the column `SEEN`; a null day is that of the very first record of all.

        Raises:
            ModelError: of a record it is not known, since its features were made before records were counted.
        """
        if self.unit == "records" and seen.null_count():
            raise ModelError(
                f"{seen.null_count()} of {len(seen)} records were not counted when their features were made, and "
                "training.records counts them; materialise the features of these days again"
            )
        return seen.fill_null(0).is_between(self.first if self.first > 1 else 0, self.last)

    def after(self, skipped: int, count: int) -> "LifeRange":
        """So many days or records that follow it after others that are skipped."""
        return LifeRange(self.last + skipped + 1, self.last + skipped + count, self.unit)

    @property
    def words(self) -> str:
        """``day 2``, ``records 301 to 400``."""
        of_one = self.first == self.last
        return f"{self.unit.removesuffix('s')} {self.first}" if of_one else f"{self.unit} {self.first} to {self.last}"

    @property
    def record(self) -> list[Any]:
        """Plain values that `from_record` reads."""
        return [self.first, self.last] if self.unit == "days" else [self.first, self.last, self.unit]

    @classmethod
    def from_record(cls, record: list[Any] | None) -> "LifeRange | None":
        """What `record` gave; None: there was none."""
        return None if record is None else cls(*record)


def learned_of(calibrated: LifeRange | None) -> LifeRange | None:
    """What fit and threshold have seen of each entity, by what the threshold was chosen on; None: calendar days."""
    return None if calibrated is None else LifeRange(1, calibrated.last, calibrated.unit)
