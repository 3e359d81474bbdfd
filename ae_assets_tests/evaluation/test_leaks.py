"""Whether anything of the judged days reaches a fit: labels and features without meaning must find failures by chance.

The fits and scores are the chain's own, over a fleet whose wear precedes failures. Every device reports on every day,
also after its failure, so failed and healthy ones are as long exposed, and a score that knows nothing finds a share of
the failed ones that is as large as the share of healthy windows that it flags.
"""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from ae_assets.chain.lives import lives_in
from ae_assets.chain.model import TrainingRange
from ae_assets.chain.scoring import score_days
from ae_assets.chain.workspace import Workspace
from ae_assets.detectors.config import CounterRuleConfig, DetectorConfig, GradientBoostingConfig
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import OperatingPoint
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.tables import fit_detector
from ae_assets_tests.chain.worn_fleet import FAILING, HORIZON, LAST, START, fleet, storage_of, table
from ae_assets_tests.evaluation.fleet import evaluate

TRAINING = TrainingRange.of(START, START + timedelta(days=39), HORIZON)
TEST = (START + timedelta(days=50), LAST)
SURE = 0.9999
"""A test of chance fails by chance once in ten thousand seeds; the seeds are fixed."""

TREES = GradientBoostingConfig(trees=40, leaves=31, learning_rate=0.2, min_windows_per_leaf=5)


def judged(space: Workspace, training: TrainingRange, config: DetectorConfig = TREES) -> dict[str, OperatingPoint]:
    """What a detector that is fitted on a training range does on the test range."""
    detector, _ = fit_detector(space, config, training)
    frames = [
        scored.keys.select("day", "entity", "cohort").with_columns(score=pl.Series(scored.score))
        for scored in score_days(space, detector, table().decision.aggregation, DAILY.range(*TEST), "scoring")
    ]
    protocol = Protocol(*TEST, HORIZON, HORIZON)
    result = evaluate(pl.concat(frames), lives_in(space), protocol, resamples=2)
    return {point.name: point for point in result.points}


def found_by_chance(point: OperatingPoint) -> bool:
    """Whether a score that knows nothing finds as many with a probability of 1 in 10,000 or more."""
    assert point.target_false_alarm_rate is not None
    return point.detection.count <= binom.ppf(SURE, point.detection.total, point.target_false_alarm_rate)


def shuffled(failed: np.ndarray) -> np.ndarray:
    """Each device with the failure, or the survival, of another."""
    return np.random.default_rng(5).permutation(failed)


def test_the_fleet_can_be_told_so_that_chance_means_something() -> None:
    features, failed = fleet()
    points = judged(storage_of(features, failed), TRAINING)
    assert points["FAR 1%"].detection.total > 80
    assert points["FAR 1%"].detection.value > 0.5
    assert not any(found_by_chance(point) for point in points.values())


def test_labels_of_other_devices_bring_detection_to_chance() -> None:
    features, failed = fleet()
    points = judged(storage_of(features, shuffled(failed)), TRAINING)
    assert all(found_by_chance(point) for point in points.values()), points


def test_features_of_days_beyond_the_horizon_bring_detection_to_chance() -> None:
    features, failed = fleet()
    later = {name: np.roll(values, -60, axis=1) for name, values in features.items()}
    points = judged(storage_of(later, failed), TRAINING)
    assert all(found_by_chance(point) for point in points.values()), points


def test_a_fit_that_is_given_the_judged_labels_is_caught() -> None:
    features, failed = fleet()
    leaking = TrainingRange(TEST[0], TEST[1], TEST[1])
    points = judged(storage_of(features, shuffled(failed)), leaking)
    assert not found_by_chance(points["FAR 1%"])
    assert points["FAR 1%"].detection.value > 0.2


@pytest.mark.parametrize(("known_days", "known"), [(HORIZON, True), (5, True), (4, False)])
def test_a_fit_knows_no_label_of_a_day_after_those_it_may_know(known_days: int, known: bool) -> None:
    features, failed = fleet()
    five_days_after = np.where(failed >= 0, (TRAINING.end - START).days + 5, -1)
    training = TrainingRange(TRAINING.start, TRAINING.end, TRAINING.end + timedelta(days=known_days))
    rule = CounterRuleConfig(features=("smart_5_level",))
    _, facts = fit_detector(storage_of(features, five_days_after), rule, training)
    assert facts["rows_before_failure"] == (FAILING * (HORIZON - 4) if known else 0)
