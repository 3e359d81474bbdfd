"""How each drive stands: the signs that need no model, the model's decision, and what was known of it before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from ae_assets.one_server.history import Listed, Record
from ae_assets.one_server.outputs import ADVICE, Kind, Report
from ae_assets.one_server.rules import Level, Sign, counters, evidence, signs
from ae_assets.one_server.starter import Decision, decisions, readings_of

GROWTH_OVER = timedelta(days=28)
SAID_FOR = timedelta(days=7)
"""So long a drive that is gone is missed."""
BY_MODEL, BY_RULE = "model", "rule"


class State(StrEnum):
    """What to do about a drive: nothing, look at it and back it up, replace it, or find out why it is not known."""

    HEALTHY = "healthy"
    WATCH = "watch"
    FAILING = "failing"
    NOT_JUDGED = "not judged"


ALARMS = (State.WATCH, State.FAILING)


@dataclass(frozen=True)
class Standing:
    """How a drive stands.

    Attributes:
        by: whether a model or a rule says so; None where nothing can be said.
        why: in words, what weighs most first.
        since: first day of its state as far as records tell; None: there is none before this one.
        decision: what the model says, of a drive that it was asked about.
        also: further devices that show the same drive.
    """

    report: Report
    state: State
    by: str | None
    why: tuple[str, ...]
    since: date | None = None
    decision: Decision | None = None
    also: tuple[str, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        report, decision = self.report, self.decision
        return {
            "device": report.device,
            "also": list(self.also),
            "model": report.model,
            "serial": report.serial,
            "kind": report.kind,
            "at": report.at.isoformat(),
            "state": self.state,
            "by": self.by,
            "why": list(self.why),
            "since": self.since,
            "problem": report.problem,
            "score": None if decision is None else decision.score,
            "threshold": None if decision is None else decision.threshold,
            "with_growth": decision is not None and decision.with_growth,
            "readings": kept_readings(report),
        }


def kept_readings(report: Report) -> dict[str, Any]:
    """What a history keeps of a drive."""
    own = readings_of(report) if report.kind == Kind.HARD_DISK and report.attributes else {}
    return {**own, **{name: min(count, 2**63 - 1) for name, count in report.counts.items()}}


def standings(reports: Iterable[Report], records: Sequence[Record]) -> tuple[list[Standing], list[Record]]:
    """How the drives stand, each on its newest day, and a record of each day; those of several days go in order.

    Args:
        reports: of any days; of a drive on one day the latest counts; it may be seen on two paths.
        records: what is known of these drives.
    """
    by_key, paths, others = _by_drive_and_day(reports)
    known: dict[tuple[str, date], Mapping[str, Any]] = {(one.drive, one.day): one.readings for one in records}
    known |= {key: kept_readings(report) for key, report in by_key.items()}
    disks = [key for key, report in by_key.items() if report.kind == Kind.HARD_DISK and report.attributes]
    decided = decisions({key: readings for key, readings in known.items() if "smart_9_raw" in readings}, disks)
    states = {(one.drive, one.day): (one.state, one.since) for one in records}
    days: dict[str, list[date]] = {}
    for drive, day in sorted(known):
        days.setdefault(drive, []).append(day)
    newest: dict[str, Standing] = {}
    seen = []
    for key in sorted(by_key, key=lambda one: one[1]):
        drive, day = key
        before = [then for then in days[drive] if then < day]
        standing = _standing(
            by_key[key],
            decided.get(key),
            _earlier(known, drive, [then for then in before if then >= day - GROWTH_OVER]),
        )
        state, since = states[drive, before[-1]] if before else (standing.state, day)
        since = since if state == standing.state else day
        states[key] = (standing.state, since)
        seen.append(Record(drive, day, standing.state, since, known[key]))
        also = tuple(sorted(paths[drive] - {standing.report.device}))
        newest[drive] = replace(standing, since=since if before else None, also=also)
    alone = [_standing(report, None, {}) for report in others]
    return sorted([*newest.values(), *alone], key=lambda one: one.report.device), seen


def gone(listed: Iterable[Listed], reports: Sequence[Report], today: date) -> list[Standing]:
    """The drives that this machine had within `SAID_FOR`, and has no more: broken, or taken out.

    One that was not read today, such as one that sleeps, does not say who it is, but is still called what it was.
    """
    drives = {report.drive for report in reports}
    unread = {report.device for report in reports if report.drive is None}
    return [
        Standing(
            Report(one.device, datetime.combine(one.day, time(), UTC), model=one.model, serial=one.serial),
            State.WATCH,
            BY_RULE,
            (f"not there any more: last read on {one.day}",),
            since=one.day,
        )
        for one in listed
        if one.drive not in drives and one.device not in unread and timedelta() <= today - one.day <= SAID_FOR
    ]


def _by_drive_and_day(
    reports: Iterable[Report],
) -> tuple[dict[tuple[str, date], Report], dict[str, set[str]], list[Report]]:
    """The readable reports by drive and day, the devices of each drive, and the reports of no drive that is known."""
    by_key: dict[tuple[str, date], Report] = {}
    paths: dict[str, set[str]] = {}
    others = []
    for report in reports:
        if report.drive is None or report.problem is not None:
            others.append(report)
            continue
        key = report.drive, report.day
        if key in by_key and _are_two(by_key[key], report):
            others.append(report)
            continue
        if key not in by_key or report.at > by_key[key].at:
            by_key[key] = report
        paths.setdefault(report.drive, set()).add(report.device)
    return by_key, paths, others


def _are_two(one: Report, other: Report) -> bool:
    """Whether two devices that name one model and serial number on one day cannot be one drive: their ages differ."""
    hours = [report.counts.get("power_on_hours", 0) for report in (one, other)]
    return one.device != other.device and abs(hours[0] - hours[1]) > 24


def _standing(report: Report, decision: Decision | None, earlier: Mapping[str, tuple[int, date]]) -> Standing:
    if report.problem is not None:
        said = f" ({report.words})" if report.words else ""
        return Standing(report, State.NOT_JUDGED, None, (f"{ADVICE[report.problem]}{said}",))
    found, counted = signs(report), counters(report) if report.kind == Kind.HARD_DISK else []
    notes = [sign for sign in found if sign.level == Level.NOTE]
    grave = [sign for sign in found if sign.level != Level.NOTE]

    def words(some: Iterable[Sign]) -> tuple[str, ...]:
        return tuple(f"{sign.words}{_growth(sign, report, earlier)}" for sign in some)

    if decision is not None and decision.alarm is not None:
        levels = {sign.level for sign in grave}
        if decision.alarm and Level.FAILING not in levels:
            told = " ".join(decision.why)
            untold = [sign for sign in counted if sign.words.rpartition(" ")[0] not in told]
            why = (*decision.why, *words([*grave, *untold, *notes]))
            return Standing(report, State.WATCH, BY_MODEL, why, decision=decision)
        if not grave:
            below = tuple(f"{said} (below the model's alarm)" for said in words(counted))
            return Standing(report, State.HEALTHY, BY_MODEL, (*below, *words(notes)), decision=decision)
    unjudged = () if decision is None or decision.alarm is not None else decision.why
    grave = [*grave, *counted]
    if grave:
        state = State.FAILING if grave[0].level == Level.FAILING else State.WATCH
        return Standing(report, state, BY_RULE, (*words([*grave, *notes]), *unjudged), decision=decision)
    if evidence(report) and not unjudged:
        return Standing(report, State.HEALTHY, BY_RULE, words(notes), decision=decision)
    lacking = unjudged or (f"it reports nothing that a rule for a drive of its kind ({report.kind}) rests on",)
    return Standing(report, State.NOT_JUDGED, None, (*lacking, *words(notes)), decision=decision)


def _earlier(
    known: Mapping[tuple[str, date], Mapping[str, Any]], drive: str, days: Sequence[date]
) -> dict[str, tuple[int, date]]:
    """The earliest value of each reading on these days, with its day."""
    earlier: dict[str, tuple[int, date]] = {}
    for then in reversed(days):
        earlier |= {name: (value, then) for name, value in known[drive, then].items() if isinstance(value, int)}
    return earlier


def _growth(sign: Sign, report: Report, earlier: Mapping[str, tuple[int, date]]) -> str:
    if sign.reading is None or sign.reading not in earlier:
        return ""
    now = kept_readings(report).get(sign.reading)
    value, day = earlier[sign.reading]
    return f", {now - value:+,} since {day}" if isinstance(now, int) and now != value else f", unchanged since {day}"
