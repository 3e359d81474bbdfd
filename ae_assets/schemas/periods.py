"""Periods: the hours, days or weeks by which a table's records are stored, made and asked for.

All arithmetic of partitions is here. A period is what its records share: a day or the Monday of a week as a `date`, an
hour as a `datetime` in UTC (which is a `date` too). Within one table all periods are of one kind.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import polars as pl

Partitions = Literal["hourly", "daily", "weekly"]


@dataclass(frozen=True)
class Periods:
    """One way to cut time.

    Attributes:
        partitions: its name in the YAML.
        step: the length of a period.
        noun: what a period is called in words and as a column of stored tables.
        dtype: of that column.
    """

    partitions: Partitions
    step: timedelta
    noun: str
    dtype: pl.DataType

    @property
    def plural(self) -> str:
        """Of the noun."""
        return f"{self.noun}s"

    @property
    def one(self) -> str:
        """The noun with its article: ``an hour``."""
        return f"an {self.noun}" if self.noun == "hour" else f"a {self.noun}"

    def of(self, moment: date) -> date:
        """The period in which a day or a point in time lies; a day stands for its midnight in UTC.

        Raises:
            ValueError: a point in time without a time zone.
        """
        start = _midnight(moment)
        if self.partitions == "hourly":
            return start.replace(minute=0, second=0, microsecond=0)
        day = start.date()
        return day - timedelta(days=day.weekday()) if self.partitions == "weekly" else day

    def of_times(self, times: pl.Expr) -> pl.Expr:
        """The same of a column of dates or of points in time in UTC."""
        if self.partitions == "hourly":
            return times.cast(self.dtype).dt.truncate("1h")
        days = times.cast(pl.Date)
        return days.dt.truncate("1w") if self.partitions == "weekly" else days

    def start(self, period: date) -> datetime:
        """Its first moment."""
        return _midnight(period)

    def end(self, period: date) -> datetime:
        """The first moment after it."""
        return _midnight(period) + self.step

    def shifted(self, period: date, count: int) -> date:
        """The period that comes so many after it, or before it where ``count`` is negative."""
        return period + count * self.step

    def before(self, period: date, length: timedelta) -> date:
        """The earliest period with a moment within ``length`` before the given one; itself for no length."""
        return self.of(_midnight(period) - length)

    def after(self, period: date, length: timedelta) -> date:
        """The latest period whose `before` is the given one or earlier, which is to say the last that reads it."""
        return self.of(self.end(period) + length - datetime.resolution)

    def last_of(self, moment: date) -> date:
        """The last period that begins in a day, or the one in which it lies; of a point in time, `of` it."""
        if isinstance(moment, datetime):
            return self.of(moment)
        return self.of(_midnight(moment) + (DAILY.step - datetime.resolution))

    def spanning(self, last: date, length: timedelta) -> date:
        """The first of the periods that reach ``length`` back from the end of the last one: 30 days make five weeks."""
        return self.of(self.end(last) - length)

    def following(self, moment: datetime) -> date:
        """The first period that begins at a moment or after it."""
        return self.of(moment + self.step - datetime.resolution)

    def count(self, length: timedelta) -> int:
        """How many periods hold a length of time."""
        return -(-length // self.step)

    def days(self, first: date, last: date) -> tuple[date, date]:
        """The first and the last calendar day of the periods from first to last."""
        return self.start(first).date(), (self.end(last) - datetime.resolution).date()

    def range(self, first: date, last: date) -> list[date]:
        """All periods from first to last, both included; empty where the last comes first."""
        return [first + count * self.step for count in range((last - first) // self.step + 1)]

    def stretches(self, periods: Iterable[date], look_back: timedelta = timedelta()) -> Iterator[tuple[date, date]]:
        """First and last of each run of periods that the given ones need; two that are a year apart need two runs.

        Args:
            periods: any, in any order.
            look_back: how far before its beginning each one reads.
        """
        stretch: tuple[date, date] | None = None
        for period in sorted(set(periods)):
            first = self.before(period, look_back)
            if stretch is not None and first <= stretch[1] + self.step:
                stretch = (stretch[0], period)
                continue
            if stretch is not None:
                yield stretch
            stretch = (first, period)
        if stretch is not None:
            yield stretch

    def key(self, period: date) -> str:
        """Its partition key: ``2024-04-17``, for an hour ``2024-04-17-05:00``."""
        return period.strftime("%Y-%m-%d-%H:%M") if isinstance(period, datetime) else period.isoformat()

    def parse(self, text: str, *, last: bool = False) -> date:
        """Reads what a person writes or `key` wrote.

        Args:
            text: a date, which stands for its week or its first hour, or for hours a date and hour: ``2024-04-17T05``,
                ``2024-04-17 05:00`` or the key.
            last: whether it ends a range: then a date stands for its last hour.

        Raises:
            ValueError: it is none of these.
        """
        cleaned = text.strip()
        with_hour = cleaned[:10] + "T" + cleaned[11:] if len(cleaned) > 10 and cleaned[10] in "-T " else cleaned
        try:
            moment = datetime.fromisoformat(with_hour)
        except ValueError:
            moment = None
        if moment is None or (len(cleaned) > 10 and self.partitions != "hourly"):
            expected = "2024-04-17T05" if self.partitions == "hourly" else "2024-04-17"
            raise ValueError(f"expected {self.one} such as {expected}, received {text!r}")
        if last and len(cleaned) <= 10:
            return self.last_of(moment.date())
        return self.of(moment.replace(tzinfo=moment.tzinfo or UTC))


def named(moment: date) -> str:
    """What a message calls a day, ``2024-04-17``, or a point in time in UTC as ``2024-04-17 05:00``."""
    return f"{moment:%Y-%m-%d %H:%M}" if isinstance(moment, datetime) else moment.isoformat()


HOURLY = Periods("hourly", timedelta(hours=1), "hour", pl.Datetime("us", "UTC"))
DAILY = Periods("daily", timedelta(days=1), "day", pl.Date())
WEEKLY = Periods("weekly", timedelta(weeks=1), "week", pl.Date())
PERIODS: dict[Partitions, Periods] = {one.partitions: one for one in (HOURLY, DAILY, WEEKLY)}


def from_iso(text: str) -> date:
    """The period, of whatever kind, that its ``isoformat`` wrote."""
    return date.fromisoformat(text) if len(text) == len("2024-04-17") else datetime.fromisoformat(text)


def _midnight(moment: date) -> datetime:
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time(), UTC)
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; periods are those of UTC")
    return moment.astimezone(UTC)
