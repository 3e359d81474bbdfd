"""Periods and ranges of them that a person names, as arguments of a command or in the config of a run."""

from datetime import date

from ae_assets.errors import ConfigError
from ae_assets.schemas.periods import Periods

OPTIONS = ("--start", "--end")


def period_of(periods: Periods, text: str, name: str, *, last: bool = False) -> date:
    """The period that somebody names; ``last``: as the end of a range.

    Raises:
        ConfigError: it is none of the table's.
    """
    try:
        return periods.parse(text, last=last)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def range_of(periods: Periods, start: str, end: str, names: tuple[str, str] = OPTIONS) -> tuple[date, date]:
    """First and last period of a range.

    Raises:
        ConfigError: as `period_of`, or the end lies before the start.
    """
    first, last = period_of(periods, start, names[0]), period_of(periods, end, names[1], last=True)
    if last < first:
        raise ConfigError(f"{names[1]} {end} lies before {names[0]} {start}; give the earlier {periods.noun} first")
    return first, last


def range_if_named(
    periods: Periods, start: str | None, end: str | None, names: tuple[str, str] = OPTIONS
) -> tuple[date, date] | None:
    """The same of two that may both be left out.

    Raises:
        ConfigError: as `range_of`, or one of them is given without the other.
    """
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise ConfigError(f"{names[0]} and {names[1]} go together; give both or neither")
    return range_of(periods, start, end, names)
