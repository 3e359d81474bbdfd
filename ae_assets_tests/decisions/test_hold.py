"""For a while after a high score only higher ones raise an alarm."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.decisions.hold import RollingHold, alarm_scores
from ae_assets.schemas.records import TIME_TYPE

HOUR = timedelta(hours=1)
NOON = datetime(2024, 4, 17, 12, tzinfo=UTC)
TYPES = {"time": TIME_TYPE, "entity": pl.String, "score": pl.Float64}


def scores(*rows: tuple[str, int, float | None]) -> pl.DataFrame:
    """Entity, hours after noon, score."""
    made = pl.DataFrame([(NOON + hour * HOUR, entity, score) for entity, hour, score in rows], TYPES, orient="row")
    return made.with_columns(day=pl.col("time").dt.date())


def raised(rows: pl.DataFrame, hold: timedelta | None = 3 * HOUR) -> list[float | None]:
    return alarm_scores(rows, hold).to_list()


def test_a_score_that_is_no_higher_than_one_before_raises_no_alarm_and_a_higher_one_does() -> None:
    assert raised(scores(*(("a", hour, score) for hour, score in enumerate([5, 4, 5, 6, 6])))) == [5, 0, 0, 6, 0]


def test_the_hold_ends_after_its_time_and_counts_from_the_score_that_is_as_high() -> None:
    falling = [(0, 9.0), (2, 8.0), (3, 7.0), (6, 7.5), (9, 7.5)]
    assert raised(scores(*(("a", hour, score) for hour, score in falling))) == [9, 0, 0, 7.5, 7.5]


def test_each_entity_has_its_own_and_what_is_not_judged_holds_nothing_back() -> None:
    rows = scores(("a", 0, 5), ("b", 0, 3), ("b", 1, 2), ("a", 1, None), ("c", 1, None), ("c", 2, 1), ("b", 2, 4))
    assert raised(rows) == [5, 3, 0, None, None, 1, 4]
    assert raised(rows, None) == rows["score"].to_list()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.none() | st.integers(0, 4).map(float)),
        unique_by=lambda row: row[:2],
        min_size=1,
    ),
    st.sampled_from([1, 5, 30]),
)
def test_periods_one_after_the_other_give_what_all_at_once_gives(
    rows: list[tuple[str, int, float | None]], hours: int
) -> None:
    frame, hold = scores(*rows), hours * HOUR
    whole = frame.with_columns(alarm_scores(frame, hold)).sort("time", "entity")
    rolling = RollingHold(hold)
    parts = [part.with_columns(rolling.push(part)) for _, part in sorted(frame.group_by("day"), key=lambda one: one[0])]
    assert pl.concat(parts).sort("time", "entity").equals(whole)


def test_days_of_entities_with_one_record_each_are_held_by_their_days() -> None:
    daily = pl.DataFrame(
        {"day": [NOON.date() + timedelta(days=number) for number in range(4)], "entity": "a", "score": [3, 2, 2, 2]}
    )
    assert raised(daily, timedelta(days=2)) == pytest.approx([3, 0, 0, 0])
    assert raised(daily, timedelta(days=1)) == pytest.approx([3, 2, 2, 2])
