"""What a score depends on, and what it does not."""

import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import FittedDetector, Windows, windows_of
from ae_assets.detectors.scoring import rows_in_use
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import NAMES, fleet


def windows_for(detector: FittedDetector, table: pl.DataFrame) -> Windows:
    return windows_of(table, NAMES, detector.window_days)


def test_contributions_are_not_negative_and_sum_to_the_score(detector: FittedDetector) -> None:
    scores = detector.score(windows_for(detector, fleet(seed=5)))
    assert (scores.contributions >= 0).all()
    np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.score, rtol=1e-5)
    assert scores.score.dtype == scores.contributions.dtype == scores.expected.dtype == np.float32


def test_the_order_of_rows_changes_no_bit(detector: FittedDetector) -> None:
    table = fleet(seed=5)
    first, second = windows_for(detector, table), windows_for(detector, table.reverse())
    assert first.keys().equals(second.keys())
    assert np.array_equal(detector.score(first).contributions, detector.score(second).contributions)


def test_what_else_is_scored_changes_no_bit(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(entities=250, seed=5))
    assert len(windows) > 2048  # more than one block
    whole = detector.score(windows)
    chosen = np.random.default_rng(0).permutation(len(windows))[:777]
    part = detector.score(windows.take(chosen))
    for of_whole, of_part in zip(
        (whole.score, whole.contributions, whole.expected), (part.score, part.contributions, part.expected), strict=True
    ):
        assert np.array_equal(of_whole[chosen], of_part)


def test_no_windows_give_no_scores(detector: FittedDetector) -> None:
    scores = detector.score(windows_for(detector, fleet().clear()))
    assert scores.contributions.shape == scores.expected.shape == (0, len(NAMES))


@pytest.mark.parametrize("feature", [0, 4, 8])
def test_a_feature_that_leaves_its_course_comes_out_on_top(detector: FittedDetector, feature: int) -> None:
    windows = windows_for(detector, fleet(seed=5, missing=0, gaps=0))
    strange = windows.values.copy()
    strange[:, feature] += 8 * np.std(strange[:, feature])
    before = detector.score(windows)
    after = detector.score(_with_values(windows, strange))
    assert (after.score > before.score).mean() > 0.95
    assert (after.contributions.argmax(axis=1) == feature).mean() > 0.8


def test_a_missing_value_adds_nothing_to_the_score(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5, missing=0))
    values = windows.values.copy()
    values[:, 3] = np.nan
    scores = detector.score(_with_values(windows, values))
    assert not scores.contributions[:, 3].any()
    assert np.isfinite(scores.expected).all()


def test_an_infinite_value_counts_as_missing(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5))
    missing, infinite = windows.values.copy(), windows.values.copy()
    missing[::3, 2], infinite[::3, 2] = np.nan, np.inf
    assert np.array_equal(
        detector.score(_with_values(windows, missing)).score, detector.score(_with_values(windows, infinite)).score
    )


def test_a_record_without_any_value_scores_0(dense: FittedDetector) -> None:
    windows = windows_for(dense, fleet(seed=5))
    scores = dense.score(_with_values(windows, np.full_like(windows.values, np.nan)))
    assert not scores.score.any()


def test_what_lies_before_a_window_does_not_matter(lstm: FittedDetector) -> None:
    windows = windows_for(lstm, fleet(seed=5))
    short = windows.take(np.flatnonzero((windows.length < 4) & (windows.last_row > 10)))
    assert len(short) > 5
    held = np.zeros(len(windows.values), bool)
    for last_row, length in zip(short.last_row, short.length, strict=True):
        held[last_row - length + 1 : last_row + 1] = True
    strange = np.where(held[:, None], windows.values, np.float32(1e6))
    assert np.array_equal(lstm.score(short).contributions, lstm.score(_with_values(short, strange)).contributions)


def test_every_day_of_a_window_counts(lstm: FittedDetector) -> None:
    windows = windows_for(lstm, fleet(entities=1, days=6, seed=5, missing=0, gaps=0))
    last = windows.take(np.array([5]))
    base = lstm.score(last).score
    for row in range(6):
        values = windows.values.copy()
        values[row] += 5
        assert lstm.score(_with_values(last, values)).score > base


def test_expected_values_are_in_feature_units(dense: FittedDetector) -> None:
    windows = windows_for(dense, fleet(seed=5, missing=0))
    expected = dense.score(windows).expected
    shifts = [np.corrcoef(expected[:, column], windows.values[:, column])[0, 1] for column in range(len(NAMES))]
    assert min(shifts) > 0.9


def test_windows_of_other_features_are_refused(detector: FittedDetector) -> None:
    renamed = fleet().rename({NAMES[0]: "another"})
    windows = windows_of(renamed, ("another", *NAMES[1:]), detector.window_days)
    with pytest.raises(ModelError, match=r"missing \['feature_0'\], not expected \['another'\]"):
        detector.score(windows)
    with pytest.raises(ModelError, match="the same names in another order"):
        detector.score(windows_of(fleet(), NAMES[::-1], detector.window_days))


def test_windows_of_other_days_are_refused_by_the_lstm(lstm: FittedDetector) -> None:
    with pytest.raises(ModelError, match="span 7 days, the detector was fitted on windows of 6"):
        lstm.score(windows_of(fleet(), NAMES, 7))


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


def _with_values(windows: Windows, values: np.ndarray) -> Windows:
    return Windows(
        values.astype(np.float32),
        windows.feature_names,
        windows.last_row,
        windows.length,
        windows.rows,
        windows.window_days,
    )
