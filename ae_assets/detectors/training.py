"""Training: whole epochs inside one jitted loop over device-resident data, early stopping between epochs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_assets.detectors.arithmetic import gather, padded_width
from ae_assets.detectors.compilation import WIDE_VECTORS, compiled
from ae_assets.detectors.config import TrainingConfig
from ae_assets.detectors.networks import DenseNetwork, Network, Weights, padded, unpadded
from ae_assets.detectors.preprocessing import RobustScaler
from ae_assets.detectors.scoring import rows_in_use
from ae_assets.detectors.windows import Windows
from ae_assets.errors import ModelError

AXIS = "shard"
SMALLEST_PART = 32

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
EPSILON = 1e-7


class WindowData(NamedTuple):
    """Windows on the devices, one shard per device on the leading axis.

    ``rows`` are scaled values (shards, rows, features), NaN = missing; ``last_row`` and ``length`` (shards, windows)
    are the windows over the rows of their own shard. Shards are filled up with windows of length 0.
    """

    rows: jax.Array
    last_row: jax.Array
    length: jax.Array


class AdamState(NamedTuple):
    """Weights, running moments of their gradients, and steps taken."""

    weights: Weights
    first: Weights
    second: Weights
    steps: jax.Array


@dataclass(frozen=True)
class Trained:
    """The weights of the best epoch and the losses of all."""

    weights: Weights
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    best_epoch: int
    median_loss: float
    converged: bool


def train(
    network: Network,
    weights: Weights,
    data: WindowData,
    validation: WindowData,
    config: TrainingConfig,
    on_epoch: Callable[[int, float], None],
) -> Trained:
    """Trains by Adam (Kingma and Ba 2015, algorithm 1, with Keras' defaults) on the masked mean squared error.

    Stops when the validation loss has not fallen by ``min_improvement`` for ``patience`` epochs; the weights of the
    lowest validation loss are kept.

    Args:
        network: pure functions of the network.
        weights: initial weights.
        data: training windows.
        validation: windows for early stopping.
        config: the settings.
        on_epoch: called after each epoch with its number and the validation loss.

    Raises:
        ModelError: a loss is not finite.
    """
    state = initial_state(weights, data)
    key = jax.random.key(config.seed)
    trainer = Trainer(network, config.batch_size, config.learning_rate, data.rows.shape[0])
    best_weights, train_loss, validation_loss, stale, reference = state.weights, [], [], 0, np.inf
    of_median: jax.Array | float = np.inf
    for epoch in range(config.epochs):
        state, loss = trainer.epoch(state, jax.random.fold_in(key, epoch), data)
        train_loss.append(float(loss))
        of_network, of_median = trainer.mean_loss(state.weights, validation)
        validation_loss.append(float(of_network))
        if not np.isfinite([train_loss[-1], validation_loss[-1]]).all():
            raise ModelError(
                f"The loss of epoch {epoch} is not finite (training {train_loss[-1]}, validation "
                f"{validation_loss[-1]}); lower learning_rate (now {config.learning_rate}) or clip (now {config.clip})."
            )
        if validation_loss[-1] == min(validation_loss):
            best_weights = [jnp.array(weight) for weight in state.weights]
        stale = 0 if validation_loss[-1] < reference * (1 - config.min_improvement) else stale + 1
        reference = validation_loss[-1] if stale == 0 else reference
        on_epoch(epoch, validation_loss[-1])
        if stale == config.patience:
            break
    return Trained(
        weights=unpadded(best_weights, weights[-1].shape[0]),
        train_loss=tuple(train_loss),
        validation_loss=tuple(validation_loss),
        best_epoch=int(np.argmin(validation_loss)),
        median_loss=float(of_median),
        converged=has_converged(validation_loss, float(of_median), config.patience),
    )


def has_converged(validation_loss: list[float], median_loss: float, patience: int, flat: float = 0.01) -> bool:
    """Whether training found something and had stopped finding more.

    True when the best validation loss beats answering every feature's median, which a network that learned nothing
    does not, and the last ``patience`` epochs lowered the loss by less than a share ``flat``: training that is cut off
    by the number of epochs while still falling has not converged, training ended by early stopping has.
    """
    if len(validation_loss) <= patience or not min(validation_loss) < median_loss:
        return False
    return min(validation_loss) > min(validation_loss[:-patience]) * (1 - flat)


class Trainer:
    """The compiled functions of one training: an epoch, and the mean loss over windows.

    A batch is spread over the devices in equal parts, each drawn from the device's own shard of the windows; the
    gradients are added up between them. Every device then takes the same step.
    """

    def __init__(self, network: Network, batch_size: int, learning_rate: float, shards: int) -> None:
        """Prepares the functions for data in ``shards`` shards; each compiles when it is first called."""
        self.network = network
        self.shards = shards
        self.batch = max(1, batch_size // shards)
        self.learning_rate = learning_rate
        mesh = _mesh(shards)
        shared, split = _sharding(shards).spec, _sharding(shards, AXIS).spec

        def over_devices(function: Callable[..., Any], inputs: tuple[PartitionSpec, ...], **jit: Any) -> Any:
            mapped = jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=shared, check_vma=False)
            return compiled(mapped, WIDE_VECTORS, **jit)

        self.epoch = over_devices(self._epoch, (shared, shared, split), donate_argnums=0)
        self.mean_loss = over_devices(self._mean_loss, (shared, split))

    def _epoch(self, state: AdamState, key: jax.Array, data: WindowData) -> tuple[AdamState, jax.Array]:
        """One epoch in shuffled order: the new state and the mean loss of its batches. The old state is given up."""
        rows, last_row, length = (part[0] for part in data)

        def step(state: AdamState, windows: tuple[jax.Array, jax.Array]) -> tuple[AdamState, jax.Array]:
            (error, known), gradient = jax.value_and_grad(self._error, has_aux=True)(state.weights, rows, *windows)
            error, known, gradient = self._over_devices((error, known, gradient))
            known = jnp.maximum(known, 1)
            return adam(state, [part / known for part in gradient], self.learning_rate), error / known

        order = jax.random.permutation(jax.random.fold_in(key, jax.lax.axis_index(AXIS)), len(last_row))
        state, losses = jax.lax.scan(step, state, self._batches(last_row[order], length[order]))
        return state, losses.mean()

    def _mean_loss(self, weights: Weights, data: WindowData) -> tuple[jax.Array, jax.Array]:
        """Masked mean squared error over all windows: of the network, and of answering 0, the scaled median."""
        rows, last_row, length = (part[0] for part in data)

        def step(sums: jax.Array, windows: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            error, known = self._error(weights, rows, *windows)
            values, _, _ = gather(rows, *windows, self.network.window_days)
            return sums + jnp.stack([error, (values**2).sum(), known]), None

        sums, _ = jax.lax.scan(step, jnp.zeros(3), self._batches(last_row, length))
        error, of_median, known = self._over_devices(sums)
        return error / jnp.maximum(known, 1), of_median / jnp.maximum(known, 1)

    def _error(
        self, weights: Weights, rows: jax.Array, last_row: jax.Array, length: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Sum of squared errors over the known values of recorded steps, and their number."""
        values, weight, recorded = gather(rows, last_row, length, self.network.window_days)
        answer = self.network.reconstruct(weights, values, recorded)
        return (weight * (values - answer) ** 2).sum(), weight.sum()

    def _over_devices(self, parts: Any) -> Any:
        """The sum over the devices; one device is spared the copy that XLA would make."""
        return parts if self.shards == 1 else jax.lax.psum(parts, AXIS)  # type: ignore[no-untyped-call]  # JAX leaves it untyped

    def _batches(self, last_row: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The device's windows in batches (steps, batch); the last is filled up with windows of length 0."""
        steps = -(-len(last_row) // self.batch)
        fill = steps * self.batch - len(last_row)
        return (
            jnp.pad(last_row, (0, fill)).reshape(steps, self.batch),
            jnp.pad(length, (0, fill)).reshape(steps, self.batch),
        )


def shards_for(network: Network, batch_size: int) -> int:
    """Devices to train on.

    XLA spreads the large products of a dense network over the cores by itself, but runs the loop over the days of a
    window on one core: there each device takes a part of the batch, no smaller than what keeps its products efficient.
    """
    if isinstance(network, DenseNetwork) or jax.default_backend() != "cpu":
        return 1
    return max(1, min(len(jax.devices()), batch_size // SMALLEST_PART))


def on_devices(windows: Windows, scaler: RobustScaler, window_days: int, shards: int) -> WindowData:
    """Scales the rows that the windows hold and spreads the windows, in their order, over the shards.

    Consecutive windows share rows, so that the shards together hold hardly more rows than the windows do.
    """
    size = -(-len(windows) // shards)
    length = np.minimum(windows.length, window_days)
    parts = [slice(start, start + size) for start in range(0, len(windows), size)]
    held = [rows_in_use(windows.last_row[part], length[part]) for part in parts]
    width = padded_width(windows.values.shape[1])
    rows = np.full((shards, max(len(used) for used, _ in held), width), np.nan, np.float32)
    last_rows, lengths = (np.zeros((shards, size), np.int32) for _ in range(2))
    for shard, (part, (used, position)) in enumerate(zip(parts, held, strict=True)):
        values = rows[shard, : len(used), : windows.values.shape[1]]
        values[:] = windows.values[used]
        scaler.apply(values)
        last_rows[shard, : len(position)] = position
        lengths[shard, : len(position)] = length[part]
    return WindowData(*(jax.device_put(array, _sharding(shards, AXIS)) for array in (rows, last_rows, lengths)))


def initial_state(weights: Weights, data: WindowData) -> AdamState:
    """The state before the first step on ``data``, on all its devices, with weights padded to the width of its rows."""
    start = padded(weights, data.rows.shape[-1])
    state = AdamState(
        [jnp.array(weight) for weight in start],
        [jnp.zeros_like(weight) for weight in start],
        [jnp.zeros_like(weight) for weight in start],
        jnp.zeros((), jnp.int32),
    )
    everywhere: AdamState = jax.device_put(state, _sharding(data.rows.shape[0]))
    return everywhere


def adam(state: AdamState, gradient: Weights, learning_rate: float | jax.Array) -> AdamState:
    """One step of Adam."""
    steps = state.steps + 1
    rate = learning_rate * jnp.sqrt(1 - SECOND_DECAY**steps) / (1 - FIRST_DECAY**steps)
    first = [m + (g - m) * (1 - FIRST_DECAY) for m, g in zip(state.first, gradient, strict=True)]
    second = [v + (g * g - v) * (1 - SECOND_DECAY) for v, g in zip(state.second, gradient, strict=True)]
    weights = [
        weight - rate * m / (jnp.sqrt(v) + EPSILON) for weight, m, v in zip(state.weights, first, second, strict=True)
    ]
    return AdamState(weights, first, second, steps)


def _sharding(shards: int, *axes: str) -> NamedSharding:
    """Split along the leading axis where ``axes`` names it, else a copy on each device."""
    return NamedSharding(_mesh(shards), PartitionSpec(*axes))  # type: ignore[no-untyped-call]  # JAX leaves it untyped


def _mesh(shards: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:shards]), (AXIS,))
