"""Networks of other kinds go through the same loop and the same scoring."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ae_assets.detectors import fit, load_detector, windows_of
from ae_assets.detectors.networks.network import NetworkConfig
from ae_assets.schemas.durations import DAY
from ae_assets_tests.detectors.fleets import NAMES, fleet, split, training_data
from ae_assets_tests.detectors.other_networks import ClassifierConfig, VariationalConfig

MODULE = "ae_assets_tests.detectors.other_networks"
QUICK = {"window": 4 * DAY, "epochs": 4, "batch_size": 64, "learning_rate": 0.02}
CLASSIFIER = ClassifierConfig(type=f"{MODULE}:ClassifierConfig", **QUICK)
VARIATIONAL = VariationalConfig(type=f"{MODULE}:VariationalConfig", **QUICK)


def test_a_supervised_network_learns_from_targets_knows_cohorts_and_is_loaded(tmp_path: Path) -> None:
    worn = windows_of(fleet(entities=30, seed=1).with_columns(pl.col(NAMES[:3]) + 6), NAMES, 4 * DAY)
    healthy = split(CLASSIFIER, fleet())
    data = training_data(healthy.train, healthy.validation, worn)
    data.held_out[:] = np.arange(len(data.held_out)) % 4 == 0
    detector = fit(CLASSIFIER, data)
    assert detector.learns_from_failures
    assert detector.history.windows_seen == (~data.held_out).sum()
    assert min(detector.history.validation_loss) < 0.9 * detector.history.median_loss
    usual, raised = (
        detector.score(windows_of(table, NAMES, 4 * DAY))
        for table in (fleet(seed=5), fleet(seed=6).with_columns(pl.col(NAMES[:3]) + 6))
    )
    assert (raised.score > np.median(usual.score)).mean() > 0.9
    assert np.isnan(usual.expected).all()
    np.testing.assert_allclose(usual.contributions.sum(axis=1), usual.score, rtol=1e-5)
    detector.save(tmp_path)
    again = load_detector(tmp_path).score(windows_of(fleet(seed=5), NAMES, 4 * DAY))
    assert again.score.tobytes() == usual.score.tobytes()
    strange = fleet(seed=5).with_columns(cohort=pl.lit("even"))
    assert not np.array_equal(detector.score(windows_of(strange, NAMES, 4 * DAY)).score, usual.score)


def test_a_network_that_draws_and_has_two_terms_of_loss_is_trained_and_scores_without_drawing() -> None:
    detector = fit(VARIATIONAL, split(VARIATIONAL, fleet()))
    assert min(detector.history.validation_loss) < detector.history.median_loss
    windows = windows_of(fleet(seed=5), NAMES, 4 * DAY)
    assert detector.score(windows).score.tobytes() == detector.score(windows).score.tobytes()


@pytest.mark.parametrize("config", [CLASSIFIER, VARIATIONAL], ids=["classifier", "variational"])
def test_the_same_seed_trains_the_same_network(config: NetworkConfig) -> None:
    quick = config.model_copy(update={"epochs": 1})
    first, again = (fit(quick, split(quick, fleet())) for _ in range(2))
    assert first.history.train_loss == again.history.train_loss
