"""What a network's score depends on, and what it does not; the promises of all detectors are in test_contract.py."""

import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import FittedDetector, Windows, windows_of
from ae_assets.detectors.scoring import rows_in_use
from ae_assets.errors import ModelError
from ae_assets.schemas.durations import DAY
from ae_assets_tests.detectors.fleets import NAMES, fleet, with_values


def windows_for(detector: FittedDetector, table: pl.DataFrame) -> Windows:
    return windows_of(table, NAMES, detector.window)


@pytest.mark.parametrize("feature", [0, 4, 8])
def test_a_feature_that_leaves_its_course_comes_out_on_top(network: FittedDetector, feature: int) -> None:
    windows = windows_for(network, fleet(seed=5, missing=0, gaps=0))
    strange = windows.values.copy()
    strange[:, feature] += 8 * np.std(strange[:, feature])
    before = network.explain(windows)
    after = network.explain(with_values(windows, strange))
    assert (after.score > before.score).mean() > 0.95
    assert (after.contributions.argmax(axis=1) == feature).mean() > 0.8


def test_a_missing_value_adds_nothing_to_the_score(network: FittedDetector) -> None:
    windows = windows_for(network, fleet(seed=5, missing=0))
    values = windows.values.copy()
    values[:, 3] = np.nan
    scores = network.explain(with_values(windows, values))
    assert not scores.contributions[:, 3].any()
    assert np.isfinite(scores.expected).all()


def test_a_record_without_any_value_scores_0(dense: FittedDetector) -> None:
    windows = windows_for(dense, fleet(seed=5))
    scores = dense.explain(with_values(windows, np.full_like(windows.values, np.nan)))
    assert not scores.score.any()


def test_what_lies_before_a_window_does_not_matter(lstm: FittedDetector) -> None:
    windows = windows_for(lstm, fleet(seed=5))
    short = windows.take(np.flatnonzero((windows.length < 4) & (windows.last_row > 10)))
    assert len(short) > 5
    held = np.zeros(len(windows.values), bool)
    for last_row, length in zip(short.last_row, short.length, strict=True):
        held[last_row - length + 1 : last_row + 1] = True
    strange = np.where(held[:, None], windows.values, np.float32(1e6))
    assert np.array_equal(lstm.explain(short).contributions, lstm.explain(with_values(short, strange)).contributions)


def test_every_day_of_a_window_counts(lstm: FittedDetector) -> None:
    windows = windows_for(lstm, fleet(entities=1, days=6, seed=5, missing=0, gaps=0))
    last = windows.take(np.array([5]))
    base = lstm.score(last)
    for row in range(6):
        values = windows.values.copy()
        values[row] += 5
        assert lstm.score(with_values(last, values)) > base


def test_expected_values_are_in_feature_units(dense: FittedDetector) -> None:
    windows = windows_for(dense, fleet(seed=5, missing=0))
    expected = dense.explain(windows).expected
    shifts = [np.corrcoef(expected[:, column], windows.values[:, column])[0, 1] for column in range(len(NAMES))]
    assert min(shifts) > 0.9


def test_windows_of_other_days_are_refused_by_the_lstm(lstm: FittedDetector) -> None:
    with pytest.raises(ModelError, match="span 7d, the detector was fitted on 6d"):
        lstm.score(windows_of(fleet(), NAMES, 7 * DAY))


def test_rows_in_use_are_the_union_of_the_windows() -> None:
    random = np.random.default_rng(0)
    last_row = random.integers(20, 500, 40)
    length = random.integers(1, 12, 40).astype(np.int32)
    used, position = rows_in_use(last_row, length)
    expected = sorted(
        {row for end, size in zip(last_row, length, strict=True) for row in range(end - size + 1, end + 1)}
    )
    assert used.tolist() == expected
    assert used[position].tolist() == last_row.tolist()
