"""What every fitted detector offers, and what scoring and training hand back. Nothing here imports keras or jax."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from ae_assets.detectors.windows import Windows, is_reading
from ae_assets.errors import ModelError
from ae_assets.schemas.durations import DAY, written

FORMAT_VERSION = 1
PREPROCESSING_FILE = "preprocessing.json"


@dataclass(frozen=True, eq=False)
class Scores:
    """The verdict on n windows and what it is made of.

    Attributes:
        score: float32 (n,), >= 0; higher is more anomalous.
        contributions: float32 (n, features), >= 0; each row sums to its score.
        expected: float32 (n, features), what the detector expected of the scored record, in feature units; NaN where
            the detector has no expectation.
    """

    score: NDArray[np.float32]
    contributions: NDArray[np.float32]
    expected: NDArray[np.float32]

    @classmethod
    def empty(cls, windows: int, features: int) -> "Scores":
        """Zeros, of which parts are put in later, and no expectation."""
        shape = windows, features
        return cls(np.zeros(windows, np.float32), np.zeros(shape, np.float32), np.full(shape, np.nan, np.float32))

    def put(self, windows: NDArray[np.int64], part: "Scores") -> None:
        """Takes in the scores of the windows at these positions."""
        self.score[windows], self.contributions[windows] = part.score, part.contributions
        self.expected[windows] = part.expected

    def take(self, windows: NDArray[np.int64]) -> "Scores":
        """What is said of the windows at these positions."""
        return Scores(self.score[windows], self.contributions[windows], self.expected[windows])


@dataclass(frozen=True)
class TrainingHistory:
    """What happened in training.

    Attributes:
        train_loss: mean loss of each epoch's batches, taken while the weights moved.
        validation_loss: loss over the validation windows after each epoch.
        best_epoch: 0-based epoch whose weights were kept (the lowest validation loss); -1 where those before the first
            epoch were, or without training.
        windows_seen: training windows in use, after sampling.
        windows_available: training windows offered.
        validation_windows: validation windows in use, after sampling.
        median_loss: validation loss of a constant answer: every feature's training median, every step's frequency, or
            the share of windows with a target.
        seconds: wall seconds of training, compilation included.
        converged: whether more epochs would hardly have lowered the loss; always true for a detector without epochs.
    """

    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    best_epoch: int = -1
    windows_seen: int = 0
    windows_available: int = 0
    validation_windows: int = 0
    median_loss: float = 0.0
    seconds: float = 0.0
    converged: bool = True

    @classmethod
    def untrained(cls) -> "TrainingHistory":
        """The history of a detector that needs no fit."""
        return cls()

    @classmethod
    def together(cls, histories: "Sequence[TrainingHistory]") -> "TrainingHistory":
        """The history of the first, with the windows and seconds of all, converged where all did."""
        sums = {name: sum(getattr(one, name) for one in histories)
                for name in ("windows_seen", "windows_available", "validation_windows", "seconds")}  # fmt: skip
        return replace(histories[0], converged=all(one.converged for one in histories), **sums)

    @property
    def kept_loss(self) -> float:
        """Validation loss of the weights that were kept; 0 without training."""
        return self.validation_loss[self.best_epoch] if self.best_epoch >= 0 else self.median_loss

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary, read back by :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "TrainingHistory":
        values: dict[str, Any] = {field.name: record[field.name] for field in fields(cls)}
        losses = {name: tuple(values[name]) for name in ("train_loss", "validation_loss")}
        return cls(**{**values, **losses})


class FittedDetector(ABC):
    """A detector that can score windows and be saved.

    Attributes:
        config: the settings it was fitted with.
        feature_names: the features it expects, in order.
        window: length of the windows it expects; None: it looks at the scored record alone.
        step: the usual time between the records that it was fitted on.
        history: what happened in training.
        learns_from_failures: whether the fit looked at labelled failures, whose scores are then too good to judge by.
    """

    learns_from_failures: bool = False

    config: BaseModel
    feature_names: tuple[str, ...]
    window: timedelta | None = None
    step: timedelta = DAY
    history: TrainingHistory

    @property
    def steps(self) -> int:
        return steps_of(self.window, self.step)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that the score looks at, in order; all where a detector says nothing else."""
        return self.feature_names

    @property
    def evidence(self) -> tuple[str, ...]:
        """The features that the score rests on: a record that knows none of them is not judged.

        Flags of missing attributes say nothing of how a device is, so they are evidence only where a detector looks at
        nothing else.
        """
        return evidence_of(self.inputs)

    def judges(self, windows: Windows) -> NDArray[np.bool_]:
        """Whether the last record of each window (n,) knows any of the evidence; the score of another says nothing."""
        return knows_any(windows, self.evidence)

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """Scores n windows, in their order: float32 (n,), >= 0; higher is more anomalous.

        A window's numbers do not depend on the other windows. Windows that the detector does not judge get a number
        too, which their caller leaves out.

        Raises:
            ModelError: the windows hold other features or are of another length than the detector expects.
        """
        return self.explain(windows).score

    @abstractmethod
    def explain(self, windows: Windows) -> Scores:
        """The same with contributions and expected values: more to hold and to compute, for windows that are shown."""

    def code(self, windows: Windows) -> NDArray[np.float32] | None:  # noqa: ARG002 - most have no latent space
        """Where n windows lie in the latent space (n, width); None of a detector that has none."""
        return None

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Writes the detector into ``directory`` (created where missing), without pickle."""

    def require_fitting(self, windows: Windows) -> None:
        """Raises ModelError unless the windows have the detector's features and length."""
        require_features(windows.feature_names, self.feature_names, "the windows to score")
        require_window(windows, self.window, "The windows to score", "the detector was fitted on")


def evidence_of(inputs: tuple[str, ...]) -> tuple[str, ...]:
    """The readings among the features that a score looks at; all of these where none is a reading."""
    return tuple(name for name in inputs if is_reading(name)) or inputs


def knows_any(windows: Windows, names: Iterable[str]) -> NDArray[np.bool_]:
    """Whether the last record of each window (n,) knows any of these features."""
    known = np.zeros(len(windows), np.bool_)
    for name in names:
        known |= np.isfinite(windows.values[windows.last_row, windows.feature_names.index(name)])
    return known


def steps_of(window: timedelta | None, step: timedelta) -> int:
    """Records of a window of which none is missing; 1 of the scored record alone."""
    return 1 if window is None else max(1, -(-window // step))


def require_window(windows: Windows, window: timedelta | None, which: str, what: str) -> None:
    """Raises ModelError unless windows have a length; any will do for a detector of the scored record alone."""
    if window in (None, windows.window):
        return
    received = "hold one record" if windows.window is None else f"span {written(windows.window)}"
    raise ModelError(
        f"{which} {received}, {what} {written(window)}; build them with windows_of(..., window=...) of that length."
    )


def require_features(received: tuple[str, ...], expected: tuple[str, ...], where: str) -> None:
    """Raises ModelError unless both lists of feature names are equal, order included."""
    if received == expected:
        return
    missing = [name for name in expected if name not in received]
    surplus = [name for name in received if name not in expected]
    difference = (
        f"missing {missing[:5]}, not expected {surplus[:5]}"
        if missing or surplus
        else "the same names in another order"
    )
    raise ModelError(
        f"Other features than the model's in {where}: received {len(received)}, expected {len(expected)}; {difference}."
        " Use the feature settings the model was trained with, or train it again."
    )


def write_preprocessing(directory: Path, detector: FittedDetector, **more: Any) -> None:
    """Writes ``preprocessing.json``: everything about a fitted detector but the weights of its network."""
    record = {
        "format_version": FORMAT_VERSION,
        "config": detector.config.model_dump(mode="json"),
        "feature_names": list(detector.feature_names),
        "step": written(detector.step),
        "history": detector.history.to_json(),
        **more,
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / PREPROCESSING_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")


def read_preprocessing(directory: Path) -> dict[str, Any]:
    """Reads ``preprocessing.json``.

    Raises:
        ModelError: the file is missing, is no JSON object, or has another format version.
    """
    path = directory / PREPROCESSING_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: {directory} holds no saved detector; train one first.") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}); the model is damaged: train it again.") from error
    version = record.get("format_version") if isinstance(record, dict) else None
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path} has format version {version!r}, this release reads version {FORMAT_VERSION}; "
            "load it with the release that wrote it, or train it again."
        )
    return dict(record)
