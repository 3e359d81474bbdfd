"""Scoring: features of each day in, scores and contributions out, holding only the days looked back on in memory.

The score that counts is made here for whoever asks, calibration, anomalies and evaluation alike, so that a cut is
never held against another kind of score than it was chosen on.
"""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.decisions import AggregationConfig, RollingScores
from ae_assets.detectors import FittedDetector, Scores, Windows, windows_of
from ae_assets.pipeline.chain.storage import FEATURES, Storage
from ae_assets.progress import Progress


@dataclass(frozen=True)
class ScoredDay:
    """The scores of one day, row by row beside their keys."""

    day: date
    keys: pl.DataFrame
    """day, entity, cohort, label of each row."""
    score: NDArray[np.float64]
    """The score that is held against the cut: that of the day, aggregated over the entity's last days."""
    windows: Windows
    of_day: Scores
    """What the detector says of the day's own records."""

    @property
    def scores(self) -> pl.DataFrame:
        """``day, entity, cohort, score`` of each row, for thresholds and evaluation."""
        return self.keys.select("day", "entity", "cohort", score=pl.Series(self.score))


def score_days(
    storage: Storage,
    detector: FittedDetector,
    aggregation: AggregationConfig,
    days: Sequence[date],
    stage: str,
    entities: Collection[str] | None = None,
) -> Iterator[ScoredDay]:
    """Scores the given days, each from the records of the detector's window; days without features are skipped.

    With ``entities`` only theirs are scored, and days without one of them are skipped too.

    Where scores are aggregated, the days that a day looks back on are scored too, whether or not they were before: so
    a day alone and the same day in a range have equal scores.
    """
    columns = ["day", "entity", "cohort", "label", *detector.feature_names]
    window, scored_before = detector.window_days - 1, aggregation.look_back_days
    needed = {day - timedelta(days=back) for day in days for back in range(scored_before + 1)}
    rolling = RollingScores(aggregation)
    recent: deque[tuple[date, pl.DataFrame]] = deque()
    began, rows = time.monotonic(), 0
    for day, asked, frame in storage.read_with_look_back(FEATURES, days, window + scored_before, columns):
        while recent and recent[0][0] < day - timedelta(days=window):
            recent.popleft()
        if entities is not None:
            frame = frame.filter(pl.col("entity").is_in(entities))  # noqa: PLW2901 - the rest is never looked at
        recent.append((day, frame))
        if day not in needed or frame.is_empty():
            continue
        windows = windows_of(
            pl.concat([frame for _, frame in recent]), detector.feature_names, detector.window_days, days=[day]
        )
        of_day = detector.score(windows)
        keys = windows.keys()
        aggregated = rolling.push(day, keys.select("entity", score=pl.Series(of_day.score)))
        rows += keys.height
        if not asked:
            continue
        done = bisect_right(days, day)
        storage.progress(Progress(stage, done, len(days), "days", rows, time.monotonic() - began))
        yield ScoredDay(day, keys, aggregated["score"].to_numpy(), windows, of_day)
