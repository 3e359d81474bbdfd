"""A day's list and a device's history as text: nothing is lost, and no line is wider than asked for."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.reports.alarms_text import day_text, history_text, score_chart, why

DAY = date(2024, 4, 17)


def device(entity: str = "ZA10", **more: Any) -> dict[str, Any]:
    return {
        "entity": entity,
        "cohort": "ST4000DM000",
        "since": DAY - timedelta(days=9),
        "days_open": 10,
        "is_new": False,
        "is_alarm": True,
        "score": 5.321,
        "threshold": 2.0,
        "severity": 0.0004,
        "reasons": ["reallocated sectors 41, expected 0, +16 in 7 days", "pending sectors 8, expected 0"],
        "context": None,
        "not_judged_because": None,
        "muted_until": None,
        "mute_reason": None,
        "failed": None,
        **more,
    }


def day(*open_now: dict[str, Any], **more: Any) -> dict[str, Any]:
    counts = {"devices": 60, "alarms": len(open_now), "new": 0, "open": len(open_now), "closed": 0, "muted": 0}
    return {
        "table": "drive_stats",
        "day": DAY,
        "summary": f"{DAY}: {len(open_now)} alarms.",
        "counts": {**counts, "not_judged": 0},
        "open": list(open_now),
        "closed": [],
        "muted": [],
        "not_judged": [],
        **more,
    }


def test_the_age_is_told_beside_the_reasons() -> None:
    assert (
        why(device(context="33,704 power-on hours", reasons=["sectors 41"])) == "sectors 41 (at 33,704 power-on hours)"
    )


def test_each_device_has_a_line_and_its_reasons_below() -> None:
    assert day_text(day(device(), device("ZB2", is_new=True, days_open=1, since=DAY)), 80) == [
        "drive_stats on 2024-04-17: 2 alarms.",
        "0 new, 2 open, 0 closed, 0 muted, 0 not judged",
        "",
        "device  kind         since       days  score  as rare as",
        "ZA10    ST4000DM000  2024-04-08    10  5.321  1 in 2,500",
        "    reallocated sectors 41, expected 0, +16 in 7 days; pending sectors 8,",
        "    expected 0",
        "ZB2     ST4000DM000  2024-04-17   new  5.321  1 in 2,500",
        "    reallocated sectors 41, expected 0, +16 in 7 days; pending sectors 8,",
        "    expected 0",
    ]


def test_a_device_without_an_alarm_without_a_score_or_with_a_failure_says_so() -> None:
    unknown = device("U", score=None, severity=None, is_alarm=None, reasons=[], not_judged_because="no value")
    text = day_text(day(device("B", is_alarm=False), unknown, device("F", failed=True)), 200)
    assert text[5].strip().startswith("below the threshold but not clear yet; reallocated sectors 41")
    assert text[6].split() == ["U", "ST4000DM000", "2024-04-08", "10", "n/a", "n/a"]
    assert text[7] == "    not judged: no value"
    assert text[9].strip().startswith("failed on this day; reallocated sectors 41")


def test_of_many_devices_the_first_are_listed_and_the_rest_counted_with_the_command_that_lists_them() -> None:
    text = day_text(day(*(device(f"D{number}") for number in range(9))), 80, most=4)
    assert [line.split()[0] for line in text if line.startswith("D")] == ["D0", "D1", "D2", "D3"]
    assert text[-1] == "5 more: ae-assets alarms drive_stats 2024-04-17"


def test_closed_muted_and_unjudged_devices_are_named() -> None:
    muted = device("M1", muted_until=date(2024, 6, 30), mute_reason="being replaced, ticket 12")
    text = day_text(
        day(
            closed=[device("C1"), device("C2")],
            muted=[muted],
            not_judged=[{"cohort": "NVME", "devices": 1200, "because": "not reported: reallocated sectors"}],
        ),
        80,
    )
    assert "Closed on this day: C1, C2" in text
    assert "M1  until 2024-06-30  being replaced, ticket 12" in text
    assert "1,200  NVME  not reported: reallocated sectors" in text


@settings(deadline=None, max_examples=60)
@given(
    name=st.text("ABC019-", min_size=1, max_size=20),
    kind=st.text("SeagateBarra 0123", max_size=60),
    reasons=st.lists(st.text("abc defg,+8", min_size=1, max_size=120), max_size=3),
    width=st.integers(80, 140),
)
def test_no_line_is_wider_than_asked_for(name: str, kind: str, reasons: list[str], width: int) -> None:
    one = device(name, cohort=kind, reasons=reasons)
    assert max(len(line) for line in day_text(day(one), width)) <= width


def history(**more: Any) -> dict[str, Any]:
    days = [DAY - timedelta(days=offset) for offset in range(9, -1, -1)]
    scores = [
        {"day": day, "score": float(place), "threshold": 6.5, "severity": 0.1, "is_alarm": place > 6.5,
         "episode": "none", "not_judged_because": None}
        for place, day in enumerate(days)
    ]  # fmt: skip
    return {
        "table": "drive_stats",
        "entity": "ZA10",
        "cohort": "ST4000DM000",
        "simulated": False,
        "first_seen": date(2023, 1, 1),
        "last_seen": DAY,
        "failed_on": None,
        "newest_day": DAY,
        "first_day": days[0],
        "last_day": DAY,
        "latest": {"day": DAY, **device(), "episode": "open"},
        "episodes": [
            {"since": days[7], "until": DAY, "state": "open", "alarms": 3, "highest_score": 9.0,
             "reasons": ["reallocated sectors 41, expected 0", "pending sectors 8"]},
        ],
        "attributes": [
            {"attribute": "smart_5_raw", "meaning": "reallocated sectors (SMART 5)", "first": 0.0, "first_day": days[0],
             "last": 41.0, "last_day": DAY, "lowest": 0.0, "highest": 41.0},
        ],
        "set_aside": [],
        "scores": scores,
        **more,
    }  # fmt: skip


def test_a_history_tells_life_verdict_reasons_chart_episodes_and_what_moved() -> None:
    text = "\n".join(history_text(history(), 80))
    assert text.startswith(
        "ZA10, ST4000DM000\nSeen from 2023-01-01 to 2024-04-17, the newest day. No failure is known.\n"
    )
    assert "On 2024-04-17: alarm, score 5.321 as rare as 1 in 2,500; its episode is open" in text
    assert "\n    reallocated sectors 41, expected 0, +16 in 7 days\n    pending sectors 8, expected 0\n" in text
    assert "\n2024-04-15  2024-04-17  open        3              9\n    reallocated sectors 41, expected 0\n" in text
    assert "\n    0    41       0       41  reallocated sectors (SMART 5)" in text


def test_a_device_that_is_gone_muted_or_not_judged_says_so() -> None:
    unknown = {"day": DAY, **device(score=None, is_alarm=None, severity=None, reasons=[]), "episode": "none"}
    told = {**unknown, "not_judged_because": "never reported", "muted_until": date(2024, 6, 1), "mute_reason": "moved"}
    text = " ".join(history_text(history(latest=told, failed_on=DAY, newest_day=date(2024, 5, 1)), 80))
    assert "the newest day is 2024-05-01. It failed on 2024-04-17." in text
    assert "On 2024-04-17: not judged: never reported; it has no open episode; muted until 2024-06-01: moved." in text


def test_records_that_were_set_aside_are_named_where_nothing_was_judged() -> None:
    aside = [{"day": DAY, "rule": "drive_reported_once", "reason": "a drive has one row a day"}]
    text = "\n".join(history_text(history(latest=None, scores=[], episodes=[], attributes=[], set_aside=aside), 80))
    assert "It has no row in the anomalies of 2024-04-08 to 2024-04-17." in text
    assert "2024-04-17  drive_reported_once: a drive has one row a day" in text
    assert "Score by day" not in text


def test_a_chart_has_a_column_for_each_day_and_marks_alarms_the_unknown_and_the_cut() -> None:
    days = [DAY + timedelta(days=offset) for offset in range(4)]
    chart = score_chart(
        [(days[0], 1.0, False), (days[1], None, False), (days[2], None, None), (days[3], 8.0, True)], 4, 80
    )
    columns = [line.partition("|")[2].ljust(4) for line in chart[:-1]]
    assert ["".join(column) for column in zip(*columns, strict=True)] == [
        "       .", "       ?", "        ", "########",
    ]  # fmt: skip
    assert chart[0].startswith("    8 |")
    assert [line for line in chart if line.startswith("cut 4 |")] == [chart[4]]
    assert chart[-1].strip() == f"{days[0]} to {days[-1]}"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_of_more_days_than_fit_the_last_ones_are_drawn(width: int) -> None:
    days = [(DAY + timedelta(days=offset), float(offset), False) for offset in range(400)]
    chart = score_chart(days, None, width)
    assert max(map(len, chart)) <= width
    assert chart[-1].endswith(str(days[-1][0]))


def test_without_a_score_there_is_no_chart() -> None:
    assert score_chart([(DAY, None, False)], 3.0, 80) == []
