"""The verdicts that pool a window of days: detection, false alarms, drift of scores and features."""

from datetime import date, timedelta

import polars as pl

from ae_assets.chain.champion import load_champion
from ae_assets.chain.drift import judge_drift
from ae_assets.chain.lives import lives_in
from ae_assets.chain.verdict import PooledVerdict
from ae_assets.chain.workspace import ANOMALIES, Workspace
from ae_assets.errors import EvaluationError
from ae_assets.evaluation import (
    Outcome,
    Protocol,
    Verdict,
    detection_rate_is_acceptable,
    false_alarm_rate_is_acceptable,
    judge_threshold,
)

RATES = ("detection_rate_is_acceptable", "false_alarm_rate_is_acceptable")
VERDICTS = (*RATES, "scores_have_not_drifted", "features_have_not_drifted")


def judge_rates(space: Workspace) -> dict[str, PooledVerdict]:
    """Judges the latest window of the anomaly table, as far as neither fit nor threshold has seen it.

    Of a table of which no failures are known no rates are judged.
    """
    limits = space.table.checks
    champion = load_champion(space)
    held = sorted(day for day, rows in space.days_of(ANOMALIES).items() if rows)
    if not held:
        nothing = PooledVerdict(True, "too few to judge: the anomaly table holds no day", {})
        return dict.fromkeys(VERDICTS, nothing)
    last = held[-1]
    first = max(last - timedelta(days=limits.window_days - 1), champion.seen_until + timedelta(days=1))
    return {**_rates(space, first, last), **judge_drift(space, champion, last)}


def _rates(space: Workspace, first: date, last: date) -> dict[str, PooledVerdict]:
    if space.table.target_kind != "failures":
        return {}
    limits = space.table.checks
    facts: dict[str, object] = {"window_start": first.isoformat(), "window_end": last.isoformat()}
    try:
        protocol = Protocol(first, last, space.table.horizon_days, limits.window_days)
        rows = space.read(ANOMALIES, first, last, ["day", "entity", "cohort", "is_anomaly"]).with_columns(
            score=pl.col("is_anomaly").cast(pl.Float64)
        )
        point = judge_threshold(rows, lives_in(space), protocol, 0.5, "in use")
    except EvaluationError as error:
        unknown = PooledVerdict(True, f"too few to judge: {error}", facts)
        return dict.fromkeys(RATES, unknown)
    detection = detection_rate_is_acceptable(point, limits.min_detection_rate)
    false_alarms = false_alarm_rate_is_acceptable(point, limits.max_false_alarm_rate)
    return dict(zip(RATES, (_pooled(detection, facts), _pooled(false_alarms, facts)), strict=True))


def _pooled(verdict: Verdict, facts: dict[str, object]) -> PooledVerdict:
    counts = {
        "outcome": verdict.outcome.value,
        "count": verdict.count,
        "total": verdict.total,
        "lower_bound": verdict.lower,
        "upper_bound": verdict.upper,
        "limit": verdict.limit,
        "missed": list(verdict.missed[:50]),
    }
    return PooledVerdict(verdict.outcome is not Outcome.FAILED, verdict.explanation, {**facts, **counts})
