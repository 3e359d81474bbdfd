"""Which days of a source the landing sensor asks for next: a pure function of what is listed and what was asked for.

The sensor around it (in `pipeline`) lists the source, stores the cursor and makes run requests of the plan.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from ae_assets.errors import ConfigError
from ae_assets.sources.source import SourceDay

CURSOR_VERSION = 1


@dataclass(frozen=True)
class LandingPlan:
    """What one tick of the sensor does.

    Attributes:
        requests: days to load now, oldest first.
        seen: what to remember for the next tick: each day asked for so far, with the fingerprint it had.
        waiting: new or changed days left for later ticks.
    """

    requests: list[SourceDay]
    seen: dict[date, str]
    waiting: int


def plan(
    listed: Mapping[date, SourceDay],
    seen: Mapping[date, str],
    limit: int,
    first_day: date | None = None,
    last_day: date | None = None,
) -> LandingPlan:
    """Asks for days that are new or whose fingerprint changed, the oldest first, no more than `limit` of them.

    Days before `first_day` or after `last_day` (both may be open) are neither asked for nor counted as waiting, so
    that a range that is widened later brings them. Days that are no longer listed stay remembered: a network folder
    that is away for a moment lists nothing, and forgetting would load the whole history again when it is back. A
    deleted day that comes back with other content has another fingerprint and is asked for.

    Raises:
        ConfigError: the limit is below 1, with which nothing would ever be loaded.
    """
    if limit < 1:
        raise ConfigError(f"The number of days a landing sensor asks for at a time is {limit}. Expected 1 or more.")
    due = [
        listed[day]
        for day in sorted(listed)
        if (first_day is None or first_day <= day)
        and (last_day is None or day <= last_day)
        and seen.get(day) != listed[day].fingerprint
    ]
    requests = due[:limit]
    return LandingPlan(
        requests=requests,
        seen={**seen, **{request.day: request.fingerprint for request in requests}},
        waiting=len(due) - len(requests),
    )


@dataclass(frozen=True)
class LandingCursor:
    """What the sensor remembers between ticks, as JSON of about 35 bytes a day.

    Attributes:
        seen: fingerprint of each day when it was asked for.
        restarted_because: why nothing is remembered although a cursor was there; None otherwise.
    """

    seen: Mapping[date, str] = field(default_factory=dict)
    restarted_because: str | None = None

    @classmethod
    def from_json(cls, text: str | None) -> "LandingCursor":
        """The cursor of an earlier tick; one that cannot be read is started anew, with the reason.

        Days are then asked for once more, which costs time and changes nothing; a sensor that fails loads nothing at
        all.
        """
        if not text:
            return cls()
        try:
            content = json.loads(text)
            if content["version"] != CURSOR_VERSION:
                return cls(
                    restarted_because=f"the cursor has version {content['version']!r}, expected {CURSOR_VERSION}"
                )
            seen = {date.fromisoformat(day): fingerprint for day, fingerprint in content["seen"].items()}
            if not all(isinstance(fingerprint, str) for fingerprint in seen.values()):
                return cls(restarted_because="the cursor holds a fingerprint that is no text")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            return cls(restarted_because=f"the cursor is not readable ({type(problem).__name__}: {str(problem)[:100]})")
        return cls(seen)

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        seen = {day.isoformat(): self.seen[day] for day in sorted(self.seen)}
        return json.dumps({"version": CURSOR_VERSION, "seen": seen}, separators=(",", ":"))
