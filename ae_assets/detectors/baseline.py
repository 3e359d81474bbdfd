"""What the fitted baselines share: the features and rows that they look at, blocks of rows, and their two files.

A baseline judges each scored record by itself. Its scores are made of operations whose result for a row does not depend
on the rows beside it, which rules out BLAS: a product of matrices sums in an order that depends on their shapes.
"""

import hashlib
import io
import os
import time
from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.preprocessing import RobustScaler
from ae_assets.detectors.sampling import require_windows, sample
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError

ARRAYS_FILE = "arrays.npz"
Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Basis:
    """What every fitted baseline keeps beside its own numbers.

    Attributes:
        config: the settings it was fitted with.
        feature_names: the features of the table, in order.
        used: those that it looks at, in order: the ones of the config that the training sample knows.
        history: what happened in training.
    """

    config: Any
    feature_names: tuple[str, ...]
    used: tuple[str, ...]
    history: TrainingHistory

    @property
    def columns(self) -> NDArray[np.int64]:
        """Positions of the used features among those of the table."""
        return np.array([self.feature_names.index(name) for name in self.used], np.int64)


class FittedBaseline(FittedDetector):
    """A detector that judges each scored record by itself, from the used features of its basis."""

    file_name: str = ARRAYS_FILE
    block: int = 4096
    """Rows judged at once: enough to hide the calls, few enough to stay in cache and to keep all cores busy."""
    workers: int = os.cpu_count() or 1
    """Threads that judge blocks."""

    def __init__(self, basis: Basis, arrays: Arrays) -> None:
        """Takes what is common, and what the fit found; a subclass says what that is."""
        self.basis = basis
        self.arrays = arrays
        self.config = basis.config
        self.feature_names = basis.feature_names
        self.history = basis.history

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features in use."""
        return self.basis.used

    @abstractmethod
    def judge(self, values: NDArray[np.float32]) -> Scores:
        """Scores rows, each by itself.

        Args:
            values: (rows, used features) in feature units, NaN = missing; may be overwritten.

        Returns:
            Scores whose contributions and expected values are of the used features.
        """

    @classmethod
    def load(cls, config: Any, directory: Path, record: dict[str, Any]) -> Self:
        """Loads what ``save`` wrote; see ``detectors.load_detector``."""
        return cls(read_basis(config, record), unpacked(read_content(directory, record, cls.file_name)))

    def content(self) -> bytes:
        """What the fit found, as the bytes of ``file_name``: an .npz of the arrays unless a subclass differs."""
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **self.arrays)
        return content.getvalue()

    def score(self, windows: Windows) -> Scores:
        """Scores the scored record of each window; the features that are not in use contribute nothing."""
        self.require_fitting(windows)
        columns = self.basis.columns
        shape = len(windows), len(self.feature_names)
        score = np.zeros(len(windows), np.float32)
        contributions, expected = np.zeros(shape, np.float32), np.full(shape, np.nan, np.float32)

        def work(start: int) -> None:
            block = slice(start, start + self.block)
            judged = self.judge(picked(windows.values, windows.last_row[block], columns))
            score[block] = judged.score
            contributions[block, columns] = judged.contributions
            expected[block, columns] = judged.expected

        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(work, range(0, len(windows), self.block)):
                pass
        return Scores(score, contributions, expected)

    def save(self, directory: Path) -> None:
        """Writes ``preprocessing.json`` and beside it what the fit found, with its digest in the former."""
        content = self.content()
        digest = hashlib.sha256(content).hexdigest()
        write_preprocessing(directory, self, used=list(self.basis.used), digest=digest)
        (directory / self.file_name).write_bytes(content)


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """The rows that a baseline is fitted on.

    Attributes:
        config: of the baseline.
        values: float32 (rows, used features) in feature units, NaN = missing.
        feature_names: the features of the table.
        used: those of the columns.
        available: training windows offered.
        began: when the fit began, by ``time.perf_counter``.
    """

    config: Any
    values: NDArray[np.float32]
    feature_names: tuple[str, ...]
    used: tuple[str, ...]
    available: int
    began: float

    def basis(self, beside: int = 0) -> Basis:
        """What the fitted baseline keeps, once the fit is over; ``beside`` windows were fitted on beside these."""
        seconds = time.perf_counter() - self.began
        history = TrainingHistory.without_epochs(len(self.values) + beside, self.available + beside, seconds)
        return Basis(self.config, self.feature_names, self.used, history)

    def scaled(self, clip: float) -> tuple[NDArray[np.float32], RobustScaler]:
        """The rows in scaled units, 0 where a value is missing, and the scaler fitted on them."""
        scaler = RobustScaler.fit(self.values, clip)
        scaled, _ = scaled_rows(self.values.copy(), scaler)
        return scaled, scaler


def training_sample(config: Any, data: TrainingData) -> TrainingSample:
    """Samples the config's features of at most ``max_windows`` scored records.

    Features that no sampled row knows are left out: nothing says which of their values are usual.

    Raises:
        ModelError: there are no windows, the table lacks a feature of the config, or no feature is ever known.
    """
    began, train = time.perf_counter(), data.train
    require_windows(train, "training")
    wanted = config.features or train.feature_names
    absent = [name for name in wanted if name not in train.feature_names]
    if absent:
        raise ModelError(
            f"The features of {config.type} name {absent}, which the table lacks; available: "
            f"{list(train.feature_names)}."
        )
    sampled = sample(train, config.max_windows, np.random.default_rng(config.seed))
    columns = np.array([train.feature_names.index(name) for name in wanted], np.int64)
    values = picked(sampled.values, sampled.last_row, columns)
    known = np.flatnonzero(np.isfinite(values).any(axis=0))
    if not len(known):
        raise ModelError(
            f"None of the features of {config.type} is known in any of {len(sampled)} training windows: {list(wanted)};"
            " name features that the table's devices report."
        )
    used = tuple(wanted[position] for position in known)
    kept = np.ascontiguousarray(values[:, known])
    return TrainingSample(config, kept, train.feature_names, used, len(train), began)


def scaled_rows(values: NDArray[np.float32], scaler: RobustScaler) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scaled values, 0 (the median) where one is missing, and which are known; ``values`` is overwritten."""
    scaler.apply(values)
    known = np.isfinite(values)
    values[~known] = 0
    return values, known


def read_content(directory: Path, record: dict[str, Any], file_name: str) -> bytes:
    """The bytes that a baseline was saved with.

    Raises:
        ModelError: the file is missing, or is not the one that was written with ``preprocessing.json``.
    """
    path = directory / file_name
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; the model is not complete: train it again.") from error
    if hashlib.sha256(content).hexdigest() != record["digest"]:
        raise ModelError(
            f"{path} cannot be used: it is not the file that was saved with preprocessing.json beside it; the model is "
            "damaged: train it again."
        )
    return content


def read_basis(config: Any, record: dict[str, Any]) -> Basis:
    """The basis in the ``preprocessing.json`` of a config."""
    history = TrainingHistory.from_json(record["history"])
    return Basis(config, tuple(record["feature_names"]), tuple(record["used"]), history)


def unpacked(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name; an array of objects, which only pickle could read, is refused."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def baselines_library(name: str) -> Any:
    """A module of the libraries that the baselines need.

    Raises:
        ModelError: it is not installed, or a system library that it needs is not.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:
        raise ModelError(
            f"{name} cannot be imported ({error}); this detector needs it: pip install 'ae_assets[baselines]'"
        ) from error


def picked(values: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """A copy of some rows and columns, NaN where a value is missing or not finite."""
    picked = values[np.ix_(rows, columns)]
    picked[~np.isfinite(picked)] = np.nan
    return picked
