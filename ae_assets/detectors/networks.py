"""The autoencoders: as Keras models, which initialise and save them, and as pure functions, which train and score.

Both forms are one network over one list of weights (a test holds them equal); the functions exist because a jitted
loop of our own is faster than Keras' and can hand back contributions instead of reconstructions.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "jax":
    raise ImportError(
        f"keras is already loaded with the {sys.modules['keras'].backend.backend()} backend, detectors need jax; "
        "set the environment variable KERAS_BACKEND=jax before the first import of keras."
    )
os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras  # type: ignore[import-untyped]  # keras ships no types

from ae_assets.detectors.config import DenseAutoencoderConfig, LstmAutoencoderConfig
from ae_assets.errors import ModelError

Weights = list[jax.Array]
Model = keras.Model


@dataclass(frozen=True)
class DenseNetwork:
    """Dense autoencoder; weights are (kernel, bias) per layer."""

    window_days: int = 1

    def reconstruct(self, weights: Weights, values: jax.Array, recorded: jax.Array) -> jax.Array:
        """Reconstruction of ``values``, float32 (windows, 1, features); every record counts, so no mask is needed."""
        hidden = values[:, 0]
        layers = list(zip(weights[::2], weights[1::2], strict=True))
        for kernel, bias in layers[:-1]:
            hidden = jax.nn.relu(hidden @ kernel + bias)
        kernel, bias = layers[-1]
        return (hidden @ kernel + bias)[:, None]


@dataclass(frozen=True)
class LstmNetwork:
    """LSTM autoencoder; weights are (kernel, recurrent kernel, bias) per LSTM layer, then kernel, bias of the output."""

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
            sequence = _lstm(sequence, recorded_by_day, layer)
        sequence = jnp.broadcast_to(sequence[-1], sequence.shape)
        for layer in layers[self.encoder_layers :]:
            sequence = _lstm(sequence, recorded_by_day, layer)
        return jnp.swapaxes(sequence @ weights[-2] + weights[-1], 0, 1)


Network = DenseNetwork | LstmNetwork


def _lstm(inputs: jax.Array, recorded: jax.Array, layer: tuple[jax.Array, ...]) -> jax.Array:
    """Hidden states (days, windows, units) of one LSTM layer over inputs (days, windows, width)."""
    kernel, recurrent, bias = layer
    state = jnp.zeros((inputs.shape[1], recurrent.shape[0]), inputs.dtype)

    def step(
        carry: tuple[jax.Array, jax.Array], day: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        hidden, cell = carry
        drive, present = day
        entry, forget, candidate, output = jnp.split(drive + hidden @ recurrent, 4, axis=-1)
        new_cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(entry) * jnp.tanh(candidate)
        new_hidden = jax.nn.sigmoid(output) * jnp.tanh(new_cell)
        kept = (jnp.where(present, new_hidden, hidden), jnp.where(present, new_cell, cell))
        return kept, kept[0]

    return jax.lax.scan(step, (state, state), (inputs @ kernel + bias, recorded))[1]


def network_of(config: DenseAutoencoderConfig | LstmAutoencoderConfig) -> Network:
    """The pure functions of the config's network."""
    if isinstance(config, DenseAutoencoderConfig):
        return DenseNetwork()
    return LstmNetwork(len(config.encoder_units), len(config.decoder_units), config.window_days)


def build_model(config: DenseAutoencoderConfig | LstmAutoencoderConfig, features: int) -> keras.Model:
    """The config's network as a Keras model with initial weights by seed.

    A dense model maps (windows, features) to the same shape. An LSTM model maps ``values`` (windows, days, features)
    and ``recorded`` (windows, days), the mask of steps that hold a record, to (windows, days, features).
    """
    if isinstance(config, DenseAutoencoderConfig):
        return _dense_model(config, features)
    return _lstm_model(config, features)


def load_model(path: Path) -> keras.Model:
    """Loads a ``.keras`` file without running anything that it may hold beside layers and weights.

    Raises:
        ModelError: the file is missing or Keras cannot load it.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; the model version is incomplete: train it again.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded by Keras {keras.__version__} in safe mode: {error}") from error


def _dense_model(config: DenseAutoencoderConfig, features: int) -> keras.Model:
    values = keras.Input((features,), name="values")
    hidden = values
    for position, units in enumerate(config.units):
        hidden = keras.layers.Dense(units, activation="relu", kernel_initializer=_glorot(config.seed, position))(hidden)
    output = keras.layers.Dense(features, kernel_initializer=_glorot(config.seed, len(config.units)))(hidden)
    return keras.Model(values, output, name=config.type)


def _lstm_model(config: LstmAutoencoderConfig, features: int) -> keras.Model:
    values = keras.Input((config.window_days, features), name="values")
    recorded = keras.Input((config.window_days,), dtype="bool", name="recorded")
    all_units = (*config.encoder_units, *config.decoder_units)
    hidden = values
    for position, units in enumerate(all_units):
        if position == len(config.encoder_units):
            hidden = keras.layers.RepeatVector(config.window_days)(hidden)
        hidden = keras.layers.LSTM(
            units,
            return_sequences=position != len(config.encoder_units) - 1,
            kernel_initializer=_glorot(config.seed, position),
            recurrent_initializer=keras.initializers.Orthogonal(seed=_layer_seed(config.seed, position) + 1),
        )(hidden, mask=recorded)
    output = keras.layers.Dense(features, kernel_initializer=_glorot(config.seed, len(all_units)))(hidden)
    return keras.Model([values, recorded], output, name=config.type)


def _glorot(seed: int, position: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=_layer_seed(seed, position))


def _layer_seed(seed: int, position: int) -> int:
    """A seed of its own for each layer, so that layers of one shape do not start equal."""
    return seed * 1000 + position * 2
