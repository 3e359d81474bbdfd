"""Alarms of two kinds fall into two types, whose words name what is raised, and it is known which devices failed."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from matplotlib.figure import Figure

from ae_assets.chain.champion import load_champion
from ae_assets.chain.failure_types import LATENT, PARTS, failure_types
from ae_assets.chain.model import TrainingRange
from ae_assets.chain.unseen import days_not_seen
from ae_assets.chain.workspace import Workspace
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.errors import EvaluationError
from ae_assets.evaluation.failure_types import FailureTypes
from ae_assets.features.wording import wording_of
from ae_assets.reports import canvas
from ae_assets.reports.failure_types import answer, failure_type_parts, latent_map
from ae_assets.reports.parts import page_text
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import FIRST, fit_detector, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=11))
SICK_SINCE = 9
JUDGED = DAYS[8], DAYS[-1]
DRIVES = [f"D{number:03}" for number in range(60)]
WORN, STUCK = DRIVES[:16], DRIVES[16:26]
FAILING = DRIVES[:4]
FAILED_ON = DAYS[10]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("types")
    random = np.random.default_rng(2)
    for number, day in enumerate(DAYS):
        drives = [drive for drive in DRIVES if drive not in FAILING or day <= FAILED_ON]
        sick = number >= SICK_SINCE
        write_day(
            folder / "source",
            day,
            [(drive, int(drive in FAILING and day == FAILED_ON), 0) for drive in drives],
            smart_5_raw=[300 + int(random.integers(40)) if sick and drive in WORN else 0 for drive in drives],
            smart_197_raw=[80 + int(random.integers(20)) if sick and drive in STUCK else 0 for drive in drives],
            smart_194_raw=random.integers(20, 30, len(drives)).tolist(),
        )
    table = watched_table(
        str(folder / "source"),
        training={"horizon_days": 4, "days": 4, "max_rows": 5000},
        calibration={"embargo_days": 1, "days": 3},
        detector={"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
        checks={"window_days": 5},
    )
    space = storage_of(table, folder)
    steps.fill(space, DAYS)
    steps.fit(space, DAYS[0], DAYS[3])
    steps.judge(space, DAYS[8:])
    return space


@pytest.fixture(scope="module")
def found(space: Workspace) -> FailureTypes:
    return failure_types(space, load_champion(space), JUDGED)


def test_alarms_of_two_kinds_are_two_stable_types(found: FailureTypes) -> None:
    assert found.grouping is not None
    assert found.grouping.beyond_a_cloud
    sizes = [one.entities for one in found.types[:2]]
    assert sizes == [len(WORN), len(STUCK)]
    assert found.grouping.stable[:2] == (True, True)


def test_each_type_says_what_is_raised_and_which_of_its_devices_failed(found: FailureTypes, space: Workspace) -> None:
    worn, stuck = found.types[:2]
    assert worn.traits[0].feature.startswith("smart_5")
    assert stuck.traits[0].feature.startswith("smart_197")
    for one in (worn, stuck):
        assert one.traits[0].beside_others > 0.95 < one.traits[0].beside_healthy
    assert worn.abnormal is not None
    assert stuck.abnormal is not None
    assert (worn.abnormal.count, worn.abnormal.total) == (len(FAILING), len(WORN))
    assert stuck.abnormal.count == 0
    text = page_text(failure_type_parts(found, wording_of(space.table.features)))
    assert answer(found) in text
    assert "4 of 16" in text
    assert "reallocated sectors" in text


def test_the_map_has_a_point_for_each_alarm_and_a_ring_for_each_that_went_wrong(
    found: FailureTypes, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(canvas, "_png", lambda figure: drawn.append(figure) or b"")
    latent_map(found)
    lines = drawn[0].axes[0].lines
    assert found.abnormal is not None
    assert [len(line.get_xdata()) for line in lines] == [one.alarms for one in found.types] + [found.abnormal.sum()]
    assert found.abnormal.sum() >= len(FAILING)
    assert 0 < found.shown <= 1 + 1e-9


def test_where_alarms_are_one_cloud_no_type_is_told(
    found: FailureTypes, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = replace(found, types=(), grouping=replace(found.grouping, of_clouds=1.0))
    assert answer(none).startswith("No types: ")
    assert failure_type_parts(none, wording_of(space.table.features)) == [f"Types of failure: {answer(none)}"]
    drawn: list[Figure] = []
    monkeypatch.setattr(canvas, "_png", lambda figure: drawn.append(figure) or b"")
    latent_map(none)
    assert len(drawn[0].axes[0].lines[0].get_xdata()) == found.alarms
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ae_assets.evaluation.failure_types.Grouping.beyond_a_cloud", False)
        assert failure_types(space, load_champion(space), JUDGED).types == ()


def test_few_alarms_are_counted_and_not_grouped(space: Workspace) -> None:
    few = failure_types(space, load_champion(space), (DAYS[8], DAYS[8]))
    assert (few.alarms, few.grouping, few.types) == (0, None, ())
    assert "too few" in answer(few)


def test_days_that_the_champion_has_not_scored_are_an_error(space: Workspace) -> None:
    champion = load_champion(space)
    first, last = days_not_seen(space, champion)
    assert (first, last) == (champion.seen_until + timedelta(days=1), DAYS[-1])
    seen = replace(champion, calibration=replace(champion.calibration, end=DAYS[-1]))
    with pytest.raises(EvaluationError, match="--start and --end"):
        days_not_seen(space, seen)
    with pytest.raises(EvaluationError, match="was scored by the champion"):
        failure_types(space, champion, (DAYS[0], DAYS[2]))


def test_of_a_network_the_latent_space_says_where_an_alarm_lies(space: Workspace, found: FailureTypes) -> None:
    config = DenseAutoencoderConfig(units=(16, 3, 16), epochs=5, batch_size=64)
    network, _ = fit_detector(space, config, TrainingRange(DAYS[0], DAYS[3], DAYS[3]))
    by_code = failure_types(space, replace(load_champion(space), detector=network), JUDGED)
    assert (found.space, by_code.space) == (PARTS, LATENT)
    assert by_code.places.shape == found.places.shape
    assert not np.allclose(by_code.places, found.places)


def test_where_nothing_is_known_to_go_wrong_types_are_told_without_it(space: Workspace, found: FailureTypes) -> None:
    unknown = tuple(replace(one, abnormal=None) for one in found.types)
    text = page_text(failure_type_parts(replace(found, types=unknown, abnormal=None), wording_of(space.table.features)))
    assert "gone wrong" not in text
    assert "reallocated sectors" in text
