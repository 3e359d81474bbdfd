"""What every detector promises, whatever its type."""

from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest

import ae_assets.detectors
from ae_assets.detectors import FittedDetector, Windows, load_detector, windows_of
from ae_assets.detectors.config import DETECTOR_KINDS
from ae_assets.errors import ModelError
from ae_assets_tests.detectors.fleets import DETECTORS, NAMES, OWN, fitted, fleet, with_values

pytestmark = pytest.mark.bits


def windows_for(detector: FittedDetector, table: pl.DataFrame) -> Windows:
    return windows_of(table, NAMES, detector.window)


def assert_same_bits(first: ae_assets.detectors.Scores, second: ae_assets.detectors.Scores) -> None:
    for one, other in ((first.score, second.score), (first.contributions, second.contributions)):
        assert one.tobytes() == other.tobytes()
    assert np.array_equal(first.expected, second.expected, equal_nan=True)


def test_every_type_of_config_and_one_of_ones_own_is_tested_here() -> None:
    assert {name: config.model_fields["type"].default for name, config in DETECTOR_KINDS.own_kinds().items()} == {
        name: name for name in DETECTOR_KINDS.own
    }
    assert {config.type for config in DETECTORS.values()} == {*DETECTOR_KINDS.own, OWN}


def test_scores_are_finite_and_contributions_are_not_negative_and_sum_to_them(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5))
    scores = detector.explain(windows)
    assert np.isfinite(scores.score).all()
    assert (scores.score >= 0).all()
    assert (scores.contributions >= 0).all()
    np.testing.assert_allclose(detector.score(windows), scores.score, rtol=1e-5)
    np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.score, rtol=1e-5)
    assert scores.score.dtype == scores.contributions.dtype == scores.expected.dtype == np.float32
    assert scores.contributions.shape == scores.expected.shape == (len(windows), len(NAMES))
    assert len(np.unique(scores.score)) > 10


CODES = {"dense_autoencoder": 8, "lstm_autoencoder": 4, "variational_autoencoder": 3, "lstm_variational_autoencoder": 3}


def test_the_code_of_a_network_is_as_wide_as_its_bottleneck_and_that_of_each_window(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5)).take(np.arange(40))
    code = detector.code(windows)
    kind = getattr(detector.config, "type", "")
    if code is None:
        assert not kind.endswith("autoencoder")
        return
    assert len(code) == 40
    assert code.shape[1] == CODES.get(kind, code.shape[1])
    assert np.isfinite(code).all()
    assert code.std(axis=0).max() > 0
    alone = detector.code(windows.take(np.array([7, 3])))
    assert alone is not None
    np.testing.assert_allclose(alone, code[[7, 3]], rtol=1e-4, atol=1e-5)


def test_the_order_of_rows_changes_no_bit(detector: FittedDetector) -> None:
    table = fleet(seed=5)
    first, second = windows_for(detector, table), windows_for(detector, table.reverse())
    assert first.keys().equals(second.keys())
    assert_same_bits(detector.explain(first), detector.explain(second))


def test_what_else_is_scored_changes_no_bit(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(entities=320, seed=5))
    assert len(windows) > 4096  # more than one block
    whole, alone = detector.explain(windows), detector.score(windows)
    chosen = np.random.default_rng(0).permutation(len(windows))[:777]
    for picked in (chosen, chosen[:1]):
        part = detector.explain(windows.take(picked))
        assert np.array_equal(alone[picked], detector.score(windows.take(picked)))
        for of_whole, of_part in zip(
            (whole.score, whole.contributions, whole.expected),
            (part.score, part.contributions, part.expected),
            strict=True,
        ):
            assert np.array_equal(of_whole[picked], of_part, equal_nan=True)


def test_no_windows_give_no_scores(detector: FittedDetector) -> None:
    scores = detector.explain(windows_for(detector, fleet().clear()))
    assert scores.score.shape == (0,)
    assert scores.contributions.shape == scores.expected.shape == (0, len(NAMES))


def test_an_infinite_value_counts_as_missing(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5))
    missing, infinite = windows.values.copy(), windows.values.copy()
    missing[::3, 2], infinite[::3, 2] = np.nan, np.inf
    assert_same_bits(detector.explain(with_values(windows, missing)), detector.explain(with_values(windows, infinite)))


def test_scoring_leaves_the_windows_as_they_are(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5))
    before = windows.values.copy()
    detector.score(windows)
    assert np.array_equal(before, windows.values, equal_nan=True)


def test_a_record_is_judged_where_it_knows_any_of_the_evidence_and_not_by_what_else_it_knows(
    detector: FittedDetector,
) -> None:
    windows = windows_for(detector, fleet(seed=5, missing=0))
    assert detector.judges(windows).all()
    assert set(detector.evidence) <= set(NAMES)
    rests_on = [NAMES.index(name) for name in detector.evidence]
    unknown = windows.values.copy()
    unknown[np.ix_(windows.last_row[::2], rests_on)] = np.nan
    assert (~detector.judges(with_values(windows, unknown))).nonzero()[0].tolist() == list(range(0, len(windows), 2))
    for one in rests_on:
        barely = unknown.copy()
        barely[windows.last_row, one] = windows.values[windows.last_row, one]
        assert detector.judges(with_values(windows, barely)).all()
    infinite = np.where(np.isnan(unknown), np.inf, unknown)
    assert (detector.judges(with_values(windows, infinite)) == detector.judges(with_values(windows, unknown))).all()


def test_a_score_is_the_same_whether_or_not_the_rows_beside_it_are_judged(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5))
    unknown = windows.values.copy()
    entities = windows.rows["entity"]
    gone = (entities == entities[0]).to_numpy()
    unknown[gone] = np.nan
    kept = np.flatnonzero(~gone[windows.last_row])
    assert np.array_equal(detector.score(with_values(windows, unknown))[kept], detector.score(windows)[kept])


def test_nothing_that_is_not_a_number_leaves_a_compiled_function(detector: FittedDetector) -> None:
    windows = windows_for(detector, fleet(seed=5))
    expected = detector.explain(windows)
    with jax.debug_nans(True):
        assert_same_bits(detector.explain(windows), expected)


def test_windows_of_other_features_are_refused(detector: FittedDetector) -> None:
    renamed = fleet().rename({NAMES[0]: "another"})
    windows = windows_of(renamed, ("another", *NAMES[1:]), detector.window)
    with pytest.raises(ModelError, match=r"missing \['wear_level'\], not expected \['another'\]"):
        detector.score(windows)
    with pytest.raises(ModelError, match="the same names in another order"):
        detector.score(windows_of(fleet(), NAMES[::-1], detector.window))


def test_a_loaded_detector_scores_the_same_bits(detector: FittedDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    loaded = load_detector(tmp_path, NAMES)
    windows = windows_for(detector, fleet(seed=5))
    assert_same_bits(detector.explain(windows), loaded.explain(windows))
    assert loaded.config == detector.config
    assert loaded.history == detector.history
    with pytest.raises(ModelError, match="received 8, expected 9"):
        load_detector(tmp_path, NAMES[:-1])


@pytest.mark.parametrize(
    "name",  # what is recurrent takes long to compile
    [pytest.param(name, marks=[pytest.mark.slow] if "lstm" in name else []) for name in DETECTORS],
)
def test_a_feature_that_is_missing_in_all_of_training_does_no_harm(name: str) -> None:
    quick = {"epochs": 1} if "epochs" in type(DETECTORS[name]).model_fields else {}
    lacking = fleet().with_columns(pl.lit(None, pl.Float32).alias(NAMES[5]))
    detector = fitted(DETECTORS[name].model_copy(update=quick), lacking)
    for table in (lacking, fleet(seed=5)):
        scores = detector.explain(windows_for(detector, table))
        assert np.isfinite(scores.score).all()
        np.testing.assert_allclose(scores.contributions.sum(axis=1), scores.score, rtol=1e-5)
