"""Whether the promises of threshold policies held on later days. Policies and what they promise live in thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
import polars as pl

from ae_assets.errors import ConfigError, EvaluationError
from ae_assets.evaluation.compare import point_of
from ae_assets.evaluation.gain import groups_of
from ae_assets.evaluation.intervals import Flags, Ints, Rate, clustered_rate, rate_by_entity
from ae_assets.evaluation.population import Population, population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import OperatingPoint, rate_columns
from ae_assets.evaluation.spells import Lives
from ae_assets.evaluation.verdicts import Outcome, verdict
from ae_assets.schemas.daily import of_days
from ae_assets.schemas.records import day_of, keys_of
from ae_assets.thresholds.promise import Promise
from ae_assets.thresholds.threshold import Threshold


class Kept(StrEnum):
    """What later days say about a promise."""

    HELD = "held"
    NOT_HELD = "not held"
    TOO_FEW = "too few to judge"
    NO_PROMISE = "promises nothing"


_KEPT = {Outcome.PASSED: Kept.HELD, Outcome.FAILED: Kept.NOT_HELD, Outcome.TOO_FEW: Kept.TOO_FEW}


@dataclass(frozen=True)
class PromiseResult:
    """A promise beside what was observed, and what the threshold did besides.

    Attributes:
        policy: name of the policy.
        quantity: what is promised, the promise as a sentence and its limit, as in `Promise`.
        observed: the quantity on the judged days: a share, or the most alarms of a day; None without anything to count.
        low: lower end of its 95% interval; None for a number of alarms, which is counted and not estimated.
        high: upper end.
        kept: the verdict.
        explanation: counts, bound and verdict in a sentence or two.
        cut: the cut that was fitted.
        days_with_another_cut: judged days whose own cut differed from it.
        days: judged days.
        detection: as the other rates below of an `OperatingPoint`, over the windows of the protocol.
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
class Held:
    """A promise beside what was observed where nothing is known to have gone wrong.

    ``observed`` is the quantity: a share with its interval, or the most alarms of a day; None without anything to
    count.
    """

    promise: Promise
    observed: Rate | float | None
    kept: Kept


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
    thresholds: Mapping[str, Threshold],
    scores: pl.DataFrame,
    lives: Lives,
    protocol: Protocol,
    *,
    not_fitted: Mapping[str, str] | None = None,
) -> CalibrationTable:
    """Holds the promise of each policy against the `day, entity, cohort, score` of later days.

    All thresholds were fitted on the same calibration scores, and none has seen the judged days. A false alarm rate is
    judged over the window of its promise. `not_fitted` says why other policies could not be fitted.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no row lies in the range, or scores and lives do not fit together.
    """
    judged = _Judged(scores, lives, protocol)
    results = tuple(_result(name, threshold, judged) for name, threshold in thresholds.items())
    return CalibrationTable(results, dict(not_fitted or {}), protocol.window_days)


def held_without_labels(threshold: Threshold, scores: pl.DataFrame) -> Held:
    """Holds a promise against later scores of devices of which nothing is known to have gone wrong.

    All of them count as healthy, so that what is rare and real counts as a false alarm too. Windows of a false alarm
    rate begin with the first day of the scores.

    Args:
        threshold: fitted on earlier days.
        scores: ``day, entity, cohort, score``, with ``time`` where an entity has several records in a period.
    """
    promise = threshold.promise
    judged = scores.drop_nulls("score")
    rows = judged if threshold.policy.by_record else of_days(judged)
    cuts = threshold.cuts(rows.select(keys_of(rows.columns)), rows["score"])
    alarms = rows.with_columns(day=day_of(rows.columns), alarm=rows["score"] > cuts)
    if promise.quantity == "alarms_a_day" and promise.at_most is not None and rows.height:
        kept, _, most = _budget(alarms.group_by("day").agg(pl.col("alarm").sum())["alarm"].to_numpy(), promise.at_most)
        return Held(promise, most, kept)
    if promise.quantity == "false_alarm_rate":
        window = (pl.col("day") - pl.col("day").min()).dt.total_days() // (promise.window_days or 1)
        whole = (pl.col("day").max() - pl.col("day").min()).dt.total_days() + 1
        complete = alarms.filter((window + 1) * (promise.window_days or 1) <= whole)
        alarms = complete.group_by("entity", window.alias("window")).agg(pl.col("alarm").any(), pl.col("day").min())
    if promise.at_most is None or promise.quantity not in {"row_rate", "false_alarm_rate"}:
        return Held(promise, None, Kept.NO_PROMISE)
    if alarms.is_empty():
        return Held(promise, None, Kept.TOO_FEW)
    group = groups_of(alarms)
    rate = clustered_rate(np.bincount(group, weights=alarms["alarm"].to_numpy()), np.bincount(group))
    return Held(promise, rate, _KEPT[verdict(rate, "at most", promise.at_most, what="alarms").outcome])


class _Judged:
    """The scores of the judged days in the order of the population."""

    def __init__(self, scores: pl.DataFrame, lives: Lives, protocol: Protocol) -> None:
        self.lives = lives
        self.given = scores.select("day", "entity", "cohort", "score")
        self.population = population_of(protocol, lives, scores)
        self.scores = self.population.align(scores, "thresholds")

    @cached_property
    def _day_of_row(self) -> Ints:
        """The day of each row, numbered from 0 without gaps."""
        return np.unique(self.population.days, return_inverse=True)[1]

    def a_day(self, flags: Flags) -> Ints:
        """Rows with the flag on each day."""
        return np.bincount(self._day_of_row[flags], minlength=self.population.sample.days)

    def false_alarm(self, window_days: int, alarms: Flags) -> Rate:
        """The false alarm rate over windows of another length.

        Raises:
            EvaluationError: the range holds no complete window of that length.
        """
        protocol = replace(self.population.protocol, window_days=window_days)
        others = population_of(protocol, self.lives, self.given)
        return rate_by_entity(others.pair_entities, others.pair_rows.any(alarms))


def _result(policy: str, threshold: Threshold, judged: _Judged) -> PromiseResult:
    promise, population = threshold.promise, judged.population
    cuts = threshold.cuts(pl.DataFrame({"day": population.days}), pl.Series(judged.scores)).to_numpy()
    alarms: Flags = judged.scores > cuts
    point = point_of(population, alarms, policy, threshold.cut)
    kept, explanation, observed = _held_against(promise, alarms, point, judged)
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
        days_with_another_cut=int((judged.a_day(cuts != threshold.cut) > 0).sum()),
        days=population.sample.days,
        detection=point.detection,
        false_alarm=point.false_alarm,
        row_false_positive=point.row_false_positive,
        alarms_per_day=point.alarms_per_day,
    )


def _held_against(
    promise: Promise, alarms: Flags, point: OperatingPoint, judged: _Judged
) -> tuple[Kept, str, Rate | float | None]:
    """The verdict, its reason, and what was observed."""
    limit, population, successes = promise.at_most, judged.population, "had an alarm"
    if promise.quantity == "nothing" or limit is None:
        return Kept.NO_PROMISE, promise.words, None
    match promise.quantity:
        case "alarms_a_day":
            return _budget(judged.a_day(alarms), limit)
        case "row_rate":
            measured, trials = point.row_false_positive, "rows of healthy entities"
        case "false_alarm_rate":
            window_days = promise.window_days or population.protocol.window_days
            try:
                measured = judged.false_alarm(window_days, alarms)
            except EvaluationError as error:
                return Kept.TOO_FEW, str(error), None
            trials = f"healthy {window_days}-day windows"
        case "false_discovery_rate":
            measured, horizon = (
                _false_discovery_rate(population, judged.lives, alarms),
                population.protocol.horizon_days,
            )
            trials = f"alarms with labels for the {horizon} days after them"
            successes = f"were on entities that did not fail within {horizon} days"
        case unknown:
            raise ConfigError(
                f"a threshold promises {unknown!r}, and a promise is judged of row_rate, false_alarm_rate, "
                "alarms_a_day, false_discovery_rate or nothing; add its measure to evaluation/promises.py"
            )
    if not measured.total:
        return Kept.TOO_FEW, f"There were no {trials} to count.", None
    within = verdict(measured, "at most", limit, what=f"{trials} {successes}")
    return _KEPT[within.outcome], within.explanation.removeprefix(f"{within.outcome.capitalize()}: "), measured


def _budget(alarms_a_day: Ints, limit: float) -> tuple[Kept, str, float]:
    days_over, most = int((alarms_a_day > limit).sum()), int(alarms_a_day.max())
    reason = f"{days_over} of {len(alarms_a_day)} days had more than {limit:g} alarms; the most were {most}."
    return Kept.NOT_HELD if days_over else Kept.HELD, reason, float(most)


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
    return rate_by_entity(counted["entity"].rle_id().to_numpy().astype(np.int64), counted["false"].to_numpy())


def _row(result: PromiseResult) -> dict[str, object]:
    rates = ("detection", "false_alarm", "row_false_positive")
    row = {name: value for name, value in vars(result).items() if name not in rates}
    for name in rates:
        row |= rate_columns(name, getattr(result, name))
    return row | {"kept": result.kept.value}
