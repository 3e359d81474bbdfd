"""The single entities behind the rates, for figures: their highest scores, and one found and one missed to look at."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from ae_assets.evaluation.intervals import Flags, Floats
from ae_assets.evaluation.population import population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.spells import Lives


@dataclass(frozen=True)
class FailedDrive:
    """A failed entity as an example.

    Attributes:
        entity: its name.
        failed_on: day of its failure.
        streak: most scored days in a row with an alarm within its horizon; 0 = missed.
    """

    entity: str
    failed_on: date
    streak: int


@dataclass(frozen=True)
class Drives:
    """Entities of an evaluated range.

    Attributes:
        healthy: the highest score of each healthy pair of entity and window; what the false alarm rate counts.
        failing: the highest score of each failed entity within its horizon; what the detection rate counts.
        healthy_alarms: healthy pairs with an alarm, each day held against its own threshold.
        failing_alarms: failed entities with an alarm within their horizon.
        cut: the threshold; None where it differs from day to day.
        detected: the failed entity with the longest streak of alarms; None where all were missed.
        missed: of those without an alarm the one in the middle by highest score; None where all were detected.
    """

    healthy: Floats
    failing: Floats
    healthy_alarms: int
    failing_alarms: int
    cut: float | None
    detected: FailedDrive | None
    missed: FailedDrive | None

    @property
    def examples(self) -> dict[str, FailedDrive]:
        """The detected and the missed one, as far as there are such."""
        chosen = {"detected": self.detected, "missed": self.missed}
        return {name: drive for name, drive in chosen.items() if drive is not None}


def drives_of(scores: pl.DataFrame, lives: Lives, protocol: Protocol) -> Drives:
    """Looks at the entities of a range one by one, from `day, entity, cohort, score, threshold` of each on each day.

    An alarm is a score over the threshold of its row.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no row lies in the range, or scores and lives do not fit together.
    """
    population = population_of(protocol, lives, scores)
    values = population.align(scores, "the detector")
    cuts = population.align(scores.with_columns(score=pl.col("threshold")), "the threshold")
    alarms = values > cuts
    groups = population.failed_rows
    failing = groups.highest(values)
    streaks = [_longest_run(alarms[rows]) for rows in np.split(groups.rows, groups.starts[1:])] if len(failing) else []
    failed = population.failed.select("entity", "failed_on").with_columns(
        streak=pl.Series(streaks, dtype=pl.Int64), highest=pl.Series(failing, dtype=pl.Float64)
    )
    found = failed.filter(pl.col("streak") > 0).sort(["streak", "entity"], descending=[True, False])
    missed = failed.filter(pl.col("streak") == 0).sort("highest", "entity")
    return Drives(
        population.pair_rows.highest(values),
        failing,
        healthy_alarms=int(population.pair_rows.any(alarms).sum()),
        failing_alarms=found.height,
        cut=float(cuts[0]) if (cuts == cuts[0]).all() else None,
        detected=_example(found, 0),
        missed=_example(missed, missed.height // 2),
    )


def _longest_run(flags: Flags) -> int:
    """The most true values in a row."""
    breaks = np.flatnonzero(~np.concatenate([[False], flags, [False]]))
    return int(np.diff(breaks).max()) - 1


def _example(failed: pl.DataFrame, place: int) -> FailedDrive | None:
    if place >= failed.height:
        return None
    row = failed.row(place, named=True)
    return FailedDrive(row["entity"], row["failed_on"], row["streak"])
