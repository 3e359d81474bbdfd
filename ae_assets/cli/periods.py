"""Days and hours as arguments of commands: written by a person, read as periods of the table that is meant."""

from collections.abc import Callable
from datetime import date
from typing import Any

import click

from ae_assets.errors import ConfigError
from ae_assets.schemas.periods import HOURLY, Periods


class When(click.ParamType[str]):
    """A day, or for a table with hourly partitions an hour, as text: which table it is, is known later."""

    name = "YYYY-MM-DD[THH]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, or says what was received where no table could take it."""
        try:
            HOURLY.parse(value)
        except ValueError:
            self.fail(f"received {value!r}; a day is written YYYY-MM-DD, an hour YYYY-MM-DDTHH", param, ctx)
        return str(value)


def day_option(name: str, help_text: str, *, required: bool = True) -> Callable[..., Any]:
    """An option that takes a day or an hour."""
    return click.option(name, type=When(), required=required, help=help_text)


def period_of(periods: Periods, text: str, name: str, *, last: bool = False) -> date:
    """The period of a table that an argument names.

    Args:
        periods: of the table.
        text: what was given.
        name: of the argument.
        last: whether it ends a range.

    Raises:
        ConfigError: the table has no such periods.
    """
    try:
        return periods.parse(text, last=last)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def range_of(
    periods: Periods, start: str, end: str, names: tuple[str, str] = ("--start", "--end")
) -> tuple[date, date]:
    """First and last period of a range that two options name.

    Raises:
        ConfigError: as `period_of`, or the end lies before the start.
    """
    first, last = period_of(periods, start, names[0]), period_of(periods, end, names[1], last=True)
    if last < first:
        raise ConfigError(f"{names[1]} {end} lies before {names[0]} {start}; give the earlier {periods.noun} first")
    return first, last


def range_if_named(
    periods: Periods, start: str | None, end: str | None, names: tuple[str, str] = ("--start", "--end")
) -> tuple[date, date] | None:
    """The same of two options that may both be left out.

    Raises:
        ConfigError: as `range_of`, or one of them is given without the other.
    """
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise ConfigError(f"{names[0]} and {names[1]} go together; give both or neither")
    return range_of(periods, start, end, names)
