"""Episodes: alarms of an entity that belong together, so that a flapping score asks for one ticket and not for many.

An episode opens on the alarm that is the n-th of its entity within some time, and is over when the entity was clear on
enough records in a row. In between it stays open, alarm or not: the distance between the cut and the score that clears
it is the hysteresis. The streak and the episode of an entity without a record for longer than ``ABSENT`` are over; its
alarms of the last ``within`` still count towards the next episode.

With the defaults an episode is a run of alarms: it opens on an alarm after a record without one, and closes on the next
record without one. Where the cut follows the day it may close later: a day that raises the cut above the fitted one
clears no entity that is over that one.

Unknown is neither an alarm nor clear. A record that is not judged leaves everything as it is: streak, clear records, an
open episode. A record that is judged without something that the entity reported before may alarm, but clears nothing.

Only entities with an alarm, a streak or an open episode have anything to remember, so these alone are followed record
by record; of all others a period says the same.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from ae_assets.decisions.config import EpisodeConfig
from ae_assets.errors import ContractError
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.periods import DAILY, Periods
from ae_assets.schemas.records import DAILY_RECORDS, ENTITY, PERIOD, TIME, Rhythm, key_of, keys_of

ABSENT = 7 * DAY
"""A drive that did not report for longer than this starts a new streak, and its episode is over without a record.

Periods in which the table cannot tell who was away do not count: when its source has been silent, nobody was away.
"""

NONE, OPENED, OPEN, CLOSED = "none", "opened", "open", "closed"
"""What a day is to its entity: in no episode, the first day of one, a later day of it, the day on which it is over."""

STATE_COLUMNS = ("is_anomaly", "streak_days", "episode", "episode_start", "clear_days")
"""What must be known of the rows of earlier periods to go on from them, beside which record each is."""


def is_listed() -> pl.Expr:
    """Whether a row belongs on the list of its day: its episode is open, and its entity is not muted."""
    return pl.col("episode").is_in([OPENED, OPEN]) & pl.col("muted_until").is_null()


def is_clear(config: EpisodeConfig, fitted_cut: float) -> pl.Expr:
    """Whether an entity is clear, from ``score``, ``threshold``, ``is_anomaly`` and ``severity`` of its row.

    Null where it is not judged. A day on which many score high may have raised its ``threshold`` above the fitted cut,
    which is no reason to close an episode and open it again on the day after.
    """
    if config.clear_severity is not None:
        return ~pl.col("is_anomaly") & (pl.col("severity") >= config.clear_severity)
    return ~pl.col("is_anomaly") & (pl.col("score") <= config.clear_below * pl.min_horizontal("threshold", fitted_cut))


@dataclass
class _Course:
    """What is remembered of an entity that has a streak or an open episode.

    Attributes:
        period: of its latest record.
        streak: judged records in a row with an alarm.
        since: when its episode opened; None: none is open.
        clear: records in a row on which it was clear since.
    """

    period: date
    streak: int = 0
    since: date | None = None
    clear: int = 0


class Episodes:
    """Follows the episodes of all entities from period to period."""

    def __init__(
        self,
        config: EpisodeConfig,
        past: pl.DataFrame | None = None,
        gaps: Collection[date] = frozenset(),
        periods: Periods = DAILY,
    ) -> None:
        """Goes on from the rows of earlier periods, those since `first_continued`, if there are any.

        They are in any order, with `keys_of` them and `STATE_COLUMNS`. Where ``episode`` is null (a table from before
        there were episodes), a streak is an open episode. In the gaps, before and between the periods to be pushed, the
        table cannot tell who was away.
        """
        self.config = config
        self._gaps, self._periods = gaps, periods
        self._courses: dict[str, _Course] = {}
        self._alarms: dict[str, list[Any]] = {}
        """Times of the alarms that may still count, of each entity."""
        self._last: date | None = None
        if past is not None and past.height:
            self._go_on_from(with_episodes(past.select(*keys_of(past.columns), *STATE_COLUMNS)))

    def _go_on_from(self, rows: pl.DataFrame) -> None:
        self._last = rows[PERIOD].max()  # type: ignore[assignment]  # polars does not know that it is a date
        time = key_of(rows.columns)[0]
        rows = rows.sort(time)
        latest = rows.unique(ENTITY, keep="last", maintain_order=True)
        is_open = pl.col("episode").is_in([OPENED, OPEN])
        for row in latest.filter(is_open | (pl.col("streak_days") > 0)).iter_rows(named=True):
            since = row["episode_start"] if row["episode"] in {OPENED, OPEN} else None
            self._courses[row[ENTITY]] = _Course(row[PERIOD], row["streak_days"], since, row["clear_days"])
        if self.config.alarms > 1:
            for entity, at in rows.filter("is_anomaly").select(ENTITY, time).iter_rows():
                self._alarms.setdefault(entity, []).append(at)

    def push(self, day: date, rows: pl.DataFrame) -> pl.DataFrame:
        """Takes the alarms of a period and says what each means.

        Args:
            day: the period, later than every one before.
            rows: ``entity`` (String), ``time`` where an entity has several records in a period, ``is_anomaly`` and
                ``is_clear`` (Boolean, see `is_clear`), each null where nobody knows; one row per record. Further
                columns are handed back.

        Returns:
            The rows in their order with ``streak_days`` (Int32, judged records in a row with an alarm), ``is_new``
            (Boolean, an episode opens), ``episode`` (String, see ``NONE``), ``episode_start`` (when it opened, of
            the type of the record's time or period; null outside one) and ``clear_days`` (Int32, records in a row on
            which the entity of an open episode was clear; those on which nobody knows are passed over).

        Raises:
            ContractError: the period is not later than the last.
        """
        if self._last is not None and day <= self._last:
            raise ContractError(f"alarms of {day} were pushed after those of {self._last}; push days in rising order")
        self._last = day
        return self._pushed(rows, [day])

    def push_stretch(self, rows: pl.DataFrame, followed: pl.Series) -> pl.DataFrame:
        """The same for the rows of several periods at once, of devices that may have been followed until any period.

        Args:
            rows: as of `push`, with ``day``, in any order.
            followed: boolean (n,), whose course they continue; the others say what rows without an alarm do.
        """
        return self._pushed(rows, rows.filter(followed)[PERIOD].unique().sort().to_list(), followed)

    def _pushed(self, rows: pl.DataFrame, days: list[date], where: pl.Series | None = None) -> pl.DataFrame:
        """Follows the rows of some periods in their order; the columns of a period are left out where it is alone."""
        timed = TIME in rows.columns
        start_type = rows.schema[TIME] if timed else pl.Series(days or [date.min]).dtype
        followed = rows.filter("is_anomaly")[ENTITY].unique().append(pl.Series([*self._courses], dtype=pl.String))
        several = [PERIOD] if where is not None else []
        concerned = (
            rows.select(
                ENTITY,
                *several,
                *([TIME] if timed else []),
                "is_anomaly",
                "is_clear",
                place=pl.int_range(pl.len(), dtype=pl.UInt32),
            )
            .filter(pl.col(ENTITY).is_in(followed.implode()) & (pl.lit(True) if where is None else where))
            .sort(*several, ENTITY, *([TIME] if timed else []))
        )
        said: list[tuple[str, date | None, int, int]] = []
        for day in days:
            self._forget(day)
            of_day = concerned.filter(pl.col(PERIOD) == day) if several else concerned
            if of_day.height:
                said += self._followed(day, of_day, of_day[TIME].to_list() if timed else [day] * of_day.height)
        places = concerned["place"]

        def column(name: str, dtype: pl.DataType, usual: Any, values: list[Any]) -> pl.Series:
            whole: pl.Series = pl.repeat(usual, rows.height, dtype=dtype, eager=True).alias(name)
            return whole.scatter(places, pl.Series(values, dtype=dtype)) if values else whole

        states, starts, streaks, clears = ([one[place] for one in said] for place in range(4))
        return rows.with_columns(
            column("streak_days", pl.Int32(), 0, streaks),
            column("is_new", pl.Boolean(), False, [state == OPENED for state in states]),
            column("episode", pl.String(), NONE, states),
            column("episode_start", start_type, None, starts),
            column("clear_days", pl.Int32(), 0, clears),
        )

    def _followed(self, day: date, rows: pl.DataFrame, times: list[Any]) -> Iterator[tuple[str, date | None, int, int]]:
        """State, start of the episode, streak and clear records after each row, entity by entity in rising time."""
        courses, clear_after = self._courses, self.config.clear_after
        known = (rows[name].to_list() for name in (ENTITY, "is_anomaly", "is_clear"))
        for entity, alarm, clear, at in zip(*known, times, strict=True):
            course = courses.get(entity) or _Course(day)
            if alarm is not None:
                course.streak = course.streak + 1 if alarm else 0
            state, since = NONE, course.since
            if since is not None:
                course.clear = course.clear + 1 if clear else course.clear if clear is None else 0
                closes = bool(clear) and course.clear >= clear_after
                state, course.since = (CLOSED, None) if closes else (OPEN, since)
            elif alarm and self._is_enough(entity, at):
                state, since, course.since, course.clear = OPENED, at, at, 0
            if alarm and self.config.alarms > 1:
                self._alarms.setdefault(entity, []).append(at)
            yield state, since, course.streak, 0 if since is None else course.clear
            if course.streak or course.since is not None:
                course.period = day
                courses[entity] = course
            else:
                courses.pop(entity, None)

    def _is_enough(self, entity: str, at: Any) -> bool:
        """Whether an alarm at a time opens an episode, with those that the entity had before."""
        before = [one for one in self._alarms.get(entity, ()) if one > at - self.config.within]
        return len(before) + 1 >= self.config.alarms

    def _forget(self, day: date) -> None:
        first = absent_before(day, self._gaps, self._periods)
        self._courses = {entity: course for entity, course in self._courses.items() if course.period >= first}
        earliest = self._periods.start(day) - self.config.within
        counting = {
            entity: [at for at in times if self._periods.start(at) > earliest] for entity, times in self._alarms.items()
        }
        self._alarms = {entity: times for entity, times in counting.items() if times}


def absent_before(day: date, gaps: Collection[date] = frozenset(), periods: Periods = DAILY) -> date:
    """The first period of which a record is still continued in one; an entity with none since then is away.

    Gaps, in which the table cannot tell who was away, are passed over.
    """
    left = max(ABSENT // periods.step, 1)
    while left:
        day = periods.shifted(day, -1)
        left -= day not in gaps
    return day


def first_continued(
    config: EpisodeConfig, day: date, gaps: Collection[date] = frozenset(), rhythm: Rhythm = DAILY_RECORDS
) -> date:
    """The first of the earlier periods whose rows say what a period continues."""
    counted = rhythm.periods.before(day, rhythm.look_back(config.within))
    return min(absent_before(day, gaps, rhythm.periods), counted)


def with_episodes(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a table from before there were episodes: a streak of n days is an episode that is n days old."""
    lacks, running = pl.col("episode").is_null(), pl.col("streak_days") > 0
    first = pl.col(key_of(rows.columns)[0]) - pl.duration(days=pl.col("streak_days") - 1)
    return rows.with_columns(
        episode=pl.when(lacks & running).then(pl.lit(OPEN)).otherwise(pl.col("episode").fill_null(NONE)),
        episode_start=pl.when(lacks & running).then(first).otherwise("episode_start"),
        clear_days=pl.col("clear_days").fill_null(0),
    )
