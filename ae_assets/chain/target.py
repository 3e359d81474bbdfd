"""The target of a table: what is known by some day to have gone wrong, whether columns, or a file, say it."""

from collections.abc import Iterable
from datetime import date, timedelta

import polars as pl

from ae_assets.chain.ledger import intervals_of, spells_of
from ae_assets.chain.lives import failures_in
from ae_assets.chain.workspace import Workspace
from ae_assets.evaluation.target import Failures, Intervals, Target, joined
from ae_assets.sources.intervals import read_intervals


def target_of(space: Workspace, known_until: date | None = None) -> Target:
    """What is known to have gone wrong by the end of a period, or until now; of a table without any label nothing.

    Raises:
        SourceError: the file of intervals cannot be read.
    """
    if space.table.target_kind == "failures":
        return Failures(failures_in(space, known_until), space.table.horizon_days)
    return intervals_in(space, known_until)


def intervals_in(space: Workspace, known_until: date | None = None) -> Intervals:
    """The labelled intervals of a table, none where it has none; arguments and errors as `target_of`.

    An interval of a table whose devices have one record in a period holds every period that it touches.
    """
    if space.table.target_kind != "intervals":
        return Intervals()
    file = space.table.target.file
    intervals = Intervals(intervals_of(space)) if file is None else _of_file(space, file)
    return intervals if known_until is None else intervals.until(space.table.periods.end(known_until))


def _of_file(space: Workspace, file: str) -> Intervals:
    layout, periods = space.table.layout, space.table.periods
    # Days are days in UTC; only a time of day stands in the time zone of the table's clock.
    zone = layout.time.time_zone if layout.time.has_time_of_day else "UTC"
    frame = read_intervals(file, zone)
    known = spells_of(space)["entity"].unique().to_list()
    frame = frame.with_columns(pl.col("entity").replace(_names_in_files(space, frame["entity"].unique(), known)))
    if layout.time.cadence is None:
        frame = frame.with_columns(periods.of_times(pl.col("start")).cast(frame.schema["start"]).alias("start"))
    strangers = sorted(set(frame["entity"]) - set(known))
    return Intervals(joined(frame), tuple(strangers))


def _names_in_files(space: Workspace, named: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Of intervals that name a file the device that the file's name holds, as it does for the rows of the file."""
    found = {name: space.table.layout.entity_in(name) for name in set(named) - set(known)}
    return {name: entity for name, entity in found.items() if entity is not None}


def step_of(space: Workspace) -> timedelta:
    """The time that a record counts for: until the next one of its entity."""
    return space.table.layout.time.cadence or space.table.periods.step
