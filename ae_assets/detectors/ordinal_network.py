"""The network of the ordinal model: a Keras model for the file, and the same arithmetic as pure functions.

Step model: context and cohort give the log-odds of every step; with a bottleneck a code does as well, which steps and
context give through a hidden layer. Heads: steps, context and cohort give the log-odds that a failure is near, one
number per head.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model, keras
from ae_assets.detectors.config import OrdinalConfig
from ae_assets.detectors.ordinal_coding import CodedFeature, Coding

Array = jax.Array

STEP_LAYERS = ("encoder", "code", "decoder", "cohort_log_odds")
"""Names in the Keras model; the first two are absent where the bottleneck is 0."""
HEAD_LAYERS = ("hidden", "hidden_cohort", "output", "direct", "direct_cohort")
"""Names in the Keras model, after ``head_<position>_``."""


class Expansion:
    """Turns codes into the steps and the context that they stand for.

    Attributes:
        steps: how many there are.
        context: columns of context.
        cohorts: the unknown one included.
    """

    def __init__(self, coding: Coding) -> None:
        self._columns = [_columns(coding, features) for features in (coding.counters, coding.context)]
        self.steps, self.context = (len(rank) for _, rank in self._columns)
        self.cohorts = len(coding.cohorts) + 1

    def __call__(self, codes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Steps (rows, steps) and context (rows, context) of codes (rows, coded features), as float32."""
        steps, context = (_expanded(codes[:, position], rank) for position, rank in self._columns)
        return steps, context


def _columns(coding: Coding, features: tuple[CodedFeature, ...]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """For each column the position of its feature, and its rank."""
    position = [coding.features.index(feature) for feature in features for _ in feature.ranks]
    rank = [rank for feature in features for rank in feature.ranks]
    return np.array(position, np.int32), np.array(rank, np.int8)


def _expanded(codes: jax.Array, rank: NDArray[np.int8]) -> jax.Array:
    return jnp.where(rank > 0, codes >= rank, codes <= rank).astype(jnp.float32)


class StepModel(NamedTuple):
    """Weights of the step model, in the order of its layers; the code's are empty where the bottleneck is 0."""

    hidden_kernel: Array
    hidden_bias: Array
    code_kernel: Array
    code_bias: Array
    decoder_kernel: Array
    decoder_bias: Array
    cohort: Array


class Heads(NamedTuple):
    """Weights of all heads, stacked on the leading axis, in the order of a head's layers."""

    hidden_kernel: Array
    hidden_bias: Array
    hidden_cohort: Array
    output_kernel: Array
    bias: Array
    direct_kernel: Array
    direct_cohort: Array


def initial_step_model(
    config: OrdinalConfig, shape: Expansion, frequency: NDArray[np.float64], generator: np.random.Generator
) -> StepModel:
    """Weights to start from: every step as frequent (steps,), inside (0, 1), as in training, whatever the drive."""
    inputs = shape.steps + shape.context
    return StepModel(
        hidden_kernel=_glorot(generator, inputs, config.units),
        hidden_bias=jnp.zeros(config.units),
        code_kernel=_glorot(generator, config.units, config.bottleneck),
        code_bias=jnp.zeros(config.bottleneck),
        decoder_kernel=jnp.zeros((config.bottleneck + shape.context, shape.steps))
        .at[: config.bottleneck]
        .set(_glorot(generator, config.bottleneck, shape.steps)),
        decoder_bias=jnp.asarray(np.log(frequency) - np.log1p(-frequency), jnp.float32),
        cohort=jnp.zeros((shape.cohorts, shape.steps)),
    )


def initial_heads(config: OrdinalConfig, shape: Expansion, generator: np.random.Generator) -> Heads:
    """Weights to start from: random hidden layers, nothing known of cohorts."""
    inputs, units, heads = shape.steps + shape.context, config.head_units, config.heads
    return Heads(
        hidden_kernel=jnp.stack([_glorot(generator, inputs, units) for _ in range(heads)]),
        hidden_bias=jnp.zeros((heads, units)),
        hidden_cohort=jnp.zeros((heads, shape.cohorts, units)),
        output_kernel=jnp.stack([_glorot(generator, units, 1)[:, 0] for _ in range(heads)]),
        bias=jnp.zeros(heads),
        direct_kernel=jnp.zeros((heads, inputs)),
        direct_cohort=jnp.zeros((heads, shape.cohorts)),
    )


def step_log_odds(weights: StepModel, steps: Array, context: Array, cohort: Array) -> Array:
    """Log-odds (rows, steps) that a healthy drive-day has each step set; takes what :class:`Expansion` gives."""
    inputs = jnp.concatenate([steps, context], axis=1)
    hidden = jnp.tanh(inputs @ weights.hidden_kernel + weights.hidden_bias)
    code = hidden @ weights.code_kernel + weights.code_bias
    decoded = jnp.concatenate([code, context], axis=1) @ weights.decoder_kernel + weights.decoder_bias
    return decoded + _of_cohort(weights.cohort, cohort)


def head_log_odds(head: Heads, steps: Array, context: Array, cohort: Array) -> Array:
    """Log-odds (rows,) that a failure is near, by one head without leading axis; the rest as in ``step_log_odds``."""
    inputs = jnp.concatenate([steps, context], axis=1)
    hidden = jax.nn.silu(inputs @ head.hidden_kernel + head.hidden_bias + _of_cohort(head.hidden_cohort, cohort))
    direct = inputs @ head.direct_kernel + _of_cohort(head.direct_cohort, cohort)
    return hidden @ head.output_kernel + direct + head.bias


def failure_log_odds(heads: Heads, steps: Array, context: Array, cohort: Array) -> Array:
    """Log-odds (heads, rows) that a failure is near, as each head sees it."""
    return jax.vmap(head_log_odds, in_axes=(0, None, None, None))(heads, steps, context, cohort)


def _of_cohort(weights: Array, cohort: Array) -> Array:
    """The weights of each row's cohort, by a product: its gradient is one too, where a look-up's is a slow scatter."""
    return jax.nn.one_hot(cohort, len(weights)) @ weights


def negative_log_likelihood(log_odds: Array, steps: Array) -> Array:
    """Negative log-likelihood (rows, steps) of steps given their log-odds."""
    return jax.nn.softplus(log_odds) - steps * log_odds


def keras_model(config: OrdinalConfig, shape: Expansion, heads: int) -> Model:
    """The network as a Keras model: (steps, context, cohort) to step log-odds and, with heads, failure log-odds.

    Its weights are 0, for others to set: JAX would compile a draw for every shape.
    """
    layers = keras.layers
    dense = partial(layers.Dense, kernel_initializer="zeros")
    embedding = partial(layers.Embedding, embeddings_initializer="zeros")
    steps = keras.Input((shape.steps,), name="steps")
    context = keras.Input((shape.context,), name="context")
    cohort = keras.Input((), dtype="int32", name="cohort")
    inputs = layers.Concatenate(name="inputs")([steps, context])
    decoded = context
    if config.bottleneck:
        hidden = dense(config.units, activation="tanh", name="encoder")(inputs)
        code = dense(config.bottleneck, name="code")(hidden)
        decoded = layers.Concatenate(name="decoder_inputs")([code, context])
    of_drive = dense(shape.steps, name="decoder")(decoded)
    of_cohort = embedding(shape.cohorts, shape.steps, name="cohort_log_odds")(cohort)
    outputs = [layers.Add(name="step_log_odds")([of_drive, of_cohort])]
    opinions = []
    for name in (f"head_{position}" for position in range(heads)):
        of_drive = dense(config.head_units, name=f"{name}_hidden")(inputs)
        of_cohort = embedding(shape.cohorts, config.head_units, name=f"{name}_hidden_cohort")(cohort)
        hidden = layers.Activation("silu", name=f"{name}_silu")(layers.Add(name=f"{name}_sum")([of_drive, of_cohort]))
        opinion = dense(1, name=f"{name}_output")(hidden)
        direct = dense(1, use_bias=False, name=f"{name}_direct")(inputs)
        direct_cohort = embedding(shape.cohorts, 1, name=f"{name}_direct_cohort")(cohort)
        opinions.append(layers.Add(name=name)([opinion, direct, direct_cohort]))
    if heads:
        outputs.append(layers.Concatenate(name="failure_log_odds")(opinions) if heads > 1 else opinions[0])
    return keras.Model([steps, context, cohort], outputs, name=config.type)


def set_weights(model: Model, step_model: StepModel, heads: Heads | None) -> None:
    """Puts trained weights into the Keras model."""
    absent = 0 if step_model.code_bias.size else 2
    for variable, weight in zip(_variables(model, *STEP_LAYERS[absent:]), step_model[2 * absent :], strict=True):
        variable.assign(weight)
    for position in range(0 if heads is None else len(heads.bias)):
        for variable, weights in zip(_head_variables(model, position), heads or (), strict=True):
            variable.assign(weights[position].reshape(variable.shape))


def weights_of(model: Model, config: OrdinalConfig, shape: Expansion, heads: int) -> tuple[StepModel, Heads | None]:
    """The weights in a Keras model, as the pure functions take them."""
    inputs, units = shape.steps + shape.context, config.units
    no_code = [jnp.zeros((inputs, units)), jnp.zeros(units), jnp.zeros((units, 0)), jnp.zeros(0)]
    absent = [] if config.bottleneck else no_code
    step_weights = [variable.value for variable in _variables(model, *STEP_LAYERS[len(absent) // 2 :])]
    step_model = StepModel(*absent, *step_weights)
    if not heads:
        return step_model, None
    kinds = zip(*(_head_variables(model, position) for position in range(heads)), strict=True)
    stacked = [jnp.stack([variable.value for variable in variables]) for variables in kinds]
    return step_model, Heads(*stacked[:3], *(weights[..., 0] for weights in stacked[3:]))


def _variables(model: Model, *layers: str) -> list[Any]:
    return [variable for name in layers for variable in model.get_layer(name).weights]


def _head_variables(model: Model, position: int) -> list[Any]:
    return _variables(model, *(f"head_{position}_{part}" for part in HEAD_LAYERS))


def _glorot(generator: np.random.Generator, width: int, units: int) -> Array:
    limit = np.sqrt(6 / max(width + units, 1))
    return jnp.asarray(generator.uniform(-limit, limit, (width, units)), jnp.float32)
