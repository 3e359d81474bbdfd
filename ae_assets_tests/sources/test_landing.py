"""The landing plan asks for new and changed days, oldest first, a few at a time, never twice for the same content."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.errors import ConfigError
from ae_assets.sources.landing import LandingCursor, plan
from ae_assets.sources.source import SourceDay

FIRST = date(2013, 4, 10)
DAYS = st.integers(0, 40).map(lambda offset: FIRST + timedelta(days=offset))
CONTENT = st.sampled_from(["a", "b", "c"])


def listing(fingerprints: dict[date, str]) -> dict[date, SourceDay]:
    return {day: SourceDay(day, fingerprint, f"{day}.csv", 1) for day, fingerprint in fingerprints.items()}


@given(st.dictionaries(DAYS, CONTENT), st.integers(1, 7))
def test_every_listed_day_is_asked_for_exactly_once_in_order_and_within_the_limit(
    fingerprints: dict[date, str], limit: int
) -> None:
    asked: list[date] = []
    seen: dict[date, str] = {}
    for _ in range(len(fingerprints) + 2):
        tick = plan(listing(fingerprints), seen, limit)
        assert len(tick.requests) <= limit
        asked += [request.day for request in tick.requests]
        assert tick.waiting == len(fingerprints) - len(asked)
        seen = tick.seen
    assert asked == sorted(fingerprints)


@given(st.dictionaries(DAYS, CONTENT), st.dictionaries(DAYS, CONTENT), st.integers(1, 7))
def test_a_day_is_asked_for_if_and_only_if_its_fingerprint_is_not_the_one_seen(
    before: dict[date, str], now: dict[date, str], limit: int
) -> None:
    tick = plan(listing(now), before, limit)
    due = sorted(day for day, fingerprint in now.items() if before.get(day) != fingerprint)
    assert [request.day for request in tick.requests] == due[:limit]
    assert all(tick.seen[request.day] == now[request.day] for request in tick.requests)


def test_a_changed_day_is_asked_for_again() -> None:
    seen = plan(listing({FIRST: "a"}), {}, 5).seen
    assert plan(listing({FIRST: "a"}), seen, 5).requests == []
    assert [request.fingerprint for request in plan(listing({FIRST: "b"}), seen, 5).requests] == ["b"]


def test_days_outside_the_range_are_ignored_until_the_range_is_widened() -> None:
    days = listing({FIRST + timedelta(days=offset): "a" for offset in range(5)})
    inner = plan(days, {}, 10, FIRST + timedelta(days=1), FIRST + timedelta(days=3))
    assert [request.day.day for request in inner.requests] == [11, 12, 13]
    assert inner.waiting == 0
    assert [request.day.day for request in plan(days, inner.seen, 10).requests] == [10, 14]


def test_a_location_that_is_away_for_a_moment_does_not_bring_everything_again() -> None:
    seen = plan(listing({FIRST: "a"}), {}, 5).seen
    away = plan({}, seen, 5)
    assert away.requests == []
    assert plan(listing({FIRST: "a"}), away.seen, 5).requests == []


def test_a_limit_below_one_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"is 0. Expected 1 or more"):
        plan({}, {}, 0)


@given(st.dictionaries(DAYS, st.text()))
def test_a_cursor_survives_its_json(seen: dict[date, str]) -> None:
    assert LandingCursor.from_json(LandingCursor(seen).to_json()) == LandingCursor(seen)


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
    assert cursor.seen == {}
    assert cursor.restarted_because


@given(st.text())
def test_no_text_at_all_makes_the_cursor_fail(text: str) -> None:
    assert LandingCursor.from_json(text).seen == {}
