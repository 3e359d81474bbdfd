"""Who counts: failed entities, healthy windows, and the rows that belong to each."""

from datetime import date, timedelta

import polars as pl
import pytest

from ae_assets.errors import ConfigError, ContractError, EvaluationError
from ae_assets.evaluation.population import Population, population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.spells import Lives
from ae_assets_tests.conftest import real_data
from ae_assets_tests.evaluation.fleet import day, lives_of, records_of, scored

LIVES = dict[str, tuple[int, int, int | None]]


def population(lives: LIVES, protocol: Protocol, scored_from: int = 0, known_until: int | None = None) -> Population:
    records = records_of(lives)
    known = None if known_until is None else day(known_until)
    return population_of(protocol, lives_of(records, known), scored(records.filter(pl.col("day") >= day(scored_from))))


def failed(lives: LIVES, protocol: Protocol, **options: int) -> list[str]:
    return population(lives, protocol, **options).failed["entity"].to_list()


def pairs(lives: LIVES, protocol: Protocol, **options: int) -> list[tuple[str, int]]:
    return population(lives, protocol, **options).pairs.select("entity", "window").rows()


ONE_WINDOW = Protocol(day(0), day(29))
WATCHED: LIVES = {"watched": (0, 100, None)}


def test_an_entity_counts_as_failed_from_the_day_after_the_start_to_the_end() -> None:
    lives: LIVES = WATCHED | {f"fails-{offset:02}": (-40, offset, offset) for offset in (0, 1, 29, 30)}
    assert failed(lives, ONE_WINDOW) == ["fails-01", "fails-29"]


def test_moving_a_label_out_of_the_range_by_a_day_takes_the_entity_out_of_the_figures() -> None:
    inside = population(WATCHED | {"a": (0, 29, 29)}, ONE_WINDOW)
    outside = population(WATCHED | {"a": (0, 30, 30)}, ONE_WINDOW)
    assert (inside.failed.height, inside.sample.failures) == (1, 1)
    assert (outside.failed.height, outside.sample.failures) == (0, 0)


def test_only_the_horizon_before_the_failure_counts_and_never_the_failure_day() -> None:
    protocol = Protocol(day(0), day(99), horizon_days=10)
    result = population(WATCHED | {"a": (0, 50, 50)}, protocol)
    days = result.rows[result.failed_rows.rows.tolist()]["day"]
    assert (days.min(), days.max(), len(days)) == (day(40), day(49), 10)
    assert result.rows[result.failure_day_rows.tolist()].select("entity", "day").rows() == [("a", day(50))]


def test_moving_a_failure_by_a_day_moves_its_horizon_by_a_day() -> None:
    protocol = Protocol(day(0), day(99), horizon_days=10)
    result = population(WATCHED | {"a": (0, 51, 51)}, protocol)
    days = result.rows[result.failed_rows.rows.tolist()]["day"]
    assert (days.min(), days.max()) == (day(41), day(50))


def test_an_entity_without_a_scored_row_in_its_horizon_is_named_and_not_judged() -> None:
    result = population({"seen": (0, 60, 29), "unseen": (20, 20, 20)} | WATCHED, ONE_WINDOW)
    assert result.failed["entity"].to_list() == ["seen"]
    assert result.sample.unscored == ("unseen",)
    assert result.sample.failures == 2


def test_rows_after_a_failure_belong_to_nobody() -> None:
    lives: LIVES = WATCHED | {"back": (0, 100, 10), "long-gone": (-40, 100, -20)}
    result = population(lives, ONE_WINDOW)
    assert result.pairs["entity"].to_list() == ["watched"]
    assert result.rows[result.failed_rows.rows.tolist()]["day"].max() == day(9)
    assert result.rows[result.healthy_rows.tolist()]["entity"].unique().to_list() == ["watched"]


def test_windows_tile_the_range_from_its_start_and_the_remainder_has_none() -> None:
    protocol = Protocol(day(0), day(69))
    assert protocol.windows == ((day(0), day(29)), (day(30), day(59)))
    assert pairs(WATCHED, protocol) == [("watched", 0), ("watched", 1)]


def test_one_row_in_a_window_makes_a_pair() -> None:
    lives: LIVES = WATCHED | {"late": (59, 100, None), "later": (60, 100, None)}
    assert pairs(lives, Protocol(day(0), day(69))) == [("late", 1), ("watched", 0), ("watched", 1)]


def test_each_pair_holds_the_rows_of_its_entity_and_window_only() -> None:
    result = population({"a": (0, 100, None), "b": (20, 100, None)}, Protocol(day(0), day(69)))
    for index, (entity, window) in enumerate(result.pairs.select("entity", "window").rows()):
        start = result.pair_rows.starts[index]
        end = [*result.pair_rows.starts.tolist(), len(result.pair_rows.rows)][index + 1]
        rows = result.rows[result.pair_rows.rows[start:end].tolist()]
        assert rows["entity"].unique().to_list() == [entity]
        first = max(window * 30, 20 if entity == "b" else 0)
        assert (rows["day"].min(), rows["day"].max()) == (day(first), day(window * 30 + 29))


def test_an_entity_that_fails_within_the_horizon_after_the_end_is_not_healthy() -> None:
    lives: LIVES = WATCHED | {"soon": (0, 59, 59), "later": (0, 100, 60)}
    assert pairs(lives, ONE_WINDOW) == [("later", 0), ("watched", 0)]


def test_a_failure_that_is_not_known_yet_leaves_its_entity_healthy() -> None:
    lives: LIVES = WATCHED | {"soon": (0, 59, 59)}
    assert pairs(lives, ONE_WINDOW, known_until=58) == [("soon", 0), ("watched", 0)]


def test_an_entity_that_vanishes_before_the_end_of_the_horizon_is_censored() -> None:
    result = population(WATCHED | {"gone": (0, 58, None), "stayed": (0, 59, None)}, ONE_WINDOW)
    assert result.pairs["entity"].to_list() == ["stayed", "watched"]
    assert result.sample.censored_windows == 1


def test_follow_up_ends_where_knowledge_ends_and_says_so() -> None:
    lives: LIVES = WATCHED | {"gone": (0, 38, None), "stayed": (0, 39, None)}
    result = population(lives, ONE_WINDOW, known_until=39)
    assert result.pairs["entity"].to_list() == ["stayed", "watched"]
    assert (result.sample.censored_windows, result.sample.windows_followed_short) == (1, 2)


def test_without_follow_up_a_vanished_entity_counts_as_healthy() -> None:
    lives: LIVES = WATCHED | {"gone": (0, 3, None)}
    assert pairs(lives, Protocol(day(0), day(29), follow_up="none")) == [("gone", 0), ("watched", 0)]


def test_a_range_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"no complete window of 30 days.*evaluate at least 30 days"):
        Protocol(day(0), day(28))


@pytest.mark.parametrize(
    "setting",
    [{"horizon_days": 0}, {"window_days": 0}, {"false_alarm_rates": (0.01, 1.0)}, {"false_alarm_rates": (0,)}],
)
def test_a_setting_out_of_range_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        Protocol(day(0), day(60), **setting)  # type: ignore[arg-type]


def test_labels_that_end_before_the_range_are_refused() -> None:
    with pytest.raises(EvaluationError, match="labels are known until 2024-01-20"):
        population(WATCHED, ONE_WINDOW, known_until=19)


def test_a_range_without_scored_rows_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no row is scored"):
        population(WATCHED, ONE_WINDOW, scored_from=50)


def test_an_entity_day_that_is_scored_twice_is_refused() -> None:
    records = records_of(WATCHED)
    with pytest.raises(EvaluationError, match=r"1 entity-days are scored twice.*watched on 2024-01-04"):
        population_of(ONE_WINDOW, lives_of(records), pl.concat([scored(records), scored(records)[3:4]]))


def test_a_scored_entity_without_records_is_refused() -> None:
    records = records_of(WATCHED | {"stranger": (0, 50, None)})
    known = lives_of(records_of(WATCHED))
    with pytest.raises(EvaluationError, match="the first is stranger"):
        population_of(ONE_WINDOW, known, scored(records))


def test_scored_rows_without_a_cohort_column_are_refused() -> None:
    records = records_of(WATCHED)
    with pytest.raises(ContractError, match="cohort"):
        population_of(ONE_WINDOW, lives_of(records), scored(records).drop("cohort"))


@pytest.mark.real_data
def test_the_second_fleet_has_519_failed_drives_and_182609_healthy_windows_without_follow_up() -> None:
    intervals = pl.read_parquet(real_data("drive_stats/fleet_2014_2015_intervals.parquet"))
    lives = Lives(
        intervals.group_by(entity="serial_number")
        .agg(
            pl.col("first_day").min(),
            pl.col("last_day").max(),
            pl.col("last_day").filter(pl.col("failed_on_last_day")).min().alias("failed_on"),
        )
        .sort("entity"),
        known_until=date(2015, 6, 30),
    )
    protocol = Protocol(date(2015, 2, 1), date(2015, 5, 31), follow_up="none")
    # Drives of this fleet report without gaps: their first row in each window and their last one before failure say
    # as much about who counts as all rows do.
    first = [
        lives.frame.select("entity", "last_day", day=pl.max_horizontal("first_day", first))
        for first, _ in protocol.windows
    ]
    last = lives.frame.select("entity", "last_day", day=pl.col("failed_on") - timedelta(days=1))
    ends = [last_day for _, last_day in protocol.windows]
    keys = pl.concat(
        [
            *(frame.filter(pl.col("day") <= end) for frame, end in zip(first, ends, strict=True)),
            last.filter(pl.col("day") >= protocol.start),
        ]
    ).filter(pl.col("day") <= pl.col("last_day"))
    result = population_of(
        protocol, lives, keys.select("day", "entity", cohort=pl.lit("all"), score=pl.lit(0.0)).unique()
    )

    assert result.failed.height == 519
    assert result.pairs.height == 182_609
