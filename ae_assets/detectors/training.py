"""Training of networks: epochs inside jit over device-resident data, early stopping between them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model
from ae_assets.detectors.base import TrainingHistory
from ae_assets.detectors.compilation import WIDE_VECTORS, compiled
from ae_assets.detectors.networks.network import Batch, NetworkConfig
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.scoring import gather, rows_in_use
from ae_assets.detectors.settings import TrainingConfig
from ae_assets.detectors.windows import Windows
from ae_assets.errors import ModelError

AXIS = "shard"
SMALLEST_PART = 32

ADAM_EPSILON = 1e-7
"""As in Keras; optax' own is 1e-8."""


class Part(NamedTuple):
    """Windows over the rows of their own shard, each field (shards, windows), or (windows,) within a shard."""

    last_row: jax.Array
    length: jax.Array
    target: jax.Array
    cohort: jax.Array


class WindowData(NamedTuple):
    """Windows on the devices, one shard per device on the leading axis.

    ``rows`` are scaled values (shards, rows, features), NaN = missing. Shards are filled up with windows of length 0.
    """

    rows: jax.Array
    windows: Part


class Variables(NamedTuple):
    """What a Keras model holds: trainable weights, and what layers carry along (seeds of Dropout, running means)."""

    weights: list[jax.Array]
    carried: list[jax.Array]


class State(NamedTuple):
    """A training between two steps: the model's variables and the optimiser's state."""

    variables: Variables
    optimiser: Any


def train(
    network: NetworkConfig,
    model: Model,
    steps: int,
    start: list[NDArray[np.float32]],
    data: WindowData,
    validation: WindowData,
    on_epoch: Callable[[int, float], None],
) -> tuple[Variables, TrainingHistory]:
    """Trains by Adam (Kingma and Ba 2015, algorithm 1) on the network's loss, from ``start`` on.

    Stops when the validation loss has not fallen by ``min_improvement`` for ``patience`` epochs. Of the model only the
    structure is used. ``on_epoch`` is told each epoch's number and validation loss.

    Returns:
        the variables of the lowest validation loss, and the losses; windows and time are the caller's to say.

    Raises:
        ModelError: a loss is not finite.
    """
    trainer = Trainer(network, model, steps, data.rows.shape[0])
    state = trainer.initial_state(start)
    key, rate = jax.random.key(network.seed), network.learning_rate
    best, train_loss, validation_loss, stale, reference = state.variables, [], [], 0, np.inf
    of_constant: jax.Array | float = np.inf
    for epoch in range(network.epochs):
        state, loss = trainer.epoch(state, jax.random.fold_in(key, epoch), rate, data)
        train_loss.append(float(loss))
        of_network, of_constant = trainer.mean_loss(state.variables, validation)
        validation_loss.append(float(of_network))
        require_finite(network, epoch, train_loss[-1], validation_loss[-1])
        if validation_loss[-1] == min(validation_loss):
            best = jax.tree.map(jnp.array, state.variables)  # a copy: the next epoch gives its state up
        stale = 0 if validation_loss[-1] < reference * (1 - network.min_improvement) else stale + 1
        reference = validation_loss[-1] if stale == 0 else reference
        on_epoch(epoch, validation_loss[-1])
        if stale == network.patience:
            break
        if stale and network.reduce_after is not None and stale % network.reduce_after == 0:
            rate *= network.reduce_by
    return best, history_of(network, train_loss, validation_loss, float(of_constant))


def history_of(
    network: NetworkConfig, train_loss: list[float], validation_loss: list[float], median_loss: float
) -> TrainingHistory:
    """What the losses of each epoch say; windows and time are the caller's to say."""
    return TrainingHistory(
        train_loss=tuple(train_loss),
        validation_loss=tuple(validation_loss),
        best_epoch=int(np.argmin(validation_loss)),
        median_loss=median_loss,
        converged=has_converged(validation_loss, median_loss, network.patience),
    )


def require_finite(network: NetworkConfig, epoch: int, train_loss: float, validation_loss: float) -> None:
    """Raises ModelError unless both losses of an epoch are numbers."""
    if not np.isfinite([train_loss, validation_loss]).all():
        raise ModelError(
            f"The loss of epoch {epoch} is not finite (training {train_loss}, validation {validation_loss}); lower "
            f"learning_rate (now {network.learning_rate}) or clip (now {network.clip})."
        )


def has_converged(validation_loss: list[float], median_loss: float, patience: int, flat: float = 0.01) -> bool:
    """Whether training found something and had stopped finding more.

    True when the best validation loss beats the constant answer (of a reconstruction every feature's median), which a
    network that learned nothing does not, and the last ``patience`` epochs lowered the loss by less than a share
    ``flat``: training that is cut off by the number of epochs while still falling has not converged, training ended by
    early stopping has.
    """
    if len(validation_loss) <= patience or not min(validation_loss) < median_loss:
        return False
    return min(validation_loss) > min(validation_loss[:-patience]) * (1 - flat)


def optimiser_of(config: TrainingConfig) -> optax.GradientTransformation:
    """What becomes of a gradient before it is multiplied by the step size; defaults leave it to Adam alone."""
    penalty = [optax.add_decayed_weights(2 * config.l2, _kernels)] if config.l2 else []  # the gradient of a square
    clip = [] if config.gradient_clip is None else [optax.clip_by_global_norm(config.gradient_clip)]
    decay = [optax.add_decayed_weights(config.weight_decay, _kernels)] if config.weight_decay else []
    return optax.chain(*penalty, *clip, optax.scale_by_adam(eps=ADAM_EPSILON), *decay)


def _kernels(weights: Any) -> Any:
    return jax.tree.map(lambda weight: weight.ndim > 1, weights)


class Trainer:
    """The compiled functions of one training: an epoch, and the mean loss over windows.

    A batch is spread over the devices in equal parts, each drawn from the device's own shard of the windows; the
    gradients are added up between them. Every device then takes the same step.
    """

    def __init__(self, network: NetworkConfig, model: Model, steps: int, shards: int) -> None:
        """Prepares the functions for data in ``shards`` shards; each compiles when it is first called."""
        self.network = network
        self.model = model
        self.steps = steps
        self.shards = shards
        self.batch = max(1, network.batch_size // shards)
        self.optimiser = optimiser_of(network)
        mesh = _mesh(shards)
        shared, split = PartitionSpec(), PartitionSpec(AXIS)  # type: ignore[no-untyped-call]  # JAX leaves it untyped

        def over_devices(function: Callable[..., Any], inputs: tuple[PartitionSpec, ...], **jit: Any) -> Any:
            mapped = jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=shared, check_vma=False)
            return compiled(mapped, WIDE_VECTORS, **jit)

        self._drawn_batches = over_devices(self._drawn, (shared, split))
        self._numbered_step = over_devices(self._step_of, (shared,) * 6, donate_argnums=0)
        whole_epoch = over_devices(self._epoch, (shared, shared, shared, split), donate_argnums=0)
        is_slow_in_a_loop = network.convolves and jax.default_backend() == "cpu"
        self.epoch = self._epoch_step_by_step if is_slow_in_a_loop else whole_epoch
        self.mean_loss = over_devices(self.mean_loss_of, (shared, split))

    def initial_state(self, weights: list[NDArray[np.float32]]) -> State:
        """The state before the first step, on all devices."""
        carried = [self._carried(number, part) for number, part in enumerate(self.model.non_trainable_variables)]
        variables = Variables([jnp.array(weight) for weight in weights], carried)
        state = State(variables, self.optimiser.init(variables.weights))
        everywhere: State = jax.device_put(state, _sharding(self.shards))
        return everywhere

    def _carried(self, number: int, variable: Any) -> jax.Array:
        """What a layer starts from; of one that draws a seed of ours, since Keras takes another one each time."""
        seeds = variable.path.endswith("seed_generator_state")
        return jnp.array([self.network.seed, number] if seeds else variable.value, variable.dtype)

    def _epoch(self, state: State, key: jax.Array, rate: jax.Array, data: WindowData) -> tuple[State, jax.Array]:
        """One epoch in shuffled order: the new state and the mean loss of its batches. The old state is given up."""
        rows, own, batches = self._drawn(key, data)

        def step(state: State, now: tuple[jax.Array, Part]) -> tuple[State, jax.Array]:
            return self.step(state, own, rate, rows, *now)

        state, losses = jax.lax.scan(step, state, (jnp.arange(len(batches.length)), batches))
        return state, losses.mean()

    def _epoch_step_by_step(
        self, state: State, key: jax.Array, rate: float, data: WindowData
    ) -> tuple[State, jax.Array]:
        """The same with a call for each step: inside a loop XLA has convolutions take four times as long on a CPU."""
        rows, own, batches = self._drawn_batches(key, data)
        losses = []
        for number in range(len(batches.length)):
            state, loss = self._numbered_step(state, own, rate, rows, batches, number)
            losses.append(loss)
        return state, jnp.stack(losses).mean()

    def _drawn(self, key: jax.Array, data: WindowData) -> tuple[jax.Array, jax.Array, Part]:
        """The device's rows, its key, and its windows in batches and shuffled order."""
        rows, windows = jax.tree.map(lambda part: part[0], data)
        own = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
        order = jax.random.permutation(own, len(windows.length))
        return rows, own, self._batches(jax.tree.map(lambda part: part[order], windows))

    def _step_of(
        self, state: State, own: jax.Array, rate: jax.Array, rows: jax.Array, batches: Part, number: jax.Array
    ) -> tuple[State, jax.Array]:
        return self.step(state, own, rate, rows, number, jax.tree.map(lambda part: part[number], batches))

    def step(
        self, state: State, own: jax.Array, rate: jax.Array, rows: jax.Array, number: jax.Array, part: Part
    ) -> tuple[State, jax.Array]:
        """The state after the gradient step of a batch, and its mean loss."""
        batch = self._gather(rows, part)
        seen = self._with_jitter(batch, jax.random.fold_in(own, number))

        def loss(weights: list[jax.Array]) -> tuple[jax.Array, tuple[jax.Array, list[jax.Array]]]:
            outputs, carried = self.model.stateless_call(
                weights, state.variables.carried, self.network.inputs(seen), training=True
            )
            total, weight = self.network.loss(outputs, batch)
            return total, (weight, carried)

        (total, (weight, carried)), gradient = jax.value_and_grad(loss, has_aux=True)(state.variables.weights)
        total, weight, gradient = self._over_devices((total, weight, gradient))
        weight = jnp.maximum(weight, 1)
        moves, optimiser = self.optimiser.update(
            jax.tree.map(lambda part: part / weight, gradient), state.optimiser, state.variables.weights
        )
        weights = jax.tree.map(lambda old, move: old - rate * move, state.variables.weights, moves)
        return State(Variables(weights, self._alike(carried)), optimiser), total / weight

    def mean_loss_of(self, variables: Variables, data: WindowData) -> tuple[jax.Array, jax.Array]:
        """Mean loss over all windows: of the network, and of the constant answer."""
        rows, windows = jax.tree.map(lambda part: part[0], data)
        present = windows.length > 0
        share = self._over_devices((windows.target * present).sum()) / self._over_devices(present.sum())

        def step(sums: jax.Array, part: Part) -> tuple[jax.Array, None]:
            batch = self._gather(rows, part)
            outputs, _ = self.model.stateless_call(*variables, self.network.inputs(batch), training=False)
            total, weight = self.network.loss(outputs, batch)
            of_constant, _ = self.network.loss(self.network.constant(outputs, share), batch)
            return sums + jnp.stack([total, of_constant, weight]), None

        sums, _ = jax.lax.scan(step, jnp.zeros(3), self._batches(windows))
        total, of_constant, weight = self._over_devices(sums)
        return total / jnp.maximum(weight, 1), of_constant / jnp.maximum(weight, 1)

    def _gather(self, rows: jax.Array, part: Part) -> Batch:
        return gather(rows, part.last_row, part.length, self.steps, part.target, part.cohort)

    def _with_jitter(self, batch: Batch, key: jax.Array) -> Batch:
        """The batch with noise on the known values of a share of its windows."""
        if not self.network.jitter:
            return batch
        of_values, of_windows = jax.random.split(key)
        noise = self.network.jitter * jax.random.normal(of_values, batch.values.shape) * batch.known
        noisy = jax.random.uniform(of_windows, (len(batch.values), 1, 1)) < self.network.jitter_share
        return batch._replace(values=batch.values + noise * noisy)

    def _over_devices(self, parts: Any) -> Any:
        """The sum over the devices; one device is spared the copy that XLA would make."""
        return parts if self.shards == 1 else jax.lax.psum(parts, AXIS)  # type: ignore[no-untyped-call]  # JAX leaves it untyped

    def _alike(self, carried: list[jax.Array]) -> list[jax.Array]:
        """What layers carry, the same on every device: means of numbers; seeds are the same already."""
        return [
            self._over_devices(part) / self.shards if jnp.issubdtype(part.dtype, jnp.floating) else part
            for part in carried
        ]

    def _batches(self, windows: Part) -> Part:
        """The device's windows in batches (steps, batch); the last is filled up with windows of length 0."""
        steps = -(-len(windows.length) // self.batch)
        fill = steps * self.batch - len(windows.length)
        batches: Part = jax.tree.map(lambda part: jnp.pad(part, (0, fill)).reshape(steps, self.batch), windows)
        return batches


def shards_for(network: NetworkConfig) -> int:
    """Devices to train on.

    XLA spreads large products over the cores by itself, but runs a loop over the steps of a window on one core: there
    each device takes a part of the batch, no smaller than what keeps its products efficient.
    """
    if not network.loops_over_steps or jax.default_backend() != "cpu":
        return 1
    return max(1, min(len(jax.devices()), network.batch_size // SMALLEST_PART))


def on_devices(
    windows: Windows,
    scaler: Scaler,
    steps: int,
    shards: int,
    target: NDArray[np.bool_],
    cohort: NDArray[np.int32],
) -> WindowData:
    """Scales the rows that the windows hold and spreads the windows, in their order, over the shards.

    Consecutive windows share rows, so that the shards together hold hardly more rows than the windows do.
    """
    arrays = in_shards(windows, scaler, steps, shards, target, cohort)
    placed: WindowData = jax.device_put(arrays, _sharding(shards, AXIS))
    return placed


def in_shards(
    windows: Windows,
    scaler: Scaler,
    steps: int,
    shards: int,
    target: NDArray[np.bool_],
    cohort: NDArray[np.int32],
) -> WindowData:
    """The same as arrays of NumPy."""
    size = -(-len(windows) // shards)
    length = np.minimum(windows.length, steps)
    parts = [slice(start, start + size) for start in range(0, len(windows), size)]
    held = [rows_in_use(windows.last_row[part], length[part]) for part in parts]
    rows = np.full((shards, max(len(used) for used, _ in held), windows.values.shape[1]), np.nan, np.float32)
    arrays = [np.zeros((shards, size), kind) for kind in (np.int32, np.int32, np.float32, np.int32)]
    for shard, (part, (used, position)) in enumerate(zip(parts, held, strict=True)):
        rows[shard, : len(used)] = windows.values[used]
        scaler.apply(rows[shard, : len(used)])
        given: tuple[NDArray[Any], ...] = (position, length[part], target[part], cohort[part])
        for array, values in zip(arrays, given, strict=True):
            array[shard, : len(position)] = values
    return WindowData(rows, Part(*arrays))  # type: ignore[arg-type]  # arrays of NumPy serve as well


def _sharding(shards: int, *axes: str) -> NamedSharding:
    """Split along the leading axis where ``axes`` names it, else a copy on each device."""
    return NamedSharding(_mesh(shards), PartitionSpec(*axes))  # type: ignore[no-untyped-call]  # JAX leaves it untyped


def _mesh(shards: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:shards]), (AXIS,))
