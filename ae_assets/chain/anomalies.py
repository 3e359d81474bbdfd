"""Anomalies: one row per record with score, verdict, severity, episode and the reasons for it."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from ae_assets.chain.anomaly_day import AnomalyDay, anomaly_rows
from ae_assets.chain.champion import Champion
from ae_assets.chain.day_before import DayBefore
from ae_assets.chain.scoring import score_days
from ae_assets.chain.volume import gaps_until
from ae_assets.chain.workspace import ANOMALIES, FailedPeriod, Workspace
from ae_assets.decisions.episodes import STATE_COLUMNS, Episodes, first_continued
from ae_assets.decisions.mutes import Mute, read_mutes
from ae_assets.errors import AeAssetsError
from ae_assets.model.model import Model, no_decisions
from ae_assets.schemas.anomalies import anomaly_types
from ae_assets.schemas.records import Rhythm, keys_of


def find_anomalies(space: Workspace, champion: Champion, days: Sequence[date]) -> Iterator[AnomalyDay | FailedPeriod]:
    """Scores the given days and writes their anomaly tables; a day without features becomes an empty day.

    Streaks and episodes continue the drive's latest record of the days before, taken from the days of this run or,
    before them, from the table as it stands; days are therefore to be filled in order where they matter. A day whose
    features cannot be scored or were made by other settings fails and keeps the rows that it had.

    Raises:
        ConfigError: when the mute list is missing or malformed; nothing is written then.
    """
    mutes, gaps = mutes_of(space), gaps_until(space, max(days))
    past = _past(space, continued_days(space, champion, min(days), gaps))
    episodes = Episodes(champion.episodes, past, gaps, space.table.periods)
    before = None if past is None else DayBefore.of(past)
    failed: dict[date, FailedPeriod] = {}

    def fail(day: date, error: AeAssetsError) -> None:
        failed[day] = FailedPeriod(day, ANOMALIES, str(error))

    scores = score_days(
        space,
        champion.detector,
        champion.aggregation,
        days,
        "anomalies",
        on_failure=fail,
        hold=champion.episodes.hold,
        learned=champion.learned,
    )
    empty = set(days)
    with space.writer(ANOMALIES) as writer:
        for scored in scores:
            empty.discard(scored.day)
            frame = champion.judge(scored, episodes, mutes)
            writer.write(scored.day, frame)
            gone = () if before is None else before.gone(space, scored.day, frame)
            yield AnomalyDay.of(scored.day, frame, before, mutes, gone)
            before = DayBefore.of(frame) or before
        for day in sorted(empty - set(failed)):
            writer.write(day, space.no_rows)
            yield AnomalyDay.of(day, no_decisions(space.table.rhythm), None, mutes)
    yield from (failed[day] for day in days if day in failed)


def withdraw_anomalies(space: Workspace, days: Collection[date]) -> None:
    """Empties days whose features a check holds back: what was made of other features must not stand for them."""
    with space.writer(ANOMALIES) as writer:
        for day in sorted(space.days_of(ANOMALIES).keys() & set(days)):
            writer.write(day, space.no_rows)


def mutes_of(space: Workspace) -> tuple[Mute, ...]:
    """The mute list of the table; empty where it has none.

    Raises:
        ConfigError: it is missing or malformed.
    """
    file = space.table.decision.mute_list
    return () if file is None else read_mutes(Path(file))


def continued_days(space: Workspace, model: Model, first: date, gaps: Collection[date]) -> list[date]:
    """The days before one whose anomalies say what it continues, in order; empty where none of them has rows."""
    start = first_continued(model.episodes, first, gaps, space.table.rhythm)
    return [day for day in space.days_with_rows(ANOMALIES) if start <= day < first]


def past_columns(rhythm: Rhythm) -> list[str]:
    """What is to be known of the rows of these days."""
    return [*keys_of(anomaly_types(rhythm)), "score", *STATE_COLUMNS, "is_new", "muted_until", "label"]


def _past(space: Workspace, days: Sequence[date]) -> pl.DataFrame | None:
    return anomaly_rows(space, days[0], days[-1], columns=past_columns(space.table.rhythm)) if days else None
