"""Networks that are no plain reconstructions go through the same loop and the same scoring."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import fit, load_detector, windows_of
from ae_assets.detectors.backend import initial_weights, keras
from ae_assets.detectors.networks.classifiers import (
    BidirectionalLstmClassifierConfig,
    ClassifierConfig,
    ConvolutionalClassifierConfig,
    SpectrogramClassifierConfig,
)
from ae_assets.detectors.networks.layers import Spectrogram
from ae_assets.detectors.networks.network import NetworkConfig, Shape
from ae_assets.detectors.networks.variational import ConditionalVariationalAutoencoderConfig
from ae_assets.detectors.sampling import balanced
from ae_assets.errors import ModelError
from ae_assets.schemas.durations import DAY
from ae_assets_tests.detectors.fleets import NAMES, NETWORKS_OF_OTHER_KINDS, WINDOWED, fleet, split, training_data

CLASSIFIERS = [config for config in NETWORKS_OF_OTHER_KINDS if isinstance(config, ClassifierConfig)]
VARIATIONAL = [config for config in NETWORKS_OF_OTHER_KINDS if config not in CLASSIFIERS]
BY_TYPE = {"ids": lambda config: config.type}


@pytest.mark.parametrize("config", CLASSIFIERS, **BY_TYPE)
def test_a_classifier_learns_from_targets_and_scores_windows_like_them_higher(
    config: ClassifierConfig, tmp_path: Path
) -> None:
    config = config.model_copy(update={"epochs": 10})
    worn = windows_of(fleet(entities=10, seed=1).with_columns(pl.col(NAMES[:3]) + 6), NAMES, config.window)
    healthy = split(config, fleet())
    data = training_data(healthy.train, healthy.validation, worn)
    data.held_out[:] = np.arange(len(data.held_out)) % 4 == 0
    detector = fit(config, data)
    assert detector.learns_from_failures
    assert detector.history.windows_seen == (~data.held_out).sum()
    assert min(detector.history.validation_loss) < 0.9 * detector.history.median_loss
    usual, raised = (
        detector.explain(windows_of(table, NAMES, config.window))
        for table in (fleet(seed=5), fleet(seed=6).with_columns(pl.col(NAMES[:3]) + 6))
    )
    assert (raised.score > np.median(usual.score)).mean() > 0.9
    assert raised.contributions[:, :3].sum() > raised.contributions[:, 3:].sum()
    assert np.isnan(usual.expected).all()
    detector.save(tmp_path)
    again = load_detector(tmp_path).explain(windows_of(fleet(seed=5), NAMES, config.window))
    assert again.score.tobytes() == usual.score.tobytes()


@pytest.mark.parametrize(("in_training", "in_validation"), [(0, 0), (5, 0), (0, 5), (10**6, 5), (5, 10**6)])
def test_a_classifier_needs_both_kinds_of_windows_to_learn_from_and_to_stop_by(
    in_training: int, in_validation: int
) -> None:
    config = CLASSIFIERS[0]
    data = split(config, fleet())
    for held_out, wrong in ((False, in_training), (True, in_validation)):
        data.target[np.flatnonzero(data.held_out == held_out)[:wrong]] = True
    with pytest.raises(ModelError, match="lstm_classifier learns to tell"):
        fit(config, data)


def test_a_classifier_of_chunks_learns_from_fewer_windows_and_is_stored_as_such(tmp_path: Path) -> None:
    chunks = {"epochs": 1, "chunk_step": 4 * DAY, "positive_share": None}
    config = ConvolutionalClassifierConfig(filters=(4,), kernels=(3,), **{**WINDOWED, **chunks})
    data = split(config, fleet(gaps=0))
    rows = data.windows.last_row % 15  # days of each device
    data.target[rows == 1] = True
    detector = fit(config, data)
    assert detector.history.windows_available == 3 * (~data.held_out).sum() // 15
    # Of the chunks that end on the fourth, eighth and twelfth day the first holds the second day.
    share = 1 / 3
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert detector.history.median_loss == pytest.approx(entropy, rel=0.01)
    detector.save(tmp_path)
    assert load_detector(tmp_path).config == config
    with pytest.raises(ModelError, match="window"):
        fit(config.model_copy(update={"chunk_step": 16 * DAY}), data)


@pytest.mark.parametrize(("asked", "share"), [(None, 0.1), (0.3, 0.3)])
def test_the_constant_answer_of_a_classifier_knows_the_share_of_windows_with_a_target(
    asked: float | None, share: float
) -> None:
    config = CLASSIFIERS[0].model_copy(update={"epochs": 1, "positive_share": asked})
    data = split(config, fleet())
    for held_out in (False, True):
        side = np.flatnonzero(data.held_out == held_out)
        data.target[side[: len(side) // 10]] = True
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert fit(config, data).history.median_loss == pytest.approx(entropy, rel=0.05)


@pytest.mark.parametrize(
    ("positive", "of", "share", "repeated"), [(10, 100, 0.5, 90), (60, 100, 0.5, 60), (0, 9, 0.5, 0)]
)
def test_windows_with_a_target_are_repeated_up_to_their_share(
    positive: int, of: int, share: float, repeated: int
) -> None:
    target = np.arange(of) < positive
    drawn = balanced(target, share, np.random.default_rng(0))
    assert target[drawn].sum() == repeated
    assert sorted(set(drawn.tolist())) == list(range(of))
    times = np.bincount(drawn)[:positive]
    assert not positive or np.ptp(times) <= 1


@pytest.mark.parametrize("config", VARIATIONAL, **BY_TYPE)
def test_a_network_that_draws_beats_the_median_and_scores_without_drawing(
    config: NetworkConfig, tmp_path: Path
) -> None:
    detector = fit(config.model_copy(update={"epochs": 15}), split(config, fleet()))
    assert min(detector.history.validation_loss) < 0.9 * detector.history.median_loss
    windows = windows_of(fleet(seed=5), NAMES, config.window)
    scores = detector.explain(windows)
    assert scores.score.tobytes() == detector.score(windows).tobytes()
    detector.save(tmp_path)
    assert load_detector(tmp_path).score(windows).tobytes() == scores.score.tobytes()


def test_a_conditional_network_says_something_else_of_the_same_values_in_another_cohort() -> None:
    config = next(config for config in VARIATIONAL if isinstance(config, ConditionalVariationalAutoencoderConfig))
    shifted = pl.when(pl.col("cohort") == "even").then(pl.col(NAMES[0]) + 4).otherwise(pl.col(NAMES[0]))
    longer = config.model_copy(update={"epochs": 10})
    detector = fit(longer, split(longer, fleet().with_columns(shifted)))
    table = fleet(seed=5)
    even, odd = (
        detector.explain(windows_of(table.with_columns(cohort=pl.lit(name)), NAMES, config.window))
        .expected[:, 0]
        .mean()
        for name in ("even", "odd")
    )
    assert even > odd + 1


@pytest.mark.parametrize("config", [CLASSIFIERS[0], VARIATIONAL[0]], **BY_TYPE)
def test_the_same_seed_trains_the_same_network(config: NetworkConfig) -> None:
    quick = config.model_copy(update={"epochs": 1})
    worn = windows_of(fleet(entities=10, seed=1).with_columns(pl.col(NAMES[:3]) + 6), NAMES, config.window)
    healthy = split(quick, fleet())
    first, again = (fit(quick, training_data(healthy.train, healthy.validation, worn)) for _ in range(2))
    assert first.history.train_loss == again.history.train_loss


def test_the_fully_convolutional_network_has_the_parameters_of_the_paper() -> None:
    features, layers = 6, ((8, 128), (5, 256), (3, 128))
    width, expected = 2 * features, 128 + 1  # with what is known beside the values; the last layer
    for kernel, filters in layers:
        expected += width * kernel * filters + filters + 2 * filters  # kernel, bias; scale and shift of a batch
        width = filters
    model = ConvolutionalClassifierConfig().build(Shape(features, 1, 60))
    assert sum(int(np.prod(part.shape)) for part in model.trainable_variables) == expected


def test_a_bidirectional_network_reads_both_ways() -> None:
    model = BidirectionalLstmClassifierConfig(units=(8,)).build(Shape(3, 1, 5))
    assert [layer.output.shape[-1] for layer in model.layers if isinstance(layer, keras.layers.Bidirectional)] == [16]


WITH_BATCH_STATISTICS = [
    ConvolutionalClassifierConfig(filters=(4, 3), kernels=(4, 3)),
    SpectrogramClassifierConfig(frame=4),
]


def answered(model: keras.Model, *given: Any, training: bool) -> tuple[Any, list[Any]]:
    """What a model answers and carries along, compiled at once instead of operation by operation."""
    return jax.jit(partial(model.stateless_call, training=training))(*given)


@pytest.mark.parametrize("config", WITH_BATCH_STATISTICS, **BY_TYPE)
def test_filling_is_no_part_of_what_a_batch_is_normalised_by(config: ClassifierConfig) -> None:
    random = np.random.default_rng(0)
    model = config.build(Shape(2, 1, 6))
    weights = initial_weights(model, 0)
    carried = [variable.value for variable in model.non_trainable_variables]
    values = random.normal(3, 1, (8, 6, 2)).astype(np.float32)

    def after_a_step(filling: int) -> tuple[np.ndarray, list[np.ndarray]]:
        filled, recorded = np.zeros((8 + filling, 6, 2), np.float32), np.arange(8 + filling) < 8
        filled[:8] = values
        known, steps = np.ones_like(filled) * recorded[:, None, None], np.repeat(recorded[:, None], 6, axis=1)
        outputs, after = answered(model, weights, carried, [filled, known, steps], training=True)
        return np.asarray(outputs)[:8], [np.asarray(part) for part in after]

    (alone, expected), (beside, received) = after_a_step(0), after_a_step(24)
    np.testing.assert_allclose(alone, beside, atol=1e-5)
    for one, other in zip(expected, received, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert any(np.abs(part).max() > 1e-3 for part in expected)


@pytest.mark.parametrize("training", [False, True])
def test_a_window_of_few_records_is_to_a_convolution_as_one_of_so_many_steps(training: bool) -> None:
    config = WITH_BATCH_STATISTICS[0]
    values = np.random.default_rng(0).normal(2, 1, (5, 3, 2)).astype(np.float32)
    answers = []
    for steps in (3, 9):
        model = config.build(Shape(2, 1, steps))
        padded = np.pad(values, ((0, 0), (steps - 3, 0), (0, 0)))
        recorded = np.repeat(np.arange(steps)[None] >= steps - 3, 5, axis=0)
        known = np.ones_like(padded) * recorded[:, :, None]
        carried = [variable.value + 0.5 for variable in model.non_trainable_variables]
        inputs = [padded, known.astype(np.float32), recorded]
        answers.append(answered(model, initial_weights(model, 0), carried, inputs, training=training)[0])
    np.testing.assert_allclose(*answers, atol=1e-5)


def test_a_spectrogram_shows_a_wave_at_its_frequency() -> None:
    steps = np.arange(64)
    waves = np.stack([np.sin(2 * np.pi * steps / 4), np.sin(2 * np.pi * steps / 8)], axis=1)[None]
    image = np.asarray(Spectrogram(16)(jnp.asarray(waves, jnp.float32)))
    assert image.shape == (1, 9, 9, 2)
    assert image.mean(axis=1)[0].argmax(axis=0).tolist() == [4, 2]


@pytest.mark.parametrize("frame", [2, 5, 16])
@pytest.mark.parametrize("steps", [1, 2, 16, 20, 24])
def test_frames_of_a_spectrogram_end_around_the_scored_record(steps: int, frame: int) -> None:
    values = np.random.default_rng(0).normal(size=(1, steps, 1)).astype(np.float32)
    image = np.asarray(Spectrogram(frame)(jnp.asarray(values)))[0, :, :, 0]
    half, wide = frame // 2, np.pad(values[0, :, 0], frame)
    middles = np.arange(frame + steps - 1, frame - half, -half)[::-1]
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    expected = [
        np.log1p(np.abs(np.fft.rfft(shape * wide[middle - half : middle - half + frame])) ** 2) for middle in middles
    ]
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_a_spectrogram_classifier_takes_a_window_of_one_record() -> None:
    model = SpectrogramClassifierConfig(window=None).build(Shape(2, 1, 1))
    inputs = [np.ones((3, 1, 2), np.float32)] * 2
    assert model([*inputs, np.ones((3, 1), bool)]).shape == (3,)
