"""Several detectors as one: the score of each as a tail probability among normal records, added up as logarithms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.config import EnsembleConfig
from ae_assets.detectors.fitting import fit, load_detector
from ae_assets.detectors.sampling import chosen
from ae_assets.detectors.tail import ScoreTail
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.progress import ProgressSink

ENTITIES_HELD_OUT, WINDOWS_HELD_OUT = 30, 1000
"""From which on the entities that no member learned from say how rare a score is; else all normal windows do."""


class FittedEnsemble(FittedDetector):
    """The members, each with the tail of its scores; expected values are of the member that is surprised most."""

    config: EnsembleConfig

    def __init__(self, config: EnsembleConfig, members: Sequence[FittedDetector], tails: Sequence[ScoreTail]) -> None:
        self.config, self.members, self.tails = config, tuple(members), tuple(tails)
        first = self.members[0]
        self.feature_names, self.step, self.window = first.feature_names, first.step, config.window
        self.learns_from_failures = any(one.learns_from_failures for one in members)
        self.history = TrainingHistory.together([one.history for one in members])

    @classmethod
    def fit(cls, config: EnsembleConfig, data: TrainingData, progress: ProgressSink) -> Self:
        """Fits each member as it would be alone."""
        members = []
        for one in config.members:
            windows = data.windows.shortened(one.window)
            members.append(fit(one, TrainingData(windows, data.target, data.held_out), progress))
        return cls.of(config, members, data)

    @classmethod
    def of(cls, config: EnsembleConfig, members: Sequence[FittedDetector], data: TrainingData) -> Self:
        """The ensemble of members that are fitted on the data already."""
        windows = _yardstick(data)
        sampled = windows.take(chosen(len(windows), config.max_windows, np.random.default_rng(config.seed)))
        tails = []
        for member in members:
            own = sampled.shortened(member.window)
            judged = np.flatnonzero(member.judges(own))
            tails.append(ScoreTail.of(member.score(own.take(judged) if len(judged) else own)))
        return cls(config, members, tails)

    @classmethod
    def load(cls, config: EnsembleConfig, directory: Path, record: dict[str, Any]) -> Self:
        """Loads what ``save`` wrote; see ``detectors.load_detector``."""
        tails = [ScoreTail(**tail) for tail in record["tails"]]
        return cls(config, [load_detector(directory / _folder(number)) for number in range(len(tails))], tails)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that any member looks at."""
        return self._of_any("inputs")

    @property
    def evidence(self) -> tuple[str, ...]:
        """The features that the score of any member rests on."""
        return self._of_any("evidence")

    def judges(self, windows: Windows) -> NDArray[np.bool_]:
        """Whether any member judges each window."""
        judged = np.zeros(len(windows), np.bool_)
        for member in self.members:
            judged |= member.judges(windows.shortened(member.window))
        return judged

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """The surprises of the members that judge a window, added up."""
        self.require_fitting(windows)
        total = np.zeros(len(windows))
        for member, tail in zip(self.members, self.tails, strict=True):
            own = windows.shortened(member.window)
            total += np.where(member.judges(own), tail(member.score(own)), 0)
        return total.astype(np.float32)

    def explain(self, windows: Windows) -> Scores:
        """The same; each surprise is shared out as its member's score is."""
        self.require_fitting(windows)
        shape = len(windows), len(self.feature_names)
        total, contributions = np.zeros(len(windows)), np.zeros(shape)
        expected, most = np.full(shape, np.nan, np.float32), np.full(shape, -1.0)
        for member, tail in zip(self.members, self.tails, strict=True):
            own = windows.shortened(member.window)
            scores = member.explain(own)
            surprise = np.where(member.judges(own), tail(scores.score), 0)
            total += surprise
            of_score = np.divide(surprise, scores.score, out=np.zeros(len(windows)), where=scores.score > 0)
            contributions += scores.contributions * of_score[:, None]
            more = np.isfinite(scores.expected) & (surprise[:, None] > most)
            expected[more] = scores.expected[more]
            most = np.where(more, surprise[:, None], most)
        return Scores(total.astype(np.float32), contributions.astype(np.float32), expected)

    def save(self, directory: Path) -> None:
        """Writes a folder for each member, and ``preprocessing.json``."""
        for number, member in enumerate(self.members):
            member.save(directory / _folder(number))
        write_preprocessing(directory, self, tails=[tail.to_json() for tail in self.tails])

    def _of_any(self, attribute: str) -> tuple[str, ...]:
        named = {name for member in self.members for name in getattr(member, attribute)}
        return tuple(name for name in self.feature_names if name in named)


def _yardstick(data: TrainingData) -> Windows:
    """The normal windows that say how rare a score is: of entities that no member learned from, where they are many."""
    held_out = data.validation
    enough = len(held_out) >= WINDOWS_HELD_OUT and held_out.keys()["entity"].n_unique() >= ENTITIES_HELD_OUT
    return held_out if enough else data.windows.take(np.flatnonzero(~data.target))


def _folder(number: int) -> str:
    return f"member-{number}"
