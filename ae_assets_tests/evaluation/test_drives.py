"""The single drives behind the rates agree with the rates."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.compare import judge_threshold
from ae_assets.evaluation.drives import FailedDrive, _longest_run, drives_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets_tests.evaluation.fleet import day, fleet, lives_of, records_of, scored

PROTOCOL = Protocol(day(0), day(59), follow_up="none")


def with_cut(scores: pl.DataFrame, cut: float = 0.5) -> pl.DataFrame:
    return scores.with_columns(threshold=pl.lit(cut))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 20), st.floats(-1, 3))
def test_the_drives_over_the_threshold_are_those_that_the_rates_count(seed: int, cut: float) -> None:
    records = fleet(healthy=30, failing=8, days=60, seed=seed)
    drawn = pl.Series("score", np.random.default_rng(seed).normal(size=records.height))
    scores = records.select("day", "entity", "cohort", drawn)
    drives = drives_of(with_cut(scores, cut), lives_of(records), PROTOCOL)
    point = judge_threshold(scores, lives_of(records), PROTOCOL, cut)
    assert ((drives.healthy > cut).sum(), len(drives.healthy)) == (point.false_alarm.count, point.false_alarm.total)
    assert ((drives.failing > cut).sum(), len(drives.failing)) == (point.detection.count, point.detection.total)
    assert (drives.healthy_alarms, drives.failing_alarms) == (point.false_alarm.count, point.detection.count)
    assert drives.cut == cut
    assert (drives.detected is None) == (point.detection.count == 0)
    assert (drives.missed is None) == (not point.missed)
    assert drives.missed is None or drives.missed.entity in point.missed


def test_the_examples_are_the_longest_streak_of_alarms_and_the_missed_drive_in_the_middle() -> None:
    records = records_of({f"f{n}": (0, 50, 50) for n in range(5)} | {"well": (0, 59, None)})
    scores = scored(records, {"f0": [30, 32, 34, 36], "f1": [40, 41, 42], "well": range(60)}).with_columns(
        score=pl.col("score") + pl.col("entity").replace_strict({"f2": 0.1, "f3": 0.3, "f4": 0.2}, default=0.0)
    )
    drives = drives_of(with_cut(scores), lives_of(records), PROTOCOL)
    assert drives.detected == FailedDrive("f1", day(50), 3)
    assert drives.missed == FailedDrive("f4", day(50), 0)


def test_alarms_before_the_horizon_and_on_the_day_of_failure_make_no_streak() -> None:
    records = records_of({"failed": (0, 50, 50), "well": (0, 59, None)})
    drives = drives_of(with_cut(scored(records, {"failed": [*range(20), 50]})), lives_of(records), PROTOCOL)
    assert drives.detected is None
    assert drives.missed == FailedDrive("failed", day(50), 0)


def test_each_day_is_held_against_its_own_threshold() -> None:
    records = records_of({"failed": (0, 50, 50), "well": (0, 59, None)})
    cuts = pl.when(pl.col("day") == day(45)).then(2.0).otherwise(0.5)
    scores = scored(records, {"failed": [43, 44, 45, 46]}).with_columns(threshold=cuts)
    drives = drives_of(scores, lives_of(records), PROTOCOL)
    assert drives.detected == FailedDrive("failed", day(50), 2)
    assert drives.cut is None


def test_where_the_threshold_moves_drives_with_an_alarm_are_not_those_whose_highest_score_is_over_any_one_cut() -> None:
    lives = {"loud": (0, 50, 50), "quiet": (0, 50, 50), "well": (0, 59, None), "false": (0, 59, None)}
    records = records_of(lives)
    # Day 45 has a cut of 2: the highest scores lie below it, lower ones of other days above theirs.
    high = pl.when(pl.col("day") == day(45)).then(2.0).otherwise(0.5)
    scores = scored(records, {"loud": [45], "quiet": [40], "well": [45], "false": [10, 40]})
    scores = scores.with_columns(threshold=high, score=pl.col("score") * pl.when(day=day(45)).then(1.5).otherwise(0.6))
    drives = drives_of(scores, lives_of(records), PROTOCOL)
    assert sorted(drives.failing) == [0.6, 1.5]
    assert drives.failing_alarms == 1
    assert sorted(drives.healthy) == [0.0, 0.6, 0.6, 1.5]
    assert drives.healthy_alarms == 2


def test_a_range_without_failures_has_healthy_drives_only_and_no_example() -> None:
    records = records_of({"well": (0, 59, None)})
    drives = drives_of(with_cut(scored(records)), lives_of(records), PROTOCOL)
    assert (len(drives.failing), drives.detected, drives.missed) == (0, None, None)
    assert drives.healthy.tolist() == [0.0, 0.0]


def test_a_range_in_which_nothing_is_judged_shows_no_drive() -> None:
    records = records_of({"well": (0, 59, None)})
    missing = with_cut(scored(records)).with_columns(score=pl.lit(None, pl.Float64))
    with pytest.raises(EvaluationError, match="none of the 60 rows"):
        drives_of(missing, lives_of(records), PROTOCOL)


@given(st.lists(st.booleans(), max_size=40))
def test_the_longest_run_is_that_of_the_text_of_flags(flags: list[bool]) -> None:
    text = "".join("x" if flag else " " for flag in flags)
    assert _longest_run(np.array(flags, dtype=np.bool_)) == max(map(len, text.split()), default=0)
