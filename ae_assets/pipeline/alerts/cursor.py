"""What the alert sensor remembers between two looks, as a small JSON text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ae_assets.pipeline.alerts.problems import Kind, Problem, Severity, Sighting, Subject
from ae_assets.schemas.periods import PERIODS

FORMAT = 1

_OF_SIGHTING = ("severity", "at", "message", "about", "blocking", "run_id")
_OF_PROBLEM = ("since", "count", "posted_at", "reminders")


@dataclass(frozen=True)
class Cursor:
    """Where the sensor is in the event log, and the problems that are open.

    Attributes:
        after: the last event that was looked at.
        until: the newest event at the look before. Events up to it are looked at now and not before: a database gives
            numbers before it shows what is written under them, so the very newest may still lack some.
        reported: by check, the last verdict reported outside of a run that was looked at.
        problems: by subject.
        delivered: alerts of this look that were delivered before a later one was not.
    """

    after: int
    until: int
    reported: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    delivered: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(
            {
                "format": FORMAT,
                "after": self.after,
                "until": self.until,
                "reported": dict(self.reported),
                "problems": [_to_plain(problem) for problem in self.problems.values()],
                "delivered": list(self.delivered),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> "Cursor":
        """Reads what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            plain = json.loads(text)
            if plain["format"] != FORMAT:
                raise ValueError(f"its format is {plain['format']}, not {FORMAT}")
            problems = [_from_plain(problem) for problem in plain["problems"]]
            return cls(
                int(plain["after"]),
                int(plain["until"]),
                {str(check): int(number) for check, number in plain["reported"].items()},
                {problem.sighting.subject.key: problem for problem in problems},
                tuple(map(str, plain["delivered"])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it lacks or garbles {error}") from None


def _to_plain(problem: Problem) -> dict[str, Any]:
    seen = problem.sighting
    return {
        **vars(seen.subject),
        **{name: getattr(seen, name) for name in _OF_SIGHTING},
        "partitions": seen.periods.partitions,
        "days": [f"{first}/{last}" for first, last in problem.ranges],
        **{name: getattr(problem, name) for name in _OF_PROBLEM},
    }


def _from_plain(plain: Mapping[str, Any]) -> Problem:
    periods = PERIODS[plain.get("partitions", "daily")]
    subject = Subject(Kind(plain["kind"]), plain["asset"], plain["name"])
    values = {name: plain[name] for name in _OF_SIGHTING} | {"severity": Severity(plain["severity"])}
    ranges = [map(periods.parse, text.split("/")) for text in plain["days"]]
    days = frozenset(day for first, last in ranges for day in periods.range(first, last))
    seen = Sighting(subject, passed=False, periods=periods, **values)
    return Problem(seen, days, **{name: plain[name] for name in _OF_PROBLEM})
