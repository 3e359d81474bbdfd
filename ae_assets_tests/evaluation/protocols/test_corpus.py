"""All figures of a corpus: which records and events count for which, and what chance makes of it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from ae_assets.evaluation.protocols.corpus import corpus_figures, random_scores, records_curve
from ae_assets.reports import canvas
from ae_assets.reports.corpus import corpus_parts
from ae_assets.reports.parts import page_text
from ae_assets.reports.series_figures import precision_recall_curves, scores_over_time, series_to_draw
from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets.schemas.records import TIME_TYPE

START = datetime(2024, 4, 17, tzinfo=UTC)
STEP = timedelta(minutes=5)
COUNT = 100


def records(entity: str, alarms: dict[int, float], unjudged: int = 0) -> pl.DataFrame:
    """Records with a score of 0.1 but for some; the first may not be judged; over 0.5 is an alarm."""
    score = np.full(COUNT, 0.1)
    score[list(alarms)] = list(alarms.values())
    frame = pl.DataFrame(
        {"time": [START + STEP * number for number in range(COUNT)], "entity": entity, "score": score},
        {"time": TIME_TYPE, "entity": pl.String, "score": pl.Float64},
    ).with_columns(day=pl.col("time").dt.date(), score=pl.when(pl.int_range(COUNT) >= unjudged).then("score"))
    over = pl.col("score") > 0.5
    return frame.with_columns(alarm_score="score", threshold=0.5, is_over=over, is_alarm=over)


def intervals(*rows: tuple[str, int, int]) -> pl.DataFrame:
    pieces = [(entity, None, START + STEP * start, START + STEP * end) for entity, start, end in rows]
    return pl.DataFrame(pieces, INTERVAL_SCHEMA, orient="row")


SCORES = pl.concat([records("a", {20: 0.9, 60: 0.8, 61: 0.7}), records("b", {80: 0.6}, unjudged=30)])
EVENTS = intervals(("a", 50, 69), ("b", 10, 19), ("b", 85, 94), ("c", 0, 9), ("a", 300, 310))
"""The second lies where nothing is judged, the others of `c` and after the end touch no record."""


def test_alarms_and_curves_are_of_judged_records_and_of_events_that_hold_one() -> None:
    found = corpus_figures(SCORES, EVENTS, buffer=10)
    alarms = found.alarms
    assert (alarms.events, alarms.events_detected, alarms.alarms, alarms.true_alarms) == (2, 1, 3, 1)
    assert (found.event_recall.value, found.event_precision.value) == (0.5, pytest.approx(1 / 3))
    assert alarms.median_delay == 10 * STEP.total_seconds()
    assert alarms.entity_days == pytest.approx((COUNT + COUNT - 30) * 5 / 1440)
    assert found.pooled_average_precision > found.average_precision.value > 0
    assert found.event_recall.low <= 0.5 <= found.event_recall.high


def test_the_score_of_nab_counts_every_record_after_its_own_probation() -> None:
    found = corpus_figures(SCORES, EVENTS, buffer=10)
    # Of three windows one is found halfway, two alarms are false: that of record 80 and that of record 20.
    assert found.nab.value == pytest.approx(found.nab_of_profiles["standard"])
    judged = corpus_figures(
        SCORES, EVENTS.filter(~((pl.col("entity") == "b") & (pl.col("end") < START + STEP * 30))), 10
    )
    assert 0 < found.nab.value < judged.nab.value
    assert found.nab_at_best_cut["standard"].score >= found.nab.value
    assert found.nab_of_profiles["few false alarms"] < found.nab_of_profiles["standard"]


def test_chance_has_as_many_alarms_and_a_flattering_point_adjusted_f1() -> None:
    rng = np.random.default_rng(1)
    many = pl.concat(
        [records(name, {int(at): 0.9 for at in rng.choice(COUNT, 20, replace=False)}) for name in "abcdef"]
    )
    events = intervals(*((name, 10, 60) for name in "abcdef"))
    chance = random_scores(many)
    assert int(chance["is_alarm"].sum()) == pytest.approx(int(many["is_alarm"].sum()), rel=0.3)
    figures = corpus_figures(chance, events, 10)
    assert figures.point_adjusted_f1 > 0.8 > figures.pooled_average_precision
    assert random_scores(records("a", {}, unjudged=30))["score"].null_count() == 30


def test_tables_fit_the_terminal_and_say_what_chance_reaches() -> None:
    figures = {"mine": corpus_figures(SCORES, EVENTS, 10), "random": corpus_figures(random_scores(SCORES), EVENTS, 10)}
    parts = corpus_parts(figures, 10)
    tables = [part[1] for part in parts if not isinstance(part, str)]
    assert [table["detector"].to_list() for table in tables] == [["mine", "random"]] * 5
    assert tables[0]["events found"][0].startswith("1 of 2")
    assert tables[0]["median delay"][0] == "0.8 h"
    assert "chance reaches" in page_text(parts)
    assert corpus_parts({}, 10) == []


def test_series_with_events_and_alarms_are_drawn_first() -> None:
    many = pl.concat([records(f"s{number}", dict.fromkeys(range(number), 0.9)) for number in range(8)])
    labelled = intervals(("s1", 0, 9), ("s2", 0, 9))
    assert series_to_draw(many, labelled, most=3) == ["s1", "s2", "s7"]
    assert scores_over_time(SCORES, EVENTS).startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_series_that_stand_at_their_threshold_or_were_never_judged_are_drawn_too() -> None:
    nothing = pl.concat([records("a", {}).with_columns(score=pl.lit(0.0)), records("b", {}, unjudged=COUNT)])
    at_zero = nothing.with_columns(threshold=pl.lit(0.0), is_alarm=pl.col("score") > 1)
    assert scores_over_time(at_zero, EVENTS).startswith(b"\x89PNG")
    by_day = SCORES.group_by("day", "entity", maintain_order=True).agg(pl.exclude("time").max())
    assert scores_over_time(by_day, EVENTS).startswith(b"\x89PNG")


def test_the_curve_of_records_ends_at_chance_and_marks_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = pl.DataFrame(
        {"score": [0.9, 0.8, 0.7, 0.2, 0.2, None], "is_over": [True, True, False, False, False, None]}
    )
    abnormal = pl.Series([True, False, True, False, True, True])
    curve = records_curve(scores, abnormal)
    assert curve.recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 5])
    assert curve.in_use == pytest.approx((1 / 3, 1 / 2))
    assert curve.chance == curve.precision[-1] == 3 / 5
    silent = records_curve(scores.with_columns(is_over=pl.lit(False)), abnormal)
    assert silent.in_use is None
    drawn: list[Figure] = []
    monkeypatch.setattr(canvas, "_png", lambda figure: drawn.append(figure) or b"")
    precision_recall_curves({"own": curve, "other": silent})
    own, mark, other, chance = drawn[0].axes[0].lines
    assert (own.get_label(), other.get_label(), chance.get_label()) == ("own", "other", "chance")
    assert own.get_ydata().tolist() == curve.precision.tolist()
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == curve.in_use
    assert list(chance.get_ydata()) == [3 / 5, 3 / 5]
