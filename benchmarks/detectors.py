"""Scoring and training beside Keras' own ``predict`` and ``fit``; on generated windows, with the machine's own rates.

Both sides run in turns within a round and a ratio is the median over the rounds, so that what else the machine does
falls on both. ``predict`` is given scaled arrays that are ready to use and answers reconstructions only; the project's
figure includes scaling, gathering, contributions and expected values.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray

from ae_assets.detectors import TrainingData, TrainingHistory, Windows, fit, windows_of
from ae_assets.detectors.backend import initial_weights
from ae_assets.detectors.base import steps_of
from ae_assets.detectors.config import OrdinalConfig
from ae_assets.detectors.network_detector import FittedNetwork
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.detectors.networks.network import Shape
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.scoring import gather
from ae_assets.detectors.training import Trainer, on_devices, shards_for
from ae_assets.schemas.durations import DAY
from benchmarks.machine import copy_rate
from benchmarks.row import Row, table

FEATURES = 50
NAMES = tuple(f"feature_{number}" for number in range(FEATURES))
HIDDEN_CAUSES = 6
MISSING_SHARE = 0.2
DAYS = 30
ROUNDS = 7
MATRIX_SIDE = 2048
DENSE_PREDICT_BATCHES = (512, 2048, 8192, 32768)
LSTM_PREDICT_BATCHES = (128, 512, 2048)

Config = DenseAutoencoderConfig | LstmAutoencoderConfig

FLAGSHIP = OrdinalConfig(
    counters=tuple(f"counter_{number}" for number in range(12)),
    judged=tuple(f"counter_{number}" for number in range(4)),
)
"""As for drive stats, but for the age, which simulated drives lack."""


def run() -> list[Row]:
    """Measures memory, scoring and training of both autoencoders."""
    dense, lstm = DenseAutoencoderConfig(), LstmAutoencoderConfig()
    return [
        *_memory(dense),
        *_dense_scoring(dense),
        *_lstm_scoring(lstm),
        *_flagship(),
        *_training(dense, windows=20_000, epochs=8),
        *_training(dense.model_copy(update={"batch_size": 64}), windows=10_000, epochs=5),
        *_training(lstm, windows=6_000, epochs=5),
    ]


def fleet(
    entities: int, window: timedelta | None = None, days: int = DAYS, features: int = FEATURES, seed: int = 0
) -> Windows:
    """Windows that end on every row of a fleet whose features follow a few slowly moving causes; a fifth is missing."""
    random = np.random.default_rng(seed)
    causes = random.normal(size=(entities, 1, HIDDEN_CAUSES))
    causes = causes + 0.3 * random.normal(size=(entities, days, HIDDEN_CAUSES)).cumsum(axis=1)
    values = causes @ random.normal(size=(HIDDEN_CAUSES, features)) / np.sqrt(HIDDEN_CAUSES)
    values = (values + 0.1 * random.normal(size=values.shape)).astype(np.float32).reshape(-1, features)
    values[random.random(values.shape, dtype=np.float32) < MISSING_SHARE] = np.nan
    names = [f"feature_{number}" for number in range(features)]
    keys = pl.DataFrame({"entity": [f"E{number:07d}" for number in range(entities)], "cohort": "one"}).join(
        pl.DataFrame({"day": pl.date_range(date(2024, 1, 1), date(2024, 1, days), eager=True)}), how="cross"
    )
    table_of_features = keys.hstack(pl.DataFrame(values, schema=names))
    return windows_of(table_of_features, names, window)


def _untrained(config: Config, windows: Windows) -> FittedNetwork:
    """A detector with initial weights: how fast it scores does not depend on what they are."""
    model = config.build(Shape(windows.values.shape[1], 1, steps_of(config.window, windows.step)))
    model.set_weights(initial_weights(model, config.seed))
    scaler = Scaler.fit(windows.values[:10_000], config, windows.feature_names)
    return FittedNetwork(config, windows.feature_names, TrainingHistory.untrained(), scaler, (), model)


def _memory(config: Config) -> list[Row]:
    windows = fleet(300_000, days=1, features=60)
    detector = _untrained(config, windows)
    process, peak = psutil.Process(), 0
    before = process.memory_info().rss
    with ThreadPoolExecutor(1) as scoring:
        scored = scoring.submit(detector.score, windows)
        while not scored.done():
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.002)
        scored.result()
    extra = (peak - before) / 2**20
    note = "300,000 rows x 60 features, result and compilation included"
    return [Row("dense scoring, extra peak memory", extra, "MiB", "at most 600", extra <= 600, note)]


def _flagship() -> list[Row]:
    """The default detector of drive stats on simulated days as long and wide as the real training range."""
    failing_rows = 6_000
    healthy_rows = 1_500_000
    train, failing = worn_fleet(healthy_rows, 0, 0.02), worn_fleet(failing_rows, 1, 0.7)
    windows = Windows(
        np.concatenate([train.values, failing.values]),
        train.feature_names,
        np.arange(healthy_rows + failing_rows),
        np.concatenate([train.length, failing.length]),
        pl.concat([train.rows, failing.rows]),
    )
    number = np.arange(len(windows))
    data = TrainingData(windows, number >= healthy_rows, number < healthy_rows // 10)
    began = time.perf_counter()
    detector = fit(FLAGSHIP, data)
    seconds = time.perf_counter() - began
    detector.score(data.validation)  # compiles
    rates = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        detector.score(train.take(np.arange(400_000)))
        rates.append(400_000 / (time.perf_counter() - began))
    size = "1,500,000 drive-days x 48 features and 6,000 before a failure"
    rate = median(rates)
    return [
        Row("flagship training", seconds, "s", "at most 300", seconds <= 300, size),
        Row(
            "flagship scoring",
            rate,
            "rows/s",
            "at least 100,000",
            rate >= 100_000,
            "400,000 drive-days, all contributions",
        ),
    ]


def worn_fleet(rows: int, seed: int, raised_share: float) -> Windows:
    """Drive-days with 12 log counters, each with three growths; most counters are 0, as on real drives."""
    random = np.random.default_rng(seed)
    names = tuple(
        f"counter_{n}_{kind}" for n in range(12) for kind in ("level", "growth_1d", "growth_7d", "growth_28d")
    )
    values = np.zeros((rows, len(names)), np.float32)
    for counter in range(12):
        raised = np.flatnonzero(random.random(rows) < raised_share)
        level = random.exponential(3, len(raised))
        for kind in range(4):
            values[raised, 4 * counter + kind] = level * (random.random(len(raised)) < (1, 0.1, 0.3, 0.5)[kind])
    keys = pl.DataFrame(
        {
            "day": pl.repeat(date(2024, 1, 1), rows, eager=True),
            "entity": pl.int_range(rows, eager=True).cast(pl.String),
            "cohort": pl.Series(random.integers(0, 15, rows)).cast(pl.String),
            "label": pl.repeat(0, rows, dtype=pl.Int8, eager=True),
        }
    )
    return Windows(values, names, np.arange(rows), np.ones(rows, np.int32), keys)


def _dense_scoring(config: DenseAutoencoderConfig) -> list[Row]:
    windows = fleet(3_277)
    detector = _untrained(config, windows)
    inputs = _keras_inputs(detector, windows)
    predict = _best_predict(detector, inputs, DENSE_PREDICT_BATCHES)
    left = np.random.default_rng(0).standard_normal((MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32)
    product = np.empty_like(left)
    on_device, multiply = jnp.asarray(left), jax.jit(jnp.matmul)
    seconds = in_turns(
        {
            "numpy": lambda: np.matmul(left, left, out=product),
            "jax": lambda: multiply(on_device, on_device).block_until_ready(),
            "score": lambda: detector.score(windows),
            "predict": predict.run,
        }
    )
    operations = 2 * sum(weight.size for weight in detector.model.get_weights() if weight.ndim == 2)
    numpy_rate, jax_rate = (2 * MATRIX_SIDE**3 / np.array(seconds[name]) for name in ("numpy", "jax"))
    machine = np.maximum(numpy_rate, jax_rate)
    rates = {name: operations * len(windows) / np.array(seconds[name]) for name in ("score", "predict")}
    share = median(rates["score"] / machine)
    of_best = rates["score"].max() / machine.max()
    note = f"of the better of numpy and jax at {MATRIX_SIDE} squared, in the same rounds"
    return [
        Row("memory copy", copy_rate() / 2**30, "GiB/s", note="read and written, one thread"),
        Row("float32 matrix product, numpy", median(numpy_rate) / 1e9, "GFLOP/s"),
        Row("float32 matrix product, jax", median(jax_rate) / 1e9, "GFLOP/s"),
        Row("dense scoring", len(windows) / median(seconds["score"]), "rows/s", note=f"{len(windows)} x {FEATURES}"),
        Row("dense predict", len(windows) / median(seconds["predict"]), "rows/s", note=f"best batch {predict.batch}"),
        Row("dense scoring, share of matrix rate", share, "x", "at least 0.8", share >= 0.8, note),
        Row(
            "dense scoring, share in best rounds",
            of_best,
            "x",
            note="each side's fastest round; shares differ under load",
        ),
        Row("dense predict, share of matrix rate", median(rates["predict"] / machine), "x", note=note),
    ]


def _lstm_scoring(config: LstmAutoencoderConfig) -> list[Row]:
    every_day = fleet(12_000, config.window)
    windows = every_day.take(np.arange(DAYS - 1, len(every_day), DAYS))
    detector = _untrained(config, windows)
    predict = _best_predict(detector, _keras_inputs(detector, windows), LSTM_PREDICT_BATCHES)
    seconds = in_turns({"score": lambda: detector.score(windows), "predict": predict.run})
    ratio = median(np.array(seconds["predict"]) / np.array(seconds["score"]))
    note = f"the last day of {len(windows)} drives x {detector.steps} days x {FEATURES}"
    return [
        Row("lstm scoring", len(windows) / median(seconds["score"]), "windows/s", note=note),
        Row("lstm predict", len(windows) / median(seconds["predict"]), "windows/s", note=f"best batch {predict.batch}"),
        Row("lstm scoring beside predict", ratio, "x", "at least 1.5", ratio >= 1.5),
    ]


def _training(config: Config, windows: int, epochs: int) -> list[Row]:
    """Epochs of both sides in turns, from the same weights, on the same windows, by Adam at its usual rate of 0.001."""
    fleet_windows = fleet(windows // DAYS, config.window)
    scaler = Scaler.fit(fleet_windows.values, config, fleet_windows.feature_names)
    shards, steps, nothing = shards_for(config), steps_of(config.window, DAY), np.zeros(len(fleet_windows), np.int32)
    data = on_devices(fleet_windows, scaler, steps, shards, nothing > 0, nothing)
    model = config.build(Shape(FEATURES, 1, steps))
    trainer, weights = Trainer(config, model, steps, shards), initial_weights(model, config.seed)
    state, key, rate = trainer.initial_state(weights), jax.random.key(config.seed), config.learning_rate
    trainer.epoch(trainer.initial_state(weights), key, rate, data)[1].block_until_ready()

    scaled = fleet_windows.values.copy()
    scaler.apply(scaled)
    inputs, targets = _keras_training_data(scaled, fleet_windows, steps)
    model.compile(optimizer="adam", loss=_masked_mean_squared_error)
    model.fit(inputs, targets, batch_size=config.batch_size, epochs=1, verbose=0)
    model.compile(optimizer="adam", loss=_masked_mean_squared_error)
    model.set_weights(weights)

    seconds: dict[str, list[float]] = {"ours": [], "fit": []}
    loss, history = 0.0, {"loss": [0.0]}
    for epoch in range(epochs):
        began = time.perf_counter()
        history = model.fit(inputs, targets, batch_size=config.batch_size, epochs=1, verbose=0).history
        seconds["fit"].append(time.perf_counter() - began)
        began = time.perf_counter()
        state, of_epoch = trainer.epoch(state, jax.random.fold_in(key, epoch), rate, data)
        loss = float(of_epoch)
        seconds["ours"].append(time.perf_counter() - began)
    # the first fit after compile() compiles again
    ratio = median(np.array(seconds["fit"][1:]) / np.array(seconds["ours"][1:]))
    name = f"{config.type.split('_')[0]}, batch {config.batch_size},"
    note = f"{len(fleet_windows)} windows, {shards} devices, loss {loss:.4f}"
    final = float(history["loss"][-1])
    return [
        Row(f"{name} training", len(fleet_windows) / median(seconds["ours"][1:]), "rows/s", note=note),
        Row(
            f"{name} fit",
            len(fleet_windows) / median(seconds["fit"][1:]),
            "rows/s",
            note=f"loss {final:.4f}, {epochs} epochs",
        ),
        Row(f"{name} training beside fit", ratio, "x", "at least 1.5", ratio >= 1.5),
        Row(f"{name} final loss beside fit", loss / final, "x", "at most 1.05", loss <= 1.05 * final),
    ]


class _Predict:
    """``model.predict`` at one batch size."""

    def __init__(self, detector: FittedNetwork, inputs: Any, batch: int) -> None:
        self.batch = batch
        self.run: Callable[[], Any] = lambda: detector.model.predict(inputs, batch_size=batch, verbose=0)


def _best_predict(detector: FittedNetwork, inputs: Any, batches: tuple[int, ...]) -> _Predict:
    """The fastest batch size; each compiles once, then has two tries."""
    candidates = [_Predict(detector, inputs, batch) for batch in batches]
    for candidate in candidates:
        candidate.run()
    seconds = in_turns({str(candidate.batch): candidate.run for candidate in candidates}, rounds=2, warm=False)
    return min(candidates, key=lambda candidate: min(seconds[str(candidate.batch)]))


def in_turns(
    works: dict[str, Callable[[], Any]],
    rounds: int = ROUNDS,
    warm: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each work in each round, wall seconds unless another clock is read."""
    if warm:
        for work in works.values():
            work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began = clock()
            work()
            seconds[name].append(clock() - began)
    return seconds


def _keras_inputs(detector: FittedNetwork, windows: Windows) -> Any:
    scaled = windows.values.copy()
    detector.scaler.apply(scaled)
    return _keras_training_data(scaled, windows, detector.steps)[0]


def _keras_training_data(scaled: NDArray[np.float32], windows: Windows, steps: int) -> tuple[Any, Any]:
    """Keras' inputs, and targets with NaN where nothing is known."""
    last_row, length = jnp.asarray(windows.last_row), jnp.asarray(windows.length)
    batch = gather(jnp.asarray(scaled), last_row, length, steps)
    values, recorded = np.asarray(batch.values), np.asarray(batch.recorded)
    targets = np.where(np.asarray(batch.known) > 0, values, np.nan)
    return [values] if steps == 1 else [values, recorded], targets


def _masked_mean_squared_error(target: Any, answer: Any) -> Any:
    """The project's loss as Keras takes it."""
    known = jnp.isfinite(target)
    return (jnp.where(known, target - answer, 0) ** 2).sum() / jnp.maximum(known.sum(), 1)


if __name__ == "__main__":
    rows = run()
    print(table(rows))
    sys.exit(int(any(row.met is False for row in rows)))
