"""The periods of a table as Dagster partitions: those of its YAML, else those of its source and of its tables.

The code location is loaded by every process, so no server is asked here. What a run or the sensor has seen is kept in
the home as a span, which only grows while the source stays the same: a process that loads later has every period that
one before it had. One that knows nothing has all periods until today.
"""

import hashlib
import json
import os
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import dagster as dg

from ae_assets.chain.workspace import RAW, Workspace
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.home import home_folder
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods
from ae_assets.sources import open_source

EARLIEST = date(2013, 4, 10)
"""The first day that Backblaze published; where a table begins of which nothing is known."""

ENDED_AFTER_DAYS = 180
"""A source whose last period is older has ended: Backblaze publishes a quarter some six weeks after it is over."""

_MONDAY = 1
"""Dagster counts from Sunday."""


class Span(NamedTuple):
    """First and last period."""

    first: date
    last: date

    @classmethod
    def of(cls, periods: Collection[date]) -> Self | None:
        """That of some periods; None without any."""
        return cls(min(periods), max(periods)) if periods else None

    @classmethod
    def over(cls, *spans: "Span | None") -> Self | None:
        """That of several, with all periods between; None without any."""
        return cls.of([period for span in spans if span is not None for period in span])

    @classmethod
    def within(cls, periods: Periods, first: date, last: date) -> Self:
        """All periods with a moment between two days or points in time, both included."""
        return cls(periods.of(first), periods.last_of(last))


def partitions_of(table: WatchedTable) -> dg.TimeWindowPartitionsDefinition:
    """The periods of the table.

    Those between `start` and `end` of the YAML. Where one is left out it follows the source and what the tables hold:
    the first of their periods, and the last, or today while periods go on coming.
    """
    periods = table.periods
    start, end = bounds_of(table)
    if start is None or end is None:
        known = _known(table)
        start = start or (known.first if known is not None else periods.of(EARLIEST))
        end = end or (max(start, known.last) if known is not None and _has_ended(periods.end(known.last)) else None)
    first, after = periods.key(start), None if end is None else periods.key(periods.shifted(end, 1))
    match table.partitions:
        case "hourly":
            return dg.HourlyPartitionsDefinition(first, after, timezone="UTC")
        case "daily":
            return dg.DailyPartitionsDefinition(first, after, timezone="UTC")
        case "weekly":
            return dg.WeeklyPartitionsDefinition(first, after, day_offset=_MONDAY, timezone="UTC")


def periods_of(partitions: dg.PartitionsDefinition[Any] | None) -> Periods:
    """The periods that the partitions of an asset are; days for those that no table of ours has."""
    match partitions:
        case dg.HourlyPartitionsDefinition():
            return HOURLY
        case dg.WeeklyPartitionsDefinition(day_offset=1):
            return WEEKLY
        case _:
            return DAILY


def bounds_of(table: WatchedTable) -> tuple[date | None, date | None]:
    """First and last period that the table can have.

    By its YAML, whose days count whole, or all of a simulated fleet; None where neither says.
    """
    source, periods = open_source(table.source.location, table.reading), table.periods
    if source.simulated and (named := source.span()) is not None:
        return Span.within(periods, *named)
    start, end = table.start, table.end
    return None if start is None else periods.of(start), None if end is None else periods.last_of(end)


def newest_that_has_ended(table: WatchedTable) -> date:
    """The last period that the table can have now."""
    periods, (_, end) = table.periods, bounds_of(table)
    over = periods.shifted(periods.of(datetime.now(tz=UTC)), -1)
    return over if end is None else min(end, over)


def first_and_last(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> tuple[date, date] | None:
    """The first and the last of a table's partitions now; None where no period of it has ended yet."""
    first, last = partitions.get_first_partition_key(), partitions.get_last_partition_key()
    return None if first is None or last is None else (table.periods.parse(first), table.periods.parse(last))


def remember_periods(
    home: Path, space: Workspace, *, listed: Collection[date] = (), loaded: Collection[date] = ()
) -> None:
    """Keeps in a home which periods a source lists and raw holds, for processes that load later.

    ``listed`` are those of the source, where it was just listed, and ``loaded`` those that were just loaded.
    """
    path, periods, before = _file(home, space.table), space.table.periods, _remembered(home, space.table)
    held = Span.over(before["held"] or Span.of(space.days_of(RAW)), Span.of(loaded))
    now = {"held": held, "listed": Span.over(before["listed"], Span.of(listed))}
    if now == before:
        return
    keys = {name: span and [*map(periods.key, span)] for name, span in now.items()}
    # Where nothing can be written, a later process knows less, which is no harm.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps({"source": _digest(space.table), **keys}))
        partial.replace(path)


def _has_ended(end: datetime) -> bool:
    return end <= datetime.now(tz=UTC) - timedelta(days=ENDED_AFTER_DAYS)


def _known(table: WatchedTable) -> Span | None:
    """What file names say, and what earlier processes have seen."""
    named = open_source(table.source.location, table.reading).span()
    in_names = None if named is None else Span.within(table.periods, *named)
    return Span.over(*_remembered(home_folder(), table).values(), in_names)


def _remembered(home: Path, table: WatchedTable) -> dict[str, Span | None]:
    """What earlier processes have seen: ``listed`` by the source, if it is still that one, and ``held`` by raw."""
    try:
        content = json.loads(_file(home, table).read_text())
        listed = content.get("listed") if content.get("source") == _digest(table) else None
        held = content.get("held")
    except (OSError, ValueError, AttributeError):  # absent, or none of ours
        listed = held = None
    return {"held": _span(held, table.periods), "listed": _span(listed, table.periods)}


def _file(home: Path, table: WatchedTable) -> Path:
    return home / "days" / f"{table.table}.json"


def _digest(table: WatchedTable) -> str:
    """Tells sources apart without their address, which may hold a password."""
    return hashlib.sha256(table.source.location.encode()).hexdigest()[:16]


def _span(kept: object, periods: Periods) -> Span | None:
    try:
        first, last = (periods.parse(key) for key in kept)  # type: ignore[attr-defined]  # whatever was in the file
    except (AttributeError, TypeError, ValueError):
        return None
    return Span(first, last)
