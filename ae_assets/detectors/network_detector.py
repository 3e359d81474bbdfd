"""Fitted networks: sampling, scaling and training tied together, scoring, and the files of a model version."""

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model, initial_weights, load_weights
from ae_assets.detectors.base import (
    FittedDetector,
    Scores,
    TrainingHistory,
    require_window,
    steps_of,
    write_preprocessing,
)
from ae_assets.detectors.cohorts import cohort_numbers, large_cohorts
from ae_assets.detectors.networks.network import NetworkConfig, Shape
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.sampling import chosen, require_readings, require_windows, wanted_features
from ae_assets.detectors.scoring import Scorer
from ae_assets.detectors.training import WindowData, on_devices, shards_for, train
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import Progress, ProgressSink
from ae_assets.schemas.durations import DAY, duration

MODEL_FILE = "model.keras"
VALIDATION_SHARE = 4


@dataclass(frozen=True)
class Learned:
    """What a network is trained on: sampled windows in two parts, and what is fitted on them before it.

    Attributes:
        train: windows to learn from; some may be repeated.
        validation: windows for early stopping; the same.
        windows_seen: training windows before some are repeated.
        windows_available: those that were offered.
        validation_windows: validation windows before some are repeated.
    """

    config: NetworkConfig
    names: tuple[str, ...]
    step: timedelta
    train: TrainingData
    validation: TrainingData
    scaler: Scaler
    cohorts: tuple[str, ...]
    windows_seen: int
    windows_available: int
    validation_windows: int

    @classmethod
    def of(cls, config: NetworkConfig, data: TrainingData) -> Self:
        """Samples windows, and fits the scaler on the training rows.

        Raises:
            ModelError: there are no windows, or they do not suit the config.
        """
        names, generator = data.windows.feature_names, np.random.default_rng(config.seed)
        data = config.chosen(data)
        offered, checkable = (_side(config, data, held_out) for held_out in (False, True))
        sampled = offered.take(chosen(len(offered.windows), config.max_windows, generator))
        most = max(1, config.max_windows // VALIDATION_SHARE)
        checked = checkable.take(chosen(len(checkable.windows), most, generator))
        _require_both_kinds(config, sampled, "training")
        _require_both_kinds(config, checked, "validation")
        healthy = sampled.train
        wanted = wanted_features(config, names)
        require_readings(healthy, config.type, wanted)
        repeated, rechecked = (side.take(config.drawn(side.target, generator)) for side in (sampled, checked))
        scaler = Scaler.fit(healthy.values[healthy.last_row], config, names, wanted)
        cohorts = large_cohorts(sampled.windows) if config.uses_cohort else ()
        counts = len(sampled.windows), len(offered.windows), len(checked.windows)
        return cls(config, names, data.windows.step, repeated, rechecked, scaler, cohorts, *counts)

    @property
    def steps(self) -> int:
        """Records of a whole window."""
        return steps_of(self.config.window, self.step)

    @cached_property
    def model(self) -> Model:
        """The network, not trained yet."""
        return self.config.build(Shape(len(self.names), len(self.cohorts) + 1, self.steps))

    def numbers(self, side: TrainingData) -> NDArray[np.int32]:
        """The number of each window's cohort."""
        return cohort_numbers(self.cohorts, side.windows)

    def history(self, losses: TrainingHistory, seconds: float) -> TrainingHistory:
        """That of a training with its windows and time."""
        counts = {name: getattr(self, name) for name in ("windows_seen", "windows_available", "validation_windows")}
        return replace(losses, seconds=seconds, **counts)


class FittedNetwork(FittedDetector):
    """A trained network with its scaler."""

    config: NetworkConfig

    def __init__(
        self,
        config: NetworkConfig,
        feature_names: tuple[str, ...],
        history: TrainingHistory,
        scaler: Scaler,
        cohorts: tuple[str, ...],
        model: Model,
        step: timedelta = DAY,
    ) -> None:
        """Takes the parts as they are; see :func:`fit` and :func:`load`."""
        self.config = config
        self.feature_names = feature_names
        self.window, self.step = config.window, step
        self.history = history
        self.learns_from_failures = config.uses_target
        self.scaler = scaler
        self.cohorts = cohorts
        self.model = model
        self._scorer = Scorer(config, model, scaler, self.steps)

    @classmethod
    def fit(cls, config: NetworkConfig, data: TrainingData, progress: ProgressSink) -> "FittedNetwork":
        """Samples windows, fits the scaler on the training rows, trains the network; see ``detectors.fit``."""
        began = time.perf_counter()
        learned = Learned.of(config, data)
        model = learned.model
        shards = min(shards_for(config), learned.windows_seen, learned.validation_windows)

        def loaded(side: TrainingData) -> WindowData:
            return on_devices(side.windows, learned.scaler, learned.steps, shards, side.target, learned.numbers(side))

        def report(epoch: int, loss: float) -> None:
            seconds, rows = time.perf_counter() - began, (epoch + 1) * learned.windows_seen
            stage, note = f"training {config.type}", f"validation loss {loss:.4f}"
            progress(Progress(stage, epoch + 1, config.epochs, "epochs", rows, seconds, note))

        start = initial_weights(model, config.seed)
        sides = loaded(learned.train), loaded(learned.validation)
        best, history = train(config, model, learned.steps, start, *sides, report)
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        for variable, value in zip(variables, [*best.weights, *best.carried], strict=True):
            variable.assign(value)
        history = learned.history(history, time.perf_counter() - began)
        return cls(config, learned.names, history, learned.scaler, learned.cohorts, model, learned.step)

    @classmethod
    def load(cls, config: NetworkConfig, directory: Path, record: dict[str, Any]) -> "FittedNetwork":
        """Loads what ``save`` wrote; see ``detectors.load_detector``.

        Raises:
            ModelError: the network's file is missing, cannot be read, or does not fit the record.
        """
        names, cohorts = tuple(record["feature_names"]), tuple(record["cohorts"] if config.uses_cohort else ())
        step = duration(record.get("step", "1d"))  # earlier releases took it to be a day
        model = config.build(Shape(len(names), len(cohorts) + 1, steps_of(config.window, step)))
        load_weights(directory / MODEL_FILE, model)
        history = TrainingHistory.from_json(record["history"])
        return cls(config, names, history, Scaler.from_json(record["scaler"]), cohorts, model, step)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.config.features or self.feature_names

    def score(self, windows: Windows) -> NDArray[np.float32]:
        self.require_fitting(windows)
        return self._scorer.score(windows, cohort_numbers(self.cohorts, windows))

    def explain(self, windows: Windows) -> Scores:
        """The network's verdict."""
        self.require_fitting(windows)
        return self._scorer.explain(windows, cohort_numbers(self.cohorts, windows))

    def code(self, windows: Windows) -> NDArray[np.float32] | None:
        """The output of the layer that is named ``code``, the values of all steps beside each other."""
        self.require_fitting(windows)
        return self._scorer.code(windows, cohort_numbers(self.cohorts, windows))

    def save(self, directory: Path) -> None:
        """Writes ``model.keras`` and ``preprocessing.json``."""
        cohorts = {"cohorts": list(self.cohorts)} if self.config.uses_cohort else {}
        write_preprocessing(directory, self, scaler=self.scaler.to_json(), **cohorts)
        self.model.save(directory / MODEL_FILE)


def _side(config: NetworkConfig, data: TrainingData, held_out: bool) -> TrainingData:
    """The windows to learn from, or those for early stopping."""
    side = data.take(np.flatnonzero((data.held_out == held_out) & (config.uses_target | ~data.target)))
    name = "validation" if held_out else "training"
    require_windows(side.windows, name)
    require_window(data.windows, config.window, f"The {name} windows", "the config says")
    return side


def _require_both_kinds(config: NetworkConfig, side: TrainingData, name: str) -> None:
    """Without both kinds of windows a loss says nothing of how well they are told apart, early stopping neither."""
    count, wrong = len(side.target), int(side.target.sum())
    if config.uses_target and wrong in {0, count}:
        raise ModelError(
            f"{config.type} learns to tell windows of which something is known to go wrong from others, and {wrong} of "
            f"the {count} {name} windows are such; widen the training range, or take a detector without labels."
        )
