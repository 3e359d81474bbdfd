"""Episodes: alarms of an entity that belong together, so that a flapping score asks for one ticket and not for many.

An episode opens on the alarm that is the n-th of its entity within some days, and is over when the entity was clear on
enough records in a row. In between it stays open, alarm or not: the distance between the cut and the score that clears
it is the hysteresis. The streak and the episode of an entity without a record for longer than ``ABSENT_DAYS`` are over;
its alarms of the last ``within_days`` days still count towards the next episode.

With the defaults an episode is a run of alarms: it opens on an alarm after a record without one, and closes on the next
record without one. Where the cut follows the day it may close later: a day that raises the cut above the fitted one
clears no entity that is over that one.

Unknown is neither an alarm nor clear. A record that is not judged leaves everything as it is: streak, clear days, an
open episode. A record that is judged without something that the entity reported before may alarm, but clears nothing.
"""

from collections.abc import Collection
from datetime import date, timedelta

import polars as pl

from ae_assets.decisions.config import EpisodeConfig
from ae_assets.errors import ContractError

ABSENT_DAYS = 7
"""A drive that did not report for longer than this starts a new streak, and its episode is over without a record.

Days on which the table cannot tell who was away do not count: when its source has been silent, nobody was away.
"""

NONE, OPENED, OPEN, CLOSED = "none", "opened", "open", "closed"
"""What a day is to its entity: in no episode, the first day of one, a later day of it, the day on which it is over."""

STATE_COLUMNS = {
    "day": pl.Date(),
    "entity": pl.String(),
    "is_anomaly": pl.Boolean(),
    "streak_days": pl.Int32(),
    "episode": pl.String(),
    "episode_start": pl.Date(),
    "clear_days": pl.Int32(),
}
"""What must be known of the rows of earlier days to go on from them."""


def is_listed() -> pl.Expr:
    """Whether a row belongs on the list of its day: its episode is open, and its entity is not muted."""
    return pl.col("episode").is_in([OPENED, OPEN]) & pl.col("muted_until").is_null()


def is_clear(config: EpisodeConfig, fitted_cut: float) -> pl.Expr:
    """Whether an entity is clear, from ``score``, ``threshold``, ``is_anomaly`` and ``severity`` of its row.

    Null where it is not judged.

    Args:
        config: when an episode closes.
        fitted_cut: the cut that was fitted. A day on which many score high may have raised its own, the ``threshold``,
            which is no reason to close an episode and open it again on the day after.
    """
    if config.clear_severity is not None:
        return ~pl.col("is_anomaly") & (pl.col("severity") >= config.clear_severity)
    return ~pl.col("is_anomaly") & (pl.col("score") <= config.clear_below * pl.min_horizontal("threshold", fitted_cut))


class Episodes:
    """Follows the episodes of all entities from day to day.

    Holds the latest record of each entity of the last ``ABSENT_DAYS`` days, and the alarms that may still count.
    """

    def __init__(
        self, config: EpisodeConfig, past: pl.DataFrame | None = None, gaps: Collection[date] = frozenset()
    ) -> None:
        """Goes on from the rows of earlier days.

        Args:
            config: when an episode opens and closes.
            past: rows of the days since ``first_continued(config, day, gaps)`` before the first day that will be
                pushed, in any order, with the columns ``STATE_COLUMNS``; None: nothing was before. Where ``episode`` is
                null (a table from before there were episodes), a streak is an open episode.
            gaps: days on which the table cannot tell who was away, before and between the days to be pushed.
        """
        self._gaps = gaps
        rows = pl.DataFrame(schema=STATE_COLUMNS) if past is None else with_episodes(past.select(*STATE_COLUMNS))
        self.config = config
        self._latest = rows.sort("day").unique("entity", keep="last", maintain_order=True)
        self._alarms = rows.filter("is_anomaly").select("day", "entity")
        self._last: date | None = rows["day"].max()  # type: ignore[assignment]  # polars does not know that it is a Date

    def push(self, day: date, rows: pl.DataFrame) -> pl.DataFrame:
        """Takes the alarms of a day and says what each means.

        Args:
            day: the day, later than every day before.
            rows: ``entity`` (String), ``is_anomaly`` and ``is_clear`` (Boolean, see `is_clear`), each null where nobody
                knows; one row per entity. Further columns are handed back.

        Returns:
            The rows in their order with ``streak_days`` (Int32, judged records in a row with an alarm), ``is_new``
            (Boolean, an episode opens), ``episode`` (String, see ``NONE``), ``episode_start`` (Date, null outside
            one) and ``clear_days`` (Int32, records in a row on which the entity of an open episode was clear; those on
            which nobody knows are passed over).

        Raises:
            ContractError: the day is not later than the last.
        """
        if self._last is not None and day <= self._last:
            raise ContractError(f"alarms of {day} were pushed after those of {self._last}; push days in rising order")
        self._last = day
        self._forget(day)
        was_open = pl.col("__episode").is_in([OPENED, OPEN]).fill_null(False)
        alarm, clear = (pl.col(name).fill_null(False) for name in ("is_anomaly", "is_clear"))
        clear_days = (
            pl.when(was_open & clear)
            .then(pl.col("__clear_days") + 1)
            .when(was_open & pl.col("is_clear").is_null())
            .then("__clear_days")
            .otherwise(0)
        )
        streak_days = (
            pl.when(alarm)
            .then(pl.col("__streak_days").fill_null(0) + 1)
            .when(pl.col("is_anomaly").is_null())
            .then(pl.col("__streak_days").fill_null(0))
            .otherwise(0)
        )
        opens = ~was_open & alarm & (pl.col("__alarms").fill_null(0) + 1 >= self.config.alarms)
        closes = was_open & clear & (pl.col("clear_days") >= self.config.clear_after_days)
        decided = (
            rows.join(self._before(), on="entity", how="left", maintain_order="left")
            .with_columns(
                streak_days=streak_days.cast(pl.Int32),
                clear_days=clear_days.cast(pl.Int32),
                is_new=opens,
            )
            .with_columns(
                episode=pl.when("is_new")
                .then(pl.lit(OPENED))
                .when(closes)
                .then(pl.lit(CLOSED))
                .when(was_open)
                .then(pl.lit(OPEN))
                .otherwise(pl.lit(NONE)),
                episode_start=pl.when("is_new").then(pl.lit(day)).when(was_open).then("__episode_start"),
            )
            .select(*rows.columns, "streak_days", "is_new", "episode", "episode_start", "clear_days")
        )
        self._remember(day, decided)
        return decided

    def _before(self) -> pl.DataFrame:
        latest = self._latest.select(
            "entity",
            __streak_days="streak_days",
            __episode="episode",
            __episode_start="episode_start",
            __clear_days="clear_days",
        )
        counted = self._alarms.group_by("entity").agg(__alarms=pl.len().cast(pl.Int32))
        return latest.join(counted, on="entity", how="full", coalesce=True)

    def _forget(self, day: date) -> None:
        self._latest = self._latest.filter(pl.col("day") >= absent_before(day, self._gaps))
        self._alarms = self._alarms.filter(pl.col("day") > day - timedelta(days=self.config.within_days))

    def _remember(self, day: date, decided: pl.DataFrame) -> None:
        today = decided.with_columns(day=pl.lit(day)).select(*STATE_COLUMNS)
        self._latest = pl.concat([self._latest.join(today, on="entity", how="anti"), today])
        self._alarms = pl.concat([self._alarms, today.filter("is_anomaly").select("day", "entity")])


def absent_before(day: date, gaps: Collection[date] = frozenset()) -> date:
    """The first day of which a record is still continued on a day; an entity with none since then is away.

    Args:
        day: the day.
        gaps: days on which the table cannot tell who was away; they are passed over.
    """
    left = ABSENT_DAYS
    while left:
        day -= timedelta(days=1)
        left -= day not in gaps
    return day


def first_continued(config: EpisodeConfig, day: date, gaps: Collection[date] = frozenset()) -> date:
    """The first of the earlier days whose rows say what a day continues."""
    return min(absent_before(day, gaps), day - timedelta(days=config.within_days - 1))


def with_episodes(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a table from before there were episodes: a streak of n days is an episode that is n days old."""
    lacks, running = pl.col("episode").is_null(), pl.col("streak_days") > 0
    first = pl.col("day") - pl.duration(days=pl.col("streak_days") - 1)
    return rows.with_columns(
        episode=pl.when(lacks & running).then(pl.lit(OPEN)).otherwise(pl.col("episode").fill_null(NONE)),
        episode_start=pl.when(lacks & running).then(first).otherwise("episode_start"),
        clear_days=pl.col("clear_days").fill_null(0),
    )
