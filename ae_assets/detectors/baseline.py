"""What the fitted baselines share: the features and rows that they look at, blocks of rows, and their two files.

A baseline judges each scored record by itself. Its scores are made of operations whose result for a row does not depend
on the rows beside it, which rules out BLAS: a product of matrices sums in an order that depends on their shapes.
"""

import hashlib
import io
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.sampling import chosen, require_readings, require_windows, wanted_features
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import ProgressSink

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class FittedBaseline(FittedDetector):
    """A detector that judges each scored record by itself, from the features in use.

    Attributes:
        used: the features in use, in order: those of the config that the training sample knows.
        arrays: what the fit found, by name.
    """

    file_name: str = "arrays.npz"
    block: int = 4096
    """Rows judged at once: enough to hide the calls, few enough to stay in cache and to keep all cores busy."""
    workers: int = os.cpu_count() or 1
    """Threads that judge blocks."""

    def __init__(self, config: Any, feature_names: tuple[str, ...], used: tuple[str, ...], arrays: Any) -> None:
        """Takes the features of the table, those in use, and what a fit or :meth:`unpacked` gives."""
        self.config = config
        self.feature_names = feature_names
        self.used = used
        self.arrays = arrays

    @abstractmethod
    def judge(self, values: NDArray[np.float32]) -> Scores:
        """Scores rows, each by itself.

        Takes values (rows, used features) in feature units, NaN = missing, which may be overwritten; contributions and
        expected values are of the used features as well.
        """

    @classmethod
    def load(cls, config: Any, directory: Path, record: dict[str, Any]) -> Self:
        """Loads what ``save`` wrote; see ``detectors.load_detector``.

        Raises:
            ModelError: the file is missing, or is not the one that was written with ``preprocessing.json``.
        """
        path = directory / cls.file_name
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise ModelError(f"{path} does not exist; the model is not complete: train it again.") from error
        if hashlib.sha256(content).hexdigest() != record["digest"]:
            raise ModelError(
                f"{path} cannot be used: it is not the file that was saved with preprocessing.json beside it; the "
                "model is damaged: train it again."
            )
        fitted = cls(config, tuple(record["feature_names"]), tuple(record["used"]), cls.unpacked(content))
        fitted.history = TrainingHistory.from_json(record["history"])
        return fitted

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.used

    @property
    def columns(self) -> NDArray[np.int64]:
        """Positions of the features in use among those of the table."""
        return np.array([self.feature_names.index(name) for name in self.used], np.int64)

    def packed(self) -> bytes:
        """What the fit found, as the bytes of ``file_name``: an .npz of the arrays unless a subclass differs."""
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **self.arrays)
        return content.getvalue()

    @staticmethod
    def unpacked(content: bytes) -> Any:
        """What :meth:`packed` gave; an array of objects, which only pickle could read, is refused."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """Scores the scored record of each window."""
        score = np.zeros(len(windows), np.float32)

        def keep(block: slice, judged: Scores) -> None:
            score[block] = judged.score

        self._judge_blocks(windows, keep)
        return score

    def explain(self, windows: Windows) -> Scores:
        """The same with its parts; the features that are not in use contribute nothing."""
        shape, columns = (len(windows), len(self.feature_names)), self.columns
        score = np.zeros(len(windows), np.float32)
        contributions, expected = np.zeros(shape, np.float32), np.full(shape, np.nan, np.float32)

        def keep(block: slice, judged: Scores) -> None:
            score[block] = judged.score
            contributions[block, columns] = judged.contributions
            expected[block, columns] = judged.expected

        self._judge_blocks(windows, keep)
        return Scores(score, contributions, expected)

    def _judge_blocks(self, windows: Windows, keep: Callable[[slice, Scores], None]) -> None:
        """Judges the scored records of windows in blocks, and hands over what is said of each."""
        self.require_fitting(windows)
        columns = self.columns

        def work(start: int) -> None:
            block = slice(start, start + self.block)
            keep(block, self.judge(picked(windows.values, windows.last_row[block], columns)))

        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(work, range(0, len(windows), self.block)):
                pass

    def save(self, directory: Path) -> None:
        """Writes ``preprocessing.json`` and beside it what the fit found, with its digest in the former."""
        content = self.packed()
        write_preprocessing(directory, self, used=list(self.used), digest=hashlib.sha256(content).hexdigest())
        (directory / self.file_name).write_bytes(content)


class HealthyBaseline(FittedBaseline):
    """A baseline that learns from healthy records alone."""

    @classmethod
    def fit(cls, config: Any, data: TrainingData, _progress: ProgressSink) -> Self:
        """Learns from a sample of the scored records; see ``detectors.fit``."""
        began = time.perf_counter()
        used, values = training_sample(config, data)
        fitted = cls(config, data.windows.feature_names, used, cls.learn(config, values, used))
        fitted.history = TrainingHistory(
            windows_seen=len(values), windows_available=len(data.train), seconds=time.perf_counter() - began
        )
        return fitted

    @classmethod
    @abstractmethod
    def learn(cls, config: Any, values: NDArray[np.float32], used: Sequence[str]) -> Arrays:
        """What a fit finds on sampled rows (rows, used features) in feature units, NaN = missing."""


class ScaledBaseline(HealthyBaseline):
    """A baseline on scaled features; ``centre`` and ``scale`` of its scaler are among the arrays."""

    def __init__(self, config: Any, feature_names: tuple[str, ...], used: tuple[str, ...], arrays: Arrays) -> None:
        super().__init__(config, feature_names, used, arrays)
        self.scaler = Scaler.from_arrays(arrays, config.clip)

    @classmethod
    def learn(cls, config: Any, values: NDArray[np.float32], used: Sequence[str]) -> Arrays:
        scaler = Scaler.fit(values, config, used)
        scaled, _ = scaled_rows(values, scaler)
        return {**scaler.to_arrays(), **cls.learn_scaled(config, scaled)}

    def judge(self, values: NDArray[np.float32]) -> Scores:
        judged = self.judge_scaled(*scaled_rows(values, self.scaler))
        if self.scaler.is_used is not None:
            judged.expected[:, ~self.scaler.is_used] = np.nan
        return judged

    @classmethod
    @abstractmethod
    def learn_scaled(cls, config: Any, scaled: NDArray[np.float32]) -> Arrays:
        """What the fit finds beside the scaler on rows in scaled units, 0 where a value is missing."""

    @abstractmethod
    def judge_scaled(self, scaled: NDArray[np.float32], known: NDArray[np.bool_]) -> Scores:
        """As :meth:`judge`, of rows in scaled units, 0 where a value is not ``known``; expected in feature units."""


def training_sample(config: Any, data: TrainingData) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The features in use, and their values (rows, used) in at most ``max_windows`` scored records, NaN = missing.

    Features that no sampled row knows are left out: nothing says which of their values are usual.

    Raises:
        ModelError: there are no windows, the table lacks a feature of the config, or no feature is ever known.
    """
    train = data.train
    require_windows(train, "training")
    wanted = wanted_features(config, train.feature_names)
    sampled = train.take(chosen(len(train), config.max_windows, np.random.default_rng(config.seed)))
    require_readings(sampled, config.type, wanted)
    values = picked(
        train.values, sampled.last_row, np.array([train.feature_names.index(name) for name in wanted], np.int64)
    )
    known = np.flatnonzero(np.isfinite(values).any(axis=0))
    return tuple(wanted[position] for position in known), np.ascontiguousarray(values[:, known])


def scaled_rows(values: NDArray[np.float32], scaler: Scaler) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scaled values, 0 (the centre) where one is missing, and which are known or filled; ``values`` is overwritten."""
    scaler.apply(values)
    known = np.isfinite(values)
    values[~known] = 0
    return values, known


def baselines_library(name: str) -> Any:
    """A module of the libraries that the baselines need; ModelError where it, or one that it needs, is missing."""
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
