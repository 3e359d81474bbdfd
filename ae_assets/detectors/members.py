"""The detectors of groups as one object: what is asked of them, and those of any kind, kept in one archive."""

import tempfile
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory
from ae_assets.detectors.settings import DetectorSettings
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import Progress, ProgressSink, silent

ARCHIVE = "groups.zip"

LoadOne = Callable[[Path], FittedDetector]
"""``detectors.load_detector``, handed in so that no import goes in a circle."""

Numbers = NDArray[np.int64]
"""The number of each window's group (n,), from 0."""


class Fitted(NamedTuple):
    """What came of a fit.

    Attributes:
        members: the detectors of the groups that could be fitted, in their order.
        outcomes: of each group what happened in its training, or what stood in its way.
    """

    members: "Members"
    outcomes: list[TrainingHistory | ModelError]


class Members(ABC):
    """The detectors of some groups, each by its number."""

    @classmethod
    @abstractmethod
    def fit(
        cls, config: DetectorSettings, windows: Windows, groups: Sequence[TrainingData], progress: ProgressSink
    ) -> Fitted:
        """Fits a detector for each group, of which there may be none; the windows are those of all."""

    @classmethod
    @abstractmethod
    def load(cls, config: DetectorSettings, directory: Path, record: Mapping[str, Any], load_one: LoadOne) -> Self:
        """Finds what ``save`` wrote; that of a group is read when it is needed.

        Raises:
            ModelError: a file is missing or damaged.
        """

    @classmethod
    @abstractmethod
    def joined(cls, parts: "Sequence[Any]") -> Self:
        """Those of several of this class, one after the other, which need their files no more."""

    @property
    @abstractmethod
    def inputs(self) -> frozenset[str]:
        """The features that any of them looks at."""

    @property
    @abstractmethod
    def evidence(self) -> frozenset[str]:
        """The features that the score of any of them rests on."""

    @abstractmethod
    def detector(self, number: int) -> FittedDetector:
        """That of one group as it would be alone."""

    @abstractmethod
    def judges(self, windows: Windows, numbers: Numbers) -> NDArray[np.bool_]:
        """Whether the detector of each window's group judges it."""

    @abstractmethod
    def score(self, windows: Windows, numbers: Numbers) -> NDArray[np.float32]:
        """Scores each window (n,) by the detector of its group."""

    @abstractmethod
    def explain(self, windows: Windows, numbers: Numbers) -> Scores:
        """The same with their parts."""

    @abstractmethod
    def save(self, directory: Path) -> dict[str, Any]:
        """Writes them into a few files, and gives what ``load`` is to be told, as JSON has it."""


class SeparateMembers(Members):
    """Detectors of any kind, which are fitted and score one after the other."""

    def __init__(
        self, sources: Sequence[Callable[[], FittedDetector]], inputs: frozenset[str], evidence: frozenset[str]
    ) -> None:
        """Takes what gives each of the detectors; it is asked once."""
        self._sources, self._detectors = sources, dict[int, FittedDetector]()
        self._inputs, self._evidence = inputs, evidence

    @classmethod
    def fit(
        cls,
        config: DetectorSettings,
        windows: Windows,  # noqa: ARG003 - each detector knows its own
        groups: Sequence[TrainingData],
        progress: ProgressSink,
    ) -> Fitted:
        """Fits one after the other."""
        began, rows = time.perf_counter(), 0
        detectors: list[FittedDetector] = []
        outcomes: list[TrainingHistory | ModelError] = []
        for number, data in enumerate(groups, start=1):
            try:
                detectors.append(config.fit(data, silent))
                outcomes.append(detectors[-1].history)
            except ModelError as error:
                outcomes.append(error)
            rows += len(data.windows)
            seconds = time.perf_counter() - began
            progress(Progress(f"training {config.type}", number, len(groups), "groups", rows, seconds))
        names = [frozenset[str]().union(*(getattr(one, kind) for one in detectors)) for kind in ("inputs", "evidence")]
        return Fitted(cls([partial(_itself, one) for one in detectors], *names), outcomes)

    @classmethod
    def load(cls, config: DetectorSettings, directory: Path, record: Mapping[str, Any], load_one: LoadOne) -> Self:  # noqa: ARG003
        path, count = directory / ARCHIVE, record["count"]
        held = {name.partition("/")[0] for name in _read(path, zipfile.ZipFile.namelist)}
        if missing := [number for number in range(count) if str(number) not in held]:
            raise ModelError(f"{path} lacks the detectors {missing[:5]} of {count} groups; train it again.")
        sources = [partial(_unpacked, path, number, load_one) for number in range(count)]
        return cls(sources, frozenset(record["inputs"]), frozenset(record["evidence"]))

    @classmethod
    def joined(cls, parts: "Sequence[SeparateMembers]") -> Self:
        detectors = [part.detector(number) for part in parts for number in range(part.count)]
        names = [frozenset[str]().union(*(getattr(one, kind) for one in parts)) for kind in ("inputs", "evidence")]
        return cls([partial(_itself, one) for one in detectors], *names)

    @property
    def count(self) -> int:
        return len(self._sources)

    @property
    def inputs(self) -> frozenset[str]:
        return self._inputs

    @property
    def evidence(self) -> frozenset[str]:
        return self._evidence

    def detector(self, number: int) -> FittedDetector:
        if number not in self._detectors:
            self._detectors[number] = self._sources[number]()
        return self._detectors[number]

    def judges(self, windows: Windows, numbers: Numbers) -> NDArray[np.bool_]:
        judged = np.zeros(len(windows), np.bool_)
        for number, places in by_number(numbers):
            judged[places] = self.detector(number).judges(windows.take(places))
        return judged

    def score(self, windows: Windows, numbers: Numbers) -> NDArray[np.float32]:
        score = np.zeros(len(windows), np.float32)
        for number, places in by_number(numbers):
            score[places] = self.detector(number).score(windows.take(places))
        return score

    def explain(self, windows: Windows, numbers: Numbers) -> Scores:
        scores = Scores.empty(len(windows), len(windows.feature_names))
        for number, places in by_number(numbers):
            scores.put(places, self.detector(number).explain(windows.take(places)))
        return scores

    def save(self, directory: Path) -> dict[str, Any]:
        """Writes ``groups.zip`` with a folder for each."""
        with zipfile.ZipFile(directory / ARCHIVE, "w") as archive:
            for number in range(self.count):
                with tempfile.TemporaryDirectory() as folder:
                    self.detector(number).save(Path(folder))
                    for file in sorted(Path(folder).rglob("*")):
                        if file.is_file():
                            archive.write(file, f"{number}/{file.relative_to(folder)}")
        return {"count": self.count, "inputs": sorted(self.inputs), "evidence": sorted(self.evidence)}


def by_number(numbers: Numbers) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The numbers that occur, rising, each with its ascending positions."""
    if not len(numbers):
        return
    order = np.argsort(numbers, kind="stable")
    distinct, first = np.unique(numbers[order], return_index=True)
    yield from zip(distinct.tolist(), np.split(order, first[1:]), strict=True)


def _itself(detector: FittedDetector) -> FittedDetector:
    return detector


def _unpacked(path: Path, number: int, load_one: LoadOne) -> FittedDetector:
    with tempfile.TemporaryDirectory() as folder:

        def unpack(archive: zipfile.ZipFile) -> None:
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith(f"{number}/")])

        _read(path, unpack)
        return load_one(Path(folder) / str(number))


def _read(path: Path, function: Callable[[zipfile.ZipFile], Any]) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return function(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read ({error}); the model is damaged: train it again.") from error
