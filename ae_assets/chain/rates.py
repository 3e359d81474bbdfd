"""The verdicts that pool a window of days: detection, false alarms, drift of scores and features."""

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from ae_assets.chain.champion import load_champion
from ae_assets.chain.drift import PooledVerdict, judge_drift
from ae_assets.chain.lives import lives_in
from ae_assets.chain.target import intervals_in, step_of
from ae_assets.chain.workspace import ANOMALIES, Workspace
from ae_assets.errors import EvaluationError, SourceError
from ae_assets.evaluation.compare import judge_threshold
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import IN_USE
from ae_assets.evaluation.series import Series
from ae_assets.evaluation.verdicts import Outcome, Verdict, rates_are_acceptable, series_rates_are_acceptable
from ae_assets.schemas.daily import of_days
from ae_assets.schemas.records import keys_of

RATES = ("detection_rate_is_acceptable", "false_alarm_rate_is_acceptable")
VERDICTS = (*RATES, "scores_have_not_drifted", "features_have_not_drifted")


def judge_rates(space: Workspace) -> dict[str, PooledVerdict]:
    """Judges the latest window of the anomaly table, as far as neither fit nor threshold has seen it.

    Of a table of which nothing is known to have gone wrong no rates are judged.
    """
    limits = space.table.checks
    champion = load_champion(space)
    days = space.days_with_rows(ANOMALIES)
    if not days:
        nothing = PooledVerdict(True, "too few to judge: the anomaly table holds no day", {})
        return dict.fromkeys(VERDICTS, nothing)
    last = days[-1]
    periods = space.table.periods
    window = periods.spanning(last, timedelta(days=limits.window_days))
    first = max(window, periods.shifted(champion.seen_until, 1))
    return {**_rates(space, first, last), **judge_drift(space, champion, last)}


def _rates(space: Workspace, first: date, last: date) -> dict[str, PooledVerdict]:
    if space.table.target_kind is None:
        return {}
    facts: dict[str, object] = {"window_start": first.isoformat(), "window_end": last.isoformat()}
    judge = _by_failures if space.table.target_kind == "failures" else _by_intervals
    try:
        rows = space.read(ANOMALIES, first, last, [*keys_of(space.schema(ANOMALIES)), "cohort", "is_anomaly"])
        scores = rows.with_columns(score=pl.col("is_anomaly").cast(pl.Float64)).drop("is_anomaly")
        verdicts, sizes = judge(space, scores, (first, last))
    except EvaluationError as error:
        return dict.fromkeys(RATES, PooledVerdict(True, f"too few to judge: {error}", facts))
    except SourceError as error:  # of the file of intervals
        return dict.fromkeys(RATES, PooledVerdict(False, f"nothing can be judged: {error}", facts))
    return {name: _pooled(one, {**facts, **sizes}) for name, one in zip(RATES, verdicts, strict=True)}


Judged = tuple[tuple[Verdict, Verdict], Mapping[str, object]]
"""The verdicts on detection and on false alarms, and how much they rest on."""


def _by_failures(space: Workspace, scores: pl.DataFrame, days: tuple[date, date]) -> Judged:
    limits = space.table.checks
    protocol = Protocol(*space.table.periods.days(*days), space.table.horizon_days, limits.window_days)
    point = judge_threshold(of_days(scores), lives_in(space), protocol, 0.5)
    return rates_are_acceptable(point, limits.min_detection_rate, limits.max_false_alarm_rate), {}


def _by_intervals(space: Workspace, scores: pl.DataFrame, days: tuple[date, date]) -> Judged:
    limits = space.table.checks
    series = Series(scores, intervals_in(space), *days, step_of(space))
    point = series.point(series.align(scores, IN_USE) > 0.5, 0.5, IN_USE)
    sizes = {
        "entity_days": series.sample.entity_days,
        "false_alarms": point.false_alarms,
        "entities_of_intervals_unknown": list(series.sample.unknown),
    }
    return series_rates_are_acceptable(point, limits.min_detection_rate, limits.max_false_alarm_rate), sizes


def _pooled(verdict: Verdict, facts: dict[str, object]) -> PooledVerdict:
    counts = {
        "outcome": verdict.outcome.value,
        "count": verdict.measured.count,
        "total": verdict.measured.total,
        "lower_bound": verdict.lower,
        "upper_bound": verdict.upper,
        "limit": verdict.limit,
        "missed": list(verdict.missed[:50]),
    }
    return PooledVerdict(verdict.outcome is not Outcome.FAILED, verdict.explanation, {**facts, **counts})
