"""Tells periods whose number of rows cannot be a whole fleet's: the arithmetic of checks of volume."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median

from ae_assets.schemas.durations import DAY
from ae_assets.schemas.periods import DAILY, Periods

REFERENCE = 7
"""Plausible periods whose median is what a period is held against."""

SETTLED_AFTER = 90 * DAY


@dataclass(frozen=True)
class ImplausibleDay:
    """A period with implausibly many or few rows, and how many the plausible ones before it had; 0 if it is missing."""

    day: date
    rows: int
    expected: int
    reason: str


def implausible_days(
    day_rows: Mapping[date, int],
    periods: Periods = DAILY,
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    lowest_share: float = 0.5,
    highest_share: float = 2.0,
) -> list[ImplausibleDay]:
    """Finds the periods with far fewer or far more rows than the plausible ones before them.

    The reference of a day is the median of the last ``REFERENCE`` plausible days, so that a long outage does not become
    the norm. The first days have none before them and are held against the median of the first ``REFERENCE`` days that
    have rows. A new level that lasts ``SETTLED_AFTER`` without a break becomes the norm, since a fleet may be bought or
    retired; the days until then stay flagged. With weeks it is the same, counted in weeks; an hour is held against the
    same hour of other days, since what devices report may follow the clock.

    Args:
        day_rows: rows by period, in any order.
        periods: of which kind they are.
        first_day: where the range starts; the first of ``day_rows`` if None.
        last_day: where it ends; the last of ``day_rows`` if None.
        lowest_share: share of the reference below which a period is implausible.
        highest_share: multiple of the reference above which a period is implausible.

    Returns:
        The implausible periods in their order, missing ones of the range included; nothing where none has rows.
    """
    listed = [day for day in sorted(day_rows) if day_rows[day] > 0]
    if not listed:
        return []
    first, last = first_day or min(day_rows), last_day or max(day_rows)
    settled = -(-SETTLED_AFTER // max(periods.step, DAY))
    with_rows: dict[int, list[int]] = {}
    for day in listed:
        with_rows.setdefault(_place(day), []).append(day_rows[day])
    levels = {place: _Level(rows, settled) for place, rows in with_rows.items()}
    flagged = []
    for day in periods.range(min(first, listed[0]), last):
        level = levels.get(_place(day))
        if level is None:
            continue  # an hour of the day of which the table has never had rows
        rows, expected = day_rows.get(day, 0), level.expected
        is_plausible = lowest_share * expected <= rows <= highest_share * expected
        level.take(rows, is_plausible=is_plausible)
        if not is_plausible and day >= first:
            flagged.append(ImplausibleDay(day, rows, round(expected), _reason(rows, expected, periods)))
    return flagged


class _Level:
    """The usual number of rows, as plausible periods and lasting changes make it."""

    def __init__(self, first_rows: Sequence[int], settled: int) -> None:
        self._plausible = deque(first_rows[:REFERENCE], maxlen=REFERENCE)
        self._unsettled: deque[int] = deque(maxlen=settled)

    @property
    def expected(self) -> float:
        return median(self._plausible)

    def take(self, rows: int, *, is_plausible: bool) -> None:
        if is_plausible:
            self._plausible.append(rows)
            self._unsettled.clear()
            return
        new = self._unsettled
        new.append(rows)
        if len(new) == new.maxlen and min(new) > 0 and max(new) <= 2 * min(new):
            self._plausible.clear()
            self._plausible.extend(new)
            new.clear()


def _place(period: date) -> int:
    """The place of an hour in its day; days and weeks have one alone."""
    return period.hour if isinstance(period, datetime) else 0


def table_gaps(
    day_rows: Mapping[date, int],
    first: date,
    last: date,
    periods: Periods = DAILY,
    *,
    lowest_share: float = 0.5,
    highest_share: float = 2.0,
) -> frozenset[date]:
    """The periods of a range in which the table cannot tell who was away, from its rows by period.

    These are periods without rows, and those with far fewer rows than the plausible ones before them, by the shares of
    `implausible_days`. Those before the first that has rows are none: a table may be young.
    """
    begins = min((day for day, rows in day_rows.items() if rows), default=last)
    unlike = implausible_days(
        day_rows, periods, first_day=first, last_day=last, lowest_share=lowest_share, highest_share=highest_share
    )
    return frozenset(day.day for day in unlike if day.day > begins and day.rows < day.expected)


def are_many(set_aside: int, rows: int, most: float) -> bool:
    """Whether more than a share of a period's rows is set aside, so that nothing is made of the others.

    A single row is not many, unless it is the only one.
    """
    return set_aside > most * rows and (set_aside > 1 or set_aside == rows)


def _reason(rows: int, expected: float, periods: Periods) -> str:
    if rows == 0:
        return f"no rows, where about {expected:,.0f} are expected"
    return f"{rows:,} rows are {rows / expected:.1%} of the {expected:,.0f} of the plausible {periods.noun}s before"
