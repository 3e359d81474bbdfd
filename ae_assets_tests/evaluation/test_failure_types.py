"""Groups of alarms: found where there are some, not where there are none, and told apart by what differs."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, pairwise_distances, silhouette_score

from ae_assets.evaluation import failure_types
from ae_assets.evaluation.failure_types import (
    LEAST_ALARMS,
    LEAST_OF_TYPE,
    Grouping,
    adjusted_rand,
    crossed,
    grouped,
    jaccard,
    principal,
    silhouette,
    superiority,
    traits,
)

RANDOM = np.random.default_rng(5)
BLOBS = np.concatenate([RANDOM.normal(middle, 0.3, (count, 4)) for middle, count in ((0, 30), (4, 20), (-4, 10))])
CLOUD = RANDOM.normal(size=(60, 4))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_types, "RESAMPLES", 10)
    monkeypatch.setattr(failure_types, "CLOUDS", 9)


def group(points: np.ndarray) -> Grouping:
    found = grouped(points, np.arange(len(points)))
    assert found is not None
    return found


def test_groups_that_lie_apart_are_found_whole_and_stay_when_the_alarms_are_drawn_again() -> None:
    found = group(BLOBS)
    assert found.labels.tolist() == [0] * 30 + [1] * 20 + [2] * 10
    assert found.silhouette > 0.8 > found.of_clouds
    assert found.beyond_a_cloud
    assert found.similarity == (1.0, 1.0, 1.0)
    assert found.stable == (True, True, True)
    assert (found.agreement, found.same_number) == (1.0, 1.0)


def test_one_cloud_has_no_types() -> None:
    found = group(CLOUD)
    assert not found.beyond_a_cloud
    assert not any(found.stable)
    assert found.agreement < 0.6


def test_what_hangs_on_one_device_does_not_stay_when_devices_are_drawn_again() -> None:
    strange = np.concatenate([CLOUD, RANDOM.normal(12, 0.1, (LEAST_OF_TYPE + 3, 4))])
    devices = np.append(np.arange(len(CLOUD)), np.repeat(len(CLOUD), len(strange) - len(CLOUD)))
    found = grouped(strange, devices)
    assert found is not None
    assert found.labels[len(CLOUD) :].tolist() == [found.labels.max()] * (LEAST_OF_TYPE + 3)
    assert found.similarity_low[-1] < 0.5
    assert not found.stable[-1]


@pytest.mark.parametrize(
    "points", [BLOBS[: LEAST_ALARMS - 1], np.zeros((50, 3)), np.append(np.zeros(50), [5.0, 6.0, 7.0])[:, None]]
)
def test_too_few_alarms_or_too_many_alike_are_not_grouped(points: np.ndarray) -> None:
    assert grouped(points, np.arange(len(points))) is None


def test_two_places_are_two_groups() -> None:
    assert group(np.repeat([[1.0, 0.0], [0.0, 1.0]], [20, 10], axis=0)).labels.tolist() == [0] * 20 + [1] * 10


def test_silhouette_and_rand_index_are_those_of_scikit_learn() -> None:
    labels, again = RANDOM.integers(0, 3, 60), RANDOM.integers(0, 4, 60)
    distances = pairwise_distances(CLOUD)
    assert silhouette(distances, labels) == pytest.approx(silhouette_score(CLOUD, labels))
    assert adjusted_rand(crossed(labels, again, 3)) == pytest.approx(adjusted_rand_score(labels, again))
    assert adjusted_rand(crossed(labels, (labels + 1) % 3, 3)) == 1.0


def test_similarity_is_what_two_groups_share_of_all_that_either_has() -> None:
    labels, again = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 0, 0, 0])
    assert jaccard(crossed(labels, again, 2)).tolist() == [2 / 3, 2 / 3]


def test_principal_axes_hold_the_variance_the_most_first() -> None:
    flat = np.column_stack([np.arange(10.0), 3 * np.arange(10.0), np.zeros(10)])
    along = principal(flat, 2)
    assert np.abs(along[:, 0]) == pytest.approx(np.abs(np.arange(10) - 4.5) * np.sqrt(10))
    assert along[:, 1] == pytest.approx(np.zeros(10), abs=1e-9)
    assert principal(flat).shape == (10, 1)


def test_a_trait_says_how_often_a_feature_is_higher_and_names_an_attribute_once() -> None:
    values = np.array([[9, 90, 1], [8, 70, 2], [1, 1, 1], [2, 2, np.nan], [8, 0, 2]], np.float32)
    healthy = np.array([[0, 0, 1], [1, 0, np.nan]], np.float32)
    inside = np.array([True, True, False, False, False])
    found = traits(values, inside, healthy, ("a", "a_growth", "b"), {"a_growth": "a"}, 3)
    assert [one.feature for one in found] == ["a_growth"]
    (best,) = found
    assert (best.here, best.elsewhere, best.healthy) == (80.0, 1.0, 0.0)
    assert (best.beside_others, best.beside_healthy) == (1.0, 1.0)
    assert superiority(values[:2, 0], values[2:, 0]) == (3 + 2.5) / 6
