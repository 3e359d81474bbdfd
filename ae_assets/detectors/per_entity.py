"""One detector for each entity that has records enough, and one of all for the others.

What is usual differs from station to station: a level in centimetres, a channel that only some have. Each of these
detectors is fitted and scores as it would alone; what is here is which one scores a window, and in which unit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.settings import DetectorSettings
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.progress import ProgressSink

LEAST_WINDOWS = 200
"""Normal windows of an entity from which on it has a detector of its own."""

UNIT = 0.95
"""Share of an entity's normal windows whose score is at most 1."""

BLOCKS, EVERY = 200, 10
"""An entity's windows are cut into so many blocks in order of time, and each tenth of them is kept for validation."""

_ALL = "all"


@dataclass(frozen=True)
class Member:
    """A detector and the score that is its unit."""

    detector: FittedDetector
    unit: float

    def score(self, windows: Windows) -> Scores:
        scores, unit = self.detector.score(windows), np.float32(self.unit)
        return Scores(scores.score / unit, scores.contributions / unit, scores.expected)


class FittedPerEntity(FittedDetector):
    """The detectors of some entities, and that of all."""

    def __init__(self, config: DetectorSettings, members: Mapping[str, Member], of_all: Member) -> None:
        self.config = config
        self.members = dict(members)
        self.of_all = of_all
        first, every = of_all.detector, [member.detector for member in (*members.values(), of_all)]
        self.feature_names, self.window, self.step = first.feature_names, first.window, first.step
        self.learns_from_failures = any(one.learns_from_failures for one in every)
        self.history = TrainingHistory.together([first.history, *(one.history for one in every if one is not first)])

    @classmethod
    def fit(cls, config: DetectorSettings, data: TrainingData, progress: ProgressSink) -> Self:
        """Fits the detector of all on the data as it is split, and those of entities on splits of their own windows.

        Raises:
            ModelError: as the detector itself.
        """
        alone = config.model_copy(update={"per": "table"})
        of_all = _member(alone, data, progress)
        members = {
            entity: _member(alone, _split(data.take(windows)), progress)
            for entity, windows in _by_entity(data.windows)
            if np.count_nonzero(~data.target[windows]) >= LEAST_WINDOWS
        }
        return cls(config, members, of_all)

    @classmethod
    def load(
        cls,
        config: DetectorSettings,
        directory: Path,
        record: dict[str, Any],
        load_one: Callable[[Path], FittedDetector],
    ) -> Self:
        """Loads what ``save`` wrote, each detector from its folder; see ``detectors.load_detector``."""

        def member(folder: str) -> Member:
            return Member(load_one(directory / folder), record["units"][folder])

        members = {entity: member(folder) for entity, folder in record["folders"].items()}
        return cls(config, members, member(_ALL))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that any of the detectors looks at."""
        looked_at = {name for member in self._every for name in member.detector.inputs}
        return tuple(name for name in self.feature_names if name in looked_at)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The features that the score of any entity rests on."""
        rests_on = {name for member in self._every for name in member.detector.evidence}
        return tuple(name for name in self.feature_names if name in rests_on)

    def judges(self, windows: Windows) -> NDArray[np.bool_]:
        """Whether the detector that scores each window judges it."""
        judged = np.zeros(len(windows), np.bool_)
        for member, places in self._by_member(windows):
            judged[places] = member.detector.judges(windows.take(places))
        return judged

    def score(self, windows: Windows) -> Scores:
        """Scores each window by the detector of its entity, in units of it."""
        self.require_fitting(windows)
        shape = len(windows), len(self.feature_names)
        score = np.zeros(len(windows), np.float32)
        contributions, expected = np.zeros(shape, np.float32), np.full(shape, np.nan, np.float32)
        for member, places in self._by_member(windows):
            scores = member.score(windows.take(places))
            score[places], contributions[places] = scores.score, scores.contributions
            expected[places] = scores.expected
        return Scores(score, contributions, expected)

    def save(self, directory: Path) -> None:
        """Writes a folder for each detector, and ``preprocessing.json``."""
        folders = {entity: f"entity-{number}" for number, entity in enumerate(self.members)}
        written = {_ALL: self.of_all, **{folders[entity]: member for entity, member in self.members.items()}}
        for folder, member in written.items():
            member.detector.save(directory / folder)
        units = {folder: member.unit for folder, member in written.items()}
        write_preprocessing(directory, self, folders=folders, units=units)

    @property
    def _every(self) -> tuple[Member, ...]:
        return (*self.members.values(), self.of_all)

    def _by_member(self, windows: Windows) -> Iterator[tuple[Member, NDArray[np.int64]]]:
        """The detectors, and the positions of the windows that each scores."""
        others = []
        for entity, places in _by_entity(windows):
            if entity in self.members:
                yield self.members[entity], places
            else:
                others.append(places)
        if others:
            yield self.of_all, np.sort(np.concatenate(others))


def _member(config: DetectorSettings, data: TrainingData, progress: ProgressSink) -> Member:
    """A fitted detector in units of a high score of normal windows, unless it has its own.

    Of all of them: the few that are kept for validation leave the unit to chance, and with it how entities compare.
    """
    fitted = config.fit(data, progress)
    if config.is_in_units:
        return Member(fitted, 1.0)
    normal = data.windows.take(np.flatnonzero(~data.target))
    unit = float(np.quantile(fitted.score(normal).score, UNIT))
    return Member(fitted, unit if unit > 0 else 1.0)


def _by_entity(windows: Windows) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Entities in the order of their names, each with the ascending positions of its windows."""
    positions = pl.DataFrame({"entity": windows.keys()["entity"], "place": np.arange(len(windows))})
    for (entity,), own in positions.sort("entity", "place").group_by("entity", maintain_order=True):
        yield str(entity), own["place"].to_numpy()


def _split(data: TrainingData) -> TrainingData:
    """The windows of one entity with blocks of them held out, in all parts of its time."""
    count = len(data.windows)
    blocks = np.arange(count) // max(count // BLOCKS, 1)
    return replace(data, held_out=blocks % EVERY == EVERY - 1)
