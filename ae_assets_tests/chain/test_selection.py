"""Candidates are judged by folds of the table's own history, and one is recommended where it is more than luck."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.selection import FOLDS, Candidate, select
from ae_assets.errors import ModelError
from ae_assets.model.baselines import compared_detectors
from ae_assets_tests.chain.test_tuning import DAYS, USED, readings, space_in

WEAK: dict[str, Any] = {"type": "isolation_forest", "trees": 2, "windows_per_tree": 4}


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return space_in(tmp_path_factory.mktemp("weak"), readings(), detector=WEAK)


def test_a_candidate_that_is_better_than_a_weak_detector_is_recommended_with_what_it_costs(weak: Workspace) -> None:
    told: list[Candidate] = []
    selected = select(weak, USED, told.append)
    assert selected.has_labels
    assert len(selected.folds) == FOLDS
    assert selected.folds[-1].judged[1] == USED[1]
    names = [one.name for one in compared_detectors(weak.table, comparisons=True, baselines=True)]
    assert sorted(one.name for one in selected.candidates) == sorted(names)
    assert [one.name for one in told] == names
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


@pytest.mark.slow
def test_nothing_is_recommended_beside_a_detector_that_finds_all(tmp_path: Path) -> None:
    selected = select(space_in(tmp_path, readings(), detector={"type": "pca", "explained_variance": 0.9}), USED)
    assert selected.candidates[0].gain is not None
    assert selected.candidates[0].gain.after > 0.9
    assert selected.recommended is None


def test_without_labels_candidates_have_stability_and_agreement_and_no_rank(tmp_path: Path) -> None:
    comparison = {"type": "pca", "features": ["a_level"]}
    space = space_in(tmp_path, readings(), labels=False, detector={"type": "pca"}, comparisons=[comparison])
    selected = select(space, USED)
    assert not selected.has_labels
    assert selected.recommended is None
    assert all(one.gain is None for one in selected.candidates)
    own = selected.candidates[0]
    assert own.agreement == pytest.approx(1)
    assert own.stability is not None
    assert 0.5 < own.stability < 1
    by_type = {one.name: one for one in selected.candidates}
    assert by_type["gradient_boosting"].failure  # it learns from labels
    assert by_type["gradient_boosting"].agreement is None


@pytest.mark.slow
def test_days_after_those_that_are_named_change_nothing(weak: Workspace, tmp_path: Path) -> None:
    late = pl.col("at").str.slice(0, 10) > str(USED[1])
    changed = readings().with_columns(a=pl.when(late).then(-100.0).otherwise("a"), mark=pl.when(~late).then("mark"))
    first, second = (select(one, USED) for one in (weak, space_in(tmp_path, changed, detector=WEAK)))
    assert [one.gain for one in first.candidates] == [one.gain for one in second.candidates]


def test_what_cannot_be_selected_is_said(weak: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="5 or more"):
        select(weak, (DAYS[0], DAYS[3]))
    unmarked = readings().with_columns(mark=pl.when(pl.col("at") < f"{DAYS[7]}").then("mark"))
    with pytest.raises(ModelError, match="nothing is known to have gone wrong"):
        select(space_in(tmp_path, unmarked), USED)
