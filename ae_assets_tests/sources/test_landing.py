"""The landing plan asks for what raw does not hold, a few days at a time, never twice for the same content."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.errors import ConfigError
from ae_assets.schemas.periods import HOURLY
from ae_assets.sources.landing import LandingCursor, plan
from ae_assets.sources.source import SourceDay

FIRST = date(2013, 4, 10)
DAYS = st.integers(0, 40).map(lambda offset: FIRST + timedelta(days=offset))
CONTENT = st.sampled_from(["a", "b", "c"])


def listing(fingerprints: dict[date, str]) -> dict[date, SourceDay]:
    return {day: SourceDay(day, fingerprint, f"{day}.csv", 1) for day, fingerprint in fingerprints.items()}


@given(st.dictionaries(DAYS, CONTENT), st.integers(1, 7))
def test_every_listed_day_is_asked_for_exactly_once_and_within_the_limit(
    fingerprints: dict[date, str], limit: int
) -> None:
    asked: list[date] = []
    remembered: dict[date, str] = {}
    for _ in range(len(fingerprints) + 2):
        tick = plan(listing(fingerprints), {}, remembered, limit)
        assert len(tick.requests) <= limit
        asked += [request.day for request in tick.requests]
        assert tick.waiting == len(fingerprints) - len(asked)
        remembered = tick.asked
    in_order = sorted(fingerprints)
    waits = len(in_order) > limit
    assert asked == [*in_order[-1:], *in_order[:-1]] if waits else asked == in_order


@given(st.dictionaries(DAYS, CONTENT), st.dictionaries(DAYS, CONTENT), st.dictionaries(DAYS, CONTENT))
def test_a_day_is_asked_for_if_and_only_if_raw_holds_another_content_and_it_was_not_asked_for(
    now: dict[date, str], held: dict[date, str], before: dict[date, str]
) -> None:
    tick = plan(listing(now), held, before, 50)
    due = [day for day in sorted(now) if now[day] not in {held.get(day), before.get(day)}]
    assert [request.day for request in tick.requests] == due
    assert {day: fingerprint for day, fingerprint in tick.asked.items() if day in due} == {day: now[day] for day in due}
    # What is held is forgotten, what is not is remembered.
    assert all(held.get(day) != fingerprint for day, fingerprint in tick.asked.items())
    assert {day for day, fingerprint in before.items() if held.get(day) not in {fingerprint, now.get(day)}} <= set(
        tick.asked
    )


def test_days_that_were_loaded_by_others_are_not_asked_for_and_the_cursor_stays_small() -> None:
    days = {FIRST + timedelta(days=offset): "a" for offset in range(4000)}
    tick = plan(listing(days), days, {}, 10)
    assert (tick.requests, tick.asked, tick.waiting) == ([], {}, 0)
    newest = FIRST + timedelta(days=4000)
    tick = plan(listing({**days, newest: "a"}), days, dict(list(days.items())[:300]), 10)
    assert [request.day for request in tick.requests] == [newest]
    assert tick.asked == {newest: "a"}


def test_the_newest_day_goes_before_days_that_wait() -> None:
    days = listing({FIRST + timedelta(days=offset): "a" for offset in range(8)})
    first = plan(days, {}, {}, 3)
    assert [request.day.day for request in first.requests] == [17, 10, 11]
    second = plan(days, {}, first.asked, 3)
    assert [request.day.day for request in second.requests] == [12, 13, 14]
    third = plan(days, {}, second.asked, 3)
    assert [request.day.day for request in third.requests] == [15, 16]
    few = {day: days[day] for day in sorted(days)[-3:]}
    assert [request.day.day for request in plan(few, {}, {}, 3).requests] == [15, 16, 17], "none waits"


def test_a_changed_day_is_asked_for_again() -> None:
    asked = plan(listing({FIRST: "a"}), {}, {}, 5).asked
    assert plan(listing({FIRST: "a"}), {}, asked, 5).requests == []
    assert [request.fingerprint for request in plan(listing({FIRST: "b"}), {}, asked, 5).requests] == ["b"]
    held = {FIRST: "a"}
    assert [request.fingerprint for request in plan(listing({FIRST: "b"}), held, {}, 5).requests] == ["b"]
    # It comes back as it was while the run of the other content waits: nothing is left to ask for.
    assert plan(listing({FIRST: "a"}), held, {FIRST: "b"}, 5) == plan(listing({FIRST: "a"}), held, {}, 5)


def test_days_outside_the_range_are_ignored_until_the_range_is_widened() -> None:
    days = listing({FIRST + timedelta(days=offset): "a" for offset in range(5)})
    inner = plan(days, {}, {}, 10, FIRST + timedelta(days=1), FIRST + timedelta(days=3))
    assert [request.day.day for request in inner.requests] == [11, 12, 13]
    assert inner.waiting == 0
    assert [request.day.day for request in plan(days, {}, inner.asked, 10).requests] == [10, 14]


def test_a_location_that_is_away_for_a_moment_does_not_bring_everything_again() -> None:
    asked = plan(listing({FIRST: "a"}), {}, {}, 5).asked
    away = plan({}, {}, asked, 5)
    assert away.requests == []
    assert plan(listing({FIRST: "a"}), {}, away.asked, 5).requests == []


def test_a_local_file_that_an_earlier_release_loaded_is_the_same_while_its_size_is() -> None:
    by_time = f"{1000:x}-{1_700_000_000_123_456_789:x}"
    for size, due in ((1000, []), (1001, [FIRST])):
        days = {FIRST: SourceDay(FIRST, f"0badcafe-{size:x}", "2013-04-10.csv", size)}
        tick = plan(days, {FIRST: by_time}, {FIRST: by_time}, 5)
        assert [request.day for request in tick.requests] == due


def test_a_limit_below_one_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"is 0. Expected 1 or more"):
        plan({}, {}, {}, 0)


HOURS = st.datetimes(datetime(2013, 1, 1), datetime(2014, 1, 1), timezones=st.just(UTC)).map(HOURLY.of)  # noqa: DTZ001


@given(st.dictionaries(DAYS, st.text()) | st.dictionaries(HOURS, st.text()))
def test_a_cursor_survives_its_json(asked: dict[date, str]) -> None:
    assert LandingCursor.from_json(LandingCursor(asked).to_json()) == LandingCursor(asked)


def test_a_cursor_of_earlier_releases_is_read() -> None:
    text = '{"version":1,"seen":{"2013-04-10":"a","2013-04-11":"b"}}'
    assert LandingCursor.from_json(text) == LandingCursor({FIRST: "a", FIRST + timedelta(days=1): "b"})


@pytest.mark.parametrize("text", [None, ""])
def test_no_cursor_is_a_fresh_start_without_a_reason(text: str | None) -> None:
    assert LandingCursor.from_json(text) == LandingCursor()


@pytest.mark.parametrize(
    "text",
    ["2013-04-10", "{", "[]", "null", '{"seen": {}}', '{"version": 1}', '{"version": 9, "seen": {}}', "[" * 100_000]
    + [f'{{"version": 1, "seen": {seen}}}' for seen in ("[]", "null", '{"2013-04-31": "a"}', '{"2013-04-10": 5}')],
)
def test_an_unreadable_cursor_starts_anew_and_says_why(text: str) -> None:
    cursor = LandingCursor.from_json(text)
    assert cursor.asked == {}
    assert cursor.restarted_because


@given(st.text())
def test_no_text_at_all_makes_the_cursor_fail(text: str) -> None:
    assert LandingCursor.from_json(text).asked == {}
