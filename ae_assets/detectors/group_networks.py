"""Networks of many groups with their weights in one matrix: trained by one program, and scored by one."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model
from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, evidence_of, knows_any, steps_of
from ae_assets.detectors.compilation import WIDE_VECTORS, compiled
from ae_assets.detectors.group_training import GroupData, GroupTrainer, Trained
from ae_assets.detectors.members import Fitted, LoadOne, Members, Numbers, by_number
from ae_assets.detectors.network_detector import FittedNetwork, Learned
from ae_assets.detectors.networks.network import Batch, NetworkConfig, Outputs, Shape
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.scoring import block_input, gather, scaled, verdict_of
from ae_assets.detectors.settings import DetectorSettings
from ae_assets.detectors.training import in_shards
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import Progress, ProgressSink
from ae_assets.schemas.durations import duration

WEIGHTS, SCALERS = "weights.npy", "scalers.npz"

BLOCK, BLOCKS = 64, 8
"""Windows of a block, all of one group, and blocks that a call scores. Both are fixed, so that a window's numbers do
not depend on what is scored beside it."""


class StackedNetworks(Members):
    """Networks of one kind and shape."""

    def __init__(
        self,
        config: NetworkConfig,
        names: tuple[str, ...],
        step: timedelta,
        weights: NDArray[np.float32],
        scalers: Mapping[str, NDArray[Any]],
    ) -> None:
        """Takes a row for each group.

        Args:
            config: of each network.
            names: the features, in order.
            step: the usual time between two records.
            weights: (groups, parameters), in the order of the model's variables; it may lie in a file.
            scalers: what ``Scaler.to_arrays`` gives, each (groups, features).
        """
        self.config, self.names, self.step = config, names, step
        self.weights, self.scalers = weights, scalers
        self.steps = steps_of(config.window, step)
        function = jax.vmap if jax.default_backend() != "cpu" else _one_by_one
        self._compiled = compiled(function(self._score_block), WIDE_VECTORS)

    @classmethod
    def fit(
        cls, config: DetectorSettings, windows: Windows, groups: Sequence[TrainingData], progress: ProgressSink
    ) -> Fitted:
        """Trains all of them, larger groups first, so that those of one size follow each other."""
        network = cast("NetworkConfig", config)
        began, done, rows = time.perf_counter(), 0, 0
        names, step = windows.feature_names, windows.step
        model = network.build(Shape(len(names), 1, steps_of(network.window, step)))
        trainer = GroupTrainer(network, model, steps_of(network.window, step))
        order = sorted(range(len(groups)), key=lambda number: -len(groups[number].windows))
        learned: dict[int, Learned] = {}

        def data_of(number: int) -> GroupData:
            one = learned[number] = Learned.of(network, groups[number])
            sides = (in_shards(side.windows, one.scaler, one.steps, 1, side.target, one.numbers(side))
                     for side in (one.train, one.validation))  # fmt: skip
            return trainer.filled_up(*sides)

        found: dict[int, tuple[NDArray[np.float32], Scaler]] = {}
        outcomes: dict[int, TrainingHistory | ModelError] = {}
        for number, trained in zip(order, trainer.train([partial(data_of, one) for one in order]), strict=True):
            done, rows = done + 1, rows + len(groups[number].windows)
            seconds = time.perf_counter() - began
            progress(Progress(f"training {network.type}", done, len(groups), "groups", rows, seconds))
            if isinstance(trained, Trained):
                one = learned.pop(number)
                found[number] = _row(trained), one.scaler
                outcomes[number] = one.history(trained.history, seconds / done)
            else:
                outcomes[number] = trained
        fitted = [found[number] for number in sorted(found)]
        scalers = _stacked([scaler for _, scaler in fitted])
        members = cls(network, names, step, np.zeros((0, 0), np.float32), scalers)
        members.weights = np.array([row for row, _ in fitted], np.float32).reshape(-1, members.parameters)
        return Fitted(members, [outcomes[number] for number in range(len(groups))])

    @classmethod
    def load(cls, config: DetectorSettings, directory: Path, record: Mapping[str, Any], load_one: LoadOne) -> Self:  # noqa: ARG003
        """Maps the weights into memory, of which those are read that score."""
        try:
            weights = np.load(directory / WEIGHTS, mmap_mode="r", allow_pickle=False)
            with np.load(directory / SCALERS, allow_pickle=False) as scalers:
                members = cls(
                    cast("NetworkConfig", config),
                    tuple(record["feature_names"]),
                    duration(record["step"]),
                    weights,
                    dict(scalers),
                )
        except (OSError, ValueError) as error:
            raise ModelError(f"{directory} cannot be read ({error}); the model is damaged: train it again.") from error
        expected = record["count"], members.parameters
        if weights.shape != expected:
            raise ModelError(
                f"{directory / WEIGHTS} holds {weights.shape[0]} groups with {weights.shape[1]} numbers each, but "
                f"preprocessing.json beside it asks for {expected[0]} with {expected[1]}; the files are not of one "
                "model version."
            )
        return members

    @classmethod
    def joined(cls, parts: "Sequence[StackedNetworks]") -> Self:
        filled = [part for part in parts if len(part.weights)] or parts[:1]
        stacked = [_alike(part.scalers, {name for one in filled for name in one.scalers}) for part in filled]
        scalers = {name: np.concatenate([one[name] for one in stacked]) for name in stacked[0]}
        first = filled[0]
        return cls(first.config, first.names, first.step, np.concatenate([one.weights for one in filled]), scalers)

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(self.config.features or self.names)

    @property
    def evidence(self) -> frozenset[str]:
        return frozenset(evidence_of(tuple(self.inputs)))

    def detector(self, number: int) -> FittedDetector:
        model = self.config.build(self._shape)
        for variable, value in zip(
            self._variables(model), self._values(jnp.asarray(self.weights[number])), strict=True
        ):
            variable.assign(value)
        scaler = Scaler.from_arrays({name: rows[number] for name, rows in self.scalers.items()}, self.config.clip)
        return FittedNetwork(self.config, self.names, TrainingHistory.untrained(), scaler, (), model, self.step)

    def judges(self, windows: Windows, numbers: Numbers) -> NDArray[np.bool_]:  # noqa: ARG002 - by the same features
        return knows_any(windows, tuple(self.evidence))

    def score(self, windows: Windows, numbers: Numbers) -> NDArray[np.float32]:
        score = np.zeros(len(windows), np.float32)

        def keep(places: NDArray[np.int64], parts: Sequence[NDArray[np.float32]]) -> None:
            score[places] = parts[0]

        self._score_blocks(windows, numbers, 1, keep)
        return score

    def explain(self, windows: Windows, numbers: Numbers) -> Scores:
        scores = Scores.empty(len(windows), len(self.names))

        def keep(places: NDArray[np.int64], parts: Sequence[NDArray[np.float32]]) -> None:
            scores.put(places, Scores(*parts, *([scores.expected[places]] * (3 - len(parts)))))

        self._score_blocks(windows, numbers, 3, keep)
        return scores

    def _score_blocks(
        self,
        windows: Windows,
        numbers: Numbers,
        sides: int,
        keep: Callable[[NDArray[np.int64], Sequence[NDArray[np.float32]]], None],
    ) -> None:
        """Scores blocks of windows of one group, several in a call; memory beyond the result is a few calls.

        What the first ``sides`` results of `_score_block` are for the windows at some places is handed over to be kept.
        """
        blocks = [
            (number, places[first : first + BLOCK])
            for number, places in by_number(numbers)
            for first in range(0, len(places), BLOCK)
        ]

        def work(first: int) -> None:
            some = blocks[first : first + BLOCKS]
            results = [np.asarray(part) for part in self._called(windows, some)[:sides]]
            for place, (_, places) in enumerate(some):
                keep(places, [part[place, : len(places)] for part in results])

        starts = range(0, len(blocks), BLOCKS)
        for first in starts[:1]:
            work(first)  # alone, so that the threads do not each compile
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(work, starts[1:]):
                pass

    def save(self, directory: Path) -> dict[str, Any]:
        """Writes a matrix of weights with a row for each group, and the scalers."""
        np.save(directory / WEIGHTS, self.weights)
        np.savez(directory / SCALERS, allow_pickle=False, **self.scalers)
        return {"count": len(self.weights)}

    def _called(self, windows: Windows, blocks: Sequence[tuple[int, NDArray[np.int64]]]) -> tuple[jax.Array, ...]:
        """What the program says of up to `BLOCKS` blocks; the first stands in for those that are missing."""
        every = [*blocks, *[blocks[0]] * (BLOCKS - len(blocks))]
        inputs = [block_input(windows.take(places), slice(0, len(places)), BLOCK, self.steps) for _, places in every]
        room = max(len(rows) for rows, _, _ in inputs)
        rows = np.zeros((BLOCKS, room, len(self.names)), np.float32)
        for place, (own, _, _) in enumerate(inputs):
            rows[place, : len(own)] = own
        numbers = [number for number, _ in every]
        scalers = {name: values[numbers] for name, values in self.scalers.items()}
        last_row, length = (np.stack(parts) for parts in list(zip(*inputs, strict=True))[1:])
        answer: tuple[jax.Array, ...] = self._compiled(self.weights[numbers], scalers, rows, last_row, length)
        return answer

    def _score_block(
        self,
        weights: jax.Array,
        scaler: Mapping[str, jax.Array],
        rows: jax.Array,
        last_row: jax.Array,
        length: jax.Array,
    ) -> tuple[jax.Array, ...]:
        """Score, contributions and, with an expectation, expected values of one block of a group's windows."""
        known = {name: scaler.get(name) for name in ("limit", "filled", "is_used")}
        own = Scaler(scaler["centre"], scaler["scale"], self.config.clip, **known)  # type: ignore[arg-type]  # traced
        values = self._values(weights)
        trained = values[: len(self._model.trainable_variables)]
        others = iter(values[len(trained) :])
        carried = [
            next(others) if _is_number(one) else jnp.asarray(one.value) for one in self._model.non_trainable_variables
        ]

        def outputs(batch: Batch) -> Outputs:
            return self._model.stateless_call(trained, carried, self.config.inputs(batch), training=False)[0]

        return verdict_of(self.config, outputs, trained, own, gather(scaled(own, rows), last_row, length, self.steps))

    @property
    def _shape(self) -> Shape:
        return Shape(len(self.names), 1, self.steps)

    @cached_property
    def _model(self) -> Model:
        """The structure of each network."""
        return self.config.build(self._shape)

    @property
    def parameters(self) -> int:
        """Numbers in a row of weights."""
        return sum(int(np.prod(shape)) for shape in self._shapes)

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return [tuple(variable.shape) for variable in self._variables(self._model)]

    def _variables(self, model: Model) -> list[Any]:
        """What a row of weights holds: trainable variables, and numbers that layers carry, but no seeds."""
        return [*model.trainable_variables, *filter(_is_number, model.non_trainable_variables)]

    def _values(self, row: jax.Array) -> list[jax.Array]:
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self._shapes])
        return [part.reshape(shape) for part, shape in zip(jnp.split(row, ends[:-1]), self._shapes, strict=True)]


def _is_number(variable: Any) -> bool:
    return bool(np.issubdtype(np.dtype(variable.dtype), np.floating))


def _row(trained: Trained) -> NDArray[np.float32]:
    carried = [part for part in trained.carried if np.issubdtype(part.dtype, np.floating)]
    return np.concatenate([part.ravel() for part in (*trained.weights, *carried)])


def _stacked(scalers: Sequence[Scaler]) -> dict[str, NDArray[Any]]:
    """What was fitted, a row for each; which values count is said of all where it is said of one."""
    arrays = [scaler.to_arrays() for scaler in scalers]
    names = dict.fromkeys(name for one in arrays for name in one)
    return {name: np.stack([one.get(name, np.ones(len(one["centre"]), np.bool_)) for one in arrays]) for name in names}


def _alike(scalers: Mapping[str, NDArray[Any]], names: Collection[str]) -> dict[str, NDArray[Any]]:
    """The same with these names; values of which nothing is said count."""
    return {name: scalers.get(name, np.ones(scalers["centre"].shape, np.bool_)) for name in sorted(names)}


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function over the leading axis of its arguments."""
    return lambda *arguments: jax.lax.map(lambda own: function(*own), arguments)
