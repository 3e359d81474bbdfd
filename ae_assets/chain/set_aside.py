"""What of a day is not watched: rows that were set aside, by rule, and cohorts that no row of features is left of."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ae_assets.sources.printable import printable, quoted


@dataclass(frozen=True)
class BrokenRule:
    """The rows of a day that broke a rule first, and what the first of them held in the column that broke it.

    ``value`` is None where the cell was empty; ``reason`` says why such a row cannot be true.
    """

    rule: str
    rows: int
    column: str
    value: str | None
    reason: str

    @property
    def in_words(self) -> str:
        """E.g. ``180 by date_is_the_partition_day (date '2024-04-18')``."""
        return f"{self.rows:,} by {self.rule} ({cell_in_words(self.column, self.value)})"

    @property
    def because(self) -> str:
        """E.g. ``date_is_the_partition_day: a row of the file says ...``."""
        return f"{self.rule}: {self.reason}"


@dataclass(frozen=True)
class GoneCohort:
    """A cohort of which a day has no row of features.

    ``devices`` are its rows on the day, all of them ``set_aside``; or those of the day before, if the day has none.
    """

    cohort: str
    devices: int
    set_aside: bool

    @property
    def in_words(self) -> str:
        """E.g. ``ST4000DM000 (all 12 rows set aside)``."""
        what = f"all {self.devices:,} rows set aside" if self.set_aside else f"{self.devices:,} devices the day before"
        return f"{printable(self.cohort)} ({what})"


def cell_in_words(column: str, value: str | None) -> str:
    """E.g. ``smart_5_raw '-4'``."""
    return f"{column} {'empty' if value is None else quoted(value)}"


def rows_by_rule(quarantine: pl.DataFrame) -> pl.DataFrame:
    """``rule, rows, column, value, reason`` of the rules that the rows of a quarantine broke first, in their order."""
    first = pl.col("column", "value", "reason").first()
    return quarantine.group_by("rule", maintain_order=True).agg(pl.len().alias("rows"), first)


def broken_rules(quarantine: pl.DataFrame) -> tuple[BrokenRule, ...]:
    """The rules that the rows of a quarantine broke first, the one with the most rows first."""
    return by_rows(rows_by_rule(quarantine))


def by_rows(rules: pl.DataFrame) -> tuple[BrokenRule, ...]:
    """The same of `rows_by_rule`."""
    return tuple(BrokenRule(*row) for row in rules.sort("rows", descending=True, maintain_order=True).iter_rows())


def gone_cohorts(
    delivered: Mapping[str, int], watched: Mapping[str, int], before: Mapping[str, int]
) -> tuple[GoneCohort, ...]:
    """The cohorts without a row of features, the largest first.

    By cohort the raw rows of the day, its rows of features, and those of the last day before that has any.
    """
    gone = [GoneCohort(cohort, rows, set_aside=True) for cohort, rows in delivered.items() if cohort not in watched]
    gone += [
        GoneCohort(cohort, rows, set_aside=False)
        for cohort, rows in before.items()
        if cohort not in watched and cohort not in delivered
    ]
    return tuple(sorted(gone, key=lambda one: (-one.devices, one.cohort)))
