"""The pure functions and the Keras models are one network."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_assets.detectors import DenseAutoencoderConfig, LstmAutoencoderConfig
from ae_assets.detectors.arithmetic import gather
from ae_assets.detectors.networks import build_model, initial_weights, network_of, padded, unpadded
from ae_assets_tests.detectors.fleets import DENSE, FEATURES, LSTM

Config = DenseAutoencoderConfig | LstmAutoencoderConfig


def windows(days: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    random = np.random.default_rng(1)
    rows = random.normal(size=(60, FEATURES)).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = np.nan
    length = jnp.asarray(random.integers(1, days + 1, 30), jnp.int32)
    return jnp.asarray(rows), jnp.asarray(random.integers(days, 60, 30), jnp.int32), length


def test_the_lstm_of_the_document_has_36191_parameters() -> None:
    assert build_model(LstmAutoencoderConfig(), 127).count_params() == 36_191


def test_the_dense_network_of_the_document_has_the_parameters_of_its_layers() -> None:
    widths = (60, 512, 256, 128, 64, 128, 256, 512, 60)
    expected = sum(width * after + after for width, after in itertools.pairwise(widths))
    assert build_model(DenseAutoencoderConfig(), 60).count_params() == expected


@pytest.mark.parametrize("config", [DENSE, LSTM], ids=lambda config: config.type)
def test_initial_weights_fit_the_keras_model_and_depend_on_the_seed_only(config: Config) -> None:
    first, again = initial_weights(config, FEATURES), initial_weights(config, FEATURES)
    other = initial_weights(config.model_copy(update={"seed": 8}), FEATURES)
    assert [weight.shape for weight in first] == [tuple(part.shape) for part in build_model(config, FEATURES).weights]
    assert all(np.array_equal(left, right) for left, right in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("config", [DENSE, LSTM], ids=lambda config: config.type)
def test_the_functions_answer_what_the_keras_model_answers(config: Config) -> None:
    model, network = build_model(config, FEATURES), network_of(config)
    model.set_weights(initial_weights(config, FEATURES))
    weights = [jnp.asarray(weight) for weight in model.get_weights()]
    rows, last_row, length = windows(config.window_days)
    values, weight, recorded = gather(rows, last_row, length, config.window_days)
    answer = network.reconstruct(weights, values, recorded)
    by_keras = model(values[:, 0])[:, None] if config is DENSE else model([values, recorded])
    present = np.asarray(recorded)
    np.testing.assert_allclose(np.asarray(answer)[present], np.asarray(by_keras)[present], atol=2e-6)
    errors = network.errors(weights, rows, last_row, length)
    squared = (weight * (values - answer) ** 2).sum(axis=1)
    np.testing.assert_allclose(errors.squared, squared, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(errors.answer, answer[:, -1], atol=2e-6)
    np.testing.assert_array_equal(errors.known, weight.sum(axis=(1, 2)))


@pytest.mark.parametrize("config", [DENSE, LSTM], ids=lambda config: config.type)
def test_the_written_gradient_is_that_of_the_keras_model(config: Config) -> None:
    model, network = build_model(config, FEATURES), network_of(config)
    weights = [jnp.asarray(weight) for weight in initial_weights(config, FEATURES)]
    values, weight, recorded = gather(*windows(config.window_days), config.window_days)
    inputs = values[:, 0] if config is DENSE else [values, recorded]

    def loss(weights: list[jax.Array]) -> jax.Array:
        return (weight * (values - network.reconstruct(weights, values, recorded)) ** 2).sum()

    def loss_by_keras(weights: list[jax.Array]) -> jax.Array:
        answer, _ = model.stateless_call(weights, model.non_trainable_variables, inputs)
        return (weight * (values - answer.reshape(values.shape)) ** 2).sum()

    for ours, by_keras in zip(jax.jit(jax.grad(loss))(weights), jax.jit(jax.grad(loss_by_keras))(weights), strict=True):
        np.testing.assert_allclose(ours, by_keras, rtol=1e-4, atol=1e-4 * float(jnp.abs(by_keras).max()))


def test_padding_features_changes_no_answer() -> None:
    weights = [jnp.asarray(weight) for weight in initial_weights(DENSE, FEATURES)]
    values = jnp.asarray(np.random.default_rng(0).normal(size=(5, 1, FEATURES)), jnp.float32)
    recorded = jnp.ones((5, 1), bool)
    wide = network_of(DENSE).reconstruct(padded(weights, 16), jnp.pad(values, ((0, 0), (0, 0), (0, 7))), recorded)
    plain = network_of(DENSE).reconstruct(weights, values, recorded)
    np.testing.assert_allclose(wide[:, :, :FEATURES], plain, atol=1e-6)
    assert not np.asarray(wide[:, :, FEATURES:]).any()
    for before, after in zip(weights, unpadded(padded(weights, 16), FEATURES), strict=True):
        np.testing.assert_array_equal(before, after)
