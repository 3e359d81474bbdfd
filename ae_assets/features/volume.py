"""Tells days whose number of rows cannot be a whole fleet's: the arithmetic of checks of volume."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median


@dataclass(frozen=True)
class ImplausibleDay:
    """A day whose volume is out of line.

    Attributes:
        day: the day.
        rows: rows it has; 0 where it is missing.
        expected: the median of the plausible days before it.
        reason: what is wrong, in words.
    """

    day: date
    rows: int
    expected: int
    reason: str


def implausible_days(
    day_rows: Mapping[date, int],
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    reference_days: int = 7,
    lowest_share: float = 0.5,
    highest_share: float = 2.0,
    settled_after_days: int = 90,
) -> list[ImplausibleDay]:
    """Finds the days with far fewer or far more rows than the plausible days before them.

    The reference of a day is the median of the last ``reference_days`` plausible days, so that a long outage does not
    become the norm. The first days have none before them and are held against the median of the first
    ``reference_days`` days that have rows. A new level that lasts ``settled_after_days`` days in a row becomes the
    norm, since a fleet may be bought or retired; the days until then stay flagged.

    Args:
        day_rows: rows by day, in any order.
        first_day: where the range starts; the first day of ``day_rows`` if None.
        last_day: where it ends; the last day of ``day_rows`` if None.
        reference_days: plausible days that make the reference, at least 1.
        lowest_share: share of the reference below which a day is implausible.
        highest_share: multiple of the reference above which a day is implausible.
        settled_after_days: days in a row after which a new level is the norm.

    Returns:
        The implausible days in their order, missing days of the range included; nothing where no day has rows.
    """
    listed = [day for day in sorted(day_rows) if day_rows[day] > 0]
    if not listed:
        return []
    first, last = first_day or min(day_rows), last_day or max(day_rows)
    plausible = deque((day_rows[day] for day in listed[:reference_days]), maxlen=reference_days)
    unsettled: deque[int] = deque(maxlen=settled_after_days)
    flagged = []
    day = min(first, listed[0])
    while day <= last:
        rows, expected = day_rows.get(day, 0), median(plausible)
        if lowest_share * expected <= rows <= highest_share * expected:
            plausible.append(rows)
            unsettled.clear()
        else:
            if day >= first:
                flagged.append(ImplausibleDay(day, rows, round(expected), _reason(rows, expected)))
            unsettled.append(rows)
            if len(unsettled) == settled_after_days and min(unsettled) > 0 and max(unsettled) <= 2 * min(unsettled):
                plausible = deque(list(unsettled)[-reference_days:], maxlen=reference_days)
                unsettled.clear()
        day += timedelta(days=1)
    return flagged


def table_gaps(
    day_rows: Mapping[date, int], first: date, last: date, *, lowest_share: float = 0.5, highest_share: float = 2.0
) -> frozenset[date]:
    """The days of a range on which the table cannot tell who was away.

    Days before the first that has rows are none: a table may be young.

    Args:
        day_rows: rows by day, in any order.
        first: where the range starts.
        last: where it ends.
        lowest_share: as of `implausible_days`.
        highest_share: as of `implausible_days`.

    Returns:
        Days without rows, and days with far fewer rows than the plausible days before them.
    """
    begins = min((day for day, rows in day_rows.items() if rows), default=last)
    unlike = implausible_days(
        day_rows, first_day=first, last_day=last, lowest_share=lowest_share, highest_share=highest_share
    )
    return frozenset(day.day for day in unlike if day.day > begins and day.rows < day.expected)


def are_many(set_aside: int, rows: int, most: float) -> bool:
    """Whether so many rows of a day are set aside that nothing is made of the others; a single row is not many.

    Args:
        set_aside: rows in quarantine.
        rows: rows of the day.
        most: the largest share that may be.
    """
    return set_aside > most * rows and (set_aside > 1 or set_aside == rows)


def _reason(rows: int, expected: float) -> str:
    if rows == 0:
        return f"no rows, where about {expected:,.0f} are expected"
    return f"{rows:,} rows are {rows / expected:.1%} of the {expected:,.0f} of the plausible days before"
