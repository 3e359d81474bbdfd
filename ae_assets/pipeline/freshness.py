"""Whether raw and anomalies are up to date: Dagster's freshness policy, and a check of the newest period that is held.

Dagster knows when an asset was last written, whichever period that was: a backfill of last year makes it look fresh.
The check looks at the newest period in the table and is the stricter of the two: a period is written after it has
ended, so what passes the check passes the policy.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg

from ae_assets.chain.workspace import ANOMALIES, RAW
from ae_assets.model.definition import FreshnessSection, WatchedTable
from ae_assets.pipeline.checks import spec
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.schemas.periods import Periods

CHECK = "newest_day_is_recent"
JUDGED = (RAW, ANOMALIES)
LOOK_SECONDS = 600
NOTHING_HELD = "nothing is held yet, so nothing is judged"


class Freshness(NamedTuple):
    """What the check says; ``state`` is reported again when it changes."""

    passed: bool
    severity: dg.AssetCheckSeverity
    words: str
    state: str


def judge(periods: Periods, newest: date, now: datetime, limits: FreshnessSection) -> Freshness:
    """Judges at a moment, which has a time zone, how long ago the newest period with rows ended."""
    hours = (now - periods.end(newest)) / timedelta(hours=1)
    allowed = {
        dg.AssetCheckSeverity.ERROR: limits.fail_after_hours,
        dg.AssetCheckSeverity.WARN: limits.warn_after_hours,
    }
    over = [severity for severity, most in allowed.items() if most is not None and hours >= most]
    severity = over[0] if over else dg.AssetCheckSeverity.ERROR
    words = f"the newest {periods.noun}, {periods.key(newest)}, {_ago(hours)}; {_allowed(limits)}"
    state = f"{periods.key(newest)} {severity.value if over else 'passed'}"
    return Freshness(not over, severity, words, state)


def freshness_policy(table: WatchedTable, asset: str) -> dg.FreshnessPolicy | None:
    """Dagster's own policy with the table's limits, for the assets that are judged."""
    limits = table.freshness
    if asset not in JUDGED or limits.fail_after_hours is None:
        return None
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=limits.fail_after_hours),
        warn_window=None if limits.warn_after_hours is None else timedelta(hours=limits.warn_after_hours),
    )


def build_freshness_checks(table: WatchedTable) -> list[dg.AssetChecksDefinition]:
    """The checks of the newest period; none for a table without limits."""
    return [_check(table, asset) for asset in JUDGED] if table.freshness.fail_after_hours is not None else []


def _check(table: WatchedTable, asset: str) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(name=f"{table.table}__{asset}_freshness", specs=[spec(CHECK, table, asset)])
    def newest_day(lakehouse: LakehouseResource) -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(**_verdict(table, asset, _freshness(table, lakehouse, asset)))

    return newest_day


def _verdict(table: WatchedTable, asset: str, judged: Freshness | None) -> dict[str, Any]:
    return {
        "asset_key": dg.AssetKey([table.table, asset]),
        "check_name": CHECK,
        "passed": judged is None or judged.passed,
        "severity": dg.AssetCheckSeverity.ERROR if judged is None else judged.severity,
        "description": NOTHING_HELD if judged is None else judged.words,
    }


def freshness_sensors(table: WatchedTable) -> list[dg.SensorDefinition]:
    """The sensor that judges freshness while nothing runs, which is when periods grow old; none without limits."""
    if table.freshness.fail_after_hours is None:
        return []

    @dg.sensor(
        name=f"{table.table}_freshness",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Says of raw and anomalies of {table.table} when their newest {table.periods.noun} has become too "
        "old.",
    )
    def freshness(context: dg.SensorEvaluationContext, lakehouse: LakehouseResource) -> dg.SensorResult:
        looks = {asset: _freshness(table, lakehouse, asset) for asset in JUDGED}
        found = {asset: judged for asset, judged in looks.items() if judged is not None}
        before: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        return dg.SensorResult(
            asset_events=[
                dg.AssetCheckEvaluation(**_verdict(table, asset, judged))
                for asset, judged in found.items()
                if before.get(asset) != judged.state
            ],
            cursor=json.dumps({asset: judged.state for asset, judged in found.items()}),
            skip_reason="; ".join(f"{asset}: {judged.words}" for asset, judged in found.items()) or NOTHING_HELD,
        )

    return [freshness]


def _freshness(table: WatchedTable, lakehouse: LakehouseResource, asset: str) -> Freshness | None:
    rows = lakehouse.workspace(table).days_of(asset)
    newest = max((day for day, count in rows.items() if count), default=None)
    return None if newest is None else judge(table.periods, newest, datetime.now(tz=UTC), table.freshness)


def _ago(hours: float) -> str:
    if hours < 0:
        return "has not ended yet"
    return f"ended {hours:.0f} hours ago" if hours < 96 else f"ended {hours / 24:,.0f} days ago"


def _allowed(limits: FreshnessSection) -> str:
    warn = "" if limits.warn_after_hours is None else f"a warning after {limits.warn_after_hours:g} hours, "
    return f"{warn}a failure after {limits.fail_after_hours:g} hours"
