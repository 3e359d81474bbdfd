"""Any scikit-learn-like estimator as a detector: fitted here, scored by its own method, stored as its training sample.

Nothing but pickle stores the estimators of every library, and a pickle runs what it holds. So a model version keeps the
sample with its scores: loading fits the estimator again, and refuses one that now scores otherwise.
"""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.base import Scores
from ae_assets.detectors.baseline import Arrays, ScaledBaseline
from ae_assets.detectors.config import KNOWN_LIBRARIES, EstimatorConfig
from ae_assets.errors import ModelError

PROBES = 10
"""Rows of the sample that are scored alone, to tell whether that changes their scores."""

TOLERANCE = 1e-4
"""Largest difference of two scores that count as equal, as a share of the scores' standard deviation."""

EXPLAINED_FROM = 0.98
"""Quantile of the training scores from which a score is explained by what it loses without each feature."""

RawScore = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""From scaled rows (rows, used) to scores (rows,) of which higher is more anomalous."""


class FittedEstimator(ScaledBaseline):
    """A fitted estimator.

    The score is the estimator's, turned so that higher is more anomalous, minus the lowest of the training sample. A
    high one is shared out among the features in proportion to what it loses when each is put to its training median; a
    usual one, which nobody asks about, in proportion to how far the features lie from their medians.

    The arrays are ``sample`` float32 (rows, used), scaled, and ``scores`` float64 (rows,) of the sample.
    """

    config: EstimatorConfig
    block = 16384
    workers = 1  # an estimator of any library need not allow several threads

    def __init__(self, config: Any, feature_names: tuple[str, ...], used: tuple[str, ...], arrays: Arrays) -> None:
        """Fits the estimator on the sample, again where its scores are there already.

        Raises:
            ModelError: the class cannot be imported, fitted or asked for scores, or scores a row by the rows beside it,
                or scores the sample otherwise than it did.
        """
        super().__init__(config, feature_names, used, arrays)
        sample = arrays["sample"]
        self.raw_score = _fitted(config, sample)
        scores = self.raw_score(sample)
        if "scores" not in arrays:
            _require_rows_by_themselves(config, self.raw_score, sample, scores)
            self.arrays = {**arrays, "scores": scores}
        elif not _close(scores, arrays["scores"], arrays["scores"]):
            raise ModelError(
                f"{config.class_path} scores its training sample otherwise than when it was trained: its library has "
                "changed, or it draws numbers that no option fixes; train it again."
            )
        self.lowest, self.high = self.arrays["scores"].min(), np.quantile(self.arrays["scores"], EXPLAINED_FROM)

    @classmethod
    def learn_scaled(cls, _config: EstimatorConfig, scaled: NDArray[np.float32]) -> Arrays:
        return {"sample": scaled}

    @classmethod
    def load(cls, config: EstimatorConfig, directory: Path, record: dict[str, Any]) -> Self:
        """As every baseline; refuses a class of a package that a file alone does not make Python import."""
        if config.library not in KNOWN_LIBRARIES and config.module not in sys.modules:
            raise ModelError(
                f"{directory} names {config.class_path}, whose module no YAML in use names and nothing else has "
                f"imported; import {config.module} first."
            )
        return super().load(config, directory, record)

    def judge_scaled(self, scaled: NDArray[np.float32], known: NDArray[np.bool_]) -> Scores:
        raw = self.raw_score(scaled)
        shares = np.abs(scaled).astype(np.float64)
        for column in range(scaled.shape[1]):
            high = np.flatnonzero((raw >= self.high) & known[:, column])
            if len(high):
                without = scaled[high]
                without[:, column] = 0
                shares[high, column] = np.maximum(raw[high] - self.raw_score(without), 0)
        shares[shares.sum(axis=1) == 0] = 1
        score = np.maximum(raw - self.lowest, 0)
        contributions = score[:, None] * shares / shares.sum(axis=1, keepdims=True)
        return Scores(score.astype(np.float32), contributions.astype(np.float32), np.full_like(scaled, np.nan))


def _fitted(config: EstimatorConfig, sample: NDArray[np.float32]) -> RawScore:
    """The estimator's method after a fit on the sample, turned so that higher is more anomalous."""
    try:
        kind = getattr(import_module(config.module), config.name, None)
    except (ImportError, OSError) as error:
        raise ModelError(
            f"{config.module} cannot be imported ({error}); install {config.library} where the model is trained and "
            "used, or correct detector.class."
        ) from error
    if not (isinstance(kind, type) and all(hasattr(kind, method) for method in ("fit", config.method))):
        raise ModelError(f"{config.class_path} is no class with the methods fit and {config.method}.")
    taken = inspect.signature(kind).parameters
    seeds = {name: config.seed for name in ("random_state", "seed") if name in taken}
    try:
        estimator = kind(**{**seeds, **config.options})
        estimator.fit(sample)
        score = getattr(estimator, config.method)
        shape = np.shape(score(sample[:2]))
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{config.class_path} cannot be fitted with the options {config.options}: {error}") from error
    if shape != (len(sample[:2]),):
        raise ModelError(f"{config.class_path}.{config.method} gives {shape} for 2 rows, expected one number a row.")
    sign = 1 if config.higher_is_anomalous else -1
    return lambda rows: sign * np.asarray(score(rows), np.float64)


def _require_rows_by_themselves(
    config: EstimatorConfig, raw_score: RawScore, sample: NDArray[np.float32], scores: NDArray[np.float64]
) -> None:
    """Refuses an estimator whose score of a row depends on the rows beside it."""
    rows = np.linspace(0, len(sample) - 1, PROBES).astype(int)
    alone = np.concatenate([raw_score(sample[row : row + 1]) for row in rows])
    if not _close(alone, scores[rows], scores):
        raise ModelError(
            f"{config.class_path} scores a row by the rows beside it, so that a device's score would change with the "
            "fleet; choose an estimator that judges each row by itself."
        )


def _close(received: NDArray[np.float64], expected: NDArray[np.float64], scores: NDArray[np.float64]) -> bool:
    return bool(np.abs(received - expected).max() <= TOLERANCE * scores.std())
