"""Several splits, pooled: which days they are made of, and what pooling may and may not do to the figures."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.bootstrap import Highest
from ae_assets.evaluation.pooling import Pooled, pooled
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.rolling import Split, judge_split, origins
from ae_assets_tests.evaluation.fleet import day, fleet, lives_of, records_of

HORIZON = 30
RATES = (0.001, 0.005, 0.01, 0.02, 0.05)


def test_the_splits_end_on_the_last_day_and_go_back_by_their_length() -> None:
    found = origins(day(0), day(199), train_days=60, test_days=40, embargo_days=30)
    assert [(s.training, s.test) for s in found] == [
        ((day(30), day(89)), (day(120), day(159))),
        ((day(70), day(129)), (day(160), day(199))),
    ]


@given(
    train=st.integers(1, 90), test=st.integers(1, 90), embargo=st.integers(1, 60), spare=st.integers(0, 200),
)  # fmt: skip
def test_no_split_judges_a_day_within_the_embargo_after_its_fit(
    train: int, test: int, embargo: int, spare: int
) -> None:
    last = day(train + embargo + test + spare - 1)
    found = origins(day(0), last, train_days=train, test_days=test, embargo_days=embargo)
    assert len(found) == spare // test + 1
    for split in found:
        assert (split.test[0] - split.training[1]).days == embargo + 1
        assert (split.training[1] - split.training[0]).days == train - 1
        assert (split.test[1] - split.test[0]).days == test - 1
        assert day(0) <= split.training[0]
        assert split.test[1] <= last


def test_a_range_that_is_too_short_says_how_many_days_a_split_needs() -> None:
    with pytest.raises(EvaluationError, match=r"are 129 days, and a split needs 130"):
        origins(day(0), day(128), train_days=60, test_days=40, embargo_days=30)


def scores_of(records: pl.DataFrame, signals: Mapping[str, float], seed: int) -> dict[str, pl.DataFrame]:
    generator = np.random.default_rng(seed)
    failing = records["entity"].str.contains("failing").to_numpy()
    keys = records.select("day", "entity", "cohort")
    return {
        name: keys.with_columns(score=pl.Series(generator.normal(size=records.height) + signal * failing))
        for name, signal in signals.items()
    }


SIGNALS = {"strong": 3.0, "weak": 1.0}


def split_of(
    name: str, seed: int, signals: Mapping[str, float] = SIGNALS, *, failing: int = 40, fleet_name: str = ""
) -> Split:
    """A fleet of its own; a fleet of the same name as another's has the same entities."""
    records = fleet(healthy=300, failing=failing, days=60, seed=seed).with_columns(
        pl.col("entity") + (fleet_name or name)
    )
    protocol = Protocol(day(0), day(59), follow_up="none")
    scores = scores_of(records, signals, seed)
    training = (day(-100), day(-HORIZON - 1))
    return judge_split(name, training, scores, lives_of(records), protocol, reference="strong", resamples=20)


@pytest.fixture(scope="module")
def splits() -> list[Split]:
    return [split_of("A", 1, failing=30), split_of("B", 2, failing=50)]


def rates_of(result: Pooled, detector: str) -> list[float]:
    return [rate.value or 0.0 for rate in result.detection[detector].values()]


def test_a_split_in_which_nobody_failed_adds_false_alarms_only_and_one_of_them_has_to_have_a_failure(
    splits: list[Split],
) -> None:
    quiet = split_of("C", 3, failing=0)
    result = pooled([*splits, quiet], resamples=20)
    assert rates_of(result, "strong") == rates_of(pooled(splits, resamples=20), "strong")
    assert result.healthy_windows == sum(len(split.judged.pair_entities) for split in [*splits, quiet])
    with pytest.raises(EvaluationError, match="no scored entity failed in any of the 1 splits"):
        pooled([quiet], resamples=20)


def test_a_pooled_rate_counts_every_failure_at_the_threshold_of_its_own_split(splits: list[Split]) -> None:
    result = pooled(splits, resamples=20)
    for rate in RATES:
        for detector in SIGNALS:
            alone = [split.comparison.detection[detector][rate] for split in splits]
            both = result.detection[detector][rate]
            assert both.count == sum(one.count for one in alone)
            assert both.total == sum(one.total for one in alone) == 80
    assert result.healthy_windows == 2 * 300 * 2


def test_shifting_all_scores_of_one_split_changes_nothing(splits: list[Split]) -> None:
    highest = {name: Highest(7 + 3 * one.failed, 7 + 3 * one.pairs) for name, one in splits[0].judged.highest.items()}
    moved = replace(splits[0], judged=replace(splits[0].judged, highest=highest))
    assert pooled([moved, splits[1]], resamples=20).detection == pooled(splits, resamples=20).detection


def test_one_split_pools_to_its_own_figures(splits: list[Split]) -> None:
    result = pooled(splits[:1], resamples=200)
    own = splits[0].comparison.to_table()
    both = result.to_table()
    for rate in ("0.1%", "1%", "5%"):
        assert both[f"detection at FAR {rate}"].to_list() == own[f"detection at FAR {rate}"].to_list()
    assert set(both.columns) == set(own.columns)


def test_the_difference_of_two_detectors_is_paired(splits: list[Split]) -> None:
    twins = []
    for split in (split_of("A", 1), split_of("B", 2)):
        highest = dict.fromkeys(SIGNALS, split.judged.highest["strong"])
        twins.append(replace(split, judged=replace(split.judged, highest=highest)))
    assert {(d.value, d.low, d.high) for d in pooled(twins, resamples=50).differences} == {(0.0, 0.0, 0.0)}
    differences = {d.target_false_alarm_rate: d for d in pooled(splits, resamples=200).differences}
    assert differences[0.05].detector == "weak"
    assert differences[0.05].high < -0.2


def test_intervals_hold_the_rate_and_narrow_with_more_splits() -> None:
    few = pooled([split_of("A", 1)], resamples=200)
    many = pooled([split_of(name, seed) for seed, name in enumerate("ABCDEF", 1)], resamples=200)

    def width(result: Pooled) -> float:
        rates = result.detection["weak"].values()
        assert all(rate.value is not None and rate.low <= rate.value <= rate.high for rate in rates)
        return max(rate.high - rate.low for rate in rates)

    assert width(many) < 0.6 * width(few)


def test_the_same_split_twice_is_no_further_evidence() -> None:
    once = split_of("A", 1, fleet_name="fleet")
    again = split_of("again", 1, fleet_name="fleet")
    alone, twice = pooled([once], resamples=300), pooled([once, again], resamples=300)
    assert twice.failed == 2 * alone.failed
    assert twice.failed_in_several == alone.failed
    assert "entities count in more than one split" in twice.in_words()
    for name in SIGNALS:
        for one, two in zip(alone.detection[name].values(), twice.detection[name].values(), strict=True):
            assert one.value == two.value
            assert (two.low, two.high) == pytest.approx((one.low, one.high), abs=0.005)


def test_a_detector_that_is_missing_from_a_split_is_not_pooled_but_named() -> None:
    both = [split_of("A", 1, {"strong": 3.0, "weak": 1.0}), split_of("B", 2, {"strong": 3.0})]
    result = pooled(both, resamples=20)
    assert list(result.detection) == ["strong"]
    assert result.left_out == ("weak",)
    assert "Not judged on every split, so not pooled: weak." in result.in_words()
    assert result.split_table().select("split", "detector").rows() == [("A", "strong"), ("A", "weak"), ("B", "strong")]


def test_the_tables_and_the_json_hold_figures_ranges_and_sample_sizes(splits: list[Split]) -> None:
    result = pooled(splits, resamples=20)
    assert result.to_table()["failed"].to_list() == [80, 80]
    assert [one.target_false_alarm_rate for one in result.differences] == list(RATES)
    assert result.split_table().height == 4
    assert result.split_table()["train_end"].to_list() == [day(-31)] * 4
    record = json.loads(result.to_json())
    assert [(row["split"], row["detector"]) for row in record["splits"]] == [
        (name, detector) for name in "AB" for detector in SIGNALS
    ]
    assert record["splits"][0]["test_start"] == str(day(0))
    assert record["pooled"][0]["detector"] == "strong"


def test_a_split_that_judges_within_the_horizon_of_its_training_range_is_refused() -> None:
    records = fleet(healthy=30, failing=5, days=60, seed=1)
    with pytest.raises(EvaluationError, match=f"so judge from {day(1)} on"):
        judge_split(
            "A", (day(-100), day(-30)), scores_of(records, SIGNALS, 1), lives_of(records),
            Protocol(day(0), day(59)), reference="strong",
        )  # fmt: skip


def test_nothing_or_splits_judged_in_other_ways_are_not_pooled(splits: list[Split]) -> None:
    with pytest.raises(EvaluationError, match="no split"):
        pooled([])
    for rules in (
        {"false_alarm_rates": (0.01,)},
        {"horizon_days": 20},
        {"window_days": 10},
        {"follow_up": "through_horizon"},
    ):
        other = replace(splits[1], protocol=replace(splits[1].protocol, **rules))
        with pytest.raises(EvaluationError, match="pool splits that were judged alike"):
            pooled([splits[0], other])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_and_of_splits_changes_no_rate(seed: int) -> None:
    lives = {f"h{n}": (0, 59, None) for n in range(30)} | {f"f{n}": (0, 30 + n, 30 + n) for n in range(8)}
    records = records_of(lives)
    scores = scores_of(records, SIGNALS, seed)
    shuffled = {name: frame.sample(fraction=1, shuffle=True, seed=seed) for name, frame in scores.items()}
    protocol = Protocol(day(0), day(59), follow_up="none")
    one, two = (
        judge_split("A", (day(-99), day(-40)), some, lives_of(records), protocol, reference="strong", resamples=5)
        for some in (scores, shuffled)
    )
    other = split_of("B", seed)
    assert pooled([one], resamples=10).detection == pooled([two], resamples=10).detection
    there, back = pooled([one, other], resamples=5), pooled([other, two], resamples=5)
    assert [rates_of(there, name) for name in SIGNALS] == [rates_of(back, name) for name in SIGNALS]


def test_a_perfect_detector_pools_to_everything_and_a_random_one_to_the_false_alarm_rate() -> None:
    made = []
    for seed in range(4):
        records = fleet(healthy=800, failing=250, days=60, seed=seed).with_columns(pl.col("entity") + f"-{seed}")
        entities = records["entity"].unique().sort()
        drawn = pl.DataFrame({"entity": entities, "score": np.random.default_rng(seed).random(len(entities))})
        keys = records.select("day", "entity", "cohort")
        scores = {
            "perfect": keys.with_columns(score=pl.col("entity").str.starts_with("failing").cast(pl.Float64)),
            "random": keys.join(drawn, on="entity", how="left", maintain_order="left"),
        }
        protocol = Protocol(day(0), day(59), follow_up="none")
        training = (day(-100), day(-HORIZON - 1))
        made.append(
            judge_split(f"{seed}", training, scores, lives_of(records), protocol, reference="perfect", resamples=5)
        )
    result = pooled(made, resamples=100)
    assert rates_of(result, "perfect") == [1.0] * len(RATES)
    for target, rate in result.detection["random"].items():
        assert rate.low <= target <= rate.high
        assert rate.value == pytest.approx(target, abs=0.025)
