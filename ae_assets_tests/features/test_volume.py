"""Which days cannot hold a whole fleet."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.features.volume import implausible_days, table_gaps
from ae_assets.schemas.periods import HOURLY, WEEKLY

FIRST = date(2013, 4, 10)

OBSERVED_2013 = [
    (21195, 3),
    (21150, 1),
    (21599, 3),
    (21600, 4),
    (21599, 2),
    (21644, 1),
    (21688, 1),
    (21689, 1),
    (21734, 6),
    (21732, 1),
    (21733, 1),
    (21734, 1),
    (21735, 4),
    (21645, 1),
    (21870, 8),
    (22590, 1),
    (22635, 6),
    (22680, 4),
    (22635, 6),
    (22680, 1),
    (22591, 1),
    (22545, 9),
    (22590, 3),
    (22635, 3),
    (22544, 1),
    (22545, 4),
    (22500, 1),
    (22860, 1),
    (23355, 2),
    (23310, 3),
    (23220, 1),
    (23265, 1),
    (23220, 1),
    (23130, 3),
    (23220, 2),
    (23265, 1),
    (23220, 1),
    (23175, 6),
    (23085, 1),
    (23130, 1),
    (23085, 1),
    (23084, 1),
    (23670, 1),
    (23714, 7),
    (23669, 1),
    (23670, 6),
    (23805, 8),
    (23804, 2),
    (23805, 3),
    (315, 2),
    (855, 14),
    (720, 9),
    (900, 31),
    (25019, 1),
    (24974, 2),
    (24975, 2),
    (25065, 2),
    (25155, 1),
    (25245, 3),
    (25515, 1),
    (25470, 1),
    (25560, 3),
    (25605, 1),
]
"""Drives that reported and on how many days in a row, 2013-04-10 to 2013-10-31, as published."""


def days_from(first: date, counts: list[int]) -> dict[date, int]:
    return {first + timedelta(days=number): rows for number, rows in enumerate(counts)}


def observed_2013() -> dict[date, int]:
    return days_from(FIRST, [rows for rows, days in OBSERVED_2013 for _ in range(days)])


def test_the_outage_of_2013_is_flagged_from_its_first_to_its_last_day_and_nothing_else():
    flagged = [day.day for day in implausible_days(observed_2013())]
    assert flagged == [date(2013, 8, 20) + timedelta(days=number) for number in range(56)]
    assert flagged[-1] == date(2013, 10, 14)


def test_a_part_of_the_year_is_judged_as_the_whole_is():
    whole = implausible_days(observed_2013())
    part = implausible_days(observed_2013(), first_day=date(2013, 10, 1), last_day=date(2013, 10, 20))
    assert part == [day for day in whole if day.day >= date(2013, 10, 1)]


def test_a_verdict_says_what_was_found_and_what_was_expected():
    day = implausible_days(observed_2013())[0]
    assert (day.rows, day.expected) == (315, 23_805)
    assert day.reason == "315 rows are 1.3% of the 23,805 of the plausible days before"


def test_missing_days_inside_the_range_are_flagged():
    counts = days_from(FIRST, [100] * 10)
    del counts[FIRST + timedelta(days=4)]
    flagged = implausible_days(counts, last_day=FIRST + timedelta(days=10))
    assert [(day.day, day.rows) for day in flagged] == [(FIRST + timedelta(days=4), 0), (FIRST + timedelta(days=10), 0)]
    assert flagged[0].reason == "no rows, where about 100 are expected"


def test_a_day_delivered_twice_over_is_flagged():
    assert [day.rows for day in implausible_days(days_from(FIRST, [100, 101, 99, 250, 100]))] == [250]


def test_an_empty_first_day_is_held_against_the_days_after_it():
    assert [day.rows for day in implausible_days(days_from(FIRST, [5, 100, 101, 99, 100]))] == [5]


def test_a_fleet_that_grows_by_and_by_is_plausible_throughout():
    assert not implausible_days(days_from(FIRST, [int(1000 * 1.02**number) for number in range(200)]))


def test_a_new_size_of_the_fleet_becomes_the_norm_once_it_has_lasted():
    flagged = implausible_days(days_from(FIRST, [1000] * 20 + [100] * 100))
    assert len(flagged) == 90
    assert flagged[-1].day == FIRST + timedelta(days=109)


def test_where_no_day_has_rows_there_is_nothing_to_judge():
    assert implausible_days({}) == []
    assert implausible_days({FIRST: 0}) == []


def test_the_gaps_of_a_table_are_its_missing_days_and_those_far_too_small_but_none_before_it_begins() -> None:
    first = date(2024, 1, 1)
    rows = {first + timedelta(days=number): 100 for number in range(5, 30) if number not in (10, 11)}
    rows |= {first + timedelta(days=20): 4, first + timedelta(days=21): 0, first + timedelta(days=22): 900}
    gaps = table_gaps(rows, first, first + timedelta(days=31))
    assert sorted((day - first).days for day in gaps) == [10, 11, 20, 21, 30, 31]
    assert table_gaps(rows, first + timedelta(days=12), first + timedelta(days=19)) == frozenset()
    assert table_gaps({}, first, first) == frozenset()
    half = {day: count // 2 - 1 if day == first + timedelta(days=25) else count for day, count in rows.items()}
    assert first + timedelta(days=25) in table_gaps(half, first, first + timedelta(days=29))
    lenient = table_gaps(half, first, first + timedelta(days=29), lowest_share=0.4)
    assert first + timedelta(days=25) not in lenient


@settings(deadline=None)
@given(st.lists(st.integers(0, 100_000), max_size=60))
def test_each_day_is_flagged_at_most_once_in_order_and_days_without_rows_always(counts):
    day_rows = days_from(FIRST, counts)
    flagged = [day.day for day in implausible_days(day_rows)]
    assert flagged == sorted(set(flagged))
    if any(counts):
        assert {day for day, rows in day_rows.items() if rows == 0} <= set(flagged)


def hours_from(first: datetime, counts: Sequence[int]) -> dict[date, int]:
    return dict(zip(HOURLY.range(first, HOURLY.shifted(first, len(counts) - 1)), counts, strict=True))


DAY_AND_NIGHT = [10] * 6 + [100] * 12 + [0] * 6
"""Rows of the hours of a day on which devices rest at night."""

MIDNIGHT = datetime(2024, 4, 15, tzinfo=UTC)


def test_an_hour_is_held_against_the_same_hour_of_the_days_before() -> None:
    hours = hours_from(MIDNIGHT, DAY_AND_NIGHT * 10)
    assert not implausible_days(hours, HOURLY)
    quiet, loud, silent = (MIDNIGHT + timedelta(days=8, hours=hour) for hour in (12, 3, 13))
    flagged = implausible_days(hours | {quiet: 10, loud: 100, silent: 0}, HOURLY)
    assert [(hour.day, hour.rows, hour.expected) for hour in flagged] == [
        (loud, 100, 10),
        (quiet, 10, 100),
        (silent, 0, 100),
    ]
    assert flagged[1].reason == "10 rows are 10.0% of the 100 of the plausible hours before"
    gaps = table_gaps(hours | {quiet: 10, silent: 0}, MIDNIGHT, max(hours), HOURLY)
    assert gaps == {quiet, silent}, "nobody was away at night"


def test_a_new_level_of_hours_becomes_the_norm_after_as_many_days_as_one_of_days() -> None:
    hours = hours_from(MIDNIGHT, [100] * 24 * 20 + [10] * 24 * 100)
    flagged = implausible_days(hours, HOURLY)
    assert len(flagged) == 24 * 90
    assert flagged[-1].day == MIDNIGHT + timedelta(days=109, hours=23)


def test_a_new_level_of_weeks_becomes_the_norm_after_a_quarter() -> None:
    monday = date(2024, 4, 15)
    counts = [100] * 20 + [10] * 20
    weeks = dict(zip(WEEKLY.range(monday, WEEKLY.shifted(monday, 39)), counts, strict=True))
    flagged = implausible_days(weeks, WEEKLY)
    assert [week.day for week in flagged] == WEEKLY.range(WEEKLY.shifted(monday, 20), WEEKLY.shifted(monday, 32))
    missing = {week: rows for week, rows in weeks.items() if week != WEEKLY.shifted(monday, 5)}
    assert WEEKLY.shifted(monday, 5) in table_gaps(missing, monday, max(weeks), WEEKLY)
