"""Lengths of time as a YAML writes them: 28d, 6h, 15m, or a number of days."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

DAY = timedelta(days=1)
_UNITS = {
    "w": timedelta(weeks=1),
    "d": DAY,
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_WRITTEN = re.compile(r"(\d+)\s*([wdhms])")


def duration(given: object) -> timedelta:
    """Reads a length of time.

    Args:
        given: text such as ``28d``, ``6h``, ``15m``; or a whole number, which counts days.

    Raises:
        ValueError: it is neither, or not longer than nothing.
    """
    length = given if isinstance(given, timedelta) else _read(given)
    if length is None or length <= timedelta():
        raise ValueError(
            f'expected a length of time such as "28d", "6h" or "15m", or a number of days; received {given!r}'
        )
    return length


def written(length: timedelta) -> str:
    """The shortest text that `duration` reads back; days are never put together to weeks: ``28d``."""
    for unit in ("d", "h", "m"):
        if not length % _UNITS[unit]:
            return f"{length // _UNITS[unit]}{unit}"
    return f"{length // _UNITS['s']}s"


def in_words(length: timedelta) -> str:
    """As people say it: ``28 days``, ``a day``, ``6 hours``."""
    nouns = ((DAY, "day", "a"), (_UNITS["h"], "hour", "an"), (_UNITS["m"], "minute", "a"), (_UNITS["s"], "second", "a"))
    for unit, noun, article in nouns:
        if not length % unit:
            return f"{article} {noun}" if length == unit else f"{length // unit} {noun}s"
    return f"{length.total_seconds():g} seconds"


def days_or_written(length: timedelta) -> int | str:
    """A number where it is whole days, as settings have always been kept; else its text."""
    return written(length) if length % DAY else length // DAY


def whole_days(length: timedelta) -> int:
    """Days that hold it, rounded up."""
    return -(-length // DAY)


Duration = Annotated[
    timedelta, BeforeValidator(duration, json_schema_input_type=int | str), PlainSerializer(days_or_written, int | str)
]
"""A field of a YAML that is a length of time."""


def _read(given: object) -> timedelta | None:
    if isinstance(given, int) and not isinstance(given, bool):
        return given * DAY
    match = _WRITTEN.fullmatch(given.strip()) if isinstance(given, str) else None
    return None if match is None else int(match[1]) * _UNITS[match[2]]
