"""Folds: the days to learn from cut in time, for fits and for the days after them by which detectors are told apart.

What is chosen by them can be judged on the days after them alone.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from ae_assets.chain.model import TrainingRange, TrainingWindows, training_windows
from ae_assets.chain.scoring import score_days
from ae_assets.chain.target import target_of
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import FittedDetector
from ae_assets.errors import ModelError
from ae_assets.evaluation.intervals import Floats
from ae_assets.evaluation.target import Target
from ae_assets.model.definition import WatchedTable
from ae_assets.model.life import SEEN, LifeRange
from ae_assets.schemas.durations import DAY, written
from ae_assets.schemas.periods import Periods, named
from ae_assets.schemas.records import keys_of


@dataclass(frozen=True)
class Stretch:
    """What is used: a range of periods, and of each device its first days or records where a table counts by these."""

    start: date
    end: date
    of_life: LifeRange | None = None

    @property
    def in_words(self) -> str:
        if self.of_life is None:
            return f"{named(self.start)} to {named(self.end)}"
        return f"the first {self.of_life.last} {self.of_life.unit} of each device"


@dataclass(frozen=True)
class Fold:
    """Days to fit on, with what is known by the end of them, and the days after them to judge by.

    Where a table counts by the days or records of each device, ``of_life`` are those to judge by.
    """

    training: TrainingRange
    judged: tuple[date, date]
    of_life: LifeRange | None = None

    @property
    def in_words(self) -> str:
        """The days to judge by."""
        if self.of_life is None:
            return f"between {named(self.judged[0])} and {named(self.judged[1])}"
        return f"on {self.of_life.words} of the devices"


def stretch_of(table: WatchedTable, days: tuple[date, date], first: int | None) -> Stretch:
    """The days of a range to use; of each device its first days or records, where the table counts by these.

    Left out, they are those that a model and its threshold learn from.

    Raises:
        ModelError: the table does not count so, or cannot tell so many.
    """
    usual, look_back = table.calibration_of_life(table.learned), table.features.look_back
    if usual is None:
        if first is not None:
            raise ModelError(
                f"the days of {table.table} are those of the calendar (training.counted_from); name --train-start and "
                "--train-end instead of --first"
            )
        return Stretch(*days)
    used = LifeRange(1, usual.last if first is None else first, usual.unit)
    if used.last * (DAY if used.unit == "days" else table.rhythm.step) >= look_back:
        raise ModelError(
            f"the first {used.unit} of a device are told by the look-back of its features, which is "
            f"{written(look_back)}, and {used.last} are asked for; ask for fewer (--first), or make features.spans "
            "longer"
        )
    return Stretch(*days, used)


def folds_of(periods: Periods, stretch: Stretch, count: int) -> tuple[Fold, ...]:
    """A stretch as folds, each a fit on half of it and the days after, the last up to its end.

    Of each device's first days or records a fit takes all up to those that are judged.

    Raises:
        ModelError: the stretch is too short.
    """
    if stretch.of_life is not None:
        return _folds_of_life(stretch, stretch.of_life, count)
    days = periods.range(stretch.start, stretch.end)
    fitted = len(days) // 2
    each = (len(days) - fitted) // count
    if not each:
        raise ModelError(
            f"{stretch.in_words} are {len(days)} {periods.plural}, and {2 * count - 1} or more are needed: "
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


def _folds_of_life(stretch: Stretch, used: LifeRange, count: int) -> tuple[Fold, ...]:
    fitted = used.last // 2
    each = (used.last - fitted) // count
    if not each:
        raise ModelError(
            f"{stretch.in_words} are too few: {2 * count - 1} or more are needed, half to fit on, the others to choose "
            "and to confirm by; ask for more (--first), and judge what is chosen on those after them"
        )
    folds = []
    for number in range(count):
        learned = LifeRange(1, fitted + number * each, used.unit)
        left = used.last - learned.last
        training = TrainingRange(stretch.start, stretch.end, stretch.end, learned)
        judged = learned.after(0, left if number == count - 1 else each)
        folds.append(Fold(training, (stretch.start, stretch.end), judged))
    return tuple(folds)


class FoldReader:
    """What a fold of a table holds: windows to fit on, read once for each length, and records to judge by."""

    def __init__(self, space: Workspace, folds: tuple[Fold, ...]) -> None:
        self.space = space
        self.folds = folds
        self._windows: dict[tuple[int, timedelta | None], TrainingWindows] = {}
        self._target: Target = target_of(space, folds[-1].judged[1])
        self._seen: dict[date, pl.DataFrame] | None = None

    def windows(self, number: int, window: timedelta | None) -> TrainingWindows:
        """The windows to fit on."""
        key = number, window
        if key not in self._windows:
            self._windows[key] = training_windows(self.space, self.folds[number].training, window)
        return self._windows[key]

    def require_labels(self, advice: str) -> None:
        """Raises ModelError, with what to do, where nothing is known to have gone wrong on the days of a fold."""
        for number in range(len(self.folds)):
            if not self._is_something_known(number):
                raise self.nothing_known(number, advice)

    def _is_something_known(self, number: int) -> bool:
        fold, periods = self.folds[number], self.space.table.periods
        if fold.of_life is not None:
            return any(self._target.abnormal(keys).any() for keys in self._keys_of_life(fold.of_life).values())
        return bool(self._target.entities_within(periods.start(fold.judged[0]), periods.end(fold.judged[1])))

    def _keys_of_life(self, life: LifeRange) -> dict[date, pl.DataFrame]:
        """By period the keys of the records in a stretch of their devices' life."""
        seen = SEEN[life.unit]
        if self._seen is None:
            columns = [*keys_of(self.space.schema(FEATURES)), seen]
            self._seen = dict(self.space.iter_days(FEATURES, *self.folds[0].judged, columns))
        keys = {day: frame.filter(life.holds(frame[seen])).drop(seen) for day, frame in self._seen.items()}
        return {day: frame for day, frame in keys.items() if frame.height}

    def scores(self, fitted: FittedDetector, number: int) -> pl.DataFrame:
        """The records of the days to judge by, each with its score, null where it was not judged.

        With ``abnormal``; records that are neither normal nor abnormal are left out.
        """
        table, fold = self.space.table, self.folds[number]
        days = table.periods.range(*fold.judged) if fold.of_life is None else list(self._keys_of_life(fold.of_life))
        aggregation = table.decision.aggregation
        scored = score_days(self.space, fitted, aggregation, days, "scoring")
        frames = [of_day.scores_of_life(fold.of_life) for of_day in scored]
        if not frames:
            raise ModelError(
                f"there are no features {fold.in_words}; materialise {self.space.name(FEATURES)} for these days"
            )
        scores = pl.concat(frames)
        looked_back_on = table.rhythm.look_back(fitted.window) + table.rhythm.look_back(aggregation.window)
        abnormal = self._target.abnormal(scores)
        return scores.with_columns(abnormal=abnormal).filter(abnormal | self._target.normal(scores, looked_back_on))

    def nothing_known(self, number: int, advice: str) -> ModelError:
        """What is raised where no record of a fold is abnormal."""
        return ModelError(
            f"nothing is known to have gone wrong {self.folds[number].in_words}, and detectors are told apart by how "
            f"high such records score; use more days (--train-start and --train-end, or --first){advice}"
        )


def ranking(records: pl.DataFrame) -> Floats:
    """The scores, those of records that were not judged below all others."""
    return records["score"].cast(pl.Float64).fill_null(-np.inf).to_numpy()
