"""Anomalies: one row per drive and day with score, verdict, severity, streak and the features that drove it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from ae_assets.pipeline.chain.champion import Champion
from ae_assets.pipeline.chain.scoring import ScoredDay, score_days
from ae_assets.pipeline.chain.storage import ANOMALIES, Storage
from ae_assets.schemas.anomalies import ANOMALY_SCHEMA
from ae_assets.thresholds import Threshold

TOP_FEATURES = 5
STREAK_GAP_DAYS = 7
"""A drive that did not report for longer than this starts a new streak."""


@dataclass(frozen=True)
class AnomalyDay:
    """What one day's anomaly table says; ``frame`` is that table."""

    day: date
    rows: int
    alarms: int
    new_alarms: int
    alarms_before: int
    """Devices that had an alarm on their record before this day."""
    frame: pl.DataFrame

    def without_rows(self) -> "AnomalyDay":
        """The counts alone, for runs over many days."""
        return replace(self, frame=self.frame.clear())


def find_anomalies(storage: Storage, champion: Champion, days: Sequence[date]) -> Iterator[AnomalyDay]:
    """Scores the given days and writes their anomaly tables.

    A streak continues the drive's latest record of the last seven days, taken from the days of this run or, before
    them, from the table as it stands; days are therefore to be filled in order where streaks matter.
    """
    past = _past(storage, min(days))
    with storage.tables.writer(storage.name(ANOMALIES)) as writer:
        for scored in score_days(storage, champion.detector, days, stage="anomalies"):
            frame = anomaly_table(scored, champion.threshold, champion.version, past)
            writer.write(scored.day, frame)
            yield AnomalyDay(
                scored.day,
                rows=frame.height,
                alarms=int(frame["is_anomaly"].sum()),
                new_alarms=int(frame["is_new"].sum()),
                alarms_before=int(past["is_anomaly"].sum()),
                frame=frame,
            )
            past = _remember(past, frame, scored.day)


def anomaly_table(scored: ScoredDay, threshold: Threshold, version: str, past: pl.DataFrame) -> pl.DataFrame:
    """The anomaly table of one day.

    Args:
        scored: the day's scores.
        threshold: the champion's threshold.
        version: the champion's version.
        past: latest earlier record of each drive: entity, day, is_anomaly, streak_days.

    Returns:
        One row per drive, with the columns of ``schemas.anomalies``, sorted by falling score.
    """
    score = scored.scores.score.astype(np.float64)
    is_anomaly = threshold.is_anomaly(score)
    recent = past.filter(pl.col("day") >= scored.day - timedelta(days=STREAK_GAP_DAYS))
    return (
        scored.keys.with_columns(
            score=pl.Series(score),
            threshold=pl.lit(threshold.cut, dtype=pl.Float64),
            is_anomaly=pl.Series(is_anomaly),
            severity=pl.Series(threshold.severity(score)),
            top_features=_top_features(scored),
            model_version=pl.lit(version),
        )
        .join(recent.select("entity", before="streak_days"), on="entity", how="left")
        .with_columns(
            streak_days=pl.when("is_anomaly").then(pl.col("before").fill_null(0) + 1).otherwise(0).cast(pl.Int32),
            is_new=pl.col("is_anomaly") & (pl.col("before").fill_null(0) == 0),
        )
        .select(*ANOMALY_SCHEMA.columns)
        .sort(["score", "entity"], descending=[True, False])
    )


def _top_features(scored: ScoredDay) -> pl.Series:
    """The features with the largest contributions, largest first, with their value and what was expected instead."""
    contributions = scored.scores.contributions
    count = min(TOP_FEATURES, contributions.shape[1])
    top = np.argpartition(-contributions, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(contributions, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    values = scored.windows.values[scored.windows.last_row]
    names = pl.Series(list(scored.windows.feature_names), dtype=pl.String)
    fields = pl.DataFrame(
        {
            "name": names.gather(top.ravel()),
            "contribution": _picked(contributions, top),
            "value": _picked(values, top),
            "expected": _picked(scored.scores.expected, top),
        }
    ).with_columns(pl.col("value").fill_nan(None))
    return (
        fields.select(pl.struct("name", "contribution", "value", "expected").alias("top_features"))
        .to_series()
        .reshape((len(top), count))
        .arr.to_list()
        if len(top)
        else pl.Series("top_features", [], dtype=pl.List(fields.select(pl.struct(pl.all())).dtypes[0]))
    )


def _picked(array: np.ndarray, columns: np.ndarray) -> pl.Series:
    return pl.Series(np.take_along_axis(array, columns, axis=1).ravel().astype(np.float64))


def _past(storage: Storage, first: date) -> pl.DataFrame:
    """The latest record of each drive in the days before the first one asked for."""
    columns = ["entity", "day", "is_anomaly", "streak_days"]
    empty = pl.DataFrame(
        schema={"entity": pl.String, "day": pl.Date, "is_anomaly": pl.Boolean, "streak_days": pl.Int32}
    )
    start, end = first - timedelta(days=STREAK_GAP_DAYS), first - timedelta(days=1)
    if not any(start <= day <= end for day in storage.days_of(ANOMALIES)):
        return empty
    rows = storage.tables.read(storage.name(ANOMALIES), start, end, columns)
    return rows.sort("day").unique("entity", keep="last", maintain_order=True).select(columns)


def _remember(past: pl.DataFrame, frame: pl.DataFrame, day: date) -> pl.DataFrame:
    today = frame.select("entity", "day", "is_anomaly", "streak_days")
    kept = past.filter(pl.col("day") > day - timedelta(days=STREAK_GAP_DAYS)).join(today, on="entity", how="anti")
    return pl.concat([kept, today])
