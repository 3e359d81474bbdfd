"""Features of a period in, scores out, holding only the records looked back on in memory.

The score that counts is made here for whoever asks, calibration, anomalies and evaluation alike, so that a cut is
never held against another kind of score than it was chosen on.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.decisions.aggregation import RollingScores, aggregate
from ae_assets.decisions.config import AggregationConfig
from ae_assets.decisions.hold import RollingHold, alarm_scores
from ae_assets.detectors import FittedDetector, Scores, Windows, windows_of
from ae_assets.model.life import SEEN, LifeRange
from ae_assets.schemas.records import PERIOD, key_of, keys_of, time_of

ABOUT_RECORDS = {"lost_attributes": pl.List(pl.String), "seen_days": pl.Int16(), "seen_records": pl.Int32()}
"""Columns of the features table that describe a record and are no features."""


@dataclass(frozen=True)
class ScoredDay:
    """The scores of one period, row by row beside their keys: one per record."""

    day: date
    keys: pl.DataFrame
    """day, time where an entity has several records in a period, entity, cohort, label of each row."""
    score: pl.Series
    """The score that is held against the cut: that of the record, aggregated over the entity's last ones. Null where
    the record is not judged, since it knows nothing that the detector's score rests on."""
    alarm_score: pl.Series
    """The same, 0 where the entity had one at least as high within the time that alarms are held back for."""
    day_score: NDArray[np.float32]
    """What the detector says of each record itself; of those that are not judged it says nothing."""
    windows: Windows
    detector: FittedDetector
    records: pl.DataFrame
    """`ABOUT_RECORDS` by the key of the records: what the features say of them beside the features, in
    any order; null in a table from before they said it."""

    lacking: pl.DataFrame | None = None
    """``cohort`` and, by each flag of a missing attribute, the share of its records in the period that lack it, where
    the rows are those of some devices only; None: they are all there are."""

    @property
    def judged(self) -> pl.Series:
        return self.score.is_not_null()

    def explain(self, rows: NDArray[np.int64]) -> Scores:
        """What the scores of the records at these positions are made of, in their order."""
        return self.detector.explain(self.windows.take(rows))

    def about(self, rows: pl.Series) -> pl.DataFrame:
        """The columns of `ABOUT_RECORDS` of the rows at these positions, in their order."""
        key = key_of(self.keys.columns)
        return self.keys.select(key)[rows].join(self.records, on=key, how="left", maintain_order="left")

    def within(self, life: LifeRange | None) -> pl.Series:
        """Whether each row lies in a stretch of its entity's life; none does where there is no such."""
        if life is None:
            return pl.repeat(False, self.keys.height, eager=True)
        return life.holds(self.about(pl.int_range(self.keys.height, eager=True))[SEEN[life.unit]])

    def judged_after(self, learned: LifeRange | None) -> "ScoredDay":
        """The same without the scores of the stretch from which a model learned."""
        if learned is None:
            return self
        after = pl.when(~self.within(learned))
        score, alarm_score = pl.select(after.then(self.score), after.then(self.alarm_score).alias("alarm_score"))
        return replace(self, score=score, alarm_score=alarm_score)

    @property
    def scores(self) -> pl.DataFrame:
        """The columns that say which record, ``cohort, score``, for thresholds and evaluation; null = not judged."""
        return self.keys.select(*keys_of(self.keys.columns), "cohort", self.score)

    def scores_of_life(self, life: LifeRange | None) -> pl.DataFrame:
        """The `scores` of entities in this stretch of their life where one is named."""
        return self.scores if life is None else self.scores.filter(self.within(life))


@dataclass(frozen=True)
class _Part:
    """Features of a period, or of the end of it, with the times of its first and last record."""

    first: datetime
    last: datetime
    features: pl.DataFrame

    @classmethod
    def of(cls, features: pl.DataFrame) -> "_Part":
        times = features.select(time_of(features.columns)).to_series()
        return cls(times.min(), times.max(), features)  # type: ignore[arg-type]  # polars does not know their type

    def after(self, earliest: datetime) -> "_Part | None":
        """What of it is later; itself where all is, without a copy, and None where nothing is."""
        if self.first > earliest:
            return self
        return (
            None if self.last <= earliest else self.of(self.features.filter(time_of(self.features.columns) > earliest))
        )


def score_stretch(
    features: pl.DataFrame,
    detector: FittedDetector,
    aggregation: AggregationConfig,
    hold: timedelta | None,
    learned: LifeRange | None,
) -> ScoredDay:
    """The scores of all periods of a stretch at once, each record's equal to what `Scorer` says of it.

    Args:
        features: of the stretch, at least one row, as of `Scorer.look_back_on`.
        detector: what scores.
        aggregation: as of `Scorer`.
        hold: as of `Scorer`.
        learned: as of `Scorer`.

    Returns:
        As of one period, but for the rows of all; ``day`` is the last.
    """
    windows = windows_of(features, detector.feature_names, detector.window, step=detector.step)
    scored = _scored(max(features[PERIOD]), features, windows, detector).judged_after(learned)
    own = aggregate(scored.keys.select(*keys_of(scored.keys.columns), scored.score), aggregation)
    return replace(scored, score=own["score"], alarm_score=alarm_scores(own, hold))


def _scored(day: date, features: pl.DataFrame, windows: Windows, detector: FittedDetector) -> ScoredDay:
    """What the detector says of the records themselves."""
    day_score = detector.score(windows)
    judged = pl.Series(detector.judges(windows))
    of_record = pl.select(score=pl.when(judged).then(pl.Series(day_score))).to_series()
    unsaid = [pl.lit(None, dtype).alias(name) for name, dtype in ABOUT_RECORDS.items() if name not in features]
    records = features.with_columns(unsaid).select(*key_of(features.columns), *ABOUT_RECORDS)
    return ScoredDay(day, windows.keys(), of_record, of_record, day_score, windows, detector, records)


class Scorer:
    """Scores periods in rising order, each record from those of the detector's window."""

    def __init__(
        self,
        detector: FittedDetector,
        aggregation: AggregationConfig,
        hold: timedelta | None = None,
        learned: LifeRange | None = None,
    ) -> None:
        """Starts without any period.

        Args:
            detector: what scores.
            aggregation: how scores become the one that is held against the cut.
            hold: for how long alarms are held back by a score at least as high.
            learned: what of each entity's life was learned from: its scores raise no alarm and hold none back.
        """
        self._detector = detector
        self._rolling = RollingScores(aggregation)
        self._hold, self._learned = RollingHold(hold), learned
        self._recent: list[_Part] = []

    def look_back_on(self, features: pl.DataFrame) -> None:
        """Takes a period that later windows look back on.

        Args:
            features: of the period, later than every one before: ``day``, ``time`` where an entity has several records
                in a period, ``entity, cohort, label``, the detector's features and, where they are known, the columns
                of `ABOUT_RECORDS`.
        """
        if features.is_empty():
            return
        new = _Part.of(features)
        earliest = new.first - (self._detector.window or timedelta())
        parts = (part.after(earliest) for part in self._recent)
        self._recent = [*(part for part in parts if part is not None), new]

    def push(self, day: date, features: pl.DataFrame) -> ScoredDay:
        """Takes a period, at least one row, and scores it; `look_back_on` says what it takes.

        Raises:
            ContractError: the features cannot be scored.
        """
        self.look_back_on(features)
        detector = self._detector
        recent = pl.concat([part.features for part in self._recent])
        windows = windows_of(recent, detector.feature_names, detector.window, days=[day], step=detector.step)
        # No later score rests on one of those that were learned from.
        scored = _scored(day, features, windows, detector).judged_after(self._learned)
        keys = scored.keys
        own = self._rolling.push(day, keys.select(*key_of(keys.columns), scored.score))
        return replace(scored, score=own["score"], alarm_score=self._hold.push(own))
