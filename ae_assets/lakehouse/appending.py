"""Appending rows of a stream: the rows, and up to which place of the stream they go, in one commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain

import polars as pl
from pyiceberg.table import Table

from ae_assets.lakehouse.access import TableAccess, until_accepted
from ae_assets.lakehouse.failures import StorageError, storage_errors
from ae_assets.lakehouse.files import remove_unused, write_day
from ae_assets.lakehouse.snapshots import Attempt, append_files
from ae_assets.schemas.periods import Periods

_PREFIX = "ae_assets.position."


@dataclass(frozen=True)
class Step:
    """From which places of a stream's parts to which some rows go.

    Attributes:
        after: by the name of each part, where it was before: the number of the first record that is among the rows.
        to: where it is then: the number of the first record that is not.
    """

    after: Mapping[str, int]
    to: Mapping[str, int]


def positions_of(table: Table | None) -> dict[str, int]:
    """By the name of each part of a stream, the number of the first record that a table does not hold."""
    properties = {} if table is None else table.properties
    return {name.removeprefix(_PREFIX): int(value) for name, value in properties.items() if name.startswith(_PREFIX)}


def append(access: TableAccess, name: str, frames: Mapping[date, pl.DataFrame], periods: Periods, step: Step) -> bool:
    """Appends rows to periods; see `Lakehouse.append`."""
    table: Table | None = None
    for day, frame in frames.items():
        table = access.fitting(name, table or access.find(name), day, frame, periods)
    if table is None:
        return False
    made, layout = table, access.layout(table)
    files = {}
    with storage_errors(f"writing {name} to {made.location()}"):
        files = {day: write_day(made, layout, day, frame) for day, frame in frames.items()}
    tried: list[Attempt] = []

    def try_once() -> bool:
        current = access.get(name)
        if any(one.snapshot_id and current.snapshot_by_id(one.snapshot_id) for one in tried):
            return True  # An answer was lost, the commit was not.
        held = positions_of(current)
        if any(held.get(part, 0) != place for part, place in step.after.items()):
            return False
        properties = {f"{_PREFIX}{part}": str(place) for part, place in step.to.items()}
        attempt = append_files(current, list(chain.from_iterable(files.values())), properties)
        tried.append(attempt)
        if attempt.failure is not None:
            raise attempt.failure
        return True

    try:
        appended = until_accepted(f"appending to {name}", try_once)
    except StorageError:
        if not any(attempt.snapshot_id for attempt in tried):
            remove_unused(made, chain.from_iterable(files.values()))
        raise
    if not appended:
        remove_unused(made, chain.from_iterable(files.values()))
    return appended
