"""What of a day is not watched: rows that were set aside, by rule, and cohorts that no row of features is left of."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ae_assets.sources.printable import printable, quoted


@dataclass(frozen=True)
class BrokenRule:
    """The rows of a day that broke a rule first.

    Attributes:
        rule: its name.
        rows: how many they are.
        column: the column that broke it in the first of them.
        value: what that column held there; None where it was empty.
        reason: why such a row cannot be true.
    """

    rule: str
    rows: int
    column: str
    value: str | None
    reason: str = ""

    @property
    def place(self) -> str:
        """E.g. ``smart_5_raw '-4'``."""
        return f"{self.column} {'empty' if self.value is None else quoted(self.value)}"

    @property
    def in_words(self) -> str:
        """E.g. ``180 by date_is_the_partition_day (date '2024-04-18')``."""
        return f"{self.rows:,} by {self.rule} ({self.place})"

    @property
    def because(self) -> str:
        """E.g. ``date_is_the_partition_day: a row of the file says ...``."""
        return f"{self.rule}: {self.reason}"


@dataclass(frozen=True)
class GoneCohort:
    """A cohort of which a day has no row of features.

    Attributes:
        cohort: its name.
        devices: rows of it on the day, all of them set aside; or its devices of the day before, if it has no row.
        set_aside: which of the two.
    """

    cohort: str
    devices: int
    set_aside: bool

    @property
    def in_words(self) -> str:
        """E.g. ``ST4000DM000 (all 12 rows set aside)``."""
        what = f"all {self.devices:,} rows set aside" if self.set_aside else f"{self.devices:,} devices the day before"
        return f"{printable(self.cohort)} ({what})"


def broken_rules(quarantine: pl.DataFrame) -> tuple[BrokenRule, ...]:
    """The rules that rows of a day broke first, the one with the most rows first.

    Args:
        quarantine: ``rule, column, value, reason`` of each row set aside.
    """
    found = quarantine.group_by("rule", maintain_order=True).agg(
        pl.len().alias("rows"), pl.col("column", "value", "reason").first()
    )
    ordered = found.sort("rows", descending=True, maintain_order=True)
    return tuple(BrokenRule(*row) for row in ordered.select("rule", "rows", "column", "value", "reason").iter_rows())


def gone_cohorts(
    delivered: Mapping[str, int], watched: Mapping[str, int], before: Mapping[str, int]
) -> tuple[GoneCohort, ...]:
    """The cohorts without a row of features, the largest first.

    Args:
        delivered: raw rows of the day by cohort.
        watched: its rows of features by cohort.
        before: rows of features of the last day before that has any.
    """
    gone = [GoneCohort(cohort, rows, set_aside=True) for cohort, rows in delivered.items() if cohort not in watched]
    gone += [
        GoneCohort(cohort, rows, set_aside=False)
        for cohort, rows in before.items()
        if cohort not in watched and cohort not in delivered
    ]
    return tuple(sorted(gone, key=lambda one: (-one.devices, one.cohort)))
