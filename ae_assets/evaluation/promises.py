"""Whether the promises of threshold policies held on later days. Policies and what they promise live in thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Protocol as Shape

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ConfigError, EvaluationError
from ae_assets.evaluation.evaluate import CONFIDENCE, rate_by_entity
from ae_assets.evaluation.intervals import Rate, rate
from ae_assets.evaluation.lives import Lives
from ae_assets.evaluation.population import Population, population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.verdicts import Outcome, verdict

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Promised(Shape):
    """A promise, as `thresholds.promise.Promise` is one; this room does not import that one."""

    @property
    def quantity(self) -> str:
        """row_rate, false_alarm_rate, alarms_a_day, false_discovery_rate or nothing."""

    @property
    def words(self) -> str:
        """The promise as a sentence."""

    @property
    def at_most(self) -> float | None:
        """Its limit; None where nothing is promised."""

    @property
    def window_days(self) -> int | None:
        """Window of a false alarm rate."""


class Cutting(Shape):
    """A fitted threshold, as `thresholds.Threshold` is one."""

    @property
    def cut(self) -> float:
        """The cut that was fitted."""

    @property
    def promise(self) -> Promised:
        """What it promises of later days."""

    def cuts(self, keys: pl.DataFrame, scores: pl.Series) -> pl.Series:
        """The cut of each row, given the rows of whole days."""


class Kept(StrEnum):
    """What later days say about a promise."""

    HELD = "held"
    NOT_HELD = "not held"
    TOO_FEW = "too few to judge"
    NO_PROMISE = "promises nothing"


@dataclass(frozen=True)
class PromiseResult:
    """A promise beside what was observed, and what the threshold did besides.

    Attributes:
        policy: name of the policy.
        quantity: what is promised.
        promise: the promise as a sentence.
        at_most: its limit; None where nothing is promised.
        observed: the quantity on the judged days: a share, or the most alarms of a day; None without anything to count.
        low: lower end of its 95% interval; None for a number of alarms, which is counted and not estimated.
        high: upper end.
        kept: the verdict.
        explanation: counts, bound and verdict in a sentence or two.
        cut: the cut that was fitted.
        days_with_another_cut: judged days whose own cut differed from it.
        days: judged days.
        detection: share of failed entities with an alarm in their horizon.
        false_alarm: share of healthy pairs with an alarm, over the windows of the protocol.
        row_false_positive: share of the rows of healthy entities with an alarm.
        alarms_per_day: rows with an alarm per judged day.
    """

    policy: str
    quantity: str
    promise: str
    at_most: float | None
    observed: float | None
    low: float | None
    high: float | None
    kept: Kept
    explanation: str
    cut: float
    days_with_another_cut: int
    days: int
    detection: Rate
    false_alarm: Rate
    row_false_positive: Rate
    alarms_per_day: float


@dataclass(frozen=True)
class CalibrationTable:
    """Several policies on the same calibration and the same later scores.

    Attributes:
        results: one per policy that could be fitted, in the order given.
        not_fitted: why each other policy could not.
        window_days: length of the windows of `false_alarm`.
    """

    results: tuple[PromiseResult, ...]
    not_fitted: Mapping[str, str]
    window_days: int

    def to_table(self) -> pl.DataFrame:
        """One row per fitted policy, rates as numbers between 0 and 1."""
        return pl.DataFrame([_row(result) for result in self.results], infer_schema_length=None)


def calibration_table(
    thresholds: Mapping[str, Cutting],
    scores: pl.DataFrame,
    lives: Lives,
    protocol: Protocol,
    *,
    not_fitted: Mapping[str, str] | None = None,
) -> CalibrationTable:
    """Holds the promise of each policy against the scores of later days.

    Args:
        thresholds: the fitted threshold of each policy by name, all fitted on the same calibration scores.
        scores: `day, entity, cohort, score` of the judged days, none of which any of them has seen.
        lives: lives of all scored entities, known at least until the end of the range.
        protocol: range and rules. A false alarm rate is judged over the window of its promise.
        not_fitted: the reasons of policies that could not be fitted, by name.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no row lies in the range, or scores and lives do not fit together.
    """
    judged = _Judged(scores, lives, protocol)
    results = tuple(_result(name, threshold, judged) for name, threshold in thresholds.items())
    return CalibrationTable(results, dict(not_fitted or {}), protocol.window_days)


class _Judged:
    """The scores of the judged days in the order of the population, day by day."""

    def __init__(self, scores: pl.DataFrame, lives: Lives, protocol: Protocol) -> None:
        self.lives = lives
        self.given = scores.select("day", "entity", "cohort", "score")
        self.population = population_of(protocol, lives, scores)
        self.scores = self.population.align(scores, "thresholds")

    @cached_property
    def _rows_of_days(self) -> Sequence[NDArray[np.int64]]:
        order = np.argsort(self.population.days, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.population.days[order])) + 1)

    @property
    def days(self) -> int:
        return len(self._rows_of_days)

    def cuts_of(self, threshold: Cutting) -> Floats:
        """The cut of each row."""
        days = pl.DataFrame({"day": self.population.days})
        return threshold.cuts(days, pl.Series(self.scores)).to_numpy()

    def days_of(self, rows: Flags) -> int:
        """Days that have any of the rows."""
        return int((self.alarms_a_day(rows) > 0).sum())

    def alarms_a_day(self, alarms: Flags) -> NDArray[np.int64]:
        return np.array([int(alarms[rows].sum()) for rows in self._rows_of_days])

    def over_windows(self, window_days: int) -> Population:
        """The population with windows of another length.

        Raises:
            EvaluationError: the range holds no complete window of that length.
        """
        protocol = self.population.protocol
        if window_days == protocol.window_days:
            return self.population
        return population_of(replace(protocol, window_days=window_days), self.lives, self.given)


def _result(policy: str, threshold: Cutting, judged: _Judged) -> PromiseResult:
    promise, population = threshold.promise, judged.population
    cuts = judged.cuts_of(threshold)
    alarms: Flags = judged.scores > cuts
    kept, explanation, observed = _held_against(promise, alarms, judged)
    found = population.failed_rows.any(alarms)
    return PromiseResult(
        policy=policy,
        quantity=promise.quantity,
        promise=promise.words,
        at_most=promise.at_most,
        observed=observed.value if isinstance(observed, Rate) else observed,
        low=observed.low if isinstance(observed, Rate) else None,
        high=observed.high if isinstance(observed, Rate) else None,
        kept=kept,
        explanation=explanation,
        cut=threshold.cut,
        days_with_another_cut=judged.days_of(cuts != threshold.cut),
        days=judged.days,
        detection=rate(int(found.sum()), len(found), CONFIDENCE),
        false_alarm=_false_alarm_rate(population, alarms),
        row_false_positive=_row_rate(population, alarms),
        alarms_per_day=float(alarms.sum()) / judged.days,
    )


def _held_against(promise: Promised, alarms: Flags, judged: _Judged) -> tuple[Kept, str, Rate | float | None]:
    """The verdict, its reason, and what was observed."""
    limit = promise.at_most
    if promise.quantity == "nothing" or limit is None:
        return Kept.NO_PROMISE, promise.words, None
    if promise.quantity == "alarms_a_day":
        return _budget(judged.alarms_a_day(alarms), limit)
    try:
        share = _share_of(promise, alarms, judged)
    except EvaluationError as error:
        return Kept.TOO_FEW, str(error), None
    if not share.measured.total:
        return Kept.TOO_FEW, f"There were no {share.trials} to count.", None
    return _judged_share(share, limit)


@dataclass(frozen=True)
class _Share:
    """A measured share, what was counted, and what counted as a success."""

    measured: Rate
    trials: str
    successes: str


def _share_of(promise: Promised, alarms: Flags, judged: _Judged) -> _Share:
    population = judged.population
    match promise.quantity:
        case "row_rate":
            return _Share(_row_rate(population, alarms), "rows of healthy entities", "had an alarm")
        case "false_alarm_rate":
            window_days = promise.window_days or population.protocol.window_days
            measured = _false_alarm_rate(judged.over_windows(window_days), alarms)
            return _Share(measured, f"healthy {window_days}-day windows", "had an alarm")
        case "false_discovery_rate":
            measured = _false_discovery_rate(population, judged.lives, alarms)
            horizon = population.protocol.horizon_days
            labelled = f"alarms with labels for the {horizon} days after them"
            return _Share(measured, labelled, f"were on entities that did not fail within {horizon} days")
        case unknown:
            raise ConfigError(
                f"a threshold promises {unknown!r}, and a promise is judged of row_rate, false_alarm_rate, "
                "alarms_a_day, false_discovery_rate or nothing; add its measure to evaluation/promises.py"
            )


def _judged_share(share: _Share, limit: float) -> tuple[Kept, str, Rate]:
    judged = verdict(share.measured, "at most", limit, what=f"{share.trials} {share.successes}")
    kept = {Outcome.PASSED: Kept.HELD, Outcome.FAILED: Kept.NOT_HELD, Outcome.TOO_FEW: Kept.TOO_FEW}[judged.outcome]
    return kept, judged.explanation.removeprefix(f"{judged.outcome.capitalize()}: "), share.measured


def _budget(alarms_a_day: NDArray[np.int64], limit: float) -> tuple[Kept, str, float]:
    days_over, most = int((alarms_a_day > limit).sum()), int(alarms_a_day.max())
    reason = f"{days_over} of {len(alarms_a_day)} days had more than {limit:g} alarms; the most were {most}."
    return Kept.NOT_HELD if days_over else Kept.HELD, reason, float(most)


def _row_rate(population: Population, alarms: Flags) -> Rate:
    rows = population.healthy_rows
    return rate_by_entity(population.rows["entity"].gather(rows), alarms[rows])


def _false_alarm_rate(population: Population, alarms: Flags) -> Rate:
    return rate_by_entity(population.pairs["entity"], population.pair_rows.any(alarms))


def _false_discovery_rate(population: Population, lives: Lives, alarms: Flags) -> Rate:
    """Share of the alarms on entities that do not fail within the horizon after it, over all days together.

    An alarm counts as false where its entity does not fail within the horizon, however oddly it behaved. Alarms whose
    horizon reaches beyond the last label count for nothing, be they followed by a failure or not yet. Neither do alarms
    after an entity's first failure and, as in the protocol, those on entities that vanished within the horizon without
    a failure, unless it follows nobody up.
    """
    protocol = population.protocol
    raised = population.rows.filter(pl.Series(alarms)).join(lives.frame, on="entity", how="left", maintain_order="left")
    ahead = (pl.col("failed_on") - pl.col("day")).dt.total_days()
    horizon_end = pl.col("day") + pl.duration(days=protocol.horizon_days)
    followed = pl.col("last_day") >= horizon_end
    false = ahead.is_null() | (ahead > protocol.horizon_days)
    labelled = raised.filter(horizon_end <= pl.lit(lives.known_until))
    counted = labelled.select("entity", ahead=ahead, false=false, followed=followed).filter(
        (pl.col("ahead").is_null() | (pl.col("ahead") >= 0))
        & (~pl.col("false") | pl.col("followed") | pl.lit(protocol.follow_up == "none"))
    )
    return rate_by_entity(counted["entity"], counted["false"].to_numpy())


def _row(result: PromiseResult) -> dict[str, object]:
    rates = {
        "detection": result.detection,
        "false_alarm": result.false_alarm,
        "row_false_positive": result.row_false_positive,
    }
    plain = {name: value for name, value in vars(result).items() if name not in rates}
    for name, one in rates.items():
        plain |= {
            f"{name}_rate": one.value,
            f"{name}_low": one.low,
            f"{name}_high": one.high,
            f"{name}_count": one.count,
            f"{name}_total": one.total,
        }
    return plain | {"kept": result.kept.value}
