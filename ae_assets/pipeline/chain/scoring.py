"""Scoring: features of each day in, scores and contributions out, holding only the detector's window in memory."""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from ae_assets.detectors import FittedDetector, Scores, Windows, windows_of
from ae_assets.pipeline.chain.storage import FEATURES, Storage
from ae_assets.progress import Progress


@dataclass(frozen=True)
class ScoredDay:
    """The scores of one day, row by row beside their keys."""

    day: date
    keys: pl.DataFrame
    """day, entity, cohort, label of each row of ``scores``."""
    windows: Windows
    scores: Scores


def score_days(storage: Storage, detector: FittedDetector, days: Sequence[date], stage: str) -> Iterator[ScoredDay]:
    """Scores the given days, each from the records of the detector's window; days without features are skipped."""
    columns = ["day", "entity", "cohort", "label", *detector.feature_names]
    look_back = detector.window_days - 1
    recent: deque[tuple[date, pl.DataFrame]] = deque()
    began, rows = time.monotonic(), 0
    for day, asked, frame in storage.read_with_look_back(FEATURES, days, look_back, columns):
        while recent and recent[0][0] < day - timedelta(days=look_back):
            recent.popleft()
        recent.append((day, frame))
        if not asked:
            continue
        windows = windows_of(
            pl.concat([frame for _, frame in recent]), detector.feature_names, detector.window_days, days=[day]
        )
        scores = detector.score(windows)
        rows += len(scores.score)
        done = bisect_right(days, day)
        storage.progress(Progress(stage, done, len(days), "days", rows, time.monotonic() - began))
        yield ScoredDay(day, windows.keys(), windows, scores)
