"""A detector for each place: the column goes through the chain beside the features, and says who scores a drive."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.champion import load_champion
from ae_assets.chain.workspace import ANOMALIES, FEATURES
from ae_assets.detectors.per_group import FittedPerGroup
from ae_assets.errors import ConfigError, ModelError
from ae_assets.model.model import load_model
from ae_assets.model.parse import parse_table
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import FIRST, attributes, storage_of, write_day

USUAL = {"sac": 25, "ams": 45}
"""Degrees Celsius of two data centres."""
DRIVES = 12
DAYS = [FIRST + timedelta(days=number) for number in range(12)]
HOT, NEW, UNKNOWN = "hot", "new", "unknown"
"""On the last day: a drive of sac as warm as those of ams; one of a new place; one of which the place is not known."""

DETECTOR = {"type": "pca", "statistic": "t2_and_q", "per": "datacenter", "least_group_windows": 40}


def table_attributes(folder: Path, **detector: object) -> dict[str, object]:
    settings = attributes(
        str(folder),
        training={"horizon_days": 1, "days": 6, "max_rows": 5000},
        calibration={"embargo_days": 1, "days": 3},
        checks={"window_days": 3},
        detector={**DETECTOR, **detector},
    )
    settings["features"]["attributes"] = {
        "smart_194_raw": {"kind": "gauge", "meaning": "temperature", "transforms": ["level"]},
        "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors", "transforms": ["level"]},
    }
    settings["features"] |= {"groups": ["datacenter"], "presence": False}
    return settings


def space_of_places(folder: Path, **more: object) -> Workspace:
    """The table with features of all days."""
    random = np.random.default_rng(2)
    (folder / "in").mkdir()
    for day in DAYS:
        places = [place for place in USUAL for _ in range(DRIVES)]
        names = [f"{place}{number}" for place in USUAL for number in range(DRIVES)]
        degrees = [USUAL[place] + int(random.integers(-2, 3)) for place in places]
        if day == DAYS[-1]:
            names, places, degrees = (
                [*names, HOT, NEW, UNKNOWN],
                [*places, "sac", "cph", "NULL"],
                [*degrees, 45, 45, 45],
            )
        drives = [(name, 0, int(random.integers(0, 3))) for name in names]
        write_day(folder / "in", day, drives, datacenter=places, smart_194_raw=degrees)
    space = storage_of(parse_table({**table_attributes(folder / "in"), **more}, "defs.yaml"), folder / "home")
    steps.fill(space, DAYS)
    return space


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    space = space_of_places(tmp_path_factory.mktemp("places"))
    steps.fit(space, DAYS[0], DAYS[5])
    steps.judge(space, DAYS[-1:])
    return space


def test_a_place_is_kept_beside_the_features_and_is_none(space: Workspace) -> None:
    rows = space.read(FEATURES, DAYS[-1], DAYS[-1], ["entity", "datacenter"])
    assert dict(rows.filter(pl.col("entity").is_in([HOT, NEW, UNKNOWN])).iter_rows()) == {
        HOT: "sac", NEW: "cph", UNKNOWN: None,
    }  # fmt: skip
    assert "datacenter" not in load_champion(space).detector.feature_names


def test_a_drive_is_scored_by_the_detector_of_its_place_and_one_of_none_by_that_of_all(space: Workspace) -> None:
    detector = load_champion(space).detector
    assert isinstance(detector, FittedPerGroup)
    assert detector.own == tuple(sorted(USUAL))
    scores = dict(space.read(ANOMALIES, DAYS[-1], DAYS[-1], ["entity", "score"]).iter_rows())
    usual = max(score for name, score in scores.items() if name not in {HOT, NEW, UNKNOWN})
    assert scores[HOT] > 5 * usual
    assert 0 < scores[NEW] < usual
    assert 0 < scores[UNKNOWN] < usual


def test_a_stored_version_decides_by_place_without_the_yaml(space: Workspace) -> None:
    version = load_champion(space).version
    model = load_model(space.models.path(space.table.table, version))
    assert isinstance(model.detector, FittedPerGroup)
    assert model.features.groups == ("datacenter",)
    facts = space.models.card(space.table.table, version)["groups"]
    assert facts == {"per": "datacenter", "own": 2, "pooled": 0, "not_converged": 0}


def test_days_without_the_place_are_refused_by_a_fit_that_asks_for_it(space: Workspace, tmp_path: Path) -> None:
    table = parse_table(table_attributes(tmp_path, per="table") | {"table": "fleet"}, "defs.yaml")
    before = storage_of(
        table.model_copy(
            update={"source": space.table.source, "features": table.features.model_copy(update={"groups": ()})}
        ),
        tmp_path,
    )
    steps.fill(before, DAYS[:6])
    after = storage_of(space.table, tmp_path)
    with pytest.raises(ModelError):
        steps.fit(after, DAYS[0], DAYS[5])


@pytest.mark.parametrize("change", [{"per": "vault_id"}, {"per": "model"}])
def test_a_detector_of_what_the_table_does_not_keep_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        parse_table(table_attributes(tmp_path, **change), "defs.yaml")


def test_a_group_that_is_no_text_is_refused(tmp_path: Path) -> None:
    settings = table_attributes(tmp_path, per="table")
    settings["features"]["groups"] = ["capacity_bytes"]  # type: ignore[index]  # a section
    with pytest.raises(ConfigError):
        parse_table(settings, "defs.yaml")
