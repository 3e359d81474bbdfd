"""Tuning: other settings of a table's detector, tried on days that are neither calibrated nor judged.

The days to learn from are cut in time: a fit on half of them, the days after it to choose by, twice, and the last days
to say whether what was chosen is better by more than chance. No later day is read.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import polars as pl
from pydantic import ValidationError

from ae_assets.chain.model import TrainingRange, TrainingWindows, training_windows
from ae_assets.chain.scoring import score_days
from ae_assets.chain.target import target_of
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import FittedDetector, fit
from ae_assets.detectors.config import DetectorConfig
from ae_assets.detectors.networks.network import NetworkConfig
from ae_assets.detectors.search import Between, OneOf
from ae_assets.errors import ModelError
from ae_assets.evaluation.gain import Gain, gain_in_average_precision, gain_over_seeds
from ae_assets.evaluation.intervals import Flags, Floats
from ae_assets.evaluation.protocols.curves import average_precision
from ae_assets.evaluation.target import Target
from ae_assets.model.model import card_of
from ae_assets.plugins import STORED
from ae_assets.schemas.periods import Periods, named

if TYPE_CHECKING:
    import optuna

Aim: TypeAlias = Literal["labels", "loss"]
"""labels: average precision over the records of the days to choose by. loss: how much of the constant answer's loss on
devices that are held out a network gets rid of."""

AIMS: Mapping[Aim, str] = {"labels": "average precision", "loss": "share of the constant answer's loss got rid of"}

FOLDS = 2
"""Fits of a trial, each judged on the days after it; a trial that is behind after the first is given up."""

SEEDS = 5
"""Fits of each of two settings that are compared by loss."""

MANY_DEVICES = 30
"""Devices from which on they are drawn again whole; of fewer their periods are."""

FIRST_TRIALS = 5
"""Trials before one may be given up."""

FEWEST_TRIALS = 10
"""From which on it is said which settings matter."""


_NOTHING_KNOWN = (
    "nothing is known to have gone wrong between {} and {}, and settings are chosen by how high such records score; "
    "name a longer range (--train-start and --train-end), or choose those of a network by its loss (--by loss)"
)


@dataclass(frozen=True)
class Fold:
    """Days to fit on, with what is known by the end of them, and the days after them to judge by."""

    training: TrainingRange
    judged: tuple[date, date]


@dataclass(frozen=True)
class Tried:
    """One trial: the settings that differ from the YAML's, and its figure; None where it was given up or failed."""

    number: int
    changes: Mapping[str, Any]
    figure: float | None
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """What came out.

    Attributes:
        aim: what the figures are.
        folds: the days that were used, the last ones to confirm by.
        before: the detector of the YAML.
        best: the one with the highest mean figure over the folds; `before` where none was higher.
        tried: every finished trial, those of earlier runs included.
        gain: of `best` on the last fold, which chose nothing; None where `best` is `before`.
        importance: how much each setting sets the best trials apart, as shares; empty of too few trials.
    """

    aim: Aim
    folds: tuple[Fold, ...]
    before: DetectorConfig
    best: DetectorConfig
    tried: tuple[Tried, ...]
    gain: Gain | None
    importance: Mapping[str, float]


def folds_of(periods: Periods, start: date, end: date) -> tuple[Fold, ...]:
    """The days of a range as folds, each a fit on half of them and the days after it, the last up to its end.

    Raises:
        ModelError: the range is too short.
    """
    days = periods.range(start, end)
    fitted = len(days) // 2
    each = (len(days) - fitted) // (FOLDS + 1)
    if not each:
        raise ModelError(
            f"{named(start)} to {named(end)} are {len(days)} {periods.plural}, and tuning needs {2 * FOLDS + 1} or "
            "more: half to fit on, the others to choose and to confirm by; name a longer range (--train-start and "
            "--train-end)"
        )
    folds = []
    for number in range(FOLDS + 1):
        first = number * each
        until = len(days) if number == FOLDS else first + fitted + each
        training = TrainingRange(days[first], days[first + fitted - 1], days[first + fitted - 1])
        folds.append(Fold(training, (days[first + fitted], days[until - 1])))
    return tuple(folds)


def tune(
    space: Workspace,
    days: tuple[date, date],
    storage: Path,
    *,
    trials: int,
    seconds: float | None = None,
    aim: Aim | None = None,
    on_trial: Callable[[Tried], None] = lambda _: None,
) -> Tuned:
    """Tries settings of the table's detector, as its `searched` says, and confirms the best.

    Args:
        space: the table; its features must be there.
        days: first and last day to use.
        storage: where trials are kept; the same table, days and settings go on with theirs.
        trials: how many there shall be in all, that of the YAML's own settings included.
        seconds: no further trial begins after so many; None: no limit.
        aim: what is made as high as possible; None: labels where the table has any, else loss.
        on_trial: is told each trial that is finished now.

    Raises:
        ModelError: Optuna is not installed, the detector has nothing to tune, the range is too short, or there is
            nothing to choose by.
    """
    optuna = _optuna()
    began, table = time.monotonic(), space.table
    if table.first_days is not None:
        raise ModelError(
            f"the days of {table.table} are counted from each device's first (training.counted_from: entity), so that "
            "what is learned from on one day is judged on another; tuning cuts days by the calendar, so tune a copy of "
            "the table with training.counted_from: calendar"
        )
    if not table.detector.searched:
        raise ModelError(f"{table.detector.type} has no settings that are searched; tune another detector")
    chosen_aim: Aim = aim or ("labels" if table.target_kind else "loss")
    folds = folds_of(table.periods, *days)
    judge = _Judge(space, chosen_aim, folds)
    judge.require_something_to_choose_by()
    study = optuna.create_study(
        study_name=_study_name(space, folds, chosen_aim),
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(storage))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_TRIALS),
        direction="maximize",
        load_if_exists=True,
    )
    own = _own(table.detector)
    while len(finished := _finished(study)) < trials and (seconds is None or time.monotonic() - began < seconds):
        if all(trial.params != own for trial in finished) and not _is_waiting(study):
            study.enqueue_trial(own)
        # Not the numbers of the runs before, which the sampler would draw again.
        study.sampler = optuna.samplers.TPESampler(seed=table.training.seed + len(finished))
        trial = study.ask()
        try:
            figure = _figure_of(trial, table.detector, judge)
        except BaseException:
            with suppress(RuntimeError):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        study.tell(trial, figure, state=optuna.trial.TrialState.PRUNED if figure is None else None)
        on_trial(_tried(_finished(study)[-1], table.detector))
    return _outcome(study, judge, table.detector)


def _outcome(study: "optuna.Study", judge: "_Judge", before: DetectorConfig) -> Tuned:
    finished = tuple(_tried(trial, before) for trial in _finished(study))
    reached = [one for one in finished if one.figure is not None]
    best = max(reached, key=lambda one: one.figure or 0, default=None)
    changes = {} if best is None else best.changes
    config = _changed(before, changes)
    gain = judge.gain(before, config) if changes else None
    return Tuned(judge.aim, judge.folds, before, config, finished, gain, _importance(study))


def _importance(study: "optuna.Study") -> dict[str, float]:
    """How much each setting sets the best trials apart, as shares; empty where trials are too few to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # what Optuna says of too few trials
        try:
            shares: dict[str, float] = _optuna().importance.get_param_importances(study)
        except (UserWarning, ValueError, RuntimeError):
            return {}
    return shares if len(study.get_trials(deepcopy=False)) >= FEWEST_TRIALS else {}


def _figure_of(trial: "optuna.Trial", before: DetectorConfig, judge: "_Judge") -> float | None:
    """The mean figure of a trial over the folds; None where it is given up, or its settings cannot be fitted.

    Raises:
        ModelError: those of the YAML cannot.
    """
    figures: list[float] = []
    changes = _suggested(trial, before)
    try:
        config = _changed(before, changes)
        for number in range(FOLDS):
            figures.append(judge.figure(config, number))
            trial.report(float(np.mean(figures)), number)
            if number < FOLDS - 1 and trial.should_prune():
                return None
    except (ModelError, ValidationError):
        if trial.params == _own(before):
            raise
        return None
    return float(np.mean(figures))


class _Judge:
    """Fits and judges a detector on a fold; the windows of a fold are read once."""

    def __init__(self, space: Workspace, aim: Aim, folds: tuple[Fold, ...]) -> None:
        self.space = space
        self.aim = aim
        self.folds = folds
        window = space.table.detector.window
        self._windows: Callable[[int], TrainingWindows] = cache(
            lambda number: training_windows(space, folds[number].training, window)
        )
        self._target: Target = target_of(space, folds[-1].judged[1])

    def require_something_to_choose_by(self) -> None:
        """Raises ModelError where no fold can tell a better detector from a worse one."""
        table = self.space.table
        if self.aim == "loss":
            if not isinstance(table.detector, NetworkConfig):
                raise ModelError(
                    f"{table.detector.type} has no loss, and without labels there is nothing else to choose by; give "
                    f"{table.table} labels (docs/own-table.md), or tune a network"
                )
            return
        periods = self.space.table.periods
        for fold in self.folds:
            if not self._target.entities_within(periods.start(fold.judged[0]), periods.end(fold.judged[1])):
                raise ModelError(_NOTHING_KNOWN.format(named(fold.judged[0]), named(fold.judged[1])))

    def figure(self, config: DetectorConfig, number: int) -> float:
        """The figure of a detector on a fold, higher = better."""
        fitted = self._fitted(config, number)
        if self.aim == "loss":
            if not fitted.history.median_loss:
                raise ModelError("every feature is constant on the devices held out, and there is no loss to lower")
            return 1 - fitted.history.kept_loss / fitted.history.median_loss
        _, abnormal, score = self._ranked(fitted, self.folds[number])
        return average_precision(abnormal, score)

    def gain(self, before: DetectorConfig, after: DetectorConfig) -> Gain:
        """What one detector gains on another on the last fold."""
        last = len(self.folds) - 1
        if self.aim == "loss":
            of_before, of_after = (
                np.array([self.figure(_changed(config, {"seed": seed}), last) for seed in range(SEEDS)])
                for config in (before, after)
            )
            return gain_over_seeds(of_before, of_after)
        keys, abnormal, score = self._ranked(self._fitted(before, last), self.folds[last])
        _, _, other = self._ranked(self._fitted(after, last), self.folds[last])
        by = ["entity"] if keys["entity"].n_unique() >= MANY_DEVICES else ["entity", "day"]
        group = keys.select(pl.struct(by).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
        return gain_in_average_precision(abnormal, score, other, group)

    def _fitted(self, config: DetectorConfig, number: int) -> FittedDetector:
        return fit(config, self._windows(number).data, self.space.progress)

    def _ranked(self, fitted: FittedDetector, fold: Fold) -> tuple[pl.DataFrame, Flags, Floats]:
        """The records of the days to judge by that are normal or abnormal: keys, which are abnormal, scores."""
        table = self.space.table
        days = table.periods.range(*fold.judged)
        scored = score_days(self.space, fitted, table.decision.aggregation, days, "scoring")
        frames = [of_day.scores for of_day in scored]
        if not frames:
            raise ModelError(
                f"there are no features between {named(fold.judged[0])} and {named(fold.judged[1])}; materialise "
                f"{self.space.name(FEATURES)} for these days"
            )
        scores = pl.concat(frames)
        abnormal = self._target.abnormal(scores)
        looked_back_on = table.rhythm.look_back(fitted.window) + table.rhythm.look_back(
            table.decision.aggregation.window
        )
        counted = abnormal | self._target.normal(scores, looked_back_on)
        judged = scores.filter(counted)
        score = judged["score"].cast(pl.Float64).fill_null(-np.inf).to_numpy()
        marked = abnormal.filter(counted).to_numpy()
        if not marked.any():
            raise ModelError(_NOTHING_KNOWN.format(named(fold.judged[0]), named(fold.judged[1])))
        return judged, marked, score


def _optuna() -> Any:
    """The library, quiet."""
    try:
        import optuna
    except ImportError as error:
        raise ModelError(
            f"Optuna cannot be imported ({error}); tuning needs it: pip install 'ae_assets[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _space_of(config: DetectorConfig) -> dict[str, Between[Any] | OneOf]:
    """What is searched, the config's own values included; a setting that it leaves out stays so."""
    own = {name: values.holding(getattr(config, name)) for name, values in config.searched.items()}
    return {name: values for name, values in own.items() if values.holds(getattr(config, name))}


def _suggested(trial: "optuna.Trial", config: DetectorConfig) -> dict[str, Any]:
    """Settings that the sampler wants to see."""
    suggested: dict[str, Any] = {}
    for name, values in _space_of(config).items():
        if isinstance(values, OneOf):
            suggested[name] = trial.suggest_categorical(name, [json.dumps(one) for one in values.values])
        elif isinstance(values.low, int) and isinstance(values.high, int):
            suggested[name] = trial.suggest_int(name, values.low, values.high, log=values.log)
        else:
            suggested[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
    return _read(suggested, config)


def _own(config: DetectorConfig) -> dict[str, Any]:
    """The config's own settings as the study keeps them: what is one of a list as JSON."""
    space = _space_of(config)
    own = {name: getattr(config, name) for name in space}
    return {name: json.dumps(one) if isinstance(space[name], OneOf) else one for name, one in own.items()}


def _read(kept: Mapping[str, Any], config: DetectorConfig) -> dict[str, Any]:
    """Settings as the YAML has them, from what the study keeps."""
    space = _space_of(config)
    return {name: json.loads(one) if isinstance(space[name], OneOf) else one for name, one in kept.items()}


def _changed(config: DetectorConfig, changes: Mapping[str, Any]) -> DetectorConfig:
    """The config with other settings; ValidationError where they do not go together."""
    return type(config).model_validate({**config.model_dump(mode="json"), **changes}, context=STORED)


def _finished(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _is_waiting(study: "optuna.Study") -> bool:
    """Whether a trial was asked for by a run that ended before it began."""
    from optuna.trial import TrialState

    return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def _tried(trial: "optuna.trial.FrozenTrial", before: DetectorConfig) -> Tried:
    from optuna.trial import TrialState

    own, duration = _own(before), trial.duration
    changes = {name: one for name, one in trial.params.items() if one != own[name]}
    figure = trial.value if trial.state == TrialState.COMPLETE else None
    return Tried(trial.number, _read(changes, before), figure, 0.0 if duration is None else duration.total_seconds())


def _study_name(space: Workspace, folds: tuple[Fold, ...], aim: Aim) -> str:
    """One name for what has the same trials: the table with these settings, rows and ways to choose."""
    first, last = folds[0].training.start, folds[-1].judged[1]
    rests_on = {
        "detector": space.table.detector.model_dump(mode="json"),
        "searched": {name: repr(values) for name, values in space.table.detector.searched.items()},
        "card": card_of(space.table),
        "target": space.table.target_settings,
        "training": space.table.training.model_dump(mode="json"),
        "rows": {day: version for day, version in space.day_versions(FEATURES).items() if first <= day <= last},
        "folds": folds,
        "aim": aim,
    }
    return f"{space.table.table}-{hashlib.sha256(repr(rests_on).encode()).hexdigest()[:16]}"
