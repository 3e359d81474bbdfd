"""The networks' Keras models, and what of them is computed by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_assets.detectors.backend import initial_weights, keras
from ae_assets.detectors.networks.convolutional import ConvolutionalAutoencoderConfig
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.detectors.networks.network import Answer, Batch, NetworkConfig, ReconstructionConfig, Shape
from ae_assets.detectors.scoring import gather
from ae_assets_tests.detectors.fleets import CONVOLUTIONAL, DENSE, FEATURES, LSTM

NETWORKS = pytest.mark.parametrize("config", [DENSE, LSTM, CONVOLUTIONAL], ids=lambda config: config.type)
SHAPE = Shape(FEATURES, 1, 6)


def windows(steps: int) -> Batch:
    random = np.random.default_rng(1)
    rows = random.normal(size=(60, FEATURES)).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = np.nan
    length = jnp.asarray(random.integers(1, steps + 1, 30), jnp.int32)
    return gather(jnp.asarray(rows), jnp.asarray(random.integers(steps, 60, 30), jnp.int32), length, steps)


def steps_seen(config: NetworkConfig) -> int:
    return 1 if config.window is None else SHAPE.steps


def answer_of(config: NetworkConfig) -> Answer:
    model = config.build(SHAPE)
    weights = [jnp.asarray(weight) for weight in initial_weights(model, config.seed)]
    carried = [variable.value for variable in model.non_trainable_variables]
    return Answer(lambda batch: model.stateless_call(weights, carried, config.inputs(batch))[0], weights)


def test_the_lstm_of_the_document_has_36191_parameters() -> None:
    assert LstmAutoencoderConfig().build(Shape(127, 1, 20)).count_params() == 36_191


def test_the_dense_network_of_the_document_has_the_parameters_of_its_layers() -> None:
    widths = (60, 512, 256, 128, 64, 128, 256, 512, 60)
    expected = sum(width * after + after for width, after in itertools.pairwise(widths))
    assert DenseAutoencoderConfig().build(Shape(60, 1, 1)).count_params() == expected


@pytest.mark.parametrize("days", [1, 2, 5, 20])
def test_a_convolutional_network_answers_as_many_days_as_it_is_given(days: int) -> None:
    model = ConvolutionalAutoencoderConfig().build(Shape(FEATURES, 1, days))
    assert model.output_shape == (None, days, FEATURES)


@NETWORKS
def test_initial_weights_fit_the_keras_model_and_depend_on_the_seed_only(config: NetworkConfig) -> None:
    model = config.build(SHAPE)
    first, again, other = (initial_weights(model, seed) for seed in (7, 7, 8))
    assert [weight.shape for weight in first] == [tuple(part.shape) for part in model.trainable_variables]
    assert all(np.array_equal(left, right) for left, right in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_initial_weights_are_distributed_as_those_of_keras() -> None:
    width, units = 40, 30
    model = keras.Sequential([keras.Input((None, width)), keras.layers.LSTM(units), keras.layers.Dense(units)])
    kernel, recurrent, bias, dense, of_dense = initial_weights(model, 3)
    for weight, fans in ((kernel, width + 4 * units), (dense, 2 * units)):
        assert np.abs(weight).max() == pytest.approx(np.sqrt(6 / fans), rel=0.01)
        assert weight.std() == pytest.approx(np.sqrt(2 / fans), rel=0.05)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(units), atol=1e-5)
    assert bias.tolist() == [0.0] * units + [1.0] * units + [0.0] * 2 * units  # the forget gate is open
    assert not of_dense.any()


def test_the_lstms_verdict_by_hand_is_that_of_the_keras_model() -> None:
    batch, answer = windows(SHAPE.steps), answer_of(LSTM)
    by_hand, by_keras = LSTM.verdict(answer, batch), ReconstructionConfig.verdict(LSTM, answer, batch)
    np.testing.assert_allclose(by_hand.contributions, by_keras.contributions, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_hand.expected, by_keras.expected, atol=2e-6)


@NETWORKS
def test_what_is_unknown_counts_for_nothing(config: ReconstructionConfig) -> None:
    batch, answer = windows(steps_seen(config)), answer_of(config)
    outputs = answer(batch)
    total, weight = config.loss(outputs, batch)
    wild = jnp.where(batch.known > 0, outputs, 1e3)
    assert float(config.loss(wild, batch)[0]) == pytest.approx(float(total))
    assert float(weight) == float(batch.known.sum())
    filling = jax.tree.map(jnp.zeros_like, batch)
    assert [float(part) for part in config.loss(answer(filling), filling)] == [0, 0]


def test_a_share_to_drop_out_adds_dropout_after_each_hidden_layer() -> None:
    for config, layers in ((DENSE, 3), (LSTM, 4), (CONVOLUTIONAL, 4)):
        dropping = config.model_copy(update={"dropout": 0.5}).build(SHAPE)
        assert sum(isinstance(layer, keras.layers.Dropout) for layer in dropping.layers) == layers
        assert not any(isinstance(layer, keras.layers.Dropout) for layer in config.build(SHAPE).layers)
