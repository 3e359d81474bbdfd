"""Scoring: features of each day in, scores and contributions out, holding only the days looked back on in memory.

The score that counts is made here for whoever asks, calibration, anomalies and evaluation alike, so that a cut is
never held against another kind of score than it was chosen on.
"""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from ae_assets.chain.settings import DaySettings
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.decisions import AggregationConfig, RollingScores
from ae_assets.detectors import FittedDetector, Scores, Windows, windows_of
from ae_assets.errors import AeAssetsError, ContractError, ModelError
from ae_assets.progress import Progress

ABOUT_RECORDS = {"lost_attributes": pl.List(pl.String), "seen_days": pl.Int16()}
"""Columns of the features table that describe a record and are no features."""


@dataclass(frozen=True)
class ScoredDay:
    """The scores of one day, row by row beside their keys."""

    day: date
    keys: pl.DataFrame
    """day, entity, cohort, label of each row."""
    score: pl.Series
    """The score that is held against the cut: that of the day, aggregated over the entity's last days. Null where the
    day's record is not judged, since it knows nothing that the detector's score rests on."""
    windows: Windows
    of_day: Scores
    """What the detector says of the day's own records; of those that are not judged it says nothing."""
    records: pl.DataFrame
    """``entity, lost_attributes, seen_days``: what the features say of the day's records beside the features, in any
    order; null in a table from before they said it."""

    @property
    def judged(self) -> pl.Series:
        """Whether each row has a score."""
        return self.score.is_not_null()

    @property
    def scores(self) -> pl.DataFrame:
        """``day, entity, cohort, score`` of each row, for thresholds and evaluation; null = not judged."""
        return self.keys.select("day", "entity", "cohort", self.score)


def score_days(
    space: Workspace,
    detector: FittedDetector,
    aggregation: AggregationConfig,
    days: Sequence[date],
    stage: str,
    entities: Collection[str] | None = None,
    on_failure: Callable[[date, AeAssetsError], None] | None = None,
) -> Iterator[ScoredDay]:
    """Scores the given days, each from the records of the detector's window; days without features are skipped.

    With ``entities`` only theirs are scored, and days without one of them are skipped too.

    Days that cannot be scored, or that rest on features of other settings, are given to ``on_failure`` and skipped;
    without it they raise what it would be given.

    Where scores are aggregated, the days that a day looks back on are scored too, whether or not they were before: so
    a day alone and the same day in a range have equal scores.
    """
    made_by = DaySettings(space, detector.feature_names)
    stored = space.schema(FEATURES)
    said = [name for name in ABOUT_RECORDS if name in stored]
    columns = [*made_by.columns, *said]
    window, scored_before = detector.window_days - 1, aggregation.look_back_days
    needed = {day - timedelta(days=back) for day in days for back in range(scored_before + 1)}
    rolling = RollingScores(aggregation)
    recent: deque[tuple[date, pl.DataFrame]] = deque()
    began, rows = time.monotonic(), 0
    look_back = window + scored_before
    unusable: tuple[date, ModelError] | None = None
    for day, asked, rows_of_day in space.read_with_look_back(FEATURES, days, look_back, columns, entities):
        while recent and recent[0][0] < day - timedelta(days=window):
            recent.popleft()
        frame = rows_of_day.clear()
        try:
            frame = made_by.require(day, rows_of_day)
        except ModelError as error:
            if on_failure is None:
                raise
            unusable = (day, error)
        if on_failure is not None and unusable is not None and unusable[0] >= day - timedelta(days=look_back):
            on_failure(day, unusable[1])
            continue
        recent.append((day, frame))
        if day not in needed or frame.is_empty():
            continue
        try:
            windows = windows_of(
                pl.concat([frame for _, frame in recent]), detector.feature_names, detector.window_days, days=[day]
            )
            of_day = detector.score(windows)
        except ContractError as error:
            if on_failure is None:
                raise
            on_failure(day, error)
            continue
        keys = windows.keys()
        known = pl.Series(detector.judges(windows))
        own = keys.select("entity", score=pl.when(known).then(pl.Series(of_day.score)))
        aggregated = rolling.push(day, own)
        rows += keys.height
        if not asked:
            continue
        done = bisect_right(days, day)
        space.progress(Progress(stage, done, len(days), "days", rows, time.monotonic() - began))
        unsaid = [pl.lit(None, dtype).alias(name) for name, dtype in ABOUT_RECORDS.items() if name not in said]
        records = frame.select("entity", *said, *unsaid)
        yield ScoredDay(day, keys, aggregated["score"], windows, of_day, records)
