"""Training of one network for each group by one compiled program, from the first epoch to the stop.

A program is compiled for sizes that are powers of two, which groups of other sizes are filled up to, so that a few
programs serve any number of groups. The batches of a group, their order and its early stopping are those of a training
of its own; what fills it up takes no step.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model, initial_weights
from ae_assets.detectors.base import TrainingHistory
from ae_assets.detectors.compilation import WIDE_VECTORS, compiled
from ae_assets.detectors.networks.network import NetworkConfig
from ae_assets.detectors.training import Part, State, Trainer, Variables, WindowData, history_of, require_finite
from ae_assets.errors import ModelError

TOGETHER = 64
"""Groups that an accelerator trains at once."""

LEAST_VALIDATION = 4
"""Room for validation windows is at least this part of that for training windows, so that fewer sizes are compiled."""

LARGEST_KEY = np.uint32(2**32 - 1)


class GroupData(NamedTuple):
    """What a group's network is trained on, filled up to sizes that programs are compiled for.

    Attributes:
        train, validation: rows and windows of one shard, without its axis.
        windows: those of ``train`` that are no filling.
        rounds: how often these are shuffled in an epoch.
        epochs: the most that are made; 0 of a group that is filling itself.
    """

    train: WindowData
    validation: WindowData
    windows: Any
    rounds: Any
    epochs: Any


class _Training(NamedTuple):
    """A training between two epochs."""

    epoch: jax.Array
    state: State
    rate: jax.Array
    best: Variables
    lowest: jax.Array
    stale: jax.Array
    reference: jax.Array
    train_loss: jax.Array
    validation_loss: jax.Array
    median_loss: jax.Array


class Trained(NamedTuple):
    """A group's network: its variables in the model's order, and its losses."""

    weights: list[NDArray[Any]]
    carried: list[NDArray[Any]]
    history: TrainingHistory


class GroupTrainer:
    """Trains networks of one kind, shape and seed.

    Several groups are taken at once: on an accelerator by one program over a leading axis of groups; on a CPU by a
    thread for each core with a group of its own, which needs half the time there.
    """

    def __init__(self, network: NetworkConfig, model: Model, steps: int, together: int | None = None) -> None:
        """Takes the model for its structure; ``together`` says how many groups a program takes, by itself if None."""
        self.network, self.model = network, model
        self._trainer = Trainer(network, model, steps, 1)
        self._start = jax.tree.map(np.asarray, self._trainer.initial_state(initial_weights(model, network.seed)))
        self.together = together or (1 if jax.default_backend() == "cpu" else TOGETHER)
        function = self._fit if self.together == 1 else jax.vmap(self._fit, in_axes=(None, 0))
        self._jitted: Any = compiled(function, WIDE_VECTORS)
        self._programs: dict[Any, Any] = {}
        self._compiles = Lock()

    def filled_up(self, train: WindowData, validation: WindowData) -> GroupData:
        """A group's data, each of one shard, in sizes that programs are compiled for."""
        windows, batch = train.windows.length.shape[1], self._trainer.batch
        room = batch * _power_of_two(-(-windows // batch))
        checked = max(batch * _power_of_two(-(-validation.windows.length.shape[1] // batch)), room // LEAST_VALIDATION)
        rounds = int(np.ceil(3 * np.log(windows) / np.log(float(LARGEST_KEY))))
        return GroupData(
            _in_room(train, room), _in_room(validation, checked), np.int32(windows), np.int32(rounds),
            np.int32(self.network.epochs),
        )  # fmt: skip

    def train(self, groups: Sequence[Callable[[], GroupData]]) -> Iterator[Trained | ModelError]:
        """Trains a network on what each of the functions gives, in their order; an error of one stops no other."""
        parts = [groups[first : first + self.together] for first in range(0, len(groups), self.together)]
        with ThreadPoolExecutor(os.cpu_count() or 1 if self.together == 1 else 1) as pool:
            for trained in pool.map(self._part, parts):
                yield from trained

    def _part(self, functions: Sequence[Callable[[], GroupData]]) -> list[Trained | ModelError]:
        """The networks of a program's worth of groups, those of each size at once."""
        results: dict[int, Trained | ModelError] = {}
        by_size: dict[Any, dict[int, GroupData]] = {}
        for place, function in enumerate(functions):
            try:
                data = function()
                by_size.setdefault(_shapes(data), {})[place] = data
            except ModelError as error:
                results[place] = error
        for groups in by_size.values():
            for place, ended in zip(groups, self._ended(list(groups.values())), strict=True):
                try:
                    results[place] = self._result(ended)
                except ModelError as error:
                    results[place] = error
        return [results[place] for place in range(len(functions))]

    def _ended(self, groups: list[GroupData]) -> list[_Training]:
        """The trainings of groups of one size after their last epochs, as arrays of NumPy."""
        if self.together == 1:
            return [jax.tree.map(np.asarray, self._program(data)(self._start, data)) for data in groups]
        filling = [groups[0]._replace(epochs=np.int32(0))] * (self.together - len(groups))
        data = jax.tree.map(lambda *parts: np.stack(parts), *groups, *filling)
        ended = jax.tree.map(np.asarray, self._program(data)(self._start, data))
        return [jax.tree.map(lambda part, place=place: part[place], ended) for place in range(len(groups))]

    def _result(self, ended: _Training) -> Trained:
        epochs = int(ended.epoch)
        train_loss, validation_loss = (part[:epochs].tolist() for part in (ended.train_loss, ended.validation_loss))
        require_finite(self.network, epochs - 1, train_loss[-1], validation_loss[-1])
        history = history_of(self.network, train_loss, validation_loss, float(ended.median_loss))
        return Trained(ended.best.weights, ended.best.carried, history)  # type: ignore[arg-type]  # arrays of NumPy by now

    def _program(self, data: GroupData) -> Any:
        """The program for the sizes of the data; threads wait for the one that compiles it."""
        with self._compiles:
            shapes = _shapes(data)
            if shapes not in self._programs:
                self._programs[shapes] = self._jitted.lower(self._start, data).compile()
            return self._programs[shapes]

    def _fit(self, start: State, data: GroupData) -> _Training:
        """All epochs of one group, by the rules of ``training.train``."""
        network, key = self.network, jax.random.key(self.network.seed)
        validation = jax.tree.map(lambda part: part[None], data.validation)

        def goes_on(now: _Training) -> jax.Array:
            is_finite = jnp.isfinite(now.lowest) | (now.epoch == 0)
            goes: jax.Array = (now.epoch < data.epochs) & (now.stale < network.patience) & is_finite
            return goes

        def epoch(now: _Training) -> _Training:
            state, train_loss = self._epoch(now, jax.random.fold_in(key, now.epoch), data)
            loss, median_loss = self._trainer.mean_loss_of(state.variables, validation)
            is_best, fell = loss <= now.lowest, loss < now.reference * (1 - network.min_improvement)
            stale, rate = jnp.where(fell, 0, now.stale + 1), now.rate
            if network.reduce_after is not None:
                rate = jnp.where((stale > 0) & (stale % network.reduce_after == 0), rate * network.reduce_by, rate)
            return _Training(
                now.epoch + 1,
                state,
                rate,
                jax.tree.map(lambda new, old: jnp.where(is_best, new, old), state.variables, now.best),
                jnp.where(jnp.isfinite(loss) & jnp.isfinite(train_loss), jnp.minimum(loss, now.lowest), jnp.nan),
                stale,
                jnp.where(fell, loss, now.reference),
                now.train_loss.at[now.epoch].set(train_loss),
                now.validation_loss.at[now.epoch].set(loss),
                median_loss,
            )

        whole, none, unknown = jnp.int32(0), jnp.full(network.epochs, jnp.nan), jnp.float32(jnp.inf)
        rate = jnp.float32(network.learning_rate)
        begun = _Training(whole, start, rate, start.variables, unknown, whole, unknown, none, none, unknown)
        ended: _Training = jax.lax.while_loop(goes_on, epoch, begun)
        return ended

    def _epoch(self, now: _Training, key: jax.Array, data: GroupData) -> tuple[State, jax.Array]:
        """An epoch in shuffled order: the new state and the mean loss of its batches."""
        batch, own = self._trainer.batch, jax.random.fold_in(key, 0)
        order = shuffled(own, data.windows, data.rounds, data.train.windows.length.shape[0])
        windows = jax.tree.map(lambda part: part[order], data.train.windows)
        batches = -(-data.windows // batch)

        def step(number: jax.Array, so_far: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
            state, losses = so_far
            part = jax.tree.map(lambda part: jax.lax.dynamic_slice_in_dim(part, number * batch, batch), windows)
            state, loss = self._trainer.step(state, own, now.rate, data.train.rows, number, part)
            return state, losses + loss

        state, losses = jax.lax.fori_loop(0, batches, step, (now.state, jnp.float32(0)))
        return state, losses / batches


def shuffled(key: jax.Array, count: jax.Array, rounds: jax.Array, room: int) -> jax.Array:
    """``jax.random.permutation(key, count)`` of a count that is not known before, then the numbers up to ``room``.

    As it is done there: sorted by random keys, in so many rounds that no two numbers have the same in each.
    """
    is_filling = jnp.arange(room) >= count

    def sort(_: jax.Array, so_far: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        key, order = so_far
        key, own = jax.random.split(key)
        keys = jnp.where(is_filling, LARGEST_KEY, jax.random.bits(own, (room,)))
        return key, jax.lax.sort_key_val(keys, order)[1]

    order: jax.Array = jax.lax.fori_loop(0, rounds, sort, (key, jnp.arange(room)))[1]
    return order


def _in_room(data: WindowData, windows: int) -> WindowData:
    """One shard's data without its axis, with filling up to so many windows and a power of two of rows."""
    rows = data.rows[0]
    room = max(windows, _power_of_two(len(rows)))
    filled = np.full((room, rows.shape[1]), np.nan, np.float32)
    filled[: len(rows)] = rows
    return WindowData(filled, Part(*(np.pad(part[0], (0, windows - part.shape[1])) for part in data.windows)))  # type: ignore[arg-type]


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def _shapes(data: GroupData) -> tuple[tuple[int, ...], ...]:
    return tuple(np.shape(part) for part in jax.tree.leaves(data))
