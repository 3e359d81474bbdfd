"""One detector for each group that has records enough, and one of all for the others.

What is usual differs from station to station and from kind to kind: a level in centimetres, a channel that only some
have. Each of these detectors is fitted and scores as it would alone; what is here is which one scores a window, and in
which unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.groups import by_group, groups_of, split
from ae_assets.detectors.members import LoadOne, Members, SeparateMembers
from ae_assets.detectors.settings import TABLE, DetectorSettings
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import ProgressSink

UNIT = 0.95
"""Share of a group's normal windows whose score is at most 1."""

GROUPS = "groups.parquet"
GROUPS_AT_ONCE = 32
"""Groups whose training windows are scored at once, for memory."""

CONVERGED = 0.95
"""Share of the groups whose training has to converge for that of all to count as such."""

FEW = "too few normal records"

_ALL = "all"


@dataclass(frozen=True)
class OwnDetectors:
    """The detectors of groups, as `FittedPerGroup` has them.

    Attributes:
        groups: a row for each group of the training: ``group``, ``windows`` (normal ones), ``unit`` (of its score, null
            without a detector of its own), ``pooled_because`` (null with one), and what `TrainingHistory` says of it.
        members: the detectors of the groups with a ``unit``, in their order.
    """

    groups: pl.DataFrame
    members: Members

    @classmethod
    def fit(cls, config: DetectorSettings, data: TrainingData, progress: ProgressSink) -> Self:
        """Fits those of all groups that are large enough.

        One that cannot be fitted alone, such as a group that knows none of the features, has none.
        """
        alone = config.model_copy(update={"per": TABLE})
        places = dict(by_group(data.windows, config.per))
        normal = {group: int(np.count_nonzero(~data.target[own])) for group, own in places.items()}
        large = [group for group, windows in normal.items() if windows >= config.least_group_windows]
        fitted = kind_of(alone).fit(alone, data.windows, [split(data.take(places[group])) for group in large], progress)
        outcomes = dict(zip(large, fitted.outcomes, strict=True))
        rows: list[dict[str, Any]] = []
        for group, windows in normal.items():
            outcome = outcomes.get(group, ModelError(FEW))
            history, because = (
                (TrainingHistory.untrained(), str(outcome)) if isinstance(outcome, ModelError) else (outcome, None)
            )
            rows.append({"group": group, "windows": windows, "pooled_because": because, **asdict(history)})
        own = [group for group in large if isinstance(outcomes[group], TrainingHistory)]
        units = _units(alone, fitted.members, data, [places[group] for group in own])
        of_own = pl.DataFrame({"group": own, "unit": units}, schema={"group": pl.String, "unit": pl.Float64})
        groups = pl.DataFrame(rows, schema=_SCHEMA).join(of_own, on="group", how="left", maintain_order="left")
        return cls(groups, fitted.members)

    @classmethod
    def joined(cls, parts: "Sequence[OwnDetectors]") -> Self:
        """Those of several parts of the groups, each of which is at least one, in order."""
        groups = pl.concat([part.groups for part in parts])
        kind = type(parts[0].members)
        return cls(groups, kind.joined([part.members for part in parts]))

    def save(self, directory: Path) -> dict[str, Any]:
        """Writes a few files, and gives what `load` is to be told."""
        self.groups.write_parquet(directory / GROUPS)
        return self.members.save(directory)

    @classmethod
    def load(cls, config: DetectorSettings, directory: Path, record: dict[str, Any], load_one: LoadOne) -> Self:
        """What `save` wrote; ``record`` has the names of the features and the step between records beside its own."""
        path = directory / GROUPS
        try:
            groups = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ModelError(f"{path} cannot be read ({error}); the model is damaged: train it again.") from error
        alone = config.model_copy(update={"per": TABLE})
        return cls(groups, kind_of(alone).load(alone, directory, record, load_one))


FitOwn = Callable[[DetectorSettings, TrainingData, ProgressSink], OwnDetectors]
"""Fits the detectors of groups, as `OwnDetectors.fit` does."""


class FittedPerGroup(FittedDetector):
    """The detectors of some groups, and that of all.

    Attributes:
        groups, members: as of `OwnDetectors`.
        of_all: that of the other groups, and its ``unit_of_all``.
    """

    config: DetectorSettings

    def __init__(
        self,
        config: DetectorSettings,
        groups: pl.DataFrame,
        members: Members,
        of_all: FittedDetector,
        unit_of_all: float,
    ) -> None:
        self.config, self.groups, self.members = config, groups, members
        self.of_all, self.unit_of_all = of_all, unit_of_all
        self.feature_names, self.window, self.step = of_all.feature_names, of_all.window, of_all.step
        self.learns_from_failures = of_all.learns_from_failures
        own = groups.filter(pl.col("unit").is_not_null())
        self._numbers = {group: number for number, group in enumerate(own["group"])}
        self._units = own["unit"].to_numpy()
        histories = [_history(row) for row in own.iter_rows(named=True)]
        together = TrainingHistory.together([of_all.history, *histories])
        enough = not histories or np.mean([one.converged for one in histories]) >= CONVERGED
        self.history = replace(together, converged=of_all.history.converged and bool(enough))

    @classmethod
    def fit(
        cls, config: DetectorSettings, data: TrainingData, progress: ProgressSink, fit_own: "FitOwn | None" = None
    ) -> Self:
        """Fits the detector of all on the data as it is split, and those of groups on their own windows.

        Args:
            config: settings with the column that says the group.
            data: the windows of all groups.
            progress: is told how far it is.
            fit_own: fits the detectors of groups, as an engine does; `OwnDetectors.fit` if None.

        Raises:
            ModelError: as the detector itself, of all.
        """
        of_all = config.model_copy(update={"per": TABLE}).fit(data, progress)
        own = (fit_own or OwnDetectors.fit)(config, data, progress)
        normal = data.windows.take(np.flatnonzero(~data.target))
        unit_of_all = 1.0 if config.is_in_units else _unit(of_all.score(normal))
        return cls(config, own.groups, own.members, of_all, unit_of_all)

    @classmethod
    def load(cls, config: DetectorSettings, directory: Path, record: dict[str, Any], load_one: LoadOne) -> Self:
        """Loads the detector of all, and finds those of groups; see ``detectors.load_detector``."""
        if "members" not in record:
            raise ModelError(
                f"{directory} holds a model of an earlier release, with a folder for each device; train it again."
            )
        own = OwnDetectors.load(config, directory, {**record, **record["members"]}, load_one)
        return cls(config, own.groups, own.members, load_one(directory / _ALL), record["unit_of_all"])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that any of the detectors looks at."""
        looked_at = {*self.of_all.inputs, *self.members.inputs}
        return tuple(name for name in self.feature_names if name in looked_at)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The features that the score of any group rests on."""
        rests_on = {*self.of_all.evidence, *self.members.evidence}
        return tuple(name for name in self.feature_names if name in rests_on)

    @property
    def facts(self) -> dict[str, Any]:
        """How many groups have a detector of their own, how many not, and how many of these have not converged."""
        own = self.groups.filter(pl.col("unit").is_not_null())
        return {
            "per": self.config.per,
            "own": own.height,
            "pooled": self.groups.height - own.height,
            "not_converged": own.height - int(own["converged"].sum()),
        }

    @property
    def own(self) -> tuple[str, ...]:
        """The groups with a detector of their own."""
        return tuple(self._numbers)

    def detector(self, group: str) -> FittedDetector:
        """That of one group as it would be alone, without the unit of its score; of all where it has none."""
        if group not in self._numbers:
            return self.of_all
        detector = self.members.detector(self._numbers[group])
        detector.history = _history(self.groups.row(by_predicate=pl.col("group") == group, named=True))
        return detector

    def judges(self, windows: Windows) -> NDArray[np.bool_]:
        """Whether the detector that scores each window judges it."""
        numbers, own, others = self._numbered(windows)
        judged = np.zeros(len(windows), np.bool_)
        judged[own] = self.members.judges(windows.take(own), numbers[own])
        judged[others] = self.of_all.judges(windows.take(others))
        return judged

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """Scores each window by the detector of its group, in units of it."""
        self.require_fitting(windows)
        numbers, own, others = self._numbered(windows)
        score = np.zeros(len(windows), np.float32)
        if len(own):
            score[own] = self.members.score(windows.take(own), numbers[own])
        if len(others):
            score[others] = self.of_all.score(windows.take(others))
        return score / self._units_of(numbers)

    def explain(self, windows: Windows) -> Scores:
        """The same with their parts."""
        self.require_fitting(windows)
        numbers, own, others = self._numbered(windows)
        scores, units = Scores.empty(len(windows), len(self.feature_names)), self._units_of(numbers)
        if len(own):
            scores.put(own, self.members.explain(windows.take(own), numbers[own]))
        if len(others):
            scores.put(others, self.of_all.explain(windows.take(others)))
        return Scores(scores.score / units, scores.contributions / units[:, None], scores.expected)

    def save(self, directory: Path) -> None:
        """Writes the detector of all into a folder, those of groups into a few files, and ``preprocessing.json``."""
        self.of_all.save(directory / _ALL)
        members = OwnDetectors(self.groups, self.members).save(directory)
        write_preprocessing(directory, self, members=members, unit_of_all=self.unit_of_all)

    def _units_of(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The unit of each window's group."""
        return np.append(self._units, self.unit_of_all).astype(np.float32)[numbers]  # -1: that of all is the last

    def _numbered(self, windows: Windows) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The number of each window's group, -1 of one without a detector; the positions of those with and without."""
        groups = groups_of(windows, self.config.per)
        numbers = groups.replace_strict(self._numbers, default=-1, return_dtype=pl.Int64).to_numpy()
        return numbers, np.flatnonzero(numbers >= 0), np.flatnonzero(numbers < 0)


_SCHEMA: dict[str, Any] = {
    "group": pl.String,
    "windows": pl.Int64,
    "pooled_because": pl.String,
    "train_loss": pl.List(pl.Float64),
    "validation_loss": pl.List(pl.Float64),
    "best_epoch": pl.Int64,
    "windows_seen": pl.Int64,
    "windows_available": pl.Int64,
    "validation_windows": pl.Int64,
    "median_loss": pl.Float64,
    "seconds": pl.Float64,
    "converged": pl.Boolean,
}


def kind_of(config: DetectorSettings) -> type[Members]:
    """How detectors of groups are held: networks of one shape together, others each by itself."""
    from ae_assets.detectors.networks.network import NetworkConfig

    if isinstance(config, NetworkConfig) and config.implementation == NetworkConfig.implementation:
        from ae_assets.detectors.group_networks import StackedNetworks

        # What a network knows of cohorts differs in shape; convolutions are slow inside a compiled loop.
        return SeparateMembers if config.uses_cohort or config.convolves else StackedNetworks
    return SeparateMembers


def _history(row: dict[str, Any]) -> TrainingHistory:
    return TrainingHistory.from_json(row)


def _units(
    config: DetectorSettings, members: Members, data: TrainingData, places: Sequence[NDArray[np.int64]]
) -> list[float]:
    """The unit of each group's score: a high one of its normal windows, unless it has its own.

    Of all of them: the few that are kept for validation leave the unit to chance, and with it how groups compare.
    """
    if config.is_in_units or not places:
        return [1.0] * len(places)
    units: list[float] = []
    for first in range(0, len(places), GROUPS_AT_ONCE):
        normal = [own[~data.target[own]] for own in places[first : first + GROUPS_AT_ONCE]]
        numbers = np.repeat(np.arange(first, first + len(normal)), [len(own) for own in normal])
        scores = members.score(data.windows.take(np.concatenate(normal)), numbers)
        units += map(_unit, np.split(scores, np.cumsum([len(own) for own in normal])[:-1]))
    return units


def _unit(scores: NDArray[np.float32]) -> float:
    unit = float(np.quantile(scores, UNIT))
    return unit if unit > 0 else 1.0
