"""Which days an evaluation judges: what a run config may say, and that it is refused before a run begins."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from ae_assets.errors import ConfigError
from ae_assets.model.definition import WatchedTable


class EvaluationConfig(dg.Config):
    """Which days are judged."""

    start: str | None = Field(
        default=None,
        description="First day judged, YYYY-MM-DD, or hour, YYYY-MM-DDTHH, after what the champion has seen; empty: "
        "the latest days that it has scored and not seen are judged, in whole windows.",
    )
    end: str | None = Field(default=None, description="Last day judged; named together with `start`.")
    compare: bool = Field(default=True, description="Whether the table's comparisons are fitted and judged beside it.")
    baselines: bool = Field(
        default=False, description="Whether every baseline with default settings is fitted and judged beside it."
    )
    origins: int = Field(
        default=0,
        ge=0,
        description="Rolling origin: how many ranges as long as this one, going back in time, are judged after a fit "
        "of their own, the table's detector included; their figures are pooled. 0: the champion on this range.",
    )


def named_days(table: WatchedTable, start: str | None, end: str | None) -> tuple[date, date] | None:
    """The periods that a run config names; None where it names none.

    Raises:
        ConfigError: one is badly written or named without the other, they are in the wrong order, or hold no window.
    """
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise ConfigError(f"start and end go together: received {start} and {end}; name both or neither")
    first, last = as_period(table, start, "start"), as_period(table, end, "end", last=True)
    if last < first:
        raise ConfigError(f"end {end} lies before start {start}; name the earlier {table.periods.noun} first")
    require_window(table, first, last)
    return first, last


def require_window(table: WatchedTable, first: date, last: date) -> None:
    """Refuses a range that is too short for a false alarm rate.

    Raises:
        ConfigError: it holds no window.
    """
    periods, window = table.periods, table.checks.window_days
    length = periods.end(last) - periods.start(first)
    if length < timedelta(days=window):
        raise ConfigError(
            f"{periods.key(first)} to {periods.key(last)} are {length.days} days, and a false alarm rate needs a "
            f"window of {window} (checks.window_days); judge {window} days or more"
        )


def refusing_before_the_run(table: WatchedTable, op: str) -> dg.ConfigMapping:
    """The config of an evaluation, which Dagster reads when a run is asked for: what is wrong begins no run.

    Args:
        table: the table.
        op: name of the op that is given the config.
    """

    def checked(config: Mapping[str, Any]) -> dict[str, Any]:
        try:
            named_days(table, config["start"], config["end"])
        except ConfigError as error:
            # Any other error would be told below that a function of Dagster has failed.
            raise dg.DagsterInvalidConfigError(str(error), [], config) from None  # type: ignore[no-untyped-call]
        return {op: {"config": dict(config)}}

    return dg.ConfigMapping(config_fn=checked, config_schema=EvaluationConfig.to_config_schema().as_field())


def as_period(table: WatchedTable, text: str, key: str, *, last: bool = False) -> date:
    """Reads a configured period of the table.

    Args:
        table: the table.
        text: as `Periods.parse` takes it.
        key: where it is configured.
        last: whether it ends a range.

    Raises:
        ConfigError: it is none.
    """
    try:
        return table.periods.parse(text, last=last)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None
