"""Features of a day in, scores and contributions out, holding only the days looked back on in memory.

The score that counts is made here for whoever asks, calibration, anomalies and evaluation alike, so that a cut is
never held against another kind of score than it was chosen on.
"""

from collections import deque
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from ae_assets.decisions import AggregationConfig, RollingScores
from ae_assets.detectors import FittedDetector, Scores, Windows, windows_of

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


class Scorer:
    """Scores days in rising order, each from the records of the detector's window."""

    def __init__(self, detector: FittedDetector, aggregation: AggregationConfig) -> None:
        """Starts without any day."""
        self._detector = detector
        self._rolling = RollingScores(aggregation)
        self._recent: deque[tuple[date, pl.DataFrame]] = deque()

    def look_back_on(self, day: date, features: pl.DataFrame) -> None:
        """Takes a day that later windows look back on.

        Args:
            day: the day, later than every day before.
            features: ``day, entity, cohort, label``, the detector's features and, where they are known, the columns of
                `ABOUT_RECORDS`.
        """
        while self._recent and self._recent[0][0] <= day - timedelta(days=self._detector.window_days):
            self._recent.popleft()
        self._recent.append((day, features))

    def push(self, day: date, features: pl.DataFrame) -> ScoredDay:
        """Takes a day and scores it; `look_back_on` says what it takes.

        Raises:
            ContractError: the features cannot be scored.
        """
        self.look_back_on(day, features)
        detector = self._detector
        recent = pl.concat([frame for _, frame in self._recent])
        windows = windows_of(recent, detector.feature_names, detector.window_days, days=[day])
        of_day = detector.score(windows)
        keys = windows.keys()
        known = pl.Series(detector.judges(windows))
        own = keys.select("entity", score=pl.when(known).then(pl.Series(of_day.score)))
        unsaid = [pl.lit(None, dtype).alias(name) for name, dtype in ABOUT_RECORDS.items() if name not in features]
        records = features.with_columns(unsaid).select("entity", *ABOUT_RECORDS)
        return ScoredDay(day, keys, self._rolling.push(day, own)["score"], windows, of_day, records)
