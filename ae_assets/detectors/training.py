"""Training: whole epochs inside one jitted loop over device-resident data, early stopping between epochs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_assets.detectors.arithmetic import gather
from ae_assets.detectors.config import TrainingConfig
from ae_assets.detectors.networks import Network, Weights
from ae_assets.errors import ModelError

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
EPSILON = 1e-7


class WindowData(NamedTuple):
    """Windows on the device: scaled rows (NaN = missing), last_row and length of each window."""

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
    state = AdamState(
        [jnp.array(weight) for weight in weights],
        [jnp.zeros_like(weight) for weight in weights],
        [jnp.zeros_like(weight) for weight in weights],
        jnp.zeros((), jnp.int32),
    )
    key = jax.random.key(config.seed)
    batch = min(config.batch_size, len(data.last_row))
    best_weights, train_loss, validation_loss, stale, reference = state.weights, [], [], 0, np.inf
    for epoch in range(config.epochs):
        state, loss = train_epoch(network, batch, config.learning_rate, state, jax.random.fold_in(key, epoch), data)
        train_loss.append(float(loss))
        validation_loss.append(float(mean_loss(network, batch, state.weights, validation)))
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
    median_loss = float(mean_loss(network, batch, None, validation))
    return Trained(
        weights=best_weights,
        train_loss=tuple(train_loss),
        validation_loss=tuple(validation_loss),
        best_epoch=int(np.argmin(validation_loss)),
        median_loss=median_loss,
        converged=has_converged(validation_loss, median_loss, config.patience),
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


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def train_epoch(
    network: Network, batch: int, learning_rate: float, state: AdamState, key: jax.Array, data: WindowData
) -> tuple[AdamState, jax.Array]:
    """One epoch in shuffled order: the new state and the mean loss of its batches. The old state is given up."""

    def step(state: AdamState, windows: tuple[jax.Array, jax.Array]) -> tuple[AdamState, jax.Array]:
        loss, gradient = jax.value_and_grad(_batch_loss, argnums=1)(network, state.weights, data.rows, *windows)
        return adam(state, gradient, learning_rate), loss

    order = jax.random.permutation(key, len(data.last_row))
    batches = _batches(order, data, batch)
    state, losses = jax.lax.scan(step, state, batches)
    return state, losses.mean()


@partial(jax.jit, static_argnums=(0, 1))
def mean_loss(network: Network, batch: int, weights: Weights | None, data: WindowData) -> jax.Array:
    """Masked mean squared error over all windows; of answering 0, the scaled median, where ``weights`` is None."""

    def step(
        sums: tuple[jax.Array, jax.Array], windows: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        errors, weight = _errors(network, weights, data.rows, *windows)
        return (sums[0] + errors.sum(), sums[1] + weight.sum()), None

    order = jnp.arange(len(data.last_row))
    sums, _ = jax.lax.scan(step, (jnp.zeros(()), jnp.zeros(())), _batches(order, data, batch))
    return sums[0] / jnp.maximum(sums[1], 1)


def adam(state: AdamState, gradient: Weights, learning_rate: float) -> AdamState:
    """One step of Adam."""
    steps = state.steps + 1
    rate = learning_rate * jnp.sqrt(1 - SECOND_DECAY**steps) / (1 - FIRST_DECAY**steps)
    first = [m + (g - m) * (1 - FIRST_DECAY) for m, g in zip(state.first, gradient, strict=True)]
    second = [v + (g * g - v) * (1 - SECOND_DECAY) for v, g in zip(state.second, gradient, strict=True)]
    weights = [
        weight - rate * m / (jnp.sqrt(v) + EPSILON) for weight, m, v in zip(state.weights, first, second, strict=True)
    ]
    return AdamState(weights, first, second, steps)


def _batches(order: jax.Array, data: WindowData, batch: int) -> tuple[jax.Array, jax.Array]:
    """last_row and length in batches (steps, batch); the last batch is filled up with windows of length 0."""
    steps = -(-len(order) // batch)
    fill = steps * batch - len(order)
    last_row = jnp.pad(data.last_row[order], (0, fill)).reshape(steps, batch)
    length = jnp.pad(data.length[order], (0, fill)).reshape(steps, batch)
    return last_row, length


def _batch_loss(
    network: Network, weights: Weights, rows: jax.Array, last_row: jax.Array, length: jax.Array
) -> jax.Array:
    """Mean squared error over the known values of recorded steps."""
    errors, weight = _errors(network, weights, rows, last_row, length)
    return errors.sum() / jnp.maximum(weight.sum(), 1)


def _errors(
    network: Network, weights: Weights | None, rows: jax.Array, last_row: jax.Array, length: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Weighted squared errors and weights, both (windows, days, features)."""
    values, weight, recorded = gather(rows, last_row, length, network.window_days)
    answer = 0.0 if weights is None else network.reconstruct(weights, values, recorded)
    return weight * (values - answer) ** 2, weight
