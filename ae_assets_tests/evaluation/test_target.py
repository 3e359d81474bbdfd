"""The target: which records are normal, which abnormal, and what of it was known when."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.evaluation.target import Failures, Intervals, joined, labelled_pieces
from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets.schemas.records import TIME_TYPE

MIDNIGHT = datetime(2024, 4, 17, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minutes: int) -> datetime:
    return MIDNIGHT + minutes * MINUTE


def pieces(*rows: tuple[str, str | None, int, int]) -> pl.DataFrame:
    frame = [(entity, kind, at(start), at(end)) for entity, kind, start, end in rows]
    return pl.DataFrame(frame, INTERVAL_SCHEMA, orient="row")


def records(*rows: tuple[str, int]) -> pl.DataFrame:
    keys = [(at(minute).date(), at(minute), entity) for entity, minute in rows]
    return pl.DataFrame(keys, {"day": pl.Date, "time": TIME_TYPE, "entity": pl.String}, orient="row")


def test_overlapping_intervals_and_those_within_a_gap_are_one_and_name_all_kinds() -> None:
    given = pieces(
        ("a", "qual", 0, 15), ("a", "flow", 10, 12), ("a", "qual", 30, 30), ("a", "qual", 46, 50), ("b", None, 20, 20)
    )
    assert joined(given, 15 * MINUTE).rows() == [
        ("a", "flow, qual", at(0), at(30)),
        ("a", "qual", at(46), at(50)),
        ("b", None, at(20), at(20)),
    ]
    assert joined(given).height == 4


SPANS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(0, 20)), max_size=12)


@given(spans=SPANS, rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 90)), max_size=12))
def test_a_record_is_abnormal_where_any_interval_of_its_entity_holds_it(
    spans: list[tuple[str, int, int]], rows: list[tuple[str, int]]
) -> None:
    intervals = Intervals(joined(pieces(*((entity, None, start, start + long) for entity, start, long in spans))))
    frame = records(*rows)
    expected = [any(e == entity and s <= minute <= s + long for e, s, long in spans) for entity, minute in rows]
    assert intervals.abnormal(frame).to_list() == expected
    assert intervals.normal(frame).to_list() == [not abnormal for abnormal in expected]
    near = [any(e == entity and s <= minute <= s + long + 7 for e, s, long in spans) for entity, minute in rows]
    assert intervals.normal(frame, 7 * MINUTE).to_list() == [not one for one in near]


def test_of_devices_with_one_record_in_a_period_the_period_counts() -> None:
    intervals = Intervals(pieces(("a", None, 0, 60 * 30)))
    days = pl.DataFrame(
        {"day": [date(2024, 4, 16), date(2024, 4, 17), date(2024, 4, 18), date(2024, 4, 19)], "entity": ["a"] * 4}
    )
    assert intervals.abnormal(days).to_list() == [False, True, True, False]


def test_an_interval_that_goes_on_is_known_as_far_as_it_went() -> None:
    intervals = Intervals(pieces(("a", None, 0, 60), ("b", None, 45, 45)))
    known = intervals.until(at(30))
    assert known.frame.rows() == [("a", None, at(0), at(30) - timedelta(microseconds=1))]
    assert known.entities_within(at(10), at(20)) == ["a"]
    assert intervals.entities_within(at(50), at(90)) == ["a"]
    assert intervals.entities_within(at(61), at(90)) == []


def test_no_interval_makes_every_record_normal() -> None:
    assert Intervals().normal(records(("a", 1))).to_list() == [True]
    assert Intervals().abnormal(records(("a", 1))).to_list() == [False]


def test_an_entity_is_abnormal_in_the_horizon_before_its_first_failure_and_never_normal_after_it() -> None:
    failures = Failures(pl.DataFrame({"entity": ["a", "a"], "day": [date(2024, 4, 20), date(2024, 4, 30)]}), 2)
    days = [date(2024, 4, 17) + timedelta(days=number) for number in range(5)]
    rows = pl.DataFrame({"day": days, "entity": ["a"] * 5})
    assert failures.abnormal(rows).to_list() == [False, True, True, False, False]
    assert failures.normal(rows).to_list() == [True, False, False, False, False]
    assert failures.normal(rows.with_columns(entity=pl.lit("b"))).all()
    assert failures.entities_within(MIDNIGHT, MIDNIGHT) == []
    assert failures.entities_within(MIDNIGHT + timedelta(days=1), MIDNIGHT + timedelta(days=1)) == ["a"]


def test_cells_mark_records_by_their_presence_or_by_their_values() -> None:
    rows = pl.DataFrame(
        {
            "entity": ["a", "a", None, "b"],
            "at": [at(0), at(15), at(0), None],
            "stage_qual": ["4", None, "4", "4"],
            "temp_qual": [None, "10", None, None],
        },
        schema_overrides={"at": TIME_TYPE},
    )
    columns = ["stage_qual", "temp_qual"]
    present = labelled_pieces(rows, columns, ()).rows()
    assert present == [("a", "stage_qual", at(0), at(0)), ("a", "temp_qual", at(15), at(15))]
    assert labelled_pieces(rows, columns, ["10"]).rows() == [("a", "temp_qual", at(15), at(15))]
