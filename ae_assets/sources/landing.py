"""Which days of a source the landing sensor asks for next: a pure function of what is listed, held and asked for.

The sensor around it (in `pipeline`) lists the source, looks up what raw holds, stores the cursor and makes run requests
of the plan.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from ae_assets.errors import ConfigError
from ae_assets.schemas.periods import from_iso
from ae_assets.sources.source import SourceDay

CURSOR_VERSION = 1

_TIME_OF_CHANGE = re.compile(r"([0-9a-f]+)-[0-9a-f]{15,16}")
"""Fingerprints of local files as earlier releases made them: size and time of the last change in nanoseconds."""


@dataclass(frozen=True)
class LandingPlan:
    """What one tick of the sensor does.

    Attributes:
        requests: days to load now, in this order.
        asked: what to remember for the next tick: the days asked for that are not held yet, each with the fingerprint
            it had; their runs wait, go on or have failed.
        waiting: new or changed days left for later ticks.
    """

    requests: list[SourceDay]
    asked: dict[date, str]
    waiting: int


def plan(
    listed: Mapping[date, SourceDay],
    held: Mapping[date, str],
    asked: Mapping[date, str],
    limit: int,
    first_day: date | None = None,
    last_day: date | None = None,
) -> LandingPlan:
    """Asks for days that are held with another fingerprint or not at all, no more than `limit` of them.

    They are asked for in order, so that each finds the days it looks back on; but where days wait for later ticks, the
    newest day of the source comes first: nobody wants today's after a history that is made up for.

    A day is asked for once: until it is held it is remembered, also where its run failed, which is for a person to
    mend, and where it is not listed for the moment. Days before `first_day` or after `last_day` (both may be open) are
    neither asked for nor counted as waiting, so that a range that is widened later brings them.

    Args:
        listed: the days of the source.
        held: fingerprint that each day was loaded with, days without rows included.
        asked: what was asked for before, from the last plan.
        limit: most days to ask for.
        first_day: first day that may be asked for.
        last_day: last day.

    Raises:
        ConfigError: the limit is below 1, with which nothing would ever be loaded.
    """
    if limit < 1:
        raise ConfigError(f"The number of days a landing sensor asks for at a time is {limit}. Expected 1 or more.")
    possible = [
        listed[day]
        for day in sorted(listed)
        if (first_day is None or first_day <= day) and (last_day is None or day <= last_day)
    ]
    due = [day for day in possible if not _is_held(day, held.get(day.day)) and asked.get(day.day) != day.fingerprint]
    newest = due[-1:] if len(due) > limit and due[-1] is possible[-1] else []
    requests = [*newest, *due][:limit]
    outstanding = {
        day: fingerprint
        for day, fingerprint in asked.items()
        if held.get(day) != fingerprint and (day not in listed or not _is_held(listed[day], held.get(day)))
    }
    return LandingPlan(
        requests=requests,
        asked={**outstanding, **{request.day: request.fingerprint for request in requests}},
        waiting=len(due) - len(requests),
    )


def _is_held(listed: SourceDay, fingerprint: str | None) -> bool:
    """Whether a day was loaded with what is listed now.

    A local file that an earlier release loaded is taken for the same while its size is: its bytes are not known.
    """
    if fingerprint is None or fingerprint == listed.fingerprint:
        return fingerprint is not None
    by_time = _TIME_OF_CHANGE.fullmatch(fingerprint)
    return by_time is not None and int(by_time[1], 16) == listed.size_bytes


@dataclass(frozen=True)
class LandingCursor:
    """What the sensor remembers between ticks, as JSON.

    Attributes:
        asked: the days asked for that were not held when it last looked, each with the fingerprint it had.
        restarted_because: why nothing is remembered although a cursor was there; None otherwise.
    """

    asked: Mapping[date, str] = field(default_factory=dict)
    restarted_because: str | None = None

    @classmethod
    def from_json(cls, text: str | None) -> "LandingCursor":
        """The cursor of an earlier tick; one that cannot be read is started again, with the reason.

        Days that are not held are then asked for once more, under the same run keys; a sensor that fails loads nothing
        at all. Earlier releases remembered every day that they had asked for, under another name.
        """
        if not text:
            return cls()
        try:
            content = json.loads(text)
            if content["version"] != CURSOR_VERSION:
                return cls(
                    restarted_because=f"the cursor has version {content['version']!r}, expected {CURSOR_VERSION}"
                )
            days = content["asked"] if "asked" in content else content["seen"]
            asked = {from_iso(key): fingerprint for key, fingerprint in days.items()}
            if not all(isinstance(fingerprint, str) for fingerprint in asked.values()):
                return cls(restarted_because="the cursor holds a fingerprint that is no text")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            return cls(restarted_because=f"the cursor is not readable ({type(problem).__name__}: {str(problem)[:100]})")
        return cls(asked)

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        asked = {day.isoformat(): self.asked[day] for day in sorted(self.asked)}
        return json.dumps({"version": CURSOR_VERSION, "asked": asked}, separators=(",", ":"))
