"""Training of the ordinal model: distinct coded rows, drawn on the device as often as they weigh.

The common loop passes over windows of which each counts once; here two million drive-days are some ten thousand rows of
very different weight, heads draw batches of their own from two sets of rows, and the number of steps is fixed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ae_assets.detectors.base import TrainingHistory
from ae_assets.detectors.compilation import WIDE_VECTORS, compiled
from ae_assets.detectors.config import OrdinalConfig
from ae_assets.detectors.ordinal_coding import CodedRows
from ae_assets.detectors.ordinal_network import (
    Expansion,
    Heads,
    StepModel,
    head_log_odds,
    negative_log_likelihood,
    step_log_odds,
)
from ae_assets.errors import ModelError

STEPS_OF_AN_EPOCH = 100
FAILING_SHARE = 4
"""One row in so many of a head's batches is of a failing entity; the others are healthy."""

LATE_FALL = 0.1

FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
EPSILON = 1e-7
BLOCK = 4096

Weights = TypeVar("Weights", StepModel, Heads)

OnEpoch = Callable[[float], None]
"""Called after each epoch with its validation loss, NaN where nothing is held out."""


class Rows(NamedTuple):
    """Coded rows on the device, with the running share of their weight, by which they are drawn."""

    codes: jax.Array
    cohort: jax.Array
    share: jax.Array


def train_step_model(
    weights: StepModel,
    expand: Expansion,
    rows: CodedRows,
    validation: CodedRows,
    config: OrdinalConfig,
    on_epoch: OnEpoch,
) -> tuple[StepModel, TrainingHistory]:
    """Maximises the Bernoulli likelihood of the steps of healthy rows.

    The start is among the candidates: on a small fleet the frequencies that it holds are all there is to find.

    Raises:
        ModelError: a loss is not finite.
    """
    data, key = on_device(rows), jax.random.key(config.seed)

    def loss(weights: StepModel, key: jax.Array) -> jax.Array:
        codes, cohort = _drawn(data, key, config.batch_size)
        steps, context = expand(codes)
        error = negative_log_likelihood(step_log_odds(weights, steps, context, cohort), steps).sum(axis=1).mean()
        return error + config.decay * _squares(weights._replace(decoder_bias=jnp.zeros(())))

    @jax.jit
    def weighted(weights: StepModel, codes: jax.Array, cohort: jax.Array, weight: jax.Array) -> jax.Array:
        steps, context = expand(codes)
        return negative_log_likelihood(step_log_odds(weights, steps, context, cohort), steps).sum(axis=1) @ weight

    def held_out(weights: StepModel) -> float:
        total = sum(float(weighted(weights, *block)) for block in validation.blocks(BLOCK))
        return total / float(validation.weight.sum())

    weights, history = _train(weights, loss, held_out, config, key, on_epoch)
    return weights, replace(history, converged=has_settled(history.median_loss, history.validation_loss))


def train_heads(
    weights: Heads,
    expand: Expansion,
    rows: CodedRows,
    failing: CodedRows,
    config: OrdinalConfig,
    on_epoch: OnEpoch,
) -> Heads:
    """Minimises the logistic loss of healthy rows against rows before a failure; each failed entity weighs alike.

    Heads of three kinds err in different ways, and their sum less than each: one that knows the cohort, one that does
    not, since cohorts say much about who fails in training and less later on, and one without hidden layer, which has
    too few weights to learn the training failures by heart. Each head draws batches of its own.

    Raises:
        ModelError: a loss is not finite.
    """
    healthy, sick, key = on_device(rows), on_device(failing), jax.random.key(config.seed + 1)
    kind = jnp.arange(config.heads) % 3
    sees_cohort, has_layer = kind != 1, kind != 2
    sick_rows = max(1, config.batch_size // FAILING_SHARE)

    def loss_of_one(head: Heads, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key)
        parts = (_drawn(sick, keys[0], sick_rows), _drawn(healthy, keys[1], config.batch_size - sick_rows))
        codes, cohort = (jnp.concatenate(pair) for pair in zip(*parts, strict=True))
        label = (jnp.arange(config.batch_size) < sick_rows).astype(jnp.float32)
        log_odds = head_log_odds(head, *expand(codes), cohort)
        return (jax.nn.softplus(log_odds) - label * log_odds).mean()

    def allowed(weights: Heads) -> Heads:
        return weights._replace(
            hidden_cohort=weights.hidden_cohort * sees_cohort[:, None, None],
            direct_cohort=weights.direct_cohort * sees_cohort[:, None],
            output_kernel=weights.output_kernel * has_layer[:, None],
        )

    def loss(weights: Heads, key: jax.Array) -> jax.Array:
        error = jax.vmap(loss_of_one)(allowed(weights), jax.random.split(key, config.heads)).sum()
        cohorts = _squares((weights.hidden_cohort, weights.direct_cohort))
        others = _squares((weights.hidden_kernel, weights.output_kernel, weights.direct_kernel))
        return error + config.cohort_decay * cohorts + config.decay * others

    weights, _ = _train(weights, loss, lambda _: float("nan"), config, key, on_epoch)
    return allowed(weights)


def has_settled(start_loss: float, validation_loss: tuple[float, ...]) -> bool:
    """Whether the second half of the epochs brought at most a share ``LATE_FALL`` of the fall of the held-out loss.

    The last epochs alone say nothing: the rate falls to 0, so that even a loss cut off halfway flattens out. Of a loss
    that falls in proportion to the rate, as one does that is cut off, the second half brings 18%.
    """
    losses = [start_loss, *validation_loss]
    lowest, lowest_halfway = min(losses), min(losses[: len(losses) // 2])
    return lowest_halfway - lowest <= LATE_FALL * (start_loss - lowest)


def on_device(rows: CodedRows) -> Rows:
    """Moves coded rows to the device."""
    share = np.cumsum(rows.weight) / rows.weight.sum()
    return Rows(jnp.asarray(rows.codes), jnp.asarray(rows.cohort), jnp.asarray(share, jnp.float32))


def _drawn(data: Rows, key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Codes and cohorts drawn with replacement, each row as often as it weighs."""
    chosen = jnp.searchsorted(data.share, jax.random.uniform(key, (count,)))
    chosen = jnp.minimum(chosen, len(data.cohort) - 1)
    return data.codes[chosen], data.cohort[chosen]


class AdamState(NamedTuple):
    """Weights, running moments of their gradients, and steps taken."""

    weights: Any
    first: Any
    second: Any
    steps: jax.Array


def adam(state: AdamState, gradient: Any, learning_rate: jax.Array) -> AdamState:
    """One step of Adam (Kingma and Ba 2015, the variant at the end of section 2, as in Keras)."""
    steps, tree = state.steps + 1, jax.tree
    rate = learning_rate * jnp.sqrt(1 - SECOND_DECAY**steps) / (1 - FIRST_DECAY**steps)
    first = tree.map(lambda m, g: m + (g - m) * (1 - FIRST_DECAY), state.first, gradient)
    second = tree.map(lambda v, g: v + (g * g - v) * (1 - SECOND_DECAY), state.second, gradient)
    weights = tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON), state.weights, first, second)
    return AdamState(weights, first, second, steps)


def _train(
    weights: Weights,
    loss: Callable[[Weights, jax.Array], jax.Array],
    held_out: Callable[[Weights], float],
    config: OrdinalConfig,
    key: jax.Array,
    on_epoch: OnEpoch,
) -> tuple[Weights, TrainingHistory]:
    """The weights of the lowest held-out loss, the start's included, or of the last epoch where nothing is held out.

    The history's median loss is that of the start; windows, time and whether it has converged are the caller's to say.
    """
    steps = config.epochs * STEPS_OF_AN_EPOCH

    def step(state: AdamState, number: jax.Array) -> tuple[AdamState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(state.weights, jax.random.fold_in(key, number))
        rate = config.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * number / steps))
        return adam(state, gradient, rate), value

    def epoch(state: AdamState, first: jax.Array) -> tuple[AdamState, jax.Array]:
        state, losses = jax.lax.scan(step, state, first + jnp.arange(STEPS_OF_AN_EPOCH))
        return state, losses.mean()

    run = compiled(epoch, WIDE_VECTORS, donate_argnums=0)
    first, second = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    state = AdamState(_copy(weights), first, second, jnp.zeros((), jnp.int32))
    start_loss = lowest = held_out(weights)
    best, best_epoch = weights, -1
    train_loss: list[float] = []
    validation_loss: list[float] = []
    for number in range(config.epochs):
        state, value = run(state, number * STEPS_OF_AN_EPOCH)
        train_loss.append(float(value))
        if not np.isfinite(train_loss[-1]):
            raise ModelError(
                f"The training loss of epoch {number} is {train_loss[-1]}; lower learning_rate (now "
                f"{config.learning_rate})."
            )
        validation_loss.append(held_out(state.weights))
        if not validation_loss[-1] > lowest:  # also where nothing is held out: then the last epoch's weights count
            best, best_epoch, lowest = _copy(state.weights), number, validation_loss[-1]
        on_epoch(validation_loss[-1])
    return best, TrainingHistory(tuple(train_loss), tuple(validation_loss), best_epoch, median_loss=start_loss)


def _copy(weights: Weights) -> Weights:
    """A copy, since an epoch gives up the state that it is called with."""
    copy: Weights = jax.tree.map(jnp.array, weights)
    return copy


def _squares(weights: Any) -> jax.Array:
    return jnp.asarray(sum((part**2).sum() for part in jax.tree.leaves(weights)))
