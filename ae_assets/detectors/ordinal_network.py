"""The network of the ordinal model: a Keras model for the file, and the same arithmetic as pure functions.

Step model: context and cohort give the log-odds of every step; with a bottleneck a code does as well, which steps and
context give through a hidden layer. Heads: steps, context and cohort give the
log-odds that a failure is near, one number per head.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model, keras
from ae_assets.detectors.config import OrdinalConfig
from ae_assets.detectors.ordinal_coding import CodedFeature, Coding

Array = jax.Array


class Shape(NamedTuple):
    """Widths of a network's inputs: steps, columns of context, cohorts (the unknown one included)."""

    steps: int
    context: int
    cohorts: int

    @classmethod
    def of(cls, coding: Coding) -> "Shape":
        """The widths that a coding makes."""
        steps, context = (sum(len(feature.ranks) for feature in part) for part in (coding.counters, coding.context))
        return cls(steps, context, len(coding.cohorts) + 1)


class Expansion:
    """Turns codes into the steps and the context that they stand for."""

    def __init__(self, coding: Coding) -> None:
        """Lays out the columns: for each step the position of its feature and its rank."""
        self.steps = _columns(coding, coding.counters)
        self.context = _columns(coding, coding.context)

    def __call__(self, codes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Steps (rows, K) and context (rows, context width) of codes (rows, coded features), as float32."""
        return _expanded(codes, *self.steps), _expanded(codes, *self.context)


def _columns(coding: Coding, features: tuple[CodedFeature, ...]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    ranks = [(coding.features.index(feature), rank) for feature in features for rank in feature.ranks]
    position, rank = zip(*ranks, strict=True) if ranks else ((), ())
    return np.array(position, np.int32), np.array(rank, np.int8)


def _expanded(codes: jax.Array, position: NDArray[np.int32], rank: NDArray[np.int8]) -> jax.Array:
    taken = codes[:, position]
    return jnp.where(rank > 0, taken >= rank, taken <= rank).astype(jnp.float32)


class StepModel(NamedTuple):
    """Weights of the step model; the encoder's are empty where the bottleneck is 0."""

    hidden_kernel: Array
    hidden_bias: Array
    code_kernel: Array
    code_bias: Array
    decoder_kernel: Array
    decoder_bias: Array
    cohort: Array


class Heads(NamedTuple):
    """Weights of all heads, stacked on the leading axis."""

    hidden_kernel: Array
    hidden_bias: Array
    hidden_cohort: Array
    output_kernel: Array
    direct_kernel: Array
    direct_cohort: Array
    bias: Array


def initial_step_model(
    config: OrdinalConfig, shape: Shape, frequency: NDArray[np.float64], generator: np.random.Generator
) -> StepModel:
    """Weights to start from: every step as frequent as in training, whatever the drive.

    Args:
        config: widths.
        shape: widths of the inputs.
        frequency: share of healthy training rows that reach each step (K,), inside (0, 1).
        generator: draws the kernels.
    """
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


def initial_heads(config: OrdinalConfig, shape: Shape, generator: np.random.Generator) -> Heads:
    """Weights to start from: random hidden layers, nothing known of cohorts."""
    inputs, units, heads = shape.steps + shape.context, config.head_units, config.heads
    return Heads(
        hidden_kernel=jnp.stack([_glorot(generator, inputs, units) for _ in range(heads)]),
        hidden_bias=jnp.zeros((heads, units)),
        hidden_cohort=jnp.zeros((heads, shape.cohorts, units)),
        output_kernel=jnp.stack([_glorot(generator, units, 1)[:, 0] for _ in range(heads)]),
        direct_kernel=jnp.zeros((heads, inputs)),
        direct_cohort=jnp.zeros((heads, shape.cohorts)),
        bias=jnp.zeros(heads),
    )


def step_log_odds(weights: StepModel, steps: Array, context: Array, cohort: Array) -> Array:
    """Log-odds (rows, K) that a healthy drive-day has each step set.

    Args:
        weights: of the step model.
        steps: float32 (rows, K).
        context: float32 (rows, context width).
        cohort: int32 (rows,).
    """
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
    """Negative log-likelihood (rows, K) of steps given their log-odds."""
    return jax.nn.softplus(log_odds) - steps * log_odds


def keras_model(config: OrdinalConfig, shape: Shape, heads: int) -> Model:
    """The network as a Keras model: (steps, context, cohort) to step log-odds and, with heads, failure log-odds."""
    steps = keras.Input((shape.steps,), name="steps")
    context = keras.Input((shape.context,), name="context")
    cohort = keras.Input((), dtype="int32", name="cohort")
    inputs = keras.layers.Concatenate(name="inputs")([steps, context])
    decoded = context
    if config.bottleneck:
        hidden = keras.layers.Dense(config.units, activation="tanh", name="encoder")(inputs)
        code = keras.layers.Dense(config.bottleneck, name="code")(hidden)
        decoded = keras.layers.Concatenate(name="decoder_inputs")([code, context])
    of_drive = keras.layers.Dense(shape.steps, name="decoder")(decoded)
    of_cohort = keras.layers.Embedding(shape.cohorts, shape.steps, name="cohort_log_odds")(cohort)
    outputs = [keras.layers.Add(name="step_log_odds")([of_drive, of_cohort])]
    opinions = [_head(inputs, cohort, config, shape, position) for position in range(heads)]
    if opinions:
        together = keras.layers.Concatenate(name="failure_log_odds")(opinions) if heads > 1 else opinions[0]
        outputs.append(together)
    return keras.Model([steps, context, cohort], outputs, name=config.type)


def set_weights(model: Model, step_model: StepModel, heads: Heads | None) -> None:
    """Puts trained weights into the Keras model."""
    for name, weights in _by_layer(step_model, heads).items():
        model.get_layer(name).set_weights([np.asarray(weight) for weight in weights])


def weights_of(model: Model, config: OrdinalConfig, shape: Shape, heads: int) -> tuple[StepModel, Heads | None]:
    """The weights in a Keras model, as the pure functions take them."""

    def layer(name: str) -> list[Array]:
        return [jnp.asarray(weight) for weight in model.get_layer(name).get_weights()]

    inputs = shape.steps + shape.context
    no_code = [jnp.zeros((inputs, config.units)), jnp.zeros(config.units), jnp.zeros((config.units, 0)), jnp.zeros(0)]
    encoder = [*layer("encoder"), *layer("code")] if config.bottleneck else no_code
    step_model = StepModel(*encoder, *layer("decoder"), *layer("cohort_log_odds"))
    if not heads:
        return step_model, None
    single = []
    for position in range(heads):
        hidden_kernel, hidden_bias = layer(f"head_{position}_hidden")
        (hidden_cohort,) = layer(f"head_{position}_hidden_cohort")
        output_kernel, bias = layer(f"head_{position}_output")
        (direct_kernel,) = layer(f"head_{position}_direct")
        (direct_cohort,) = layer(f"head_{position}_direct_cohort")
        parts = (hidden_kernel, hidden_bias, hidden_cohort, output_kernel[:, 0])
        single.append(Heads(*parts, direct_kernel[:, 0], direct_cohort[:, 0], bias[0]))
    return step_model, Heads(*(jnp.stack(parts) for parts in zip(*single, strict=True)))


def _head(
    inputs: keras.KerasTensor, cohort: keras.KerasTensor, config: OrdinalConfig, shape: Shape, position: int
) -> keras.KerasTensor:
    name = f"head_{position}"
    layers = keras.layers
    of_drive = layers.Dense(config.head_units, name=f"{name}_hidden")(inputs)
    of_cohort = layers.Embedding(shape.cohorts, config.head_units, name=f"{name}_hidden_cohort")(cohort)
    hidden = layers.Activation("silu", name=f"{name}_silu")(layers.Add(name=f"{name}_sum")([of_drive, of_cohort]))
    opinion = layers.Dense(1, name=f"{name}_output")(hidden)
    direct = layers.Dense(1, use_bias=False, name=f"{name}_direct")(inputs)
    direct_cohort = layers.Embedding(shape.cohorts, 1, name=f"{name}_direct_cohort")(cohort)
    return layers.Add(name=name)([opinion, direct, direct_cohort])


def _by_layer(step_model: StepModel, heads: Heads | None) -> dict[str, list[Array]]:
    layers = {
        "decoder": [step_model.decoder_kernel, step_model.decoder_bias],
        "cohort_log_odds": [step_model.cohort],
    }
    if step_model.code_bias.size:
        layers["encoder"] = [step_model.hidden_kernel, step_model.hidden_bias]
        layers["code"] = [step_model.code_kernel, step_model.code_bias]
    for position in range(0 if heads is None else len(heads.bias)):
        head = jax.tree.map(lambda weight, position=position: weight[position], heads)
        layers |= {
            f"head_{position}_hidden": [head.hidden_kernel, head.hidden_bias],
            f"head_{position}_hidden_cohort": [head.hidden_cohort],
            f"head_{position}_output": [head.output_kernel[:, None], head.bias[None]],
            f"head_{position}_direct": [head.direct_kernel[:, None]],
            f"head_{position}_direct_cohort": [head.direct_cohort[:, None]],
        }
    return layers


def _glorot(generator: np.random.Generator, width: int, units: int) -> Array:
    limit = np.sqrt(6 / max(width + units, 1))
    return jnp.asarray(generator.uniform(-limit, limit, (width, units)), jnp.float32)
