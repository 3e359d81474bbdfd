"""Days that are not what a fleet delivers: nothing is learned from them, chosen on them or compared on them."""

from collections.abc import Collection
from datetime import date

from ae_assets.chain.workspace import FEATURES, QUARANTINE, RAW, Workspace
from ae_assets.features.volume import ImplausibleDay, are_many, implausible_days, table_gaps
from ae_assets.schemas.periods import DAILY, Periods

LEAST_SHARE = 0.5
"""Share of the days asked for that must be left where implausible ones are left out."""

MOST_STRETCHES = 6

WIDEN = (
    "if these days are complete, as after a fleet was bought or retired, widen checks.volume_low and checks.volume_high"
)
"""What to do where a check finds a change of the fleet implausible that is none."""


def implausible_volumes(space: Workspace, first: date | None = None, last: date | None = None) -> list[ImplausibleDay]:
    """The days of raw with far fewer or far more rows than the plausible days before each, missing ones included.

    They are judged from the first to the last one, or those that are held. Where the devices do not run side by side,
    no day is known to be missing.
    """
    limits = space.table.checks
    found = implausible_days(
        space.days_of(RAW),
        space.table.periods,
        first_day=first,
        last_day=last,
        lowest_share=limits.volume_low,
        highest_share=limits.volume_high,
    )
    return found if space.table.learned is None else [day for day in found if day.rows]


def days_left_out(space: Workspace) -> frozenset[date]:
    """The days that hold an implausible number of rows, or of whose rows so many are set aside that none is scored."""
    raw, most = space.days_of(RAW), space.table.checks.max_share_set_aside
    aside = space.days_of(QUARANTINE)
    held_back = {day for day, rows in aside.items() if day in raw and are_many(rows, raw[day], most)}
    return frozenset(day.day for day in implausible_volumes(space) if day.rows) | held_back


def gaps_in(space: Workspace, asset: str, first: date, last: date) -> frozenset[date]:
    """The days of a range on which a table cannot tell who was away: missing, or too small for the fleet."""
    limits = space.table.checks
    return table_gaps(
        space.days_of(asset),
        first,
        last,
        space.table.periods,
        lowest_share=limits.volume_low,
        highest_share=limits.volume_high,
    )


def gaps_until(space: Workspace, last: date) -> frozenset[date]:
    """All days up to one on which the features cannot tell who was away."""
    days = space.days_with_rows(FEATURES)
    return gaps_in(space, FEATURES, days[0], last) if days and days[0] <= last else frozenset()


def day_before(day: date, days: int, left_out: Collection[date], periods: Periods = DAILY) -> date:
    """The day, or other period, before the last so many until one, both counted without those left out."""
    while days:
        days -= day not in left_out
        day = periods.shifted(day, -1)
    return day


def day_after(day: date, days: int, left_out: Collection[date], periods: Periods = DAILY) -> date:
    """The last of so many days, or other periods, from one on, counted without those left out."""
    while True:
        days -= day not in left_out
        if not days:
            return day
        day = periods.shifted(day, 1)


def in_words(days: Collection[date], periods: Periods = DAILY) -> str:
    """Periods, at least one, as their first stretches and number, e.g. ``2013-08-20 to 2013-10-14 (56 days)``."""
    stretches = [
        periods.key(first) if first == last else f"{periods.key(first)} to {periods.key(last)}"
        for first, last in periods.stretches(days)
    ]
    more = f" and {len(stretches) - MOST_STRETCHES} more stretches" if len(stretches) > MOST_STRETCHES else ""
    noun = periods.noun if len(days) == 1 else periods.plural
    return f"{', '.join(stretches[:MOST_STRETCHES])}{more} ({len(days)} {noun})"
