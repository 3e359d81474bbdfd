"""The autoencoders: as Keras models, which initialise and save them, and as pure functions, which train and score.

Both forms are one network over one list of weights (a test holds them equal); the functions exist because a jitted
loop of our own is faster than Keras' and can hand back contributions instead of reconstructions.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "jax":
    raise ImportError(
        f"keras is already loaded with the {sys.modules['keras'].backend.backend()} backend, detectors need jax; "
        "set the environment variable KERAS_BACKEND=jax before the first import of keras."
    )
os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.arithmetic import gather
from ae_assets.detectors.compilation import ask_for_host_devices
from ae_assets.detectors.config import DenseAutoencoderConfig, LstmAutoencoderConfig
from ae_assets.errors import ModelError

ask_for_host_devices()

Weights = list[jax.Array]
Model = keras.Model
States = list[tuple[jax.Array, jax.Array]]
"""Hidden and cell state (windows, units) of each LSTM layer."""


class WindowErrors(NamedTuple):
    """What scoring needs of n windows.

    Attributes:
        squared: squared errors of known values, summed over the window's days (n, features).
        known: number of known values (n,).
        answer: the network's answer for the scored day (n, features).
    """

    squared: jax.Array
    known: jax.Array
    answer: jax.Array


@dataclass(frozen=True)
class DenseNetwork:
    """Dense autoencoder; weights are (kernel, bias) per layer."""

    window_days: int = 1

    def reconstruct(self, weights: Weights, values: jax.Array, recorded: jax.Array) -> jax.Array:  # noqa: ARG002 one signature for all networks; the one day of a dense window is always recorded
        """Reconstruction of ``values``, float32 (windows, 1, features)."""
        hidden = values[:, 0]
        layers = list(zip(weights[::2], weights[1::2], strict=True))
        for kernel, bias in layers[:-1]:
            hidden = jax.nn.relu(_product(hidden, kernel) + bias)
        kernel, bias = layers[-1]
        return (_product(hidden, kernel) + bias)[:, None]

    def errors(self, weights: Weights, rows: jax.Array, last_row: jax.Array, length: jax.Array) -> WindowErrors:
        """Errors of windows over scaled rows (rows, features) with NaN = missing; see ``arithmetic.gather``."""
        values, weight, recorded = gather(rows, last_row, length, self.window_days)
        # the barrier keeps the sums below out of the fused network, which XLA then runs faster
        answer = jax.lax.optimization_barrier(self.reconstruct(weights, values, recorded))  # type: ignore[no-untyped-call]  # JAX leaves it untyped
        squared = weight * (values - answer) ** 2
        return WindowErrors(squared.sum(axis=1), weight.sum(axis=(1, 2)), answer[:, -1])


@dataclass(frozen=True)
class LstmNetwork:
    """LSTM autoencoder; weights are (kernel, recurrent kernel, bias) per LSTM layer, then (kernel, bias) at the end."""

    encoder_layers: int
    decoder_layers: int
    window_days: int

    def reconstruct(self, weights: Weights, values: jax.Array, recorded: jax.Array) -> jax.Array:
        """Reconstruction of ``values``.

        Args:
            weights: in the order of the Keras model.
            values: float32 (windows, days, features), no NaN.
            recorded: boolean (windows, days); a step that is not recorded leaves every state as it was.

        Returns:
            float32 (windows, days, features); steps that are not recorded hold nothing of meaning.
        """
        layers = [tuple(weights[index : index + 3]) for index in range(0, len(weights) - 2, 3)]
        recorded_by_day = recorded.T[:, :, None]
        sequence = jnp.swapaxes(values, 0, 1)
        for layer in layers[: self.encoder_layers]:
            sequence = _lstm(sequence, recorded_by_day, *layer)
        sequence = jnp.broadcast_to(sequence[-1], sequence.shape)
        for layer in layers[self.encoder_layers :]:
            sequence = _lstm(sequence, recorded_by_day, *layer)
        return jnp.swapaxes(sequence @ weights[-2] + weights[-1], 0, 1)

    def errors(self, weights: Weights, rows: jax.Array, last_row: jax.Array, length: jax.Array) -> WindowErrors:
        """Errors of windows over scaled rows (rows, features) with NaN = missing; see ``arithmetic.gather``.

        All layers advance together day by day, so that nothing of a window but its states and sums is held: that
        stays in cache, where the sequences that :meth:`reconstruct` builds for the gradient do not.
        """
        layers = [_stacked(*weights[index : index + 3]) for index in range(0, len(weights) - 2, 3)]
        encoder, decoder = layers[: self.encoder_layers], layers[self.encoder_layers :]
        kernel, bias = weights[-2:]
        ages = jnp.arange(self.window_days - 1, -1, -1)

        def day_of(age: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            present = (age < length)[:, None]
            values = rows[jnp.maximum(last_row - age, 0)]
            known = jnp.isfinite(values) & present
            return jnp.where(known, values, 0), known, present

        def encode(states: States, age: jax.Array) -> tuple[States, None]:
            values, _, present = day_of(age)
            return _advance(encoder, states, values, present), None

        def decode(carry: tuple[States, WindowErrors], age: jax.Array) -> tuple[tuple[States, WindowErrors], None]:
            states, sums = carry
            values, known, present = day_of(age)
            states = _advance(decoder, states, code, present)
            answer = states[-1][0] @ kernel + bias
            squared = sums.squared + jnp.where(known, (values - answer) ** 2, 0)
            return (states, WindowErrors(squared, sums.known + known.sum(axis=1), answer)), None

        windows, width = len(last_row), rows.shape[1]
        states, _ = jax.lax.scan(encode, _rest(encoder, windows), ages)
        code = states[-1][0]
        nothing = jnp.zeros((windows, width))
        sums = WindowErrors(nothing, jnp.zeros(windows, jnp.int32), nothing)
        (_, sums), _ = jax.lax.scan(decode, (_rest(decoder, windows), sums), ages)
        return sums


Network = DenseNetwork | LstmNetwork


def padded(weights: Weights, width: int) -> Weights:
    """The weights of a network for ``width`` features of which those added at the end are 0 in and 0 out.

    Matrix products whose width is a multiple of the vector registers run up to twice as fast. The added weights have
    no gradient where the added features have weight 0 in the loss, and stay 0 in training.
    """
    more = width - weights[-1].shape[0]
    first = jnp.pad(weights[0], ((0, more), (0, 0)))
    return [first, *weights[1:-2], jnp.pad(weights[-2], ((0, 0), (0, more))), jnp.pad(weights[-1], (0, more))]


def unpadded(weights: Weights, width: int) -> Weights:
    """Undoes :func:`padded` for a network of ``width`` features."""
    return [weights[0][:width], *weights[1:-2], weights[-2][:, :width], weights[-1][:width]]


@jax.custom_vjp
def _product(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """``inputs @ kernel``, whose gradient for the kernel transposes the inputs first.

    XLA on CPU multiplies a transposed left side at little more than half the speed; the barrier keeps it from folding
    the transposition into the product.
    """
    return inputs @ kernel


def _product_forward(inputs: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return inputs @ kernel, (inputs, kernel)


def _product_backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = kept
    transposed: jax.Array = jax.lax.optimization_barrier(inputs.T)  # type: ignore[no-untyped-call]  # JAX leaves it untyped
    return gradient @ kernel.T, transposed @ gradient


_product.defvjp(_product_forward, _product_backward)


LstmKept = tuple[jax.Array, ...]


@jax.custom_vjp
def _lstm(
    inputs: jax.Array, recorded: jax.Array, kernel: jax.Array, recurrent: jax.Array, bias: jax.Array
) -> jax.Array:
    """Hidden states of one LSTM layer (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    The gradient is written out for one reason: the gradients of the weights are sums over days, which JAX takes as
    one small product per day inside the loop; here each is one large product after it.

    Args:
        inputs: float32 (days, windows, width).
        recorded: boolean (days, windows, 1); the state passes a step that is not recorded unchanged.
        kernel: (width, 4 * units), gates in Keras' order: input, forget, candidate, output.
        recurrent: (units, 4 * units).
        bias: (4 * units,).

    Returns:
        float32 (days, windows, units).
    """
    return _lstm_forward(inputs, recorded, kernel, recurrent, bias)[0]


def _lstm_forward(
    inputs: jax.Array, recorded: jax.Array, kernel: jax.Array, recurrent: jax.Array, bias: jax.Array
) -> tuple[jax.Array, LstmKept]:
    units = recurrent.shape[0]
    slope = _gate_slope(units)
    state = jnp.zeros((inputs.shape[1], units), inputs.dtype)

    def step(
        carry: tuple[jax.Array, jax.Array], day: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
        hidden, cell = carry
        drive, present = day
        activation = jnp.tanh((drive + hidden @ recurrent) * slope)
        entry, forget, candidate, output = _gates(activation, units)
        new_cell = forget * cell + entry * candidate
        new_hidden = jnp.where(present, output * jnp.tanh(new_cell), hidden)
        new_cell = jnp.where(present, new_cell, cell)
        return (new_hidden, new_cell), (new_hidden, new_cell, activation)

    _, (hiddens, cells, activations) = jax.lax.scan(step, (state, state), (inputs @ kernel + bias, recorded))
    return hiddens, (inputs, recorded, kernel, recurrent, hiddens, cells, activations)


def _lstm_backward(kept: LstmKept, gradient: jax.Array) -> tuple[jax.Array, None, jax.Array, jax.Array, jax.Array]:
    inputs, recorded, kernel, recurrent, hiddens, cells, activations = kept
    units = recurrent.shape[0]
    state = jnp.zeros_like(hiddens[:1])
    hiddens_before = jnp.concatenate([state, hiddens[:-1]])
    cells_before = jnp.concatenate([state, cells[:-1]])

    def step(
        carry: tuple[jax.Array, jax.Array], day: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        of_hidden, of_cell = carry
        of_output, present, cell_before, cell, activation = day
        of_hidden = of_hidden + of_output
        entry, forget, candidate, output = _gates(activation, units)
        squashed = jnp.tanh(cell)
        of_new_cell = of_cell + of_hidden * output * (1 - squashed * squashed)
        of_drive = jnp.concatenate(
            [
                of_new_cell * candidate * entry * (1 - entry),
                of_new_cell * cell_before * forget * (1 - forget),
                of_new_cell * entry * (1 - candidate * candidate),
                of_hidden * squashed * output * (1 - output),
            ],
            axis=1,
        )
        of_drive = jnp.where(present, of_drive, 0)
        before = (
            jnp.where(present, of_drive @ recurrent.T, of_hidden),
            jnp.where(present, of_new_cell * forget, of_cell),
        )
        return before, of_drive

    days = (gradient, recorded, cells_before, cells, activations)
    _, of_drives = jax.lax.scan(step, (state[0], state[0]), days, reverse=True)
    flat = of_drives.reshape(-1, 4 * units)
    of_kernel = inputs.reshape(-1, inputs.shape[-1]).T @ flat
    of_recurrent = hiddens_before.reshape(-1, units).T @ flat
    return of_drives @ kernel.T, None, of_kernel, of_recurrent, flat.sum(axis=0)


_lstm.defvjp(_lstm_forward, _lstm_backward)


def _stacked(kernel: jax.Array, recurrent: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Kernel over the joined (inputs, hidden state), and bias, both with the slope of the gates worked in."""
    slope = _gate_slope(recurrent.shape[0])
    return jnp.concatenate([kernel, recurrent]) * slope, bias * slope


def _rest(layers: list[tuple[jax.Array, jax.Array]], windows: int) -> States:
    """States before the first day."""
    return [(jnp.zeros((windows, len(bias) // 4)), jnp.zeros((windows, len(bias) // 4))) for _, bias in layers]


def _advance(
    layers: list[tuple[jax.Array, jax.Array]], states: States, inputs: jax.Array, present: jax.Array
) -> States:
    """States of all layers one day later; those of windows without a record on the day stay as they are."""
    after: States = []
    for (kernel, bias), (hidden, cell) in zip(layers, states, strict=True):
        activation = jnp.tanh(jnp.concatenate([inputs, hidden], axis=1) @ kernel + bias)
        entry, forget, candidate, output = _gates(activation, len(bias) // 4)
        new_cell = forget * cell + entry * candidate
        inputs = jnp.where(present, output * jnp.tanh(new_cell), hidden)
        after.append((inputs, jnp.where(present, new_cell, cell)))
    return after


def _gate_slope(units: int) -> jax.Array:
    """Factor before the tanh: a sigmoid is ``tanh(x / 2) / 2 + 1 / 2``, so that one tanh serves all four gates."""
    half = jnp.full(units, 0.5)
    return jnp.concatenate([half, half, jnp.ones(units), half])


def _gates(activation: jax.Array, units: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Input gate, forget gate, candidate and output gate from the common tanh (windows, 4 * units)."""
    entry, forget, candidate, output = (activation[:, gate * units : (gate + 1) * units] for gate in range(4))
    return 0.5 * entry + 0.5, 0.5 * forget + 0.5, candidate, 0.5 * output + 0.5


def network_of(config: DenseAutoencoderConfig | LstmAutoencoderConfig) -> Network:
    """The pure functions of the config's network."""
    if isinstance(config, DenseAutoencoderConfig):
        return DenseNetwork()
    return LstmNetwork(len(config.encoder_units), len(config.decoder_units), config.window_days)


def build_model(config: DenseAutoencoderConfig | LstmAutoencoderConfig, features: int) -> keras.Model:
    """The config's network as a Keras model, with weights yet to be set.

    A dense model maps (windows, features) to the same shape. An LSTM model maps ``values`` (windows, days, features)
    and ``recorded`` (windows, days), the mask of steps that hold a record, to (windows, days, features).
    """
    if isinstance(config, DenseAutoencoderConfig):
        return _dense_model(config, features)
    return _lstm_model(config, features)


def initial_weights(config: DenseAutoencoderConfig | LstmAutoencoderConfig, features: int) -> list[NDArray[np.float32]]:
    """Weights to start training from, by the config's seed, in the order of the Keras model.

    The distributions are Keras' defaults: kernels uniform after Glorot and Bengio (2010), recurrent kernels orthogonal,
    biases 0 but 1 for the forget gate. They are drawn by NumPy because JAX would compile a draw for every shape.
    """
    generator = np.random.default_rng(config.seed)
    weights: list[NDArray[np.float32]] = []
    width = features
    if isinstance(config, DenseAutoencoderConfig):
        for units in config.units:
            weights += [_glorot(generator, width, units), np.zeros(units, np.float32)]
            width = units
    else:
        for units in (*config.encoder_units, *config.decoder_units):
            bias = np.repeat(np.array([0, 1, 0, 0], np.float32), units)
            weights += [_glorot(generator, width, 4 * units), _orthogonal(generator, units, 4 * units), bias]
            width = units
    return [*weights, _glorot(generator, width, features), np.zeros(features, np.float32)]


def _glorot(generator: np.random.Generator, width: int, units: int) -> NDArray[np.float32]:
    limit = np.sqrt(6 / (width + units))
    return generator.uniform(-limit, limit, (width, units)).astype(np.float32)


def _orthogonal(generator: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    """Orthonormal rows, uniformly distributed; needs rows <= columns."""
    factor, triangle = np.linalg.qr(generator.normal(size=(columns, rows)))
    return (factor * np.sign(np.diag(triangle))).T.astype(np.float32)


def load_model(path: Path, like: keras.Model) -> keras.Model:
    """Loads a ``.keras`` file without running anything that it may hold beside layers and weights.

    Raises:
        ModelError: the file is missing, Keras cannot load it, or its weights have other shapes than those of ``like``.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; the model version is incomplete: train it again.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded by Keras {keras.__version__} in safe mode: {error}") from error
    received, expected = ([tuple(weight.shape) for weight in network.weights] for network in (model, like))
    if received != expected:
        raise ModelError(
            f"{path} holds weights of shapes {received}, but preprocessing.json beside it asks for {expected}; the two "
            "files are not of one model version."
        )
    return model


def _dense_model(config: DenseAutoencoderConfig, features: int) -> keras.Model:
    values = keras.Input((features,), name="values")
    hidden = values
    for units in config.units:
        hidden = keras.layers.Dense(units, activation="relu", kernel_initializer="zeros")(hidden)
    return keras.Model(values, keras.layers.Dense(features, kernel_initializer="zeros")(hidden), name=config.type)


def _lstm_model(config: LstmAutoencoderConfig, features: int) -> keras.Model:
    values = keras.Input((config.window_days, features), name="values")
    recorded = keras.Input((config.window_days,), dtype="bool", name="recorded")
    hidden = values
    for position, units in enumerate((*config.encoder_units, *config.decoder_units)):
        if position == len(config.encoder_units):
            hidden = keras.layers.RepeatVector(config.window_days)(hidden)
        hidden = keras.layers.LSTM(
            units,
            return_sequences=position != len(config.encoder_units) - 1,
            kernel_initializer="zeros",
            recurrent_initializer="zeros",
        )(hidden, mask=recorded)
    output = keras.layers.Dense(features, kernel_initializer="zeros")(hidden)
    return keras.Model([values, recorded], output, name=config.type)
