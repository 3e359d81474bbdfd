"""Folds: the days to learn from cut in time, for fits and for the days after them by which detectors are told apart.

What is chosen by them can be judged on the days after them alone.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.chain.model import TrainingRange, TrainingWindows, training_windows
from ae_assets.chain.scoring import score_days
from ae_assets.chain.target import target_of
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import FittedDetector
from ae_assets.errors import ModelError
from ae_assets.evaluation.intervals import Floats
from ae_assets.evaluation.target import Target
from ae_assets.schemas.periods import Periods, named

MANY_DEVICES = 30
"""Devices from which on they are drawn again whole; of fewer their periods are."""


@dataclass(frozen=True)
class Fold:
    """Days to fit on, with what is known by the end of them, and the days after them to judge by."""

    training: TrainingRange
    judged: tuple[date, date]


def folds_of(periods: Periods, start: date, end: date, count: int) -> tuple[Fold, ...]:
    """The days of a range as folds, each a fit on half of them and the days after it, the last up to its end.

    Raises:
        ModelError: the range is too short.
    """
    days = periods.range(start, end)
    fitted = len(days) // 2
    each = (len(days) - fitted) // count
    if not each:
        raise ModelError(
            f"{named(start)} to {named(end)} are {len(days)} {periods.plural}, and {2 * count - 1} or more are needed: "
            "half to fit on, the others to choose and to confirm by; name a longer range (--train-start and "
            "--train-end)"
        )
    folds = []
    for number in range(count):
        first = number * each
        until = len(days) if number == count - 1 else first + fitted + each
        training = TrainingRange(days[first], days[first + fitted - 1], days[first + fitted - 1])
        folds.append(Fold(training, (days[first + fitted], days[until - 1])))
    return tuple(folds)


def require_calendar(space: Workspace) -> None:
    """Raises ModelError where each device has days of its own to learn from, which no cut of the calendar respects."""
    if space.table.learned is not None:
        raise ModelError(
            f"the days of {space.table.table} are counted from each device's first (training.counted_from: entity), so "
            "that what is learned from on one day is judged on another; folds are cut by the calendar, so use a copy "
            "of the table with training.counted_from: calendar"
        )


class FoldReader:
    """What a fold of a table holds: windows to fit on, read once for each length, and records to judge by."""

    def __init__(self, space: Workspace, folds: tuple[Fold, ...]) -> None:
        self.space = space
        self.folds = folds
        self._windows: dict[tuple[int, timedelta | None], TrainingWindows] = {}
        self._target: Target = target_of(space, folds[-1].judged[1])

    def windows(self, number: int, window: timedelta | None) -> TrainingWindows:
        """The windows to fit on."""
        key = number, window
        if key not in self._windows:
            self._windows[key] = training_windows(self.space, self.folds[number].training, window)
        return self._windows[key]

    def require_labels(self, advice: str) -> None:
        """Raises ModelError, with what to do, where nothing is known to have gone wrong on the days of a fold."""
        periods = self.space.table.periods
        for fold in self.folds:
            if not self._target.entities_within(periods.start(fold.judged[0]), periods.end(fold.judged[1])):
                raise _nothing_known(fold, advice)

    def scores(self, fitted: FittedDetector, number: int) -> pl.DataFrame:
        """The records of the days to judge by, each with its score, null where it was not judged.

        With ``abnormal``; records that are neither normal nor abnormal are left out.
        """
        table, fold = self.space.table, self.folds[number]
        days = table.periods.range(*fold.judged)
        aggregation = table.decision.aggregation
        frames = [of_day.scores for of_day in score_days(self.space, fitted, aggregation, days, "scoring")]
        if not frames:
            raise ModelError(
                f"there are no features between {named(fold.judged[0])} and {named(fold.judged[1])}; materialise "
                f"{self.space.name(FEATURES)} for these days"
            )
        scores = pl.concat(frames)
        looked_back_on = table.rhythm.look_back(fitted.window) + table.rhythm.look_back(aggregation.window)
        abnormal = self._target.abnormal(scores)
        return scores.with_columns(abnormal=abnormal).filter(abnormal | self._target.normal(scores, looked_back_on))

    def nothing_known(self, number: int, advice: str) -> ModelError:
        """What is raised where no record of a fold is abnormal."""
        return _nothing_known(self.folds[number], advice)


def groups_of(records: pl.DataFrame) -> NDArray[np.int64]:
    """Of each record the group that is drawn together with it: its device, of few devices the period of the device."""
    by = ["entity"] if records["entity"].n_unique() >= MANY_DEVICES else ["entity", "day"]
    return records.select(pl.struct(by).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()


def ranking(records: pl.DataFrame) -> Floats:
    """The scores, those of records that were not judged below all others."""
    return records["score"].cast(pl.Float64).fill_null(-np.inf).to_numpy()


def _nothing_known(fold: Fold, advice: str) -> ModelError:
    return ModelError(
        f"nothing is known to have gone wrong between {named(fold.judged[0])} and {named(fold.judged[1])}, and "
        "detectors are told apart by how high such records score; name a longer range (--train-start and "
        f"--train-end){advice}"
    )
