"""Promises of threshold policies held against later days, counted by hand and against the drive-level protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from ae_assets.errors import ConfigError
from ae_assets.evaluation.compare import judge_threshold
from ae_assets.evaluation.intervals import Rate
from ae_assets.evaluation.promises import Kept, PromiseResult, calibration_table, held_without_labels
from ae_assets.evaluation.protocol import Protocol
from ae_assets.thresholds.config import ThresholdConfig, default_policies
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.promise import Promise
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.evaluation.fleet import day, fleet, lives_of, records_of, scored


@dataclass(frozen=True)
class Fixed:
    """A threshold with one cut for every day."""

    cut: float
    promise: Promise

    def cuts(self, keys: pl.DataFrame, scores: pl.Series) -> pl.Series:
        return pl.repeat(self.cut, len(scores), dtype=pl.Float64, eager=True)


@dataclass(frozen=True)
class HighestOfDay(Fixed):
    """A threshold that lets the highest score of a day through and nothing else."""

    def cuts(self, keys: pl.DataFrame, scores: pl.Series) -> pl.Series:
        second = pl.col("score").sort().get(-2).over("day")
        return keys.select("day", score=scores).select(second).to_series()


def promised(quantity: str, at_most: float | None = None, window_days: int | None = None) -> Promise:
    return Promise(quantity, "as promised", at_most, window_days)


def judge_promise(policy: str, threshold: Fixed, *rest: Any) -> PromiseResult:
    (result,) = calibration_table({policy: threshold}, *rest).results
    return result


def random_scores(records: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    drawn = pl.Series("score", np.random.default_rng(seed).uniform(size=records.height))
    return records.select("day", "entity", "cohort", drawn)


def judged(promise: Promise, scores: pl.DataFrame, records: pl.DataFrame, cut: float, days: int = 60) -> PromiseResult:
    protocol = Protocol(day(0), day(days - 1), follow_up="none")
    return judge_promise("policy", Fixed(cut, promise), scores, lives_of(records), protocol)


@pytest.mark.parametrize(
    ("at_most", "kept"), [(0.02, Kept.HELD), (0.0105, Kept.HELD), (0.005, Kept.NOT_HELD), (0.001, Kept.NOT_HELD)]
)
def test_a_row_rate_is_that_of_healthy_rows_and_held_unless_the_rows_show_otherwise(at_most: float, kept: Kept) -> None:
    records = fleet(healthy=400, failing=20, days=60)
    scores = random_scores(records)
    result = judged(promised("row_rate", at_most), scores, records, 0.99)
    healthy = scores.filter(pl.col("entity").str.starts_with("healthy"))
    assert result.observed == (healthy["score"] > 0.99).mean()
    assert result.low < result.observed < result.high
    assert result.kept is kept


def test_a_false_alarm_rate_is_that_of_the_drive_level_protocol() -> None:
    records = fleet(healthy=400, failing=20, days=60)
    scores = random_scores(records)
    result = judged(promised("false_alarm_rate", 0.05, 30), scores, records, 0.999)
    point = judge_threshold(scores, lives_of(records), Protocol(day(0), day(59), follow_up="none"), 0.999)
    assert (result.observed, result.low, result.high) == (
        point.false_alarm.value,
        point.false_alarm.low,
        point.false_alarm.high,
    )
    assert (result.detection, result.false_alarm) == (point.detection, point.false_alarm)
    assert (result.row_false_positive, result.alarms_per_day) == (point.row_false_positive, point.alarms_per_day)
    assert result.kept is Kept.HELD


def test_few_windows_without_an_alarm_do_not_show_that_a_small_rate_is_held() -> None:
    records = fleet(healthy=40, failing=2, days=30)
    result = judged(promised("false_alarm_rate", 0.001, 30), random_scores(records), records, 2.0, days=30)
    assert result.observed == 0
    assert result.kept is Kept.TOO_FEW


def test_a_rate_is_judged_over_the_window_that_it_was_promised_for() -> None:
    records = fleet(healthy=400, failing=20, days=60)
    scores = random_scores(records)
    result = judged(promised("false_alarm_rate", 0.5, 10), scores, records, 0.99)
    protocol = Protocol(day(0), day(59), window_days=10, follow_up="none")
    assert result.observed == judge_threshold(scores, lives_of(records), protocol, 0.99).false_alarm.value
    assert result.observed < result.false_alarm.value


def test_a_window_longer_than_the_range_cannot_be_judged() -> None:
    records = fleet(healthy=40, failing=2, days=40)
    result = judged(promised("false_alarm_rate", 0.5, 90), random_scores(records), records, 0.9, days=40)
    assert (result.kept, result.observed) == (Kept.TOO_FEW, None)
    assert "no complete window of 90 days" in result.explanation


ALARMS: Mapping[str, tuple[tuple[int, int, int | None], list[int], int, int]] = {
    # life, days with an alarm, alarms that count, alarms that are false
    "healthy": ((0, 99, None), [3, 4, 50], 3, 3),
    "fails within the horizon": ((0, 40, 40), [10, 39, 40], 3, 0),
    "fails later": ((0, 80, 80), [5, 49, 50], 3, 2),
    "came back": ((0, 99, 20), [25, 30], 0, 0),
    "vanished": ((0, 60, None), [20, 40], 1, 1),
}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_false_without_a_failure_within_the_horizon_after_it(name: str) -> None:
    life, alarms, counted, false = ALARMS[name]
    records = records_of({name: life, "quiet": (0, 99, None)})
    protocol = Protocol(day(0), day(59))
    threshold = Fixed(0.5, promised("false_discovery_rate", 0.5))
    result = judge_promise("policy", threshold, scored(records, {name: alarms}), lives_of(records), protocol)
    assert result.observed == (false / counted if counted else None)


@pytest.mark.parametrize(("known_until", "observed"), [(99, 0.5), (69, None), (70, 0.5)])
def test_alarms_count_once_the_labels_reach_through_their_horizon(known_until: int, observed: float | None) -> None:
    records = records_of({"healthy": (0, 99, None), "fails": (0, 60, 60)}).filter(pl.col("day") <= day(known_until))
    threshold = Fixed(0.5, promised("false_discovery_rate", 0.5))
    scores = scored(records, {"healthy": [40], "fails": [40]})
    result = judge_promise("policy", threshold, scores, lives_of(records), Protocol(day(0), day(59)))
    assert result.observed == observed


def test_without_an_alarm_nothing_is_known_of_the_share_of_false_ones() -> None:
    records = fleet(healthy=40, failing=2, days=60)
    result = judged(promised("false_discovery_rate", 0.1), random_scores(records), records, 2.0)
    assert (result.kept, result.observed) == (Kept.TOO_FEW, None)
    assert "There were no alarms with labels for the 30 days after them to count." in result.explanation


@pytest.mark.parametrize(("at_most", "kept"), [(3, Kept.HELD), (2, Kept.NOT_HELD)])
def test_a_budget_is_judged_by_the_day_with_most_alarms_on_whatever_entities(at_most: int, kept: Kept) -> None:
    records = records_of({"a": (0, 59, None), "b": (0, 59, None), "c": (0, 9, 9)})
    scores = scored(records, {"a": [4, 5], "b": [5], "c": [5]})
    result = judged(promised("alarms_a_day", at_most), scores, records, 0.5)
    assert (result.observed, result.low, result.kept) == (3.0, None, kept)
    assert (
        f"{int(kept is Kept.NOT_HELD)} of 60 days had more than {at_most} alarms; the most were 3" in result.explanation
    )
    assert result.alarms_per_day == 4 / 60


def test_a_policy_that_promises_nothing_is_not_judged_and_still_measured() -> None:
    records = fleet(healthy=40, failing=2, days=60)
    result = judged(promised("nothing"), random_scores(records), records, 0.9)
    assert (result.kept, result.observed, result.at_most) == (Kept.NO_PROMISE, None, None)
    assert result.alarms_per_day > 0


def test_a_promise_that_cannot_be_measured_is_refused() -> None:
    records = fleet(healthy=4, failing=1, days=60)
    with pytest.raises(ConfigError, match=r"promises 'cheap'.*evaluation/promises.py"):
        judged(promised("cheap", 0.1), random_scores(records), records, 0.9)


def test_alarms_are_those_over_the_cut_of_their_own_day() -> None:
    records = fleet(healthy=30, failing=3, days=60)
    scores = random_scores(records)
    threshold = HighestOfDay(7.0, promised("alarms_a_day", 1))
    protocol = Protocol(day(0), day(59), follow_up="none")
    result = judge_promise("policy", threshold, scores, lives_of(records), protocol)
    assert (result.observed, result.alarms_per_day, result.kept) == (1.0, 1.0, Kept.HELD)
    assert (result.days_with_another_cut, result.days) == (60, 60)
    best = scores.filter(pl.col("score") == pl.col("score").max().over("day"))
    failed_on = lives_of(records).frame.select("entity", "failed_on")
    ahead = (pl.col("failed_on") - pl.col("day")).dt.total_days()
    found = best.join(failed_on, on="entity").filter(ahead.is_between(1, 30))["entity"].n_unique()
    assert result.detection.count == found


def test_the_table_holds_every_policy_that_was_fitted_and_the_reason_for_the_others() -> None:
    records = fleet(healthy=3000, failing=30, days=60, seed=2)
    scores = random_scores(records)
    before = scores.filter(pl.col("day") < day(30), pl.col("entity").str.starts_with("healthy"))
    later = scores.filter(pl.col("day") >= day(30))
    policies = default_policies()
    fitted = {name: fit_threshold(policies[name], before) for name in ("percentile", "alarm_budget", "target_far")}
    protocol = Protocol(day(30), day(59), follow_up="none")
    table = calibration_table(fitted, later, lives_of(records), protocol, not_fitted={"labelled": "no failures"})
    assert [result.policy for result in table.results] == list(fitted)
    assert {result.policy: result.kept for result in table.results} == dict.fromkeys(fitted, Kept.HELD)
    assert table.not_fitted == {"labelled": "no failures"}
    rows = table.to_table()
    assert rows["policy"].to_list() == list(fitted)
    assert rows["kept"].to_list() == ["held"] * 3
    assert rows["false_alarm_rate"].to_list() == [result.false_alarm.value for result in table.results]


def test_the_order_of_rows_is_irrelevant() -> None:
    records = fleet(healthy=100, failing=20, days=60)
    scores = random_scores(records)
    protocol = Protocol(day(0), day(59), follow_up="none")
    for quantity in ("row_rate", "false_alarm_rate", "false_discovery_rate", "alarms_a_day"):
        threshold = HighestOfDay(0.9, promised(quantity, 0.5, 30))
        one, other = (
            judge_promise("policy", threshold, given, lives_of(records), protocol)
            for given in (scores, scores.sample(fraction=1, shuffle=True, seed=3))
        )
        assert one == other


@pytest.mark.parametrize(
    ("policy", "kept", "shifted"),
    [
        ({"policy": "percentile", "percentile": 99}, Kept.HELD, Kept.NOT_HELD),
        ({"policy": "target_far", "rate": 0.2, "window_days": 10}, Kept.HELD, Kept.NOT_HELD),
        ({"policy": "alarm_budget", "alarms_a_day": 20}, Kept.HELD, Kept.HELD),
    ],
    ids=lambda one: one["policy"] if isinstance(one, dict) else one,
)
def test_where_nothing_is_known_all_devices_count_as_healthy(policy: dict[str, Any], kept: Kept, shifted: Kept) -> None:
    records = fleet(healthy=300, failing=0, days=60)
    earlier, later = (random_scores(records, seed) for seed in (1, 2))
    threshold = fit_threshold(TypeAdapter[ThresholdPolicy](ThresholdConfig).validate_python(policy), earlier)
    higher = later.with_columns(score=pl.col("score") + 0.1)
    assert held_without_labels(threshold, later).kept is kept
    held = held_without_labels(threshold, higher)
    assert held.kept is shifted
    if policy["policy"] == "percentile":
        assert isinstance(held.observed, Rate)
        assert held.observed.value == pytest.approx((higher["score"] > threshold.cut).mean())
        assert held.observed.low < held.observed.value < held.observed.high
    too_short = held_without_labels(threshold, later.filter(pl.col("day") < day(5)))
    assert (too_short.kept is Kept.TOO_FEW) == (policy["policy"] == "target_far")
