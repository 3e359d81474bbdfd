"""Candidates are judged by folds of the table's own history, and one is recommended where it is more than luck."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from pydantic import TypeAdapter

from ae_assets.chain import Workspace
from ae_assets.chain.challenger import Reason
from ae_assets.chain.champion import load_champion
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.selection import ENSEMBLE, FOLDS, Candidate, Selected, select
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.detectors.config import DetectorConfig, EnsembleConfig
from ae_assets.errors import ModelError
from ae_assets.evaluation.intervals import Rate
from ae_assets.model.baselines import compared_detectors
from ae_assets.model.life import LifeRange
from ae_assets.pipeline.choosing import detector_yaml
from ae_assets_tests.chain.steps import fit
from ae_assets_tests.chain.test_tuning import DAYS, STAGGERED, USED, readings, space_in, staggered

WEAK: dict[str, Any] = {"type": "isolation_forest", "trees": 2, "windows_per_tree": 4}


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    judged = {"checks": {"window_days": 3}, "retraining": {"window_days": 6}}
    learned = {"training": {"days": 8}, "calibration": {"embargo_days": 0, "days": 3}}
    return space_in(tmp_path_factory.mktemp("weak"), readings(), detector=WEAK, **judged, **learned)


TOLD: list[Candidate] = []


@pytest.fixture(scope="module")
def selected(weak: Workspace) -> Selected:
    return select(weak, USED, TOLD.append)


def test_a_candidate_that_is_better_than_a_weak_detector_is_recommended_with_what_it_costs(
    weak: Workspace, selected: Selected
) -> None:
    assert selected.has_labels
    assert len(selected.folds) == FOLDS
    assert selected.folds[-1].judged[1] == USED[1]
    names = [one.name for one in compared_detectors(weak.table, comparisons=True, baselines=True)]
    assert sorted(one.name for one in selected.candidates) == sorted([*names, ENSEMBLE])
    assert [one.name for one in TOLD] == [*names, ENSEMBLE]
    own = selected.candidates[0]
    assert own.config == weak.table.detector
    assert own.gain is not None
    assert (own.gain.difference, own.gain.low, own.gain.high) == (0, 0, 0)
    best = selected.recommended
    assert best is not None
    assert best.gain is not None
    assert best.gain.before == pytest.approx(own.gain.after)
    assert best.gain.low > 0
    others = [one.gain.difference for one in selected.candidates if one.gain is not None and one.gain.is_beyond_chance]
    assert best.gain.difference == max(others)
    assert min(best.fit_seconds, best.score_seconds, best.stored_bytes) > 0
    assert best.stability is not None
    assert 0 < best.stability < 1
    assert own.agreement == pytest.approx(1)
    assert own.held is None


def test_an_ensemble_of_the_tables_own_detector_and_others_is_a_candidate(selected: Selected) -> None:
    by_name = {one.name: one for one in selected.candidates}
    ensemble = by_name[ENSEMBLE]
    assert isinstance(ensemble.config, EnsembleConfig)
    members = [by_name[name] for name in ("isolation_forest", "pca", "ecod")]
    assert ensemble.config.members == tuple(one.config for one in members)
    assert ensemble.fit_seconds > sum(one.fit_seconds for one in members)
    assert ensemble.stored_bytes > sum(one.stored_bytes for one in members)
    assert ensemble.gain is not None


def test_what_is_recommended_is_trained_as_a_challenger_that_takes_the_place_of_the_champion(
    weak: Workspace, selected: Selected
) -> None:
    champion = fit(weak, DAYS[0], DAYS[7])
    best = selected.recommended
    assert best is not None
    settings = yaml.safe_load(detector_yaml(best.config, []))["detector"]
    config = TypeAdapter[DetectorConfig](DetectorConfig).validate_python(settings)
    with_best = replace(weak, table=weak.table.model_copy(update={"detector": config}))
    train(with_best, TrainingRange.of(DAYS[0], DAYS[7], 0))
    promotion = calibrate_latest(with_best).promotion
    assert (promotion.champion_before, promotion.reason) == (champion, Reason.NOT_WORSE)
    assert promotion.figures["difference"]["value"] > 0
    assert load_champion(with_best).detector.config == config


@pytest.mark.slow
def test_nothing_is_recommended_beside_a_detector_that_finds_all(tmp_path: Path) -> None:
    selected = select(space_in(tmp_path, readings(), detector={"type": "pca", "explained_variance": 0.9}), USED)
    assert selected.candidates[0].gain is not None
    assert selected.candidates[0].gain.after > 0.9
    assert selected.recommended is None


def test_without_labels_candidates_have_stability_and_agreement_and_no_rank(tmp_path: Path) -> None:
    comparison = {"type": "pca", "features": ["a_level"]}
    policy = {"policy": "percentile", "percentile": 99}
    more = {"comparisons": [comparison], "threshold": policy}
    space = space_in(tmp_path, readings(), labels=False, detector={"type": "pca"}, **more)
    selected = select(space, USED)
    assert not selected.has_labels
    assert selected.recommended is None
    assert all(one.gain is None for one in selected.candidates)
    own = selected.candidates[0]
    assert own.agreement == pytest.approx(1)
    assert own.stability is not None
    assert 0.5 < own.stability < 1
    assert own.held is not None
    assert own.held.promise == space.table.threshold.promise()
    assert isinstance(own.held.observed, Rate)
    assert own.held.observed.low <= (own.held.observed.value or 0) <= own.held.observed.high
    by_type = {one.name: one for one in selected.candidates}
    assert by_type["gradient_boosting"].failure  # it learns from labels
    assert by_type["gradient_boosting"].agreement is None


@pytest.mark.slow
def test_days_after_those_that_are_named_change_nothing(weak: Workspace, tmp_path: Path) -> None:
    late = pl.col("at").str.slice(0, 10) > str(USED[1])
    changed = readings().with_columns(a=pl.when(late).then(-100.0).otherwise("a"), mark=pl.when(~late).then("mark"))
    first, second = (select(one, USED) for one in (weak, space_in(tmp_path, changed, detector=WEAK)))
    assert [one.gain for one in first.candidates] == [one.gain for one in second.candidates]


def test_where_days_are_counted_from_each_devices_first_candidates_are_judged_by_these(tmp_path: Path) -> None:
    space = space_in(tmp_path, staggered(), detector=WEAK, **STAGGERED)
    chosen = select(space, (DAYS[0], DAYS[-1]), first=8)
    assert [fold.of_life for fold in chosen.folds] == [LifeRange(5, 5), LifeRange(6, 6), LifeRange(7, 8)]
    assert chosen.candidates[0].gain is not None
    assert 0 < chosen.candidates[0].gain.after < 1


def test_what_cannot_be_selected_is_said(weak: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="5 or more"):
        select(weak, (DAYS[0], DAYS[3]))
    unmarked = readings().with_columns(mark=pl.when(pl.col("at") < f"{DAYS[7]}").then("mark"))
    with pytest.raises(ModelError, match="nothing is known to have gone wrong"):
        select(space_in(tmp_path, unmarked), USED)
