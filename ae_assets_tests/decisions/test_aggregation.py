"""Rolling aggregation: what each method gives, over which days, and that a range and its single days agree."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ae_assets.decisions.aggregation import RollingScores, aggregate
from ae_assets.decisions.config import AggregationConfig
from ae_assets.errors import ContractError
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.periods import DAILY, HOURLY
from ae_assets.schemas.records import DAILY_RECORDS, TIME_TYPE
from ae_assets_tests.decisions.histories import QUICK, day, histories, scores_of

CONFIGS = st.builds(
    AggregationConfig,
    method=st.sampled_from(["none", "max", "mean", "exponential"]),
    days=st.integers(1, 9),
    half_life_days=st.floats(0.5, 10),
)


def by_hand(scores: pl.DataFrame, config: AggregationConfig) -> list[float | None]:
    """The same in plain Python, row by row."""
    known = {(row["day"], row["entity"]): row["score"] for row in scores.iter_rows(named=True)}
    results: list[float | None] = []
    for today, entity in scores.select("day", "entity").iter_rows():
        ages = range(1 if config.window is None else config.span // DAY)
        found = {age: known[today - timedelta(days=age), entity] for age in ages
                 if known.get((today - timedelta(days=age), entity)) is not None}  # fmt: skip
        if known[today, entity] is None:
            results.append(None)
            continue
        if config.method == "max":
            results.append(max(found.values()))
            continue
        halved = config.half_life / DAY if config.method == "exponential" else float("inf")
        weights = {age: 0.5 ** (age / halved) for age in found}
        results.append(sum(weights[age] * score for age, score in found.items()) / sum(weights.values()))
    return results


def pushed(scores: pl.DataFrame, config: AggregationConfig) -> dict[date, pl.DataFrame]:
    rolling = RollingScores(config)
    return {rows["day"][0]: rolling.push(rows["day"][0], rows) for rows in scores.sort("day").partition_by("day")}


@QUICK
@given(histories(), CONFIGS)
def test_each_score_is_made_of_the_entitys_own_records_of_the_last_calendar_days(
    scores: pl.DataFrame, config: AggregationConfig
) -> None:
    found, expected = aggregate(scores, config)["score"], by_hand(scores, config)
    assert [score is None for score in found] == [score is None for score in expected]
    known = [score for score in expected if score is not None]
    assert found.drop_nulls().to_list() == pytest.approx(known, rel=1e-9)


@QUICK
@given(histories(), CONFIGS)
def test_pushing_days_one_by_one_gives_what_the_whole_gives(scores: pl.DataFrame, config: AggregationConfig) -> None:
    keys = ["day", "entity"]
    streamed = pl.concat(pushed(scores, config).values())
    assert_frame_equal(streamed.sort(keys), aggregate(scores, config).sort(keys), check_exact=True)


@QUICK
@given(histories(), CONFIGS)
def test_a_day_computed_from_its_look_back_equals_the_day_inside_a_range_bit_for_bit(
    scores: pl.DataFrame, config: AggregationConfig
) -> None:
    in_range = pushed(scores, config)
    look_back = DAILY_RECORDS.look_back(config.window)
    for today in in_range:
        near = scores.filter(pl.col("day").is_between(today - look_back, today))
        assert_frame_equal(pushed(near, config)[today], in_range[today], check_exact=True)


@QUICK
@given(histories(), CONFIGS)
def test_no_aggregate_leaves_the_range_of_its_scores_and_a_maximum_is_at_least_the_days_own(
    scores: pl.DataFrame, config: AggregationConfig
) -> None:
    found = aggregate(scores, config).with_columns(own=scores["score"])
    span = found.group_by("entity").agg(low=pl.col("own").min(), high=pl.col("own").max())
    bounded = found.join(span, on="entity").drop_nulls("score")
    assert (bounded["score"] >= bounded["low"]).all()
    assert (bounded["score"] <= bounded["high"]).all()
    if config.method == "max":
        assert (found["score"] >= found["own"]).all()


@QUICK
@given(histories(), CONFIGS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(scores: pl.DataFrame, config: AggregationConfig, random) -> None:
    order = list(range(scores.height))
    random.shuffle(order)
    assert_frame_equal(aggregate(scores[order], config), aggregate(scores, config)[order], check_exact=True)


@pytest.mark.parametrize("method", ["max", "mean", "exponential"])
@QUICK
@given(score=st.floats(0, 1e9), days=st.sets(st.integers(0, 20), min_size=1))
def test_equal_scores_stay_ties_at_the_cut(method: str, score: float, days: set[int]) -> None:
    scores = scores_of({(number, "A"): score for number in days})
    config = AggregationConfig(method=method, days=10, half_life_days=3)
    assert aggregate(scores, config)["score"].to_list() == scores["score"].to_list()


@pytest.mark.parametrize(
    ("method", "expected"),
    [("none", [8.0, 2.0, 5.0]), ("max", [8.0, 8.0, 5.0]), ("mean", [8.0, 5.0, 3.5]), ("exponential", [8.0, 4.0, 4.4])],
)
def test_a_score_counts_for_as_many_calendar_days_as_the_yaml_says(method: str, expected: list[float]) -> None:
    scores = scores_of({(0, "A"): 8.0, (1, "A"): 2.0, (3, "A"): 5.0})
    config = AggregationConfig(method=method, days=3, half_life_days=1)
    assert aggregate(scores, config)["score"].to_list() == pytest.approx(expected)


def test_a_day_that_was_not_judged_is_passed_over_and_has_no_aggregate() -> None:
    scores = scores_of({(0, "A"): 8.0, (1, "A"): None, (2, "A"): 2.0})
    for method, expected in (("none", 2.0), ("max", 8.0), ("mean", 5.0)):
        found = aggregate(scores, AggregationConfig(method=method, days=3))["score"].to_list()
        assert found == [8.0, None, expected]


def test_by_default_every_score_is_the_days_own() -> None:
    scores = scores_of({(0, "A"): 8.0, (1, "A"): 2.0})
    assert_frame_equal(aggregate(scores, AggregationConfig()), scores)


def test_rows_keep_their_order_and_their_further_columns() -> None:
    scores = scores_of({(1, "B"): 1.0, (0, "A"): 9.0, (1, "A"): 2.0}).with_columns(cohort=pl.col("entity") + "-model")
    found = aggregate(scores, AggregationConfig(method="max", days=2))
    assert_frame_equal(found.drop("score"), scores.drop("score"))
    assert found["score"].to_list() == [1.0, 9.0, 9.0]


def test_memory_holds_the_look_back_only() -> None:
    rolling = RollingScores(AggregationConfig(method="mean", days=4))
    for number in range(50):
        rolling.push(day(number), scores_of({(number, "A"): 1.0}))
        assert rolling._past.height <= 4
    rolling.push(day(100), scores_of({(100, "A"): 3.0}))
    assert rolling._past["score"].to_list() == [3.0]


def test_single_precision_scores_of_a_detector_are_taken() -> None:
    scores = scores_of({(0, "A"): 0.1}).cast({"score": pl.Float32})
    assert aggregate(scores, AggregationConfig())["score"].dtype == pl.Float64
    assert aggregate(scores.clear(), AggregationConfig())["score"].dtype == pl.Float64


def test_days_that_do_not_rise_are_refused() -> None:
    rolling = RollingScores(AggregationConfig(method="max", days=3))
    rolling.push(day(5), scores_of({(5, "A"): 1.0}))
    for number in (5, 4):
        with pytest.raises(ContractError, match="rising order"):
            rolling.push(day(number), scores_of({(number, "A"): 1.0}))


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (scores_of({(0, "A"): float("nan")}), "1 of 1 scores are NaN"),
        (pl.concat([scores_of({(0, "A"): 1.0})] * 2), "1 rows repeat an entity"),
        (scores_of({(0, "A"): 1.0}).drop("score"), r"lack the columns \['score'\]"),
    ],
)
def test_scores_that_cannot_be_aggregated_are_refused(scores: pl.DataFrame, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        aggregate(scores, AggregationConfig(method="max"))


@QUICK
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 60), st.sampled_from("AB")),
        st.sampled_from([0.0, 0.3, 1.0, 7.0, None]),
        min_size=1,
    ),
    st.sampled_from(["max", "mean", "exponential"]),
    st.integers(1, 300),
)
def test_records_count_by_their_time_whatever_the_periods_that_they_come_in(
    records: dict[tuple[int, str], float | None], method: str, minutes: int
) -> None:
    start, step = datetime(2024, 1, 1, 18, tzinfo=UTC), timedelta(minutes=11)
    config = AggregationConfig(method=method, span=f"{minutes}m", half_life="20m")
    scores = pl.DataFrame(
        {
            "time": [start + place * step for place, _ in records],
            "entity": [entity for _, entity in records],
            "score": list(records.values()),
        },
        schema={"time": TIME_TYPE, "entity": pl.String, "score": pl.Float64},
    )
    whole = aggregate(scores.with_columns(day=pl.col("time").dt.date()), config)
    for (place, entity), own in records.items():
        known = {
            other: score
            for (other, name), score in records.items()
            if name == entity and other <= place and (place - other) * step < config.span and score is not None
        }
        weights = {other: 0.5 ** ((place - other) * step / config.half_life) for other in known}
        expected = (
            None
            if own is None
            else max(known.values())
            if method == "max"
            else sum(known.values()) / len(known)
            if method == "mean"
            else sum(weights[other] * score for other, score in known.items()) / sum(weights.values())
        )
        found = whole.filter(entity=entity, time=start + place * step)["score"].item()
        assert found == pytest.approx(expected)
    for periods in (DAILY, HOURLY):
        rolling = RollingScores(config)
        cut = scores.with_columns(day=periods.of_times(pl.col("time"))).sort("day").partition_by("day")
        pushed = pl.concat([rolling.push(rows["day"][0], rows) for rows in cut])
        keys = ["entity", "time"]
        assert_frame_equal(pushed.drop("day").sort(keys), whole.drop("day").sort(keys), check_exact=True)


@pytest.mark.parametrize("former", [{"days": 3, "half_life_days": 1.5}, {"span": "3d", "half_life": "36h"}])
def test_lengths_of_earlier_releases_count_days(former: dict[str, object]) -> None:
    config = AggregationConfig.model_validate({"method": "exponential", **former})
    assert (config.span, config.half_life) == (3 * DAY, timedelta(hours=36))
    assert AggregationConfig.model_validate(config.model_dump(mode="json")) == config


@QUICK
@given(st.integers(0, 1000))
def test_other_entities_do_not_change_a_score(seed: int) -> None:
    config = AggregationConfig(method="mean", days=5)
    mine = scores_of({(number, "A"): float((seed * number) % 7) for number in range(12)})
    others = scores_of({(number, f"B{place}"): 1e6 for number in range(12) for place in range(20)})
    together = aggregate(pl.concat([others, mine]), config).filter(entity="A")
    assert_frame_equal(together, aggregate(mine, config), check_exact=True)
