"""The contract of a table's raw rows, by its layout. It is made of Pandera, so load it late."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial

import polars as pl

from ae_assets.schemas.columns import TimeSection
from ae_assets.schemas.layouts import drive_stats
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.schemas.layouts.layout import Layout
from ae_assets.schemas.periods import DAILY, Periods
from ae_assets.schemas.raw import RawContract
from ae_assets.schemas.records import Rhythm
from ae_assets.schemas.rules import (
    Rule,
    cells_are_readable,
    label_is_zero_or_one,
    name_is_plain_text,
    time_is_of_the_partition,
    times_are_readable,
    value_rules,
)


def contract_of(
    layout: Layout,
    attributes: Sequence[str] | None = None,
    low_bits: Mapping[str, int] | None = None,
    periods: Periods = DAILY,
    groups: Sequence[str] = (),
) -> RawContract:
    """The contract of a layout.

    Args:
        layout: a preset, or that of a table's own columns.
        attributes: the raw attribute columns that features are made of: they are checked and kept. A column
            that no feature reads cannot set a row aside. None = every attribute column of a frame.
        low_bits: how many low bits carry the value, of columns into which vendors pack more; rules look at these.
        periods: how the table's time is cut; a preset is daily.
        groups: columns of text that say where a device belongs.
    """
    chosen = None if attributes is None else tuple(attributes)
    if layout.name == DRIVE_STATS.name:
        return RawContract(
            layout=layout,
            rules_of_row=drive_stats.rules_of_row,
            rules_of_attribute=partial(drive_stats.rules_of_attribute, low_bits or {}),
            unique=drive_stats.ONE_RECORD_A_DAY,
            further={"capacity_bytes": pl.Int64()},
            attributes=chosen,
            groups=tuple(groups),
        )
    return RawContract(
        layout=layout,
        rules_of_row=partial(_rules_of_row, layout, periods),
        rules_of_attribute=partial(value_rules, layout.values),
        unique=_record_is_unique(layout, periods),
        attributes=chosen,
        groups=tuple(groups),
        rhythm=Rhythm(periods, layout.time.cadence),
    )


def _rules_of_row(layout: Layout, periods: Periods, is_read: Callable[[str], bool], period: date) -> list[Rule]:
    rules = [
        times_are_readable("time_is_readable", layout.time.column, _how_times_are_written(layout.time)),
        cells_are_readable(is_read),
        name_is_plain_text(
            "entity_is_plain_text",
            layout.entity,
            "without its name a row belongs to no device; white space at its ends, control characters or undecodable "
            "bytes in it would make one device two",
        ),
        time_is_of_the_partition(layout.time.name, period, periods),
    ]
    if layout.cohort is not None:
        reason = "the cohort says of which kind the device is; control characters in it would make a kind of their own"
        rules.append(name_is_plain_text("cohort_is_plain_text", layout.cohort, reason))
    if layout.label is not None:
        rules.append(label_is_zero_or_one(layout.label))
    return rules


def _record_is_unique(layout: Layout, periods: Periods) -> Rule:
    if not layout.has_several_records:
        return Rule(
            "entity_is_unique",
            layout.entity,
            f"a device has one record a {periods.noun}, as source.columns.time.cadence is not set; a second row would "
            "count it twice, so the first row of the file stays",
            pl.col(layout.entity).is_first_distinct(),
        )
    local = layout.time.time_zone != "UTC"
    twice = f"; a clock in {layout.time.time_zone} that is set back shows an hour twice, which is read as its first"
    return Rule(
        "record_is_unique",
        layout.time.name,
        "a device has one record at a time; a second row of it would count twice, so the first row of the file stays"
        + (twice if local else ""),
        pl.struct(layout.time.name, layout.entity).is_first_distinct(),
    )


def _how_times_are_written(time: TimeSection) -> str:
    if time.format:
        written = f"times are written as {' or '.join(time.format)}, as source.columns.time.format says"
        skipped = f", and a clock in {time.time_zone} that is put forward leaves out an hour, which is no time"
        return written + (skipped if time.has_time_of_day and time.time_zone != "UTC" else "")
    return (
        "which number of a date is the day and which the month is not guessed: say in source.columns.time.format how "
        "they are written, e.g. %d.%m.%Y"
    )
