"""The protocol of series, on figures that can be counted by hand."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.series import IN_USE, Series, compare_series, recall_difference
from ae_assets.evaluation.target import Intervals, joined
from ae_assets.schemas.daily import of_days
from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets.schemas.records import TIME_TYPE

DAY = date(2024, 4, 17)
STEP = timedelta(hours=6)


def at(number: int) -> datetime:
    return datetime(2024, 4, 17, tzinfo=UTC) + number * STEP


def scores(by_entity: Mapping[str, list[float | None]]) -> pl.DataFrame:
    rows = [
        (at(number).date(), at(number), entity, "all", score)
        for entity, of_entity in by_entity.items()
        for number, score in enumerate(of_entity)
    ]
    types = {"day": pl.Date, "time": TIME_TYPE, "entity": pl.String, "cohort": pl.String, "score": pl.Float64}
    return pl.DataFrame(rows, types, orient="row")


def target(*rows: tuple[str, int, int], unknown: tuple[str, ...] = ()) -> Intervals:
    pieces = [(entity, None, at(start), at(end)) for entity, start, end in rows]
    return Intervals(joined(pl.DataFrame(pieces, INTERVAL_SCHEMA, orient="row")), unknown)


# Record numbers          0  1  2  3  4  5  6  7
SCORED = scores({"a": [0, 9, 0, 9, 9, 0, 9, 0], "b": [0, 0, None, 0, 0, 9, 9, 9]})
TARGET = target(("a", 3, 3), ("a", 7, 7), ("b", 2, 2), ("b", 7, 9), ("z", 0, 0), unknown=("z",))


def series(last: int = 1) -> Series:
    return Series(SCORED, TARGET, DAY, DAY + timedelta(days=last), STEP)


def test_intervals_with_an_alarm_inside_are_found_and_runs_of_alarms_outside_are_false() -> None:
    judged = series()
    point = judged.point(judged.align(SCORED, "one") > 5, 5, "one")
    sample = judged.sample
    assert (sample.entities, sample.records, sample.abnormal_records, sample.not_judged) == (2, 15, 3, 1)
    assert (sample.intervals, sample.unscored, sample.entity_days) == (3, 1, 3.0)
    assert (point.recall.count, point.recall.total) == (2, 3)
    assert point.missed == ("a from 2024-04-18 18:00",)
    # Alarms: a 1, a 3 and 4, a 6, b 5 to 7. That of a 3 and 4 touches an interval, and so does that of b.
    assert (point.alarms, point.false_alarms) == (7, 2)
    assert point.false_alarms_per_entity_day == pytest.approx(2 / 3)
    assert point.precision == pytest.approx(2 / 7)
    assert (point.false_alarm.count, point.false_alarm.total) == (5, 12)


def test_only_the_range_counts() -> None:
    judged = series(last=0)
    point = judged.point(judged.align(SCORED, "one") > 5, 5, "one")
    assert (judged.sample.records, judged.sample.intervals, point.recall.count) == (7, 1, 1)


def test_detectors_are_compared_at_the_same_false_alarm_rate_and_at_their_own_thresholds() -> None:
    blind = SCORED.with_columns(score=pl.lit(1.0))
    both = {"good": SCORED, "blind": blind}
    in_use = {name: (5.0, frame.with_columns(pl.col("score") - 5)) for name, frame in both.items()}
    found = compare_series(series(), both, reference="good", in_use=in_use, rates=(0.5,))
    assert [point.name for point in found.points["good"]] == ["FAR 50%", IN_USE]
    assert found.points["good"][0].recall.count == 2
    assert found.points["good"][0].false_alarm.count <= 6
    assert found.points["blind"][0].recall.count == found.points["blind"][1].alarms == 0
    (difference,) = found.differences
    assert (difference.detector, difference.value) == ("blind", pytest.approx(-2 / 3))
    assert difference.low < difference.value < difference.high <= 0


def test_a_difference_of_the_same_intervals_is_none() -> None:
    found = pl.Series([True, False, True]).to_numpy()
    same = recall_difference(found, found, "a", "b", 0.01)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_without_an_interval_in_the_range_recall_is_not_known() -> None:
    judged = Series(SCORED, Intervals(), DAY, DAY, STEP)
    found = compare_series(judged, {"one": SCORED, "two": SCORED}, reference="one")
    assert found.points["one"][0].recall.value is None
    assert found.differences == ()


def test_records_that_another_detector_does_not_judge_raise_no_alarm_there() -> None:
    judged = series()
    assert judged.align(SCORED.with_columns(score=pl.lit(None, pl.Float64)), "one").max() < 0


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(EvaluationError, match="none of the 0 records"):
        Series(SCORED, TARGET, DAY - timedelta(days=9), DAY - timedelta(days=8), STEP)
    with pytest.raises(EvaluationError, match="other has 15 records"):
        series().align(SCORED.head(15), "other")
    everything = Series(SCORED, target(("a", 0, 9), ("b", 0, 9)), DAY, DAY, STEP)
    with pytest.raises(EvaluationError, match="false alarms cannot be counted"):
        compare_series(everything, {"one": SCORED}, reference="one")


def test_the_drive_level_protocol_sees_the_highest_score_of_a_day() -> None:
    daily = of_days(scores({"a": [1, 5, 2, 0, None, None], "b": [None, None, None, None, 7, 3]}))
    assert daily.columns == ["day", "entity", "cohort", "score"]
    assert daily.sort("entity", "day").select("entity", "day", "score").rows() == [
        ("a", DAY, 5),
        ("a", DAY + timedelta(days=1), None),
        ("b", DAY, None),
        ("b", DAY + timedelta(days=1), 7),
    ]
    alone = daily.head(1)
    assert of_days(alone) is alone
