"""Which problems are open and which alerts are due: plain values in, plain values out."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from ae_assets.schemas.periods import DAILY, Periods


class Kind(StrEnum):
    """What failed."""

    RUN = "run"
    CHECK = "check"


class Severity(StrEnum):
    """How bad it is. A failed run is an error, a check says so itself."""

    WARNING = "warning"
    ERROR = "error"


class Event(StrEnum):
    """Why an alert is sent."""

    FAILING = "failing"
    STILL_FAILING = "still_failing"
    RECOVERED = "recovered"


@dataclass(frozen=True)
class Subject:
    """What fails or passes."""

    kind: Kind
    asset: str | None
    """The asset's key with slashes, e.g. ``drive_stats/raw``; None for a run without assets."""
    name: str
    """The check's name, or for a run the name of its job."""

    @property
    def key(self) -> str:
        """What tells one problem from another. An asset is the same whichever job makes it."""
        name = self.name if self.kind is Kind.CHECK or self.asset is None else ""
        return f"{self.kind}:{self.asset or ''}:{name}"


@dataclass(frozen=True)
class Sighting:
    """One thing that the event log says of a subject.

    Attributes:
        at: when, in seconds since 1970.
        days: the periods that it is about; empty: it is about the subject as a whole.
        failed_days: those of them that are wrong.
        periods: what they are.
        message: what is wrong, in the words of the check or the error.
        about: what the check says where it passes.
        blocking: whether what follows was not computed.
        run_id: None for a verdict that was reported outside of a run.
    """

    subject: Subject
    passed: bool
    at: float
    message: str = ""
    severity: Severity = Severity.ERROR
    days: frozenset[date] = frozenset()
    failed_days: frozenset[date] = frozenset()
    periods: Periods = DAILY
    about: str = ""
    blocking: bool = False
    run_id: str | None = None


@dataclass(frozen=True)
class Problem:
    """A subject that fails.

    Attributes:
        sighting: the latest failure.
        days: the periods that were not seen to pass since; empty: none are known.
        since: when it failed first, in seconds since 1970.
        count: how often it failed since.
        posted_at: when it was last posted; None: not yet.
        reminders: how often it was posted again.
    """

    sighting: Sighting
    days: frozenset[date]
    since: float
    count: int = 1
    posted_at: float | None = None
    reminders: int = 0

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """Keys of the first and the last of each run of the days, in order."""
        periods = self.sighting.periods
        return [(periods.key(first), periods.key(last)) for first, last in periods.stretches(self.days)]

    @property
    def id(self) -> str:
        """The same from its first alert to the one that says it has passed."""
        return _digest(self.sighting.subject.key, repr(self.since))


@dataclass(frozen=True)
class Alert:
    """A message that is due.

    Attributes:
        recovery: for a recovered problem what showed that it has passed.
    """

    event: Event
    problem: Problem
    recovery: Sighting | None = None

    @property
    def id(self) -> str:
        """The same each time this message is sent, so that a receiver can leave out what it got twice."""
        which = {
            Event.FAILING: repr(self.problem.sighting.at),
            Event.STILL_FAILING: str(self.problem.reminders),
            Event.RECOVERED: "",
        }
        return _digest(self.problem.id, self.event, which[self.event])


@dataclass(frozen=True)
class Rules:
    """Which problems are posted, and how often.

    Attributes:
        least: problems of less severity are left out.
        repeat_seconds: an open problem is posted again after so long; None: never.
    """

    least: Severity = Severity.WARNING
    repeat_seconds: float | None = 24 * 3600.0

    def count(self, seen: Sighting) -> bool:
        """Whether a failure of this severity counts."""
        return self.least is Severity.WARNING or seen.severity is Severity.ERROR


@dataclass(frozen=True)
class Followed:
    """The problems that are open after a look, and the alerts that it makes due."""

    problems: dict[str, Problem]
    alerts: list[Alert] = field(default_factory=list)


def follow(problems: Mapping[str, Problem], sightings: Sequence[Sighting], now: float, rules: Rules) -> Followed:
    """Takes into account what was seen, in any order, since the problems by key were known; now in seconds since 1970.

    At most two alerts a subject: however often it fails and passes in between, what is posted is that it fails and that
    it passes.
    """
    still = {key: problem for key, problem in problems.items() if rules.count(problem.sighting)}
    passed: dict[str, tuple[Problem, Sighting]] = {}
    for seen in sorted(sightings, key=lambda sighting: sighting.at):
        key = seen.subject.key
        if not seen.passed and rules.count(seen):
            before = still.get(key) or passed.pop(key, (None, None))[0]
            still[key] = _failed(before, seen)
        elif seen.passed and key in still:
            problem = still.pop(key)
            left = problem.days - seen.days if seen.days else frozenset()
            if left:
                still[key] = replace(problem, days=left)
            else:
                passed[key] = (problem, seen)
    return _due(still, passed, now, rules)


def _failed(before: Problem | None, seen: Sighting) -> Problem:
    if before is None:
        return Problem(seen, seen.failed_days, since=seen.at)
    worse = seen.severity is Severity.ERROR and before.sighting.severity is Severity.WARNING
    return replace(
        before,
        sighting=seen,
        days=(before.days - seen.days) | seen.failed_days if seen.failed_days else frozenset(),
        count=before.count + 1,
        posted_at=None if worse else before.posted_at,
    )


def _due(
    still: Mapping[str, Problem], passed: Mapping[str, tuple[Problem, Sighting]], now: float, rules: Rules
) -> Followed:
    problems, alerts = dict(still), []
    for problem, seen in passed.values():
        if problem.posted_at is None:
            alerts.append(Alert(Event.FAILING, problem))
        alerts.append(Alert(Event.RECOVERED, problem, seen))
    for key, problem in still.items():
        if problem.posted_at is None:
            alerts.append(Alert(Event.FAILING, problem))
        elif rules.repeat_seconds is not None and now - problem.posted_at >= rules.repeat_seconds:
            alerts.append(Alert(Event.STILL_FAILING, replace(problem, reminders=problem.reminders + 1)))
        else:
            continue
        problems[key] = replace(alerts[-1].problem, posted_at=now)
    return Followed(problems, alerts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
