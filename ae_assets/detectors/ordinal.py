"""The ordinal model: coding, step model and heads tied together, scoring, and the files of a model version."""

import time
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model, load_weights
from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, write_preprocessing
from ae_assets.detectors.compilation import WIDE_VECTORS, compiled
from ae_assets.detectors.config import OrdinalConfig
from ae_assets.detectors.ordinal_coding import CodedFeature, CodedRows, Coding, coded_rows, coding_of
from ae_assets.detectors.ordinal_network import (
    Expansion,
    Heads,
    StepModel,
    failure_log_odds,
    head_log_odds,
    initial_heads,
    initial_step_model,
    keras_model,
    negative_log_likelihood,
    set_weights,
    step_log_odds,
    weights_of,
)
from ae_assets.detectors.ordinal_training import BLOCK, STEPS_OF_AN_EPOCH, OnEpoch, train_heads, train_step_model
from ae_assets.detectors.sampling import require_windows
from ae_assets.detectors.tail import Tail
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.progress import Progress, ProgressSink

MODEL_FILE = "model.keras"
EXPECTED_ABOVE = 0.0
"""Log-odds from which a step is expected: more likely than not."""


class FittedOrdinal(FittedDetector):
    """A trained ordinal model with its coding, its heads and the healthy tails of both."""

    learns_from_failures = True
    config: OrdinalConfig

    def __init__(
        self,
        config: OrdinalConfig,
        feature_names: tuple[str, ...],
        history: TrainingHistory,
        coding: Coding,
        step_model: StepModel,
        heads: Heads | None,
        error_tail: Tail,
        head_tails: tuple[Tail, ...],
    ) -> None:
        """Takes the parts as they are; see :meth:`fit` and :meth:`load`."""
        self.config = config
        self.feature_names = feature_names
        self.history = history
        self.coding = coding
        self.expand = Expansion(coding)
        self.step_model = step_model
        self.heads = heads
        self.error_tail = error_tail
        self.head_tails = head_tails
        self._compiled = compiled(self.score_block, WIDE_VECTORS)

    @classmethod
    def fit(cls, config: OrdinalConfig, data: TrainingData, progress: ProgressSink) -> "FittedOrdinal":
        """Fits coding, step model, heads and tails; see ``detectors.fit``.

        Without ``least_failures`` failed entities there are no heads, and the score is the surprise of the steps alone.
        """
        began = time.perf_counter()
        train, validation = data.train, data.validation
        require_windows(train, "training")
        require_windows(validation, "validation")
        failures = data.failing.keys()["entity"].n_unique()
        sick = data.failing if config.heads and failures >= config.least_failures else None
        coding = coding_of(config, train, sick)
        rows, held_out = coded_rows(coding, train), coded_rows(coding, validation)
        generator = np.random.default_rng(config.seed)
        on_epoch = _reporter(config, progress, trainings=1 if sick is None else 2)
        expand = Expansion(coding)
        start = initial_step_model(config, expand, _frequency(expand, rows), generator)
        step_model, history = train_step_model(start, expand, rows, held_out, config, on_epoch)
        heads = None
        if sick is not None:
            before_failure = coded_rows(coding, sick, sick.weight_per_entity())
            heads = initial_heads(config, expand, generator)
            heads = train_heads(heads, expand, rows, before_failure, config, on_epoch)
        healthy = rows + held_out
        errors, opinions = _raw_scores(expand, _judged(coding), step_model, heads, healthy)
        history = replace(
            history,
            windows_seen=len(train),
            windows_available=len(train),
            validation_windows=len(validation),
            seconds=time.perf_counter() - began,
        )
        error_tail, *head_tails = (Tail.of(values, healthy.weight) for values in (errors, *opinions))
        return cls(config, train.feature_names, history, coding, step_model, heads, error_tail, tuple(head_tails))

    @classmethod
    def load(cls, config: OrdinalConfig, directory: Path, record: dict[str, Any]) -> "FittedOrdinal":
        """Loads what ``save`` wrote; see ``detectors.load_detector``.

        Raises:
            ModelError: the network's file is missing, cannot be read, or does not fit the record.
        """
        coding = Coding.from_json(record["coding"])
        expand = Expansion(coding)
        model = keras_model(config, expand, record["heads"])
        load_weights(directory / MODEL_FILE, model)
        return cls(
            config,
            tuple(record["feature_names"]),
            TrainingHistory.from_json(record["history"]),
            coding,
            *weights_of(model, config, expand, record["heads"]),
            Tail.from_json(record["error_tail"]),
            tuple(Tail.from_json(tail) for tail in record["head_tails"]),
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.coding.features)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Those of the judged counters: where none of them is known the error is 0, which is no sign of health."""
        return tuple(feature.name for feature in self.coding.counters if feature.judged)

    def score(self, windows: Windows) -> NDArray[np.float32]:
        """Scores by the surprise of the set steps plus the surprise of each head's opinion, see the config."""
        return self._of_blocks(windows, 1)[0]

    def explain(self, windows: Windows) -> Scores:
        """The same with its parts, see `score_block`."""
        score, contributions, expected = self._of_blocks(windows, 3)
        # Not within the compiled function: with JAX_DEBUG_NANS nothing that it gives may be NaN.
        counters = {feature.name for feature in self.coding.counters}
        expected[:, [name not in counters for name in self.feature_names]] = np.nan
        return Scores(score, contributions, expected)

    def _of_blocks(self, windows: Windows, sides: int) -> list[NDArray[np.float32]]:
        """The first results of `score_block` of each window. One compiled function serves, so that no bit differs."""
        self.require_fitting(windows)
        rows = coded_rows(self.coding, windows)
        parts: list[list[NDArray[np.float32]]] = [[] for _ in range(sides)]
        for codes, cohort, _ in rows.blocks(BLOCK):
            for side, result in zip(parts, self._compiled(codes, cohort), strict=False):
                side.append(np.asarray(result))
        width = len(self.feature_names)
        shapes = [(0,), (0, width), (0, width)]
        return [
            np.concatenate(side)[rows.row_of] if side else np.empty(shape, np.float32)
            for side, shape in zip(parts, shapes, strict=False)
        ]

    def save(self, directory: Path) -> None:
        """Writes ``model.keras`` and ``preprocessing.json``."""
        write_preprocessing(
            directory,
            self,
            coding=self.coding.to_json(),
            heads=len(self.head_tails),
            error_tail=self.error_tail.to_json(),
            head_tails=[tail.to_json() for tail in self.head_tails],
        )
        self.model().save(directory / MODEL_FILE)

    def model(self) -> Model:
        """The network as a Keras model."""
        model = keras_model(self.config, self.expand, len(self.head_tails))
        set_weights(model, self.step_model, self.heads)
        return model

    def score_block(self, codes: jax.Array, cohort: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Score (rows,), contributions (rows, features) and the values expected on the day (rows, features).

        The surprise of the error is shared out among the features by their part of the error; that of a head by their
        part of what pushes its log-odds up, which is gradient times input (exact where a head is linear). What neither
        explains, such as a cohort that fails often, is put down to the age, or to all features alike without one.
        """
        steps, context = self.expand(codes)
        names, age = self.feature_names, self.config.age
        of_steps = _owners(self.coding.counters, names)
        of_context = _owners(self.coding.context, names)
        unexplained = np.full(len(names), 1 / len(names), np.float32)
        if age is not None:
            unexplained = np.eye(len(names), dtype=np.float32)[names.index(age)]

        def shared(total: jax.Array, parts: jax.Array) -> jax.Array:
            """``total`` (rows,) split as ``parts`` (rows, features) >= 0 are."""
            whole = parts.sum(axis=1, keepdims=True)
            return total[:, None] * jnp.where(whole > 0, parts / jnp.where(whole > 0, whole, 1), unexplained)

        def opinion(head: Heads) -> tuple[jax.Array, jax.Array]:
            failure, pull = jax.vjp(partial(head_log_odds, head, cohort=cohort), steps, context)
            by_step, by_fact = pull(jnp.ones_like(failure))
            return failure, jnp.maximum((by_step * steps) @ of_steps + (by_fact * context) @ of_context, 0)

        log_odds = step_log_odds(self.step_model, steps, context, cohort)
        errors = set_step_errors(log_odds, steps, _judged(self.coding))
        contributions = shared(self.error_tail(errors.sum(axis=1)), errors @ of_steps)
        if self.heads is not None:
            for tail, failure, pushes in zip(self.head_tails, *jax.vmap(opinion)(self.heads), strict=True):
                contributions += shared(tail(failure), pushes)
        return contributions.sum(axis=1), contributions, _expected(log_odds, self.coding, names)


def set_step_errors(log_odds: jax.Array, steps: jax.Array, judged: NDArray[np.bool_]) -> jax.Array:
    """One-sided error (rows, steps): the negative log-likelihood of the judged steps that are set, 0 for the others."""
    return negative_log_likelihood(log_odds, steps) * steps * judged


def _reporter(config: OrdinalConfig, progress: ProgressSink, trainings: int) -> OnEpoch:
    """Tells the progress over the epochs of all trainings."""
    began, numbers = time.perf_counter(), count(1)

    def on_epoch(loss: float) -> None:
        number = next(numbers)
        note = f"validation loss {loss:.4f}" if np.isfinite(loss) else "score heads"
        rows = number * STEPS_OF_AN_EPOCH * config.batch_size
        seconds = time.perf_counter() - began
        progress(Progress(f"training {config.type}", number, trainings * config.epochs, "epochs", rows, seconds, note))

    return on_epoch


def _expected(log_odds: jax.Array, coding: Coding, feature_names: tuple[str, ...]) -> jax.Array:
    """The highest bound of each feature that is expected to be passed, 0 where none is and for features not coded."""
    bounds = [feature.bounds[rank - 1] if rank > 0 else 0 for feature in coding.counters for rank in feature.ranks]
    passed = jnp.where(log_odds > EXPECTED_ABOVE, np.array(bounds, np.float32), 0)
    ends = np.cumsum([len(feature.ranks) for feature in coding.counters]).tolist()
    steps_of = {
        feature.name: slice(end - len(feature.ranks), end) for feature, end in zip(coding.counters, ends, strict=True)
    }
    own = [passed[:, steps_of.get(name, slice(0))] for name in feature_names]
    return jnp.stack([bounds.max(axis=1, initial=0) for bounds in own], axis=1)


def _owners(features: tuple[CodedFeature, ...], feature_names: tuple[str, ...]) -> NDArray[np.float32]:
    """Which feature each step is put down to (steps, features): its own, a missing level to its missing flag."""
    owners = []
    for feature in features:
        flag = f"{feature.name.removesuffix('_level')}_missing"
        blamed = flag if feature.kind == "missing" and flag in feature_names else feature.name
        owners += [feature_names.index(blamed)] * len(feature.ranks)
    return np.eye(len(feature_names), dtype=np.float32)[owners]


def _judged(coding: Coding) -> NDArray[np.bool_]:
    """Which steps count as error (steps,): those passed upwards by judged counters."""
    return np.array([feature.judged and rank > 0 for feature in coding.counters for rank in feature.ranks])


def _frequency(expand: Expansion, rows: CodedRows) -> NDArray[np.float64]:
    """Share of the rows that reach each step (steps,), a little inside 0 and 1."""
    count: NDArray[np.float64] = np.zeros(expand.steps)
    for codes, _, weight in rows.blocks(BLOCK):
        count += np.asarray(expand(jnp.asarray(codes))[0]).T.astype(np.float64) @ weight
    return np.asarray((count + 0.5) / (rows.weight.sum() + 1))


def _raw_scores(
    expand: Expansion, judged: NDArray[np.bool_], step_model: StepModel, heads: Heads | None, rows: CodedRows
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Error (rows,) and failure log-odds (heads, rows) of coded rows."""

    @jax.jit
    def of_block(codes: jax.Array, cohort: jax.Array) -> tuple[jax.Array, jax.Array]:
        steps, context = expand(codes)
        errors = set_step_errors(step_log_odds(step_model, steps, context, cohort), steps, judged).sum(axis=1)
        if heads is None:
            return errors, jnp.zeros((0, len(errors)))
        return errors, failure_log_odds(heads, steps, context, cohort)

    parts = [of_block(codes, cohort) for codes, cohort, _ in rows.blocks(BLOCK)]
    errors, opinions = (np.concatenate([np.asarray(part[side]) for part in parts], axis=-1) for side in (0, 1))
    return errors[: len(rows)].astype(np.float64), opinions[:, : len(rows)].astype(np.float64)
