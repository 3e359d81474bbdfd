from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.pipeline.alerts.cursor import Cursor
from ae_assets.pipeline.alerts.problems import (
    Alert,
    Event,
    Followed,
    Kind,
    Problem,
    Rules,
    Severity,
    Sighting,
    Subject,
    follow,
)
from ae_assets.schemas.periods import PERIODS, Periods

CHECK = Subject(Kind.CHECK, "fleet/raw", "day_volume_is_plausible")
RUN = Subject(Kind.RUN, "fleet/raw", "fleet_daily")
DAYS = [date(2024, 5, 1) + timedelta(days=offset) for offset in range(400)]
RULES = Rules()
HOUR = 3600.0


def fails(subject: Subject = CHECK, at: float = 1.0, severity: Severity = Severity.ERROR, *days: date) -> Sighting:
    return Sighting(subject, False, at, "why", severity, frozenset(days), frozenset(days))


def passes(subject: Subject = CHECK, at: float = 2.0, *days: date) -> Sighting:
    return Sighting(subject, True, at, days=frozenset(days))


def looks(*sightings: list[Sighting], rules: Rules = RULES) -> list[list[str]]:
    """The events of each look, a minute apart."""
    problems, events = {}, []
    for number, seen in enumerate(sightings):
        followed = follow(problems, seen, number * 60.0, rules)
        problems = followed.problems
        events.append([alert.event.value for alert in followed.alerts])
    return events


def test_a_failure_is_posted_once_and_its_end_once() -> None:
    events = looks([fails()], [fails(at=2)], [], [passes(at=3)], [passes(at=4)], [fails(at=5)])
    assert events == [["failing"], [], [], ["recovered"], [], ["failing"]]


def test_three_hundred_runs_that_fail_for_one_reason_are_one_alert_with_a_count() -> None:
    seen = [fails(RUN, number, Severity.ERROR, day) for number, day in enumerate(DAYS[:300])]
    (alert,) = follow({}, seen, 1000.0, RULES).alerts
    assert (alert.event, alert.problem.count) == (Event.FAILING, 300)
    assert alert.problem.ranges == [(str(DAYS[0]), str(DAYS[299]))]


def test_another_day_that_passes_does_not_mend_the_day_that_failed() -> None:
    bad, good = DAYS[0], DAYS[1]
    assert looks([fails(RUN, 1, Severity.ERROR, bad)], [passes(RUN, 2, good)], [passes(RUN, 3, bad)]) == [
        ["failing"],
        [],
        ["recovered"],
    ]


def test_a_range_that_failed_has_recovered_when_its_last_day_passes() -> None:
    seen = [fails(RUN, 1, Severity.ERROR, *DAYS[:3])]
    assert looks(seen, [passes(RUN, 2, DAYS[1])], [passes(RUN, 3, DAYS[0], DAYS[2])]) == [
        ["failing"],
        [],
        ["recovered"],
    ]


def test_a_check_that_names_one_bad_day_of_its_run_has_the_others_pass() -> None:
    first = fails(CHECK, 1, Severity.ERROR, *DAYS[:2])
    second = replace(first, at=2.0, days=frozenset(DAYS[:10]), failed_days=frozenset([DAYS[5]]))
    followed = follow({}, [first, second], 3.0, RULES)
    assert followed.problems[CHECK.key].days == {DAYS[5]}


def test_what_fails_and_passes_between_two_looks_is_posted_with_its_end() -> None:
    flapping = [sighting for at in range(0, 40, 2) for sighting in (fails(at=at), passes(at=at + 1))]
    assert looks(flapping) == [["failing", "recovered"]]
    assert looks([*flapping, fails(at=50)]) == [["failing"]]


def test_an_open_problem_is_posted_again_after_the_quiet_period_and_never_without_one() -> None:
    for rules, expected in ((Rules(repeat_seconds=HOUR), [0, 1, 0, 1]), (Rules(repeat_seconds=None), [0, 0, 0, 0])):
        problems = follow({}, [fails()], 0.0, rules).problems
        reminders = []
        for now in (HOUR - 1, HOUR, 2 * HOUR - 1, 2 * HOUR):
            followed = follow(problems, [], now, rules)
            problems = followed.problems
            reminders.append(len(followed.alerts))
        assert reminders == expected


def test_warnings_are_left_out_where_errors_are_asked_for() -> None:
    warning = fails(severity=Severity.WARNING)
    assert looks([warning], [passes()], rules=Rules(Severity.ERROR)) == [[], []]
    held = follow({}, [warning], 0.0, RULES).problems
    assert follow(held, [], 48 * HOUR, Rules(Severity.ERROR)) == Followed({}, [])


def test_a_warning_that_becomes_an_error_is_posted_again() -> None:
    assert looks([fails(severity=Severity.WARNING)], [fails(at=2)], [fails(at=3, severity=Severity.WARNING)]) == [
        ["failing"],
        ["failing"],
        [],
    ]


def test_a_run_is_the_same_problem_whichever_job_makes_the_asset_and_a_check_is_another() -> None:
    assert looks([fails(RUN)], [fails(replace(RUN, name="__ASSET_JOB"))], [fails(CHECK)]) == [
        ["failing"],
        [],
        ["failing"],
    ]


def test_each_message_has_an_id_of_its_own_and_the_same_one_when_it_is_sent_again() -> None:
    rules = Rules(repeat_seconds=1.0)
    problems: dict[str, Problem] = {}
    ids = []
    steps = [[fails(severity=Severity.WARNING)], [fails(at=2)], [], [], [passes(at=3)], [fails(at=4)], [passes(at=5)]]
    for number, seen in enumerate(steps):
        followed = follow(problems, seen, 10.0 * number, rules)
        again = follow(problems, seen, 10.0 * number + 5, rules)
        assert [alert.id for alert in again.alerts] == [alert.id for alert in followed.alerts]
        ids += [alert.id for alert in followed.alerts]
        problems = followed.problems
    assert len(ids) == len(set(ids)) == 7


def test_the_end_of_a_problem_names_the_same_problem() -> None:
    first = follow({}, [fails()], 0.0, RULES)
    second = follow(first.problems, [fails(at=2)], 60.0, RULES)
    (end,) = follow(second.problems, [passes(at=3)], 120.0, RULES).alerts
    assert end.problem.id == first.alerts[0].problem.id
    assert end.recovery == passes(at=3)


def test_the_cursor_stays_small_for_a_long_backfill() -> None:
    seen = [fails(RUN, number, Severity.ERROR, day) for number, day in enumerate(DAYS)]
    assert len(Cursor(1, 2, {}, follow({}, seen, 0.0, RULES).problems).to_json()) < 600


@settings(max_examples=30)
@given(
    st.lists(
        st.builds(
            Sighting,
            subject=st.sampled_from([CHECK, RUN, Subject(Kind.RUN, None, "job")]),
            passed=st.booleans(),
            at=st.floats(0, 1e9),
            message=st.sampled_from(["", "why", 'a "quoted" sector 㐀']),
            severity=st.sampled_from(Severity),
            about=st.just("about"),
            blocking=st.booleans(),
            run_id=st.none() | st.just("r"),
        ),
        max_size=8,
    ),
    st.sets(st.sampled_from(DAYS)),
)
def test_a_restart_forgets_nothing(seen: list[Sighting], days: set[date]) -> None:
    dated = [replace(one, days=frozenset(days), failed_days=frozenset(() if one.passed else days)) for one in seen]
    before = follow({}, dated, 5.0, RULES).problems
    cursor = Cursor.from_json(Cursor(3, 4, {"a:b": 7}, before, ("x",)).to_json())
    assert (cursor.after, cursor.until, cursor.reported, cursor.delivered) == (3, 4, {"a:b": 7}, ("x",))
    later: list[Sighting] = [passes(subject, 2e9) for subject in (CHECK, RUN)]
    assert described(follow(cursor.problems, later, 9e9, RULES)) == described(follow(before, later, 9e9, RULES))


def described(followed: Followed) -> list[tuple[str, str, frozenset[date], int, str]]:
    def facts(alert: Alert) -> tuple[str, str, frozenset[date], int, str]:
        return alert.id, alert.event, alert.problem.days, alert.problem.count, alert.problem.sighting.message

    return sorted(map(facts, followed.alerts))


@given(st.sampled_from(list(PERIODS.values())), st.sets(st.integers(0, 400)))
def test_ranges_hold_exactly_their_periods_and_the_cursor_reads_them_back(periods: Periods, numbers: set[int]) -> None:
    first = periods.of(datetime(2024, 5, 1, tzinfo=UTC))
    days = frozenset(periods.shifted(first, number) for number in numbers)
    problem = Problem(replace(fails(), periods=periods), days, since=1.0)
    ranges = [tuple(map(periods.parse, ends)) for ends in problem.ranges]
    assert {day for ends in ranges for day in periods.range(*ends)} == days
    assert all(later[0] > periods.shifted(earlier[1], 1) for earlier, later in pairwise(ranges))
    (read,) = Cursor.from_json(Cursor(1, 1, problems={"x": problem}).to_json()).problems.values()
    assert (read.days, read.sighting.periods) == (days, periods)
