"""An alert as JSON (docs/alerts.md describes it) and as text."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ae_assets.pipeline.alerts.problems import Alert, Event, Kind, Problem, Severity

SCHEMA = "ae_assets.alert/1"
RANGES_NAMED = 10

TO_DO = {
    "day_volume_is_plausible": "Look whether the source delivered all of its rows; if it delivers the rest later, "
    "materialise them again.",
    "rows_are_conserved": "Rows were lost between raw and features: materialise features again, and "
    "report it as a defect if it stays.",
    "rows_set_aside_are_few": "Look at the quarantine: mend the file, or the setting that the rule looks "
    "at, and materialise again from raw on; nothing was scored.",
    "cohorts_are_there": "Look whether these devices were retired; else why their rows are missing or set aside.",
    "entities_are_unique": "Find out why a device is in the file twice; mend it and materialise again.",
    "schema_holds": "Look which columns the run names; mend the source's file or the table's settings.",
    "training_converged": "The champion stays in use. Train on more days or devices, or with another detector.",
    "challenger_is_not_worse": "The champion stays in use; nothing has to be done. The run shows the comparison.",
    "alarm_rate_is_plausible": "Look at the alarms: a cohort or a place that fails, a change of the source, or a "
    "threshold that no longer fits.",
    "open_episodes_have_records": "Look what became of these devices: mute those that were taken out, mend rows that "
    "are set aside.",
    "devices_are_judged": "Look which cohorts report nothing that the detector looks at: mend their readings, watch "
    "attributes that they do report, or mute the cohort.",
    "detection_rate_is_acceptable": "Look at the latest evaluation; retrain on newer days.",
    "false_alarm_rate_is_acceptable": "Look at the latest evaluation; calibrate or retrain on newer days.",
    "scores_have_not_drifted": "Look which cohorts changed; retrain on newer days if the change stays.",
    "features_have_not_drifted": "Look which features changed; retrain on newer days if the change stays.",
    "newest_day_is_recent": "Look whether the source delivers, whether the landing sensor runs, and whether runs fail.",
}
TO_DO_AFTER_A_RUN = "Repair what the message names, then materialise these partitions again."
TO_DO_OTHERWISE = "Look at the check's latest verdict in the UI."


def as_json(alert: Alert, ui: str | None) -> dict[str, Any]:
    problem, seen = alert.problem, alert.problem.sighting
    subject = seen.subject
    return {
        "schema": SCHEMA,
        "id": alert.id,
        "problem_id": problem.id,
        "event": alert.event,
        "kind": subject.kind,
        "severity": seen.severity,
        "title": title_of(alert),
        "table": subject.asset.split("/")[0] if subject.asset else None,
        "asset": subject.asset,
        "check": subject.name if subject.kind is Kind.CHECK else None,
        "job": subject.name if subject.kind is Kind.RUN and subject.asset is None else None,
        "days": [{"first": first, "last": last} for first, last in problem.ranges],
        "message": seen.message,
        "about": seen.about or None,
        "blocking": seen.blocking,
        "what_to_do": None if alert.event is Event.RECOVERED else to_do(problem),
        "count": problem.count,
        "first_seen": _time(problem.since),
        "last_seen": _time(seen.at),
        "recovered_at": None if alert.recovery is None else _time(alert.recovery.at),
        "run_id": _run_id(alert),
        "url": link_of(alert, ui),
    }


def as_text(alert: Alert, ui: str | None) -> str:
    problem, seen = alert.problem, alert.problem.sighting
    lines = [f"{seen.periods.noun.capitalize()}s: {named(problem.ranges)}"] if problem.days else []
    if alert.event is Event.RECOVERED:
        lines.append(f"It failed {_times(problem.count)} from {_time(problem.since)}: {seen.message}")
    else:
        lines += [seen.message, f"What to do: {to_do(problem)}"]
        if seen.blocking and seen.subject.kind is Kind.CHECK:
            lines.append("What follows was not computed.")
        lines.append(f"Failed {_times(problem.count)}, first {_time(problem.since)}.")
    where = link_of(alert, ui) or (f"run {_run_id(alert)}" if _run_id(alert) else None)
    return "\n".join([*lines, f"Alert {alert.id}" + (f", {where}" if where else "")])


def title_of(alert: Alert) -> str:
    seen = alert.problem.sighting
    subject = seen.subject
    verb = {Event.FAILING: "failed", Event.STILL_FAILING: "still fails", Event.RECOVERED: "has recovered"}[alert.event]
    what = f"{subject.asset}: {subject.name}" if subject.kind is Kind.CHECK else f"{subject.asset or subject.name}: run"
    grade = "OK" if alert.event is Event.RECOVERED else "Warning" if seen.severity is Severity.WARNING else "Error"
    return f"{grade}: {what} {verb}"


def to_do(problem: Problem) -> str:
    subject = problem.sighting.subject
    return TO_DO_AFTER_A_RUN if subject.kind is Kind.RUN else TO_DO.get(subject.name, TO_DO_OTHERWISE)


def link_of(alert: Alert, ui: str | None) -> str | None:
    """The page of the run in the UI, or of the check for a verdict without a run."""
    subject, run_id = alert.problem.sighting.subject, _run_id(alert)
    if ui is None:
        return None
    check = f"{ui}/assets/{subject.asset}?view=checks&checkDetail={subject.name}"
    return check if run_id is None else f"{ui}/runs/{run_id}"


def named(ranges: Sequence[tuple[str, str]]) -> str:
    """Periods in words, the first ranges of many."""
    texts = [first if first == last else f"{first} to {last}" for first, last in ranges[:RANGES_NAMED]]
    more = len(ranges) - RANGES_NAMED
    return ", ".join(texts) + (f" and {more} more ranges" if more > 0 else "")


def _run_id(alert: Alert) -> str | None:
    return (alert.recovery or alert.problem.sighting).run_id


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
