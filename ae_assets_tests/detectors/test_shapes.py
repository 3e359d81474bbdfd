"""The networks of docs/networks.md: each block is a detector that learns, and scores alike in any block."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from ae_assets.detectors import fit, windows_of
from ae_assets.detectors.config import DetectorConfig
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.network import Shape
from ae_assets_tests.detectors.fleets import NAMES, fleet, split, training_data

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
BLOCKS = [yaml.safe_load(block)["detector"] for block in re.findall(r"```yaml\n(.+?)```", PAGE.read_text(), re.DOTALL)]
QUICK = {"epochs": 6, "batch_size": 32, "learning_rate": 0.01, "dropout": 0.0}
WIDE = 100
CASES = [
    pytest.param(
        block,
        id=f"{number}_{block['type']}",
        marks=[pytest.mark.slow] if "window" in str(block) or max(block.get("units", [0])) > WIDE else [],
    )
    for number, block in enumerate(BLOCKS)
    if block["type"] not in {"convolutional_classifier", "matrix_profile"}
]
"""Networks of a window, in an ensemble too, take long to compile, wide ones long to fit; smaller ones of their kind are
fitted in test_contract.py, and of the largest the parameters are counted in test_other_networks.py. The matrix profile
looks at the shape of more records than there are here: test_matrix_profile.py."""


def config_of(block: dict[str, Any]) -> DetectorConfig:
    return TypeAdapter[DetectorConfig](DetectorConfig).validate_python(block)


def test_the_page_names_every_network() -> None:
    from ae_assets.detectors.config import DETECTOR_KINDS

    networks = {name for name, where in DETECTOR_KINDS.own.items() if ".networks." in where}
    assert networks - {"lstm_classifier"} <= {block["type"] for block in BLOCKS}


@pytest.mark.parametrize("block", CASES)
def test_a_shape_of_the_page_learns_and_scores_a_window_alike_in_any_block(block: dict[str, Any]) -> None:
    asked = config_of(block)
    config = asked.model_copy(update={key: value for key, value in QUICK.items() if key in type(asked).model_fields})
    healthy = split(config, fleet())
    worn = windows_of(fleet(entities=10, seed=1).with_columns(pl.col(NAMES[:3]) + 6), NAMES, config.window)
    detector = fit(config, training_data(healthy.train, healthy.validation, worn))
    if detector.history.validation_loss:
        assert min(detector.history.validation_loss) < 0.9 * detector.history.median_loss
    windows = windows_of(fleet(entities=20, seed=5), NAMES, config.window)
    whole, some = detector.explain(windows), np.random.default_rng(0).permutation(len(windows))[:50]
    part = detector.explain(windows.take(some))
    assert whole.score[some].tobytes() == part.score.tobytes()
    assert np.median(detector.score(worn)) > np.median(whole.score)


@pytest.mark.parametrize("scaling", ["robust", "standard"])
def test_a_sigmoid_asks_for_the_scaling_that_it_reaches(scaling: str) -> None:
    with pytest.raises(ValidationError, match="min_max"):
        DenseAutoencoderConfig.model_validate({"output": "sigmoid", "scaling": scaling})


def test_a_sigmoid_lies_between_the_lowest_and_the_highest_of_the_training_values() -> None:
    config = DenseAutoencoderConfig(output="sigmoid", scaling="min_max", units=(4,))
    model = config.build(Shape(3, 1, 1))
    for weight in model.trainable_variables:
        weight.assign(np.full(weight.shape, 50.0))
    ends = [np.asarray(model([np.full((1, 1, 3), value, np.float32)])) for value in (-1, 1)]
    assert np.abs(ends).max() <= 1
    assert np.asarray(ends[1]).min() == pytest.approx(1)


def test_filling_is_no_part_of_what_a_dense_batch_is_normalised_by() -> None:
    model = DenseAutoencoderConfig(batch_normalisation=True, units=(4,)).build(Shape(3, 1, 1))
    carried = [variable.value for variable in model.non_trainable_variables]
    weights = [variable.value for variable in model.trainable_variables]
    values = np.random.default_rng(0).normal(3, 1, (8, 1, 3)).astype(np.float32)
    filled = np.concatenate([values, np.zeros((24, 1, 3), np.float32)])
    answers = [
        jax.jit(lambda *inputs: model.stateless_call(weights, carried, list(inputs), training=True))(
            part, np.arange(len(part))[:, None] < 8
        )
        for part in (values, filled)
    ]
    np.testing.assert_allclose(answers[0][0], answers[1][0][:8], atol=1e-5)
    for one, other in zip(answers[0][1], answers[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
