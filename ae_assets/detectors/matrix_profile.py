"""Left matrix profile: how unlike the last records are to any that the device had before, whatever their level.

Yeh et al. 2016 (Matrix Profile I), looking back alone: z-normalised Euclidean distance to the nearest neighbour. A
score is a function of its window, which the profile of a whole series would not be: what it is unlike to is what the
window holds, and no record after the scored one is looked at.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ae_assets.detectors.base import FittedDetector, Scores, TrainingHistory, steps_of, write_preprocessing
from ae_assets.detectors.baseline import training_sample
from ae_assets.detectors.config import MatrixProfileConfig
from ae_assets.detectors.windows import TrainingData, Windows
from ae_assets.errors import ModelError
from ae_assets.progress import ProgressSink
from ae_assets.schemas.durations import duration

FLAT = 1e-3
"""Share of a feature's spread in training below which a stretch counts as constant."""

BLOCK = 64
"""Windows that are compared at once."""


class FittedMatrixProfile(FittedDetector):
    """The features in use, each with the standard deviation from which on a stretch of it has a shape."""

    config: MatrixProfileConfig

    def __init__(
        self, config: MatrixProfileConfig, feature_names: tuple[str, ...], flat: dict[str, float], step: timedelta
    ) -> None:
        self.config, self.feature_names, self.flat = config, feature_names, flat
        self.window, self.step = config.window, step
        self.history = TrainingHistory.untrained()

    @classmethod
    def fit(cls, config: MatrixProfileConfig, data: TrainingData, _progress: ProgressSink) -> Self:
        """Takes the spread of each feature from the training rows.

        Raises:
            ModelError: a window holds fewer records than two stretches.
        """
        steps = steps_of(config.window, data.windows.step)
        if steps < 2 * config.records:
            raise ModelError(
                f"matrix_profile compares the last {config.records} records with others before them, and a window "
                f"holds {steps}; make detector.window longer or detector.records fewer"
            )
        used, values = training_sample(config, data)
        flat = {name: FLAT * float(np.nanstd(column)) for name, column in zip(used, values.T, strict=True)}
        return cls(config, data.windows.feature_names, flat, data.windows.step)

    @classmethod
    def load(cls, config: MatrixProfileConfig, _directory: Path, record: dict[str, Any]) -> Self:
        """Loads what ``save`` wrote; see ``detectors.load_detector``."""
        return cls(config, tuple(record["feature_names"]), record["flat"], duration(record["step"]))

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.flat)

    def explain(self, windows: Windows) -> Scores:
        """The distances of the features added up; 0 of one whose window holds no other stretch, or no last value.

        What is expected of the scored record is what followed in the nearest neighbour, in the level and spread of now.
        """
        self.require_fitting(windows)
        shape = len(windows), len(self.feature_names)
        contributions, expected = np.zeros(shape, np.float32), np.full(shape, np.nan, np.float32)
        age = np.arange(self.steps)[::-1]

        def work(start: int) -> None:
            # always as many, so that a sum is made in the same order whatever is scored beside a window
            places = np.minimum(np.arange(start, start + BLOCK), len(windows) - 1)
            rows = np.maximum(windows.last_row[places][:, None] - age, 0)
            unrecorded = age >= windows.length[places][:, None]
            for name, flat in self.flat.items():
                column = self.feature_names.index(name)
                values = windows.values[rows, column].astype(np.float64)
                values[unrecorded | ~np.isfinite(values)] = np.nan
                distance, neighbour = _nearest(values, self.config.records, flat)
                contributions[places, column], expected[places, column] = distance, neighbour

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(work, range(0, len(windows), BLOCK)):
                pass
        return Scores(contributions.sum(axis=1), contributions, expected)

    def save(self, directory: Path) -> None:
        """Writes ``preprocessing.json``: there are no weights."""
        write_preprocessing(directory, self, flat=self.flat)


def _nearest(values: NDArray[np.float64], records: int, flat: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the last records of windows (n, steps), NaN = missing, are from the nearest stretch that is over before.

    A missing value is the one before it. Stretches whose deviation is at most ``flat`` have no shape: two of them are
    alike, and one beside any other lies half as far off in square as one without correlation.

    Returns:
        The distance (n,), 0 without a stretch to compare with, and what the nearest one says of the last record, NaN
        without it.
    """
    known = np.isfinite(values)
    places = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), -1), axis=1)
    filled = np.where(places < 0, 0, np.take_along_axis(values, np.maximum(places, 0), axis=1))
    first = np.where(known.any(axis=1), known.argmax(axis=1), values.shape[1])
    level = filled[:, -records:].mean(axis=1)
    filled -= level[:, None]
    query = filled[:, -records:]
    sums = np.cumsum(np.pad(np.stack([filled, filled**2]), ((0, 0), (0, 0), (1, 0))), axis=2)
    mean, square = (sums[:, :, records:] - sums[:, :, :-records]) / records
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    own = deviation[:, -1:]
    before = sliding_window_view(filled, records, axis=1)[:, :-records]
    shaped = (deviation[:, :-records] > flat) & (own > flat)
    products = np.einsum("nks,ns->nk", before, query) / records  # the query's mean is 0
    correlation = np.divide(products, deviation[:, :-records] * own, out=np.zeros_like(products), where=shaped)
    apart = np.where((deviation[:, :-records] <= flat) & (own <= flat), 0, 2 * records * (1 - correlation))
    apart[~shaped & (apart > 0)] = records
    apart[np.arange(apart.shape[1]) < first[:, None]] = np.inf
    nearest = apart.argmin(axis=1)
    each = np.arange(len(values))
    found = np.isfinite(apart[each, nearest]) & known[:, -1]
    spread = np.divide(own[:, 0], deviation[each, nearest], out=np.ones(len(values)), where=shaped[each, nearest])
    said = level + (before[each, nearest, -1] - mean[each, nearest]) * spread
    distance = np.sqrt(np.maximum(apart[each, nearest], 0, where=found, out=np.zeros(len(values))))
    return distance, np.where(found, said, np.nan)
