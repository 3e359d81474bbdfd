"""Scores of stored features, for whoever asks: calibration, anomalies and evaluation alike."""

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ae_assets.chain.settings import DaySettings
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.decisions.config import AggregationConfig
from ae_assets.detectors import FittedDetector
from ae_assets.errors import AeAssetsError, ContractError, ModelError
from ae_assets.model.life import LifeRange
from ae_assets.model.scoring import ABOUT_RECORDS, ScoredDay, Scorer
from ae_assets.progress import Progress
from ae_assets.schemas.records import Rhythm


@dataclass(frozen=True)
class Reach:
    """What the scores of some days rest on.

    Where scores are aggregated, or alarms held back, the days that a day looks back on are scored too, whether or not
    they were before: so a day alone and the same day in a range have equal scores.

    Attributes:
        scored: the days to score, the asked ones among them.
        look_back: how far before each asked day features are read.
    """

    scored: frozenset[date]
    look_back: timedelta

    @classmethod
    def of(
        cls,
        days: Collection[date],
        detector: FittedDetector,
        aggregation: AggregationConfig,
        hold: timedelta | None,
        rhythm: Rhythm,
    ) -> "Reach":
        """That of a detector whose scores are aggregated and held back so."""
        before, periods = rhythm.look_back(aggregation.window) + rhythm.look_back(hold), rhythm.periods
        scored = {day for stretch in periods.stretches(days, before) for day in periods.range(*stretch)}
        return cls(frozenset(scored), rhythm.look_back(detector.window) + before)


def score_days(
    space: Workspace,
    detector: FittedDetector,
    aggregation: AggregationConfig,
    days: Sequence[date],
    stage: str,
    entities: Collection[str] | None = None,
    on_failure: Callable[[date, AeAssetsError], None] | None = None,
    hold: timedelta | None = None,
    learned: LifeRange | None = None,
) -> Iterator[ScoredDay]:
    """Scores the given periods, each record from those of the detector's window; those without features are skipped.

    With ``entities`` only theirs are scored, and days without one of them are skipped too.

    Days that cannot be scored, or that rest on features of other settings, are given to ``on_failure`` and skipped;
    without it they raise what it would be given.
    """
    made_by = DaySettings(space, detector.feature_names)
    stored = space.schema(FEATURES)
    columns = [*made_by.columns, *(name for name in ABOUT_RECORDS if name in stored)]
    periods, reach = space.table.periods, Reach.of(days, detector, aggregation, hold, space.table.rhythm)
    scorer = Scorer(detector, aggregation, hold, learned)
    began, rows = time.monotonic(), 0
    unusable: tuple[date, ModelError] | None = None
    for day, asked, rows_of_day in space.read_with_look_back(FEATURES, days, reach.look_back, columns, entities):
        frame = rows_of_day.clear()
        try:
            frame = made_by.require(day, rows_of_day)
        except ModelError as error:
            if on_failure is None:
                raise
            unusable = (day, error)
        fails = unusable is not None and unusable[0] >= periods.before(day, reach.look_back)
        if on_failure is not None and unusable is not None and fails:
            on_failure(day, unusable[1])
        if day not in reach.scored or frame.is_empty():
            scorer.look_back_on(frame)
            continue
        try:
            scored = scorer.push(day, frame)  # of a day that fails too: later ones may rest on it and not on what fails
        except ContractError as error:
            if on_failure is None:
                raise
            on_failure(day, error)
            continue
        rows += scored.keys.height
        if asked and not fails:
            done = bisect_right(days, day)
            space.progress(Progress(stage, done, len(days), periods.plural, rows, time.monotonic() - began))
            yield scored
