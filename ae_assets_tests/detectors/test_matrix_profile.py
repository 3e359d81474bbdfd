"""The left matrix profile is the distance to the nearest stretch before, whatever its level and spread."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ae_assets.detectors import FittedDetector, Scores, TrainingData, Windows, fit, windows_of
from ae_assets.detectors.config import MatrixProfileConfig
from ae_assets.errors import ModelError

HOUR = timedelta(hours=1)
START = datetime(2024, 3, 4, tzinfo=UTC)
RECORDS = 8
CONFIG = MatrixProfileConfig(window=60 * HOUR, records=RECORDS)


def windows(values: NDArray[np.float64]) -> Windows:
    """Windows of one device with a record an hour; NaN = missing."""
    times = [START + number * HOUR for number in range(len(values))]
    keys = {"day": [time.date() for time in times], "time": times, "entity": "E", "cohort": "C"}
    table = pl.DataFrame(keys).with_columns(value=pl.Series(values, dtype=pl.Float32).fill_nan(None))
    return windows_of(table, ("value",), CONFIG.window, step=HOUR)


def fitted(of: Windows) -> FittedDetector:
    return fit(CONFIG, TrainingData(of, np.zeros(len(of), np.bool_), np.zeros(len(of), np.bool_)))


def scored(values: NDArray[np.float64]) -> Scores:
    of = windows(values)
    return fitted(of).explain(of)


def slow_distance(values: NDArray[np.float64], last: int) -> float:
    """Nearest neighbour of the stretch that ends at a record, by the definition."""

    def shape(start: int) -> NDArray[np.float64]:
        stretch = values[start : start + RECORDS]
        return (stretch - stretch.mean()) / stretch.std()

    own = shape(last - RECORDS + 1)
    starts = range(max(last - 59, 0), last - 2 * RECORDS + 2)
    return min((float(np.linalg.norm(own - shape(start))) for start in starts), default=0.0)


def test_the_score_is_the_distance_to_the_nearest_stretch_before() -> None:
    values = np.random.default_rng(0).normal(size=150).astype(np.float32).astype(np.float64)
    scores = scored(values)
    expected = [slow_distance(values, last) for last in range(RECORDS, len(values))]
    np.testing.assert_allclose(scores.score[RECORDS:], expected, atol=1e-4)
    assert scores.score[: 2 * RECORDS - 1].max() == 0
    assert np.isnan(scores.expected[: 2 * RECORDS - 1]).all()


def test_level_and_spread_do_not_count_and_a_new_shape_does() -> None:
    number = np.arange(300)
    wave = np.sin(number * 2 * np.pi / 12)
    values = np.where(number < 150, wave, 50 + 7 * wave)
    values[240:248:2] += 20
    score = scored(values).score
    assert score[40:150].max() < 0.05
    assert score[162 + RECORDS : 240].max() < 0.05
    assert score[243:248].max() > 2


def test_what_is_expected_is_what_followed_in_the_like_at_the_level_of_now() -> None:
    number = np.arange(200)
    values = 100 + 3 * np.sin(number * 2 * np.pi / 12)
    np.testing.assert_allclose(scored(values).expected[40:, 0], values[40:], atol=1e-3)


def test_flat_stretches_are_alike_and_later_records_change_nothing() -> None:
    values = np.concatenate([np.full(60, 3.0), 3 + np.sin(np.arange(60.0)), np.full(60, 3.0)])
    score = scored(values).score
    assert score[:60].max() == 0
    assert score[61] == pytest.approx(np.sqrt(RECORDS), rel=1e-4)
    detector, cut = fitted(windows(values)), windows(values[:100])
    assert np.array_equal(detector.score(cut), detector.score(windows(values))[:100])


def test_a_missing_value_is_the_one_before_it_and_a_record_without_one_says_nothing() -> None:
    values = np.random.default_rng(1).normal(size=120)
    missing = values.copy()
    missing[[50, 70]] = np.nan
    filled = values.copy()
    filled[[50, 70]] = values[[49, 69]]
    detector = fitted(windows(values))
    first, second = (detector.score(windows(one)) for one in (missing, filled))
    others = np.delete(np.arange(120), [50, 70])
    np.testing.assert_array_equal(first[others], second[others])
    assert first[[50, 70]].tolist() == [0, 0]


def test_a_window_must_hold_two_stretches() -> None:
    of = windows(np.arange(100.0))
    short = CONFIG.model_copy(update={"records": 31})
    with pytest.raises(ModelError, match=r"detector\.window"):
        fit(short, TrainingData(of, np.zeros(len(of), np.bool_), np.zeros(len(of), np.bool_)))
