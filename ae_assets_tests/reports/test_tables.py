"""Tables as Markdown: numbers people can read, text that cannot break the table, alarms in words."""

from base64 import b64decode
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.reports.tables import (
    alarms_table,
    feature_words,
    listed_alarms,
    markdown_image,
    markdown_table,
    muted_table,
    number,
    severity_words,
)

FEATURES = pl.List(
    pl.Struct({"name": pl.String, "contribution": pl.Float64, "value": pl.Float64, "expected": pl.Float64})
)


def anomalies() -> pl.DataFrame:
    pending = {"name": "smart_197_level", "contribution": 3.1, "value": 3.2, "expected": 0.1}
    unknown = {"name": "smart_5_growth_28d", "contribution": 0.4, "value": None, "expected": 0.0}
    return pl.DataFrame(
        {
            "day": [date(2024, 1, 1)] * 4,
            "entity": ["calm", "mild", "worst", "new"],
            "cohort": ["ST4000DM000"] * 4,
            "score": [0.1, 3.0, 12_345.678, 3.0],
            "is_anomaly": [False, True, True, True],
            "severity": [0.8, 0.0004, 1e-12, 0.0004],
            "is_new": [False, False, False, True],
            "streak_days": [0, 2, 9, 1],
            "top_features": pl.Series([[], [pending], [pending, unknown], []], dtype=FEATURES),
            "episode": ["none", "open", "open", "opened"],
            "episode_start": [None, date(2023, 12, 31), date(2023, 12, 24), date(2024, 1, 1)],
            "reasons": pl.Series([None] * 4, dtype=pl.List(pl.String)),
            "muted_until": pl.Series([None] * 4, dtype=pl.Date),
            "mute_reason": pl.Series([None] * 4, dtype=pl.String),
        }
    )


def test_a_frame_becomes_a_markdown_table_with_numbers_to_the_right() -> None:
    frame = pl.DataFrame({"model": ["A", "B"], "row_count": [1_234_567, None], "share": [0.0213, 0.5]})
    assert markdown_table(frame) == (
        "| model | row count | share |\n| --- | ---: | ---: |\n| A | 1,234,567 | 0.0213 |\n| B | n/a | 0.5 |"
    )


def test_a_limit_says_how_many_rows_it_left_out() -> None:
    text = markdown_table(pl.DataFrame({"n": list(range(30))}), limit=20)
    assert text.count("\n|") == 21
    assert text.endswith("10 more rows are not shown.")


def test_an_empty_frame_is_said_to_be_empty() -> None:
    assert markdown_table(pl.DataFrame({"n": []})) == "No rows."


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_no_text_can_break_out_of_its_cell(text: str) -> None:
    table = markdown_table(pl.DataFrame({"a": [text], "b": ["end"]}))
    assert len(table.split("\n")) == 3
    last = table.split("\n")[2]
    bars = sum(1 for place, sign in enumerate(last) if sign == "|" and not _escaped_at(last, place))
    assert bars == 3
    assert "<" not in last


def _escaped_at(line: str, place: int) -> bool:
    before = line[:place]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (3.14159, "3.142"), (0.00012344, "0.0001234"), (0.0000012, "1.20e-06"), (12345.678, "12,346"),
     (1e18, "1e+18"), (-1234.5, "-1,234"), (float("nan"), "nan"), (float("inf"), "inf")],
)  # fmt: skip
def test_a_number_has_four_significant_digits(value: float, expected: str) -> None:
    assert number(value) == expected


def test_alarms_come_worst_first_with_the_features_that_drove_them() -> None:
    assert alarms_table(anomalies(), wording=lambda name, value, expected: f"{name} is {value}") == (
        "| device | kind | score | severity | episode | because of |\n"
        "| --- | --- | ---: | --- | --- | --- |\n"
        "| worst | ST4000DM000 | 12,346 | under 1 in a billion | 9 days | smart_197_level is 3.2; "
        "smart_5_growth_28d is None |\n"
        "| mild | ST4000DM000 | 3 | 1 in 2,500 | 2 days | smart_197_level is 3.2 |\n"
        "| new | ST4000DM000 | 3 | 1 in 2,500 | new | n/a |"
    )


def test_the_list_says_of_each_device_its_kind_since_when_how_high_and_why_worst_first() -> None:
    assert listed_alarms(anomalies(), 2).to_dicts() == [
        {"device": "worst", "kind": "ST4000DM000", "since": "2023-12-24", "score": "12,346",
         "why": "smart_197_level: 3.2 (expected 0.1)"},
        {"device": "mild", "kind": "ST4000DM000", "since": "2023-12-31", "score": "3",
         "why": "smart_197_level: 3.2 (expected 0.1)"},
    ]  # fmt: skip
    assert listed_alarms(anomalies(), 9).row(2, named=True)["since"] == "2024-01-01, new"


def test_an_alarm_gives_its_reasons_in_words_where_the_row_has_them() -> None:
    told = ["pending sectors 1,024, expected 0, +2 in a day, +16 in 7 days", "temperature 45, expected 30"]
    reasons = pl.Series([None, None, told, None], dtype=pl.List(pl.String))
    frame = anomalies().with_columns(reasons=reasons)
    assert f"| {'; '.join(told)} |" in alarms_table(frame)
    assert listed_alarms(frame, 9)["why"][0] == "pending sectors 1,024, +16 in 7 days"
    unjudged = frame.with_columns(not_judged_because=pl.lit("it reports no value of SMART 5, 197"))
    assert listed_alarms(unjudged, 9)["why"][0] == "not judged: it reports no value of SMART 5, 197"


def test_a_muted_device_is_left_out_of_the_alarms_and_listed_with_day_and_reason() -> None:
    worst = pl.col("entity") == "worst"
    frame = anomalies().with_columns(
        muted_until=pl.when(worst).then(date(2024, 2, 1)), mute_reason=pl.when(worst).then(pl.lit("being replaced"))
    )
    assert "worst" not in alarms_table(frame)
    assert "worst" not in listed_alarms(frame, 9)["device"]
    assert muted_table(frame) == (
        "| device | kind | score | muted until | mute reason |\n| --- | --- | ---: | --- | --- |\n"
        "| worst | ST4000DM000 | 12,346 | 2024-02-01 | being replaced |"
    )
    assert muted_table(anomalies()) == "No device with an open episode is muted."


def test_an_episode_without_an_alarm_today_is_still_listed_and_an_alarm_without_an_episode_is_not() -> None:
    frame = anomalies().with_columns(
        is_anomaly=pl.col("entity").is_in(["calm"]),
        streak_days=pl.lit(0),
        episode=pl.col("episode").replace("opened", "none"),
    )
    assert listed_alarms(frame, 9)["device"].to_list() == ["worst", "mild"]


def test_alarms_beyond_the_limit_are_counted_and_days_named_where_there_are_several() -> None:
    later = anomalies().with_columns(pl.lit(date(2024, 1, 2)).alias("day"))
    text = alarms_table(pl.concat([anomalies(), later]), 2)
    assert text.startswith("| day | device |")
    assert text.endswith("4 more are not shown.")


def test_a_day_without_an_open_episode_says_so_and_denies_no_alarm() -> None:
    alarms = anomalies().filter("is_anomaly")
    muted = alarms.with_columns(muted_until=pl.lit(date(2024, 2, 1)))
    assert alarms_table(alarms.with_columns(episode=pl.lit("none"))) == "No open episode among 3 rows."
    assert alarms_table(muted) == "No open episode among 3 rows, 3 muted."
    assert alarms_table(muted.with_columns(episode=pl.lit("closed"))) == "No open episode among 3 rows."
    assert alarms_table(alarms.clear()) == "No open episode among 0 rows."


@pytest.mark.parametrize(
    ("severity", "expected"),
    [(1.0, "1 in 1.0"), (0.4, "1 in 2.5"), (0.05, "1 in 20"), (0.00123, "1 in 810"), (1e-300, "under 1 in a billion")],
)
def test_severity_is_said_as_odds(severity: float, expected: str) -> None:
    assert severity_words(severity) == expected


def test_only_the_three_strongest_features_are_said() -> None:
    features: list[dict[str, float | str | None]] = [
        {"name": f"f{n}", "contribution": 1.0, "value": float(n), "expected": 0.0} for n in range(5)
    ]
    assert feature_words(features) == "f0: 0 (expected 0); f1: 1 (expected 0); f2: 2 (expected 0)"
    assert feature_words(None) == "n/a"


def test_an_image_is_a_data_uri_with_words_for_those_who_do_not_see_it() -> None:
    text = markdown_image(b"\x89PNG bytes", "rows\nper [day]")
    head, data = text.split("](data:image/png;base64,")
    assert head == "![rows per (day)"
    assert b64decode(data.rstrip(")")) == b"\x89PNG bytes"
