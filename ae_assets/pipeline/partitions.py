"""The days of a table as Dagster partitions: those of its YAML, else those of its source and of its tables.

The code location is loaded by every process, so no server is asked here. What a run or the sensor has seen is kept in
the home as a span, which only grows while the source stays the same: a process that loads later has every day that one
before it had. One that knows nothing has all days until today.
"""

import hashlib
import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self

import dagster as dg

from ae_assets.chain.workspace import RAW, Workspace
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.resources import home_folder
from ae_assets.sources import open_source

EARLIEST = date(2013, 4, 10)
"""The first day that Backblaze published; where a table begins of which nothing is known."""

ENDED_AFTER_DAYS = 180
"""A source whose last day is older has ended: Backblaze publishes a quarter some six weeks after it is over."""


@dataclass(frozen=True)
class Span:
    """First and last day."""

    first: date
    last: date

    def __or__(self, other: "Span | None") -> "Span":
        """Both, and all days between."""
        return self if other is None else Span(min(self.first, other.first), max(self.last, other.last))

    @classmethod
    def of(cls, days: Collection[date]) -> Self | None:
        """That of some days; None without any."""
        return cls(min(days), max(days)) if days else None


def partitions_of(table: WatchedTable) -> dg.DailyPartitionsDefinition:
    """The days of the table.

    Those between `start` and `end` of the YAML. Where one is left out it follows the source and what the tables hold:
    the first of their days, and the last, or today while days go on coming.
    """
    start, end = bounds_of(table)
    if start is None or end is None:
        known = _known(table)
        start = start or (known.first if known is not None else EARLIEST)
        end = end or (max(start, known.last) if known is not None and _has_ended(known.last) else None)
    return dg.DailyPartitionsDefinition(
        start_date=start.isoformat(), end_date=None if end is None else (end + timedelta(days=1)).isoformat()
    )


def bounds_of(table: WatchedTable) -> tuple[date | None, date | None]:
    """First and last day that the table can have: by its YAML, or all of a simulated fleet; None where neither says."""
    source = open_source(table.source.location, table.reading)
    if source.simulated and (span := source.span()) is not None:
        return span
    return table.start, table.end


def remember_days(
    home: Path, space: Workspace, *, listed: Collection[date] = (), loaded: Collection[date] = ()
) -> None:
    """Keeps which days a source lists and raw holds, for processes that load later.

    Args:
        home: where it is kept; processes look into the home that `AE_ASSETS_HOME` names.
        space: the table.
        listed: days of the source, where it was just listed.
        loaded: days that were just loaded.
    """
    path, source = _file(home, space.table), _digest(space.table)
    before = _content(path)
    held = _span(before.get("held")) or Span.of(space.days_of(RAW))
    of_source = _span(before.get("listed")) if before.get("source") == source else None
    spans = {"held": _widened(held, Span.of(loaded)), "listed": _widened(of_source, Span.of(listed))}
    now = {"source": source, **{name: span and [str(span.first), str(span.last)] for name, span in spans.items()}}
    if now == before:
        return
    # Where nothing can be written, a later process knows less, which is no harm.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps(now))
        partial.replace(path)


def _has_ended(last: date) -> bool:
    return last < datetime.now(tz=UTC).date() - timedelta(days=ENDED_AFTER_DAYS)


def _known(table: WatchedTable) -> Span | None:
    """What file names say, and what earlier processes have seen: of the source, if it is still that one, and of raw."""
    content = _content(_file(home_folder(), table))
    named = open_source(table.source.location, table.reading).span()
    listed = _span(content.get("listed")) if content.get("source") == _digest(table) else None
    return _widened(_widened(_span(content.get("held")), listed), None if named is None else Span(*named))


def _widened(one: Span | None, other: Span | None) -> Span | None:
    return other if one is None else one | other


def _file(home: Path, table: WatchedTable) -> Path:
    return home / "days" / f"{table.table}.json"


def _digest(table: WatchedTable) -> str:
    """Tells sources apart without their address, which may hold a password."""
    return hashlib.sha256(table.source.location.encode()).hexdigest()[:16]


def _content(path: Path) -> dict[str, object]:
    """What was kept; nothing where the file is absent or none of ours."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _span(kept: object) -> Span | None:
    try:
        first, last = (date.fromisoformat(day) for day in kept)  # type: ignore[attr-defined]  # whatever was in the file
    except (TypeError, ValueError):
        return None
    return Span(first, last)
