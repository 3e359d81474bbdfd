"""The LSTM autoencoder's verdict by hand: all layers advance together day by day.

Nothing of a window but its states and sums is held then, which stays in cache, where Keras' layers hand on whole
sequences; scoring is about a third faster (docs/results.md). A test holds the two equal.
"""

import jax
import jax.numpy as jnp

from ae_assets.detectors.networks.network import Batch, Verdict

Layer = tuple[jax.Array, jax.Array]
"""Kernel over the joined (inputs, hidden state), and bias."""

States = list[tuple[jax.Array, jax.Array]]
"""Hidden and cell state (windows, units) of each layer."""


def verdict(weights: list[jax.Array], encoder_layers: int, batch: Batch) -> Verdict:
    """Mean squared errors by feature, and the answer for the scored record.

    The weights are (kernel, recurrent kernel, bias) of each LSTM layer, then (kernel, bias) of the output layer.
    """
    layers = [_stacked(*weights[index : index + 3]) for index in range(0, len(weights) - 2, 3)]
    encoder, decoder = layers[:encoder_layers], layers[encoder_layers:]
    kernel, bias = weights[-2:]
    windows = len(batch.values)
    by_day = [jnp.swapaxes(part, 0, 1) for part in (batch.values, batch.known, batch.recorded[:, :, None])]

    def encode(states: States, day: list[jax.Array]) -> tuple[States, None]:
        values, _, present = day
        return _advance(encoder, states, values, present), None

    states, _ = jax.lax.scan(encode, _rest(encoder, windows), by_day)
    code = states[-1][0]

    def decode(
        carry: tuple[States, jax.Array, jax.Array], day: list[jax.Array]
    ) -> tuple[tuple[States, jax.Array, jax.Array], None]:
        states, squared, _ = carry
        values, known, present = day
        states = _advance(decoder, states, code, present)
        answer = states[-1][0] @ kernel + bias
        return (states, squared + known * (values - answer) ** 2, answer), None

    nothing = jnp.zeros_like(batch.values[:, 0])
    (_, squared, answer), _ = jax.lax.scan(decode, (_rest(decoder, windows), nothing, nothing), by_day)
    return Verdict(squared / jnp.maximum(batch.known.sum(axis=(1, 2)), 1)[:, None], answer)


def _stacked(kernel: jax.Array, recurrent: jax.Array, bias: jax.Array) -> Layer:
    """One kernel for inputs and hidden state, with the slope of the gates worked in.

    A sigmoid is ``tanh(x / 2) / 2 + 1 / 2``, so that one tanh serves all four gates.
    """
    half = jnp.full(recurrent.shape[0], 0.5)
    slope = jnp.concatenate([half, half, jnp.ones_like(half), half])
    return jnp.concatenate([kernel, recurrent]) * slope, bias * slope


def _rest(layers: list[Layer], windows: int) -> States:
    """States before the first day."""
    return [(jnp.zeros((windows, len(bias) // 4)), jnp.zeros((windows, len(bias) // 4))) for _, bias in layers]


def _advance(layers: list[Layer], states: States, inputs: jax.Array, present: jax.Array) -> States:
    """States of all layers one day later; those of windows without a record on the day stay as they are."""
    after: States = []
    for (kernel, bias), (hidden, cell) in zip(layers, states, strict=True):
        activation = jnp.tanh(jnp.concatenate([inputs, hidden], axis=1) @ kernel + bias)
        entry, forget, candidate, output = jnp.split(activation, 4, axis=1)
        new_cell = (0.5 * forget + 0.5) * cell + (0.5 * entry + 0.5) * candidate
        inputs = jnp.where(present, (0.5 * output + 0.5) * jnp.tanh(new_cell), hidden)
        after.append((inputs, jnp.where(present, new_cell, cell)))
    return after
