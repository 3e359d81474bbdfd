"""The drift checks on stored tables: what they read, what they name, when they say nothing."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain.champion import load_champion
from ae_assets.chain.rates import VERDICTS, judge_rates
from ae_assets.chain.workspace import Workspace
from ae_assets_tests.chain.tables import LAST, storage_of, watched_table

SCORES, FEATURES = "scores_have_not_drifted", "features_have_not_drifted"


@pytest.fixture
def space(finished_home: Path, tmp_path: Path) -> Workspace:
    """The finished fleet's last week in tables of the test's own, with its models."""
    finished = storage_of(watched_table(), finished_home)
    mine = Workspace(finished.table, storage_of(finished.table, tmp_path).tables, finished.models)
    for name in ("raw", "features", "anomalies"):
        rewrite(mine, finished, name, pl.all())
    return mine


def rewrite(space: Workspace, source: Workspace, name: str, *changes: pl.Expr) -> None:
    """The last week of a table with changed columns."""
    days = list(source.tables.iter_days(source.name(name), LAST - timedelta(days=6), LAST))
    with space.writer(name) as writer:
        for day, frame in days:
            writer.write(day, frame.with_columns(*changes))


def test_the_finished_fleet_has_not_drifted(space: Workspace) -> None:
    verdicts = judge_rates(space)
    assert verdicts.keys() == set(VERDICTS)
    features = verdicts[FEATURES]
    # Its drives aged by the month since calibration, and nothing else changed.
    assert {drift["name"] for drift in features.facts["drifted"]} <= {"smart_9_level"}  # type: ignore[attr-defined]
    assert verdicts[SCORES].passed
    assert features.facts["window_end"] == str(LAST)
    assert features.facts["false_alarm_rate"] == 0.01


def test_each_device_is_judged_by_its_latest_record(space: Workspace) -> None:
    rows = space.tables.read("fleet.features", LAST - timedelta(days=6), LAST, ["entity"])
    assert judge_rates(space)[FEATURES].facts["devices"] == rows["entity"].n_unique()


@pytest.mark.parametrize("gap", [True, False])
def test_a_growth_that_is_unknown_for_a_day_that_the_table_lacks_is_no_drift(space: Workspace, gap: bool) -> None:
    rows = space.tables.read("fleet.features", LAST, LAST)
    with space.writer("features") as writer:
        writer.write(LAST, rows.with_columns(pl.lit(None, pl.Float32).alias("smart_5_growth_1d")))
        if gap:
            writer.write(LAST - timedelta(days=1), space.no_rows)
    drifted = {drift["name"] for drift in judge_rates(space)[FEATURES].facts["drifted"]}  # type: ignore[attr-defined]
    assert ("smart_5_growth_1d" in drifted) is not gap


def test_a_hotter_room_is_named_with_index_bound_and_shares_without_a_value(space: Workspace) -> None:
    rewrite(space, space, "features", pl.col("smart_194_level") + 15)
    verdict = judge_rates(space)[FEATURES]
    assert not verdict.passed
    found = {drift["name"]: drift for drift in verdict.facts["drifted"]}  # type: ignore[attr-defined]
    assert "smart_194_level" in found
    hot = found["smart_194_level"]
    assert hot["index"] > hot["bound"] >= 0.25
    assert (hot["unknown_then"], hot["unknown_now"]) == (0.0, 0.0)
    assert f"smart_194_level {hot['index']:.3f} (allowed {hot['bound']:.3f})" in verdict.text


def test_a_feature_that_is_no_longer_reported_is_named(space: Workspace) -> None:
    rewrite(space, space, "features", pl.lit(None, pl.Float32).alias("smart_197_level"))
    verdict = judge_rates(space)[FEATURES]
    assert "smart_197_level" in {drift["name"] for drift in verdict.facts["drifted"]}  # type: ignore[attr-defined]
    assert "unknown in 100.0% after 4.1%" in verdict.text


def test_another_mix_of_models_is_named(space: Workspace) -> None:
    rewrite(space, space, "features", pl.lit("ANOTHER MODEL").alias("cohort"))
    verdict = judge_rates(space)[FEATURES]
    assert "cohort" in {drift["name"] for drift in verdict.facts["drifted"]}  # type: ignore[attr-defined]


def test_scores_that_rose_everywhere_are_named_and_scores_of_another_model_are_not_judged(space: Workspace) -> None:
    rewrite(space, space, "anomalies", pl.col("score") * 3 + 1)
    verdict = judge_rates(space)[SCORES]
    assert not verdict.passed
    assert "are not distributed as in calibration" in verdict.text
    rewrite(space, space, "anomalies", pl.lit("another").alias("model_version"))
    verdict = judge_rates(space)[SCORES]
    assert verdict.passed
    assert verdict.text.startswith(f"too few to judge: {load_champion(space).version} has scored no day between")
