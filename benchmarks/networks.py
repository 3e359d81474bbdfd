"""Every network beside Keras' own ``fit`` and ``predict`` on the same Keras model, loss and windows.

Both sides run in turns, and a ratio is that of the fewest seconds of each: on a CPU those of the processor, which
hardly depend on what else the machine does and say nothing of how well work is spread over cores; on an accelerator,
which works while the processor waits, those of the clock. What ``predict`` is given is scaled and
gathered before, and it answers the model's outputs alone; scoring includes scaling, gathering, contributions and
expected values, which a classifier needs a gradient for.
"""

import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_assets.detectors import TrainingHistory, Windows
from ae_assets.detectors.backend import initial_weights, keras
from ae_assets.detectors.base import steps_of
from ae_assets.detectors.network_detector import FittedNetwork
from ae_assets.detectors.networks.classifiers import (
    BidirectionalLstmClassifierConfig,
    ConvolutionalClassifierConfig,
    LstmClassifierConfig,
    SpectrogramClassifierConfig,
)
from ae_assets.detectors.networks.convolutional import ConvolutionalAutoencoderConfig
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.detectors.networks.network import Batch, NetworkConfig, Shape
from ae_assets.detectors.networks.variational import (
    ConditionalVariationalAutoencoderConfig,
    LstmVariationalAutoencoderConfig,
    VariationalAutoencoderConfig,
)
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.scoring import gather
from ae_assets.detectors.training import Trainer, on_devices, shards_for
from ae_assets.schemas.durations import DAY
from benchmarks.detectors import DAYS, FEATURES, MATRIX_SIDE, fleet, in_turns
from benchmarks.row import Row, table

EPOCHS, ROUNDS = 3, 5
ENTITIES, WIDE = 300, {"convolutional classifier": 76, "spectrogram classifier": 76}
"""Whose last ten windows are used, nearly whole batches; fewer for networks with many operations."""

COHORTS = 1

CLOCK = time.process_time if jax.default_backend() == "cpu" else time.perf_counter

NETWORKS: dict[str, NetworkConfig] = {
    "dense": DenseAutoencoderConfig(),
    "convolutional": ConvolutionalAutoencoderConfig(),
    "variational": VariationalAutoencoderConfig(window=20 * DAY),
    "conditional variational": ConditionalVariationalAutoencoderConfig(window=20 * DAY),
    "lstm": LstmAutoencoderConfig(),
    "lstm variational": LstmVariationalAutoencoderConfig(),
    "lstm classifier": LstmClassifierConfig(),
    "bidirectional lstm classifier": BidirectionalLstmClassifierConfig(),
    "convolutional classifier": ConvolutionalClassifierConfig(),
    "spectrogram classifier": SpectrogramClassifierConfig(),
}
OF_MATRIX_RATE = {"convolutional", "variational", "conditional variational"}
"""Whose scoring is held against the machine's matrix product."""


def run() -> list[Row]:
    """Measures training and scoring of every network."""
    return [row for name, config in NETWORKS.items() for row in (_training(name, config), *_scoring(name, config))]


class _Reference(keras.Model):  # type: ignore[misc]  # keras has no annotations
    """The network's model with its loss for ``fit``."""

    network: NetworkConfig

    def compute_loss(self, _: Any, y: Any, y_pred: Any, *__: Any) -> Any:
        total, weight = self.network.loss(y_pred, Batch(*y))
        return total / jnp.maximum(weight, 1)


def _model(config: NetworkConfig) -> _Reference:
    built = config.build(Shape(FEATURES, COHORTS + 1, steps_of(config.window, DAY)))
    model = _Reference(built.inputs, built.outputs if len(built.outputs) > 1 else built.outputs[0])
    model.network = config
    return model


def _windows(config: NetworkConfig, entities: int) -> tuple[Windows, np.ndarray, np.ndarray, Scaler]:
    """Windows of the last days, which are whole, a tenth of them with a target, of one cohort."""
    every = fleet(entities, config.window)
    windows = every.take(np.flatnonzero(np.arange(len(every)) % DAYS >= DAYS - 10))
    target = np.random.default_rng(0).random(len(windows)) < 0.1
    scaler = Scaler.fit(windows.values, config, windows.feature_names)
    return windows, target, np.full(len(windows), COHORTS, np.int32), scaler


def _batch(windows: Windows, target: np.ndarray, cohort: np.ndarray, scaler: Scaler, steps: int) -> Batch:
    """All windows at once, as Keras takes them."""
    scaled = windows.values.copy()
    scaler.apply(scaled)
    given = jnp.asarray(scaled), jnp.asarray(windows.last_row), jnp.asarray(windows.length)
    batch = gather(*given, steps, target=jnp.asarray(target, jnp.float32), cohort=jnp.asarray(cohort))
    return Batch(*(np.asarray(part) for part in batch))  # type: ignore[arg-type]  # as NumPy arrays


def _training(name: str, config: NetworkConfig) -> Row:
    """Epochs of both sides in turns, from the same weights."""
    windows, target, cohort, scaler = _windows(config, WIDE.get(name, ENTITIES))
    steps, shards, model = steps_of(config.window, DAY), shards_for(config), _model(config)
    data = on_devices(windows, scaler, steps, shards, target, cohort)
    trainer, weights = Trainer(config, model, steps, shards), initial_weights(model, config.seed)
    batch = _batch(windows, target, cohort, scaler, steps)
    inputs, answers = [np.asarray(part) for part in config.inputs(batch)], tuple(batch)
    state, key = trainer.initial_state(weights), jax.random.key(config.seed)
    for variable, weight in zip(model.trainable_variables, weights, strict=True):
        variable.assign(weight)
    model.compile(optimizer="adam")
    seconds: dict[str, list[float]] = {"ours": [], "fit": []}
    loss = fitted = 0.0
    for epoch in range(EPOCHS + 2):  # both compile in the first, fit once more in the second
        began = CLOCK()
        history = model.fit(inputs, answers, batch_size=config.batch_size, epochs=1, verbose=0).history
        seconds["fit"].append(CLOCK() - began)
        fitted = history["loss"][-1]
        began = CLOCK()
        state, of_epoch = trainer.epoch(state, jax.random.fold_in(key, epoch), config.learning_rate, data)
        loss = float(of_epoch)
        seconds["ours"].append(CLOCK() - began)
    ours, keras_own = (min(seconds[side][2:]) for side in ("ours", "fit"))
    ratio = keras_own / ours
    note = f"{len(windows) / ours:,.0f} windows of {steps} steps a second, loss {loss:.4f} beside {fitted:.4f}"
    return Row(f"{name} training beside fit", ratio, "x", "at least 1.5", ratio >= 1.5, note)


def _scoring(name: str, config: NetworkConfig) -> list[Row]:
    windows, target, cohort, scaler = _windows(config, WIDE.get(name, ENTITIES))
    model, steps = _model(config), steps_of(config.window, DAY)
    for variable, weight in zip(model.trainable_variables, initial_weights(model, config.seed), strict=True):
        variable.assign(weight)
    detector = FittedNetwork(config, windows.feature_names, TrainingHistory.untrained(), scaler, ("one",), model)
    batch = _batch(windows, target, cohort, scaler, steps)
    inputs = [np.asarray(part) for part in config.inputs(batch)]
    left = jnp.asarray(np.random.default_rng(0).standard_normal((MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32))
    multiply = jax.jit(jnp.matmul)
    works = {
        "score": lambda: detector.score(windows),
        "predict": lambda: model.predict(inputs, batch_size=512, verbose=0),
        "matrix": lambda: multiply(left, left).block_until_ready(),
    }
    seconds = {work: min(measured) for work, measured in in_turns(works, ROUNDS, clock=CLOCK).items()}
    beside = seconds["predict"] / seconds["score"]
    share = _operations(model, inputs) / seconds["score"] / (2 * MATRIX_SIDE**3 / seconds["matrix"])
    recurrent = config.loops_over_steps
    rate = f"{len(windows) / seconds['score']:,.0f} windows a second"
    of_matrix = name in OF_MATRIX_RATE
    return [
        Row(
            f"{name} scoring beside predict",
            beside,
            "x",
            "at least 1.5" if recurrent else "",
            beside >= 1.5 if recurrent else None,
            rate,
        ),
        Row(
            f"{name} scoring, share of matrix rate",
            share,
            "x",
            "at least 0.5" if of_matrix else "",
            share >= 0.5 if of_matrix else None,
        ),
    ]


def _operations(model: Any, inputs: list[np.ndarray]) -> float:
    """Floating point operations of the model's answer to all inputs, as XLA counts them."""
    variables = model.trainable_variables, model.non_trainable_variables
    weights, carried = ([jnp.asarray(variable.value) for variable in some] for some in variables)
    first = [part[:1] for part in inputs]
    lowered = jax.jit(lambda given: model.stateless_call(weights, carried, given, training=False)[0]).lower(first)
    counted = lowered.cost_analysis()
    if not counted or "flops" not in counted:  # as on a GPU, where XLA counts what it has compiled
        counted = lowered.compile().cost_analysis()
    return float((counted or {})["flops"]) * len(inputs[0])


if __name__ == "__main__":
    rows = run()
    print(table(rows))
    sys.exit(int(any(row.met is False for row in rows)))
