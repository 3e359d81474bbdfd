"""Days, hours and times as arguments of commands; which periods they are, the table that is meant says later."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from ae_assets.schemas.periods import HOURLY


class When(click.ParamType[str]):
    """A day, or for a table with hourly partitions an hour, as text: which table it is, is known later."""

    name = "YYYY-MM-DD[THH]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            HOURLY.parse(value)
        except ValueError:
            self.fail(f"received {value!r}; a day is written YYYY-MM-DD, an hour YYYY-MM-DDTHH", param, ctx)
        return str(value)


class Moment(click.ParamType[datetime]):
    """A time written YYYY-MM-DDTHH:MM, in UTC where it names no zone."""

    name = "YYYY-MM-DDTHH:MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"received {value!r}; a time is written YYYY-MM-DDTHH:MM, with +02:00 for a zone", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def day_option(name: str, help_text: str, *, required: bool = True) -> Callable[..., Any]:
    return click.option(name, type=When(), required=required, help=help_text)
