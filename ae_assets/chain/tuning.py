"""Tuning: other settings of a table's detector, tried on folds of the days to learn from.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import polars as pl
from pydantic import ValidationError

from ae_assets.chain.folds import Fold, FoldReader, Stretch, folds_of, ranking, stretch_of
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import FittedDetector, fit
from ae_assets.detectors.config import DetectorConfig
from ae_assets.detectors.networks.network import NetworkConfig
from ae_assets.detectors.search import Between, OneOf
from ae_assets.errors import ModelError
from ae_assets.evaluation.gain import Gain, Ranked, gain_in_average_precision, gain_over_seeds, groups_of
from ae_assets.evaluation.protocols.curves import average_precision
from ae_assets.model.model import card_of
from ae_assets.plugins import STORED

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

BY_LOSS = ", or choose those of a network by its loss (--by loss)"
"""What else can be done without labels."""

FIRST_TRIALS = 5
"""Trials before one may be given up."""

FEWEST_TRIALS = 10
"""From which on it is said which settings matter."""


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
        used: the days that were used.
        folds: the same cut, the last ones to confirm by.
        before: the detector of the YAML.
        best: the one with the highest mean figure over the folds; `before` where none was higher.
        tried: every finished trial, those of earlier runs included.
        gain: of `best` on the last fold, which chose nothing; None where `best` is `before`.
        importance: how much each setting sets the best trials apart, as shares; empty of too few trials.
    """

    aim: Aim
    used: Stretch
    folds: tuple[Fold, ...]
    before: DetectorConfig
    best: DetectorConfig
    tried: tuple[Tried, ...]
    gain: Gain | None
    importance: Mapping[str, float]


def tune(
    space: Workspace,
    days: tuple[date, date],
    storage: Path,
    *,
    trials: int,
    seconds: float | None = None,
    aim: Aim | None = None,
    first: int | None = None,
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
        first: where the table counts by the days or records of each device: how many are used; None: those that a model
            and its threshold learn from.
        on_trial: is told each trial that is finished now.

    Raises:
        ModelError: Optuna is not installed, the detector has nothing to tune, the range is too short, or there is
            nothing to choose by.
    """
    optuna = _optuna()
    began, table = time.monotonic(), space.table
    if not table.detector.searched:
        raise ModelError(f"{table.detector.type} has no settings that are searched; tune another detector")
    chosen_aim: Aim = aim or ("labels" if table.target_kind else "loss")
    used = stretch_of(table, days, first)
    folds = folds_of(table.periods, used, FOLDS + 1)
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
    return _outcome(study, judge, used, table.detector)


def _outcome(study: "optuna.Study", judge: "_Judge", used: Stretch, before: DetectorConfig) -> Tuned:
    finished = tuple(_tried(trial, before) for trial in _finished(study))
    reached = [one for one in finished if one.figure is not None]
    best = max(reached, key=lambda one: one.figure or 0, default=None)
    changes = {} if best is None else best.changes
    config = _changed(before, changes)
    gain = judge.gain(before, config) if changes else None
    return Tuned(judge.aim, used, judge.folds, before, config, finished, gain, _importance(study))


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
    """Fits and judges a detector on a fold."""

    def __init__(self, space: Workspace, aim: Aim, folds: tuple[Fold, ...]) -> None:
        self.space = space
        self.aim = aim
        self.folds = folds
        self._reader = FoldReader(space, folds)

    def require_something_to_choose_by(self) -> None:
        """Raises ModelError where no fold can tell a better detector from a worse one."""
        table = self.space.table
        if self.aim == "labels":
            self._reader.require_labels(BY_LOSS)
        elif not isinstance(table.detector, NetworkConfig):
            raise ModelError(
                f"{table.detector.type} has no loss, and without labels there is nothing else to choose by; give "
                f"{table.table} labels (docs/own-table.md), or tune a network"
            )

    def figure(self, config: DetectorConfig, number: int) -> float:
        """The figure of a detector on a fold, higher = better."""
        if self.aim == "labels":
            records = self._records(config, number)
            return average_precision(records["abnormal"].to_numpy(), ranking(records))
        history = self._fitted(config, number).history
        if not history.median_loss:
            raise ModelError("every feature is constant on the devices held out, and there is no loss to lower")
        return 1 - history.kept_loss / history.median_loss

    def gain(self, before: DetectorConfig, after: DetectorConfig) -> Gain:
        """What one detector gains on another on the last fold."""
        last = len(self.folds) - 1
        if self.aim == "loss":
            of_before, of_after = (
                np.array([self.figure(_changed(config, {"seed": seed}), last) for seed in range(SEEDS)])
                for config in (before, after)
            )
            return gain_over_seeds(of_before, of_after)
        records, others = (self._records(config, last) for config in (before, after))
        abnormal = records["abnormal"].to_numpy()
        return gain_in_average_precision([Ranked(abnormal, ranking(records), ranking(others), groups_of(records))])

    def _fitted(self, config: DetectorConfig, number: int) -> FittedDetector:
        return fit(config, self._reader.windows(number, config.window).data, self.space.progress)

    def _records(self, config: DetectorConfig, number: int) -> pl.DataFrame:
        records = self._reader.scores(self._fitted(config, number), number)
        if not records["abnormal"].any():
            raise self._reader.nothing_known(number, BY_LOSS)
        return records


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
