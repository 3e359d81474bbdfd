"""Periods: every moment lies in exactly one, and what is said of one is the same by value, by column and by key."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.schemas.durations import days_or_written, duration, whole_days, written
from ae_assets.schemas.periods import DAILY, HOURLY, PERIODS, WEEKLY, Periods

KINDS = tuple(PERIODS.values())
MOMENTS = st.integers(631_152_000, 3_786_912_000).map(lambda second: datetime.fromtimestamp(second, UTC))
LENGTHS = st.timedeltas(timedelta(), timedelta(days=400))


@given(MOMENTS, st.sampled_from(KINDS))
def test_a_moment_lies_between_the_start_and_the_end_of_its_period(moment: datetime, periods: Periods) -> None:
    period = periods.of(moment)
    assert periods.start(period) <= moment < periods.end(period)
    assert periods.of(periods.start(period)) == period
    assert periods.end(period) == periods.start(periods.shifted(period, 1))


@given(st.lists(MOMENTS, min_size=1, max_size=9), st.sampled_from(KINDS))
def test_a_column_of_times_has_the_periods_of_its_values(moments: list[datetime], periods: Periods) -> None:
    times = pl.Series(moments, dtype=pl.Datetime("us", "UTC"))
    found = times.to_frame("time").select(periods.of_times(pl.col("time"))).to_series()
    assert found.dtype == periods.dtype
    assert found.to_list() == [periods.of(moment) for moment in moments]


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.sampled_from([DAILY, WEEKLY]))
def test_a_column_of_days_has_the_periods_of_its_values(day: date, periods: Periods) -> None:
    found = pl.Series([day]).to_frame("time").select(periods.of_times(pl.col("time"))).item()
    assert found == periods.of(day)


@given(MOMENTS, st.sampled_from(KINDS))
def test_a_key_is_read_back(moment: datetime, periods: Periods) -> None:
    period = periods.of(moment)
    assert periods.parse(periods.key(period)) == period


@given(MOMENTS, LENGTHS, st.sampled_from(KINDS))
def test_what_lies_within_a_length_before_a_period_is_read(
    moment: datetime, length: timedelta, periods: Periods
) -> None:
    period = periods.of(moment)
    first = periods.before(period, length)
    assert periods.start(first) <= periods.start(period) - length < periods.end(first)


@given(MOMENTS, LENGTHS, st.sampled_from(KINDS))
def test_the_last_that_reads_a_period_does_and_the_next_does_not(
    moment: datetime, length: timedelta, periods: Periods
) -> None:
    period = periods.of(moment)
    last = periods.after(period, length)
    assert periods.before(last, length) <= period < periods.before(periods.shifted(last, 1), length)


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.sampled_from(KINDS))
def test_a_date_that_ends_a_range_stands_for_its_last_hour_its_day_or_its_week(day: date, periods: Periods) -> None:
    last = periods.parse(day.isoformat(), last=True)
    assert periods.start(last) < DAILY.end(day) <= periods.end(last)
    assert periods.last_of(day) == last


@given(MOMENTS, st.integers(0, 60), st.sampled_from(KINDS))
def test_a_range_holds_each_period_once(moment: datetime, count: int, periods: Periods) -> None:
    first = periods.of(moment)
    found = periods.range(first, periods.shifted(first, count))
    assert len(found) == count + 1
    assert found == sorted(set(found))
    assert all(periods.of(period) == period for period in found)
    assert list(periods.stretches(found)) == [(first, found[-1])]
    assert periods.range(periods.shifted(first, 1), first) == []


def test_periods_that_are_far_apart_are_read_in_two_stretches() -> None:
    far = [date(2024, 1, 1), date(2024, 3, 4)]
    assert list(WEEKLY.stretches(far, timedelta(days=10))) == [
        (date(2023, 12, 18), date(2024, 1, 1)),
        (date(2024, 2, 19), date(2024, 3, 4)),
    ]
    assert list(DAILY.stretches(far, timedelta(days=100))) == [(date(2023, 9, 23), date(2024, 3, 4))]


@pytest.mark.parametrize(
    ("periods", "text", "period"),
    [
        (DAILY, "2024-04-17", date(2024, 4, 17)),
        (WEEKLY, "2024-04-17", date(2024, 4, 15)),
        (HOURLY, "2024-04-17", datetime(2024, 4, 17, tzinfo=UTC)),
        (HOURLY, "2024-04-17T05", datetime(2024, 4, 17, 5, tzinfo=UTC)),
        (HOURLY, "2024-04-17 05:30", datetime(2024, 4, 17, 5, tzinfo=UTC)),
        (HOURLY, "2024-04-17-05:00", datetime(2024, 4, 17, 5, tzinfo=UTC)),
    ],
)
def test_what_a_person_writes_is_a_period(periods: Periods, text: str, period: date) -> None:
    assert periods.parse(text) == period


@pytest.mark.parametrize(
    ("periods", "text"), [(DAILY, "17.4.2024"), (DAILY, "2024-04-17T05"), (WEEKLY, "next"), (HOURLY, "2024-04-17T25")]
)
def test_what_is_no_period_is_refused(periods: Periods, text: str) -> None:
    with pytest.raises(ValueError, match=periods.noun):
        periods.parse(text)


@given(MOMENTS, LENGTHS.filter(bool), st.sampled_from(KINDS))
def test_the_periods_that_span_a_length_hold_it_and_none_of_them_is_needless(
    moment: datetime, length: timedelta, periods: Periods
) -> None:
    last = periods.of(moment)
    spanning = periods.range(periods.spanning(last, length), last)
    assert len(spanning) == periods.count(length)
    assert timedelta() <= len(spanning) * periods.step - length < periods.step


@given(MOMENTS, st.sampled_from(KINDS))
def test_the_following_period_is_the_first_that_begins_no_earlier(moment: datetime, periods: Periods) -> None:
    following = periods.following(moment)
    assert periods.start(periods.shifted(following, -1)) < moment <= periods.start(following)


@given(MOMENTS, st.integers(0, 50), st.sampled_from(KINDS))
def test_the_days_of_a_range_are_those_of_its_first_and_its_last_moment(
    moment: datetime, count: int, periods: Periods
) -> None:
    first = periods.of(moment)
    last = periods.shifted(first, count)
    first_day, last_day = periods.days(first, last)
    assert (first_day, last_day) == (periods.start(first).date(), (periods.end(last) - timedelta(seconds=1)).date())
    assert periods.of(first_day) <= first
    assert periods.last_of(last_day) >= last


@pytest.mark.parametrize("periods", KINDS)
def test_the_first_and_the_last_day_of_all_have_periods(periods: Periods) -> None:
    assert periods.start(periods.of(date.min)).date() == date.min
    assert periods.start(periods.last_of(date.max)).date() <= date.max


def test_a_time_without_a_zone_has_no_period() -> None:
    with pytest.raises(ValueError, match="time zone"):
        DAILY.of(datetime(2024, 4, 17, 5))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("given_length", "length", "text"),
    [
        (28, timedelta(days=28), "28d"),
        ("28d", timedelta(days=28), "28d"),
        ("4w", timedelta(days=28), "28d"),
        ("36h", timedelta(hours=36), "36h"),
        ("15m", timedelta(minutes=15), "15m"),
        ("90 s", timedelta(seconds=90), "90s"),
    ],
)
def test_a_length_of_time_is_read_and_written(given_length: object, length: timedelta, text: str) -> None:
    assert duration(given_length) == length
    assert written(length) == text
    assert duration(days_or_written(length)) == length


@pytest.mark.parametrize("given_length", [0, -1, "0d", "6", "h", "1.5d", True, None, timedelta()])
def test_what_is_no_length_of_time_is_refused(given_length: object) -> None:
    with pytest.raises(ValueError, match="length of time"):
        duration(given_length)


def test_whole_days_are_rounded_up() -> None:
    assert [whole_days(duration(text)) for text in ("1h", "24h", "25h")] == [1, 1, 2]
