"""The answer to "is the model any good": figures of the evaluation itself, with their intervals, in words."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Comparison
from ae_assets.reports.answer import answer, headline, pooled_answer
from ae_assets_tests.evaluation.fleet import day, fleet, in_use, lives_of
from ae_assets_tests.reports.test_rolling import NAMES, six_splits

DAYS = (day(0), day(59))


def comparison_of(signals: Mapping[str, float], failing: int = 40) -> Comparison:
    records = fleet(healthy=300, failing=failing, days=60, seed=3)
    drawn = pl.Series(np.random.default_rng(4).normal(size=records.height))
    sick = pl.col("entity").str.starts_with("failing")
    scores = {
        name: records.with_columns((drawn + signal * sick).alias("score")).select("day", "entity", "cohort", "score")
        for name, signal in signals.items()
    }
    fitted = {name: in_use(frame, 3.5) for name, frame in scores.items()}
    return compare(scores, lives_of(records), Protocol(*DAYS), in_use=fitted, resamples=200)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return comparison_of({"autoencoder": 3.0, "rule": 1.0, "chance": 0.0})


def test_it_says_what_the_threshold_in_use_does_with_intervals(comparison: Comparison) -> None:
    point = comparison.evaluations[0].point("in use")
    found, false = point.detection, point.false_alarm
    text = answer(comparison, DAYS, simulated=False)
    interval = f"95% interval {100 * found.low:.0f} to {found.high:.0%}"
    assert text.startswith(f"From {DAYS[0]} to {DAYS[1]} it found {found.count} of {found.total} devices of the fleet ")
    assert f"({found.value:.0%}, {interval}) before they failed" in text
    assert f"with alarms on {_two_digits(false.value)} of healthy devices within 30 days" in text
    assert headline(comparison) == comparison.evaluations[0].point("in use")


def test_the_best_of_the_others_stands_beside_it_at_one_false_alarm_rate(comparison: Comparison) -> None:
    at = {one.detector: one.point("FAR 1%").detection.count for one in comparison.evaluations}
    text = answer(comparison, DAYS, simulated=False)
    assert at["rule"] > at["chance"]
    assert f"the best of the others, rule, finds {at['rule']}, it {at['autoencoder']}: +" in text
    assert text.endswith(", better than that.")
    (points,) = re.findall(r": \+(\d+) points", text)
    assert int(points) == round(100 * (at["autoencoder"] - at["rule"]) / 40)


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [(3.0, 3.0, "neither shown to be better nor worse"), (1.0, 3.0, "worse than that"), (3.0, 1.0, "better than that")],
)
def test_the_verdict_is_what_the_paired_interval_shows(own: float, other: float, verdict: str) -> None:
    text = answer(comparison_of({"model": own, "rule": other}), DAYS, simulated=False)
    assert text.endswith(f", {verdict}.")


def test_a_difference_of_nothing_has_no_sign() -> None:
    text = answer(comparison_of({"model": 3.0, "rule": 3.0}), DAYS, simulated=False)
    assert ": 0 points (95% interval 0 to 0), neither shown" in text


def test_a_simulated_fleet_is_named_as_one_and_a_detector_alone_is_compared_with_nothing(
    comparison: Comparison,
) -> None:
    alone = Comparison(comparison.evaluations[:1], "autoencoder", ())
    text = answer(alone, DAYS, simulated=True)
    assert "devices of a simulated fleet" in text
    assert "others" not in text


def test_where_nothing_failed_only_false_alarms_are_told(comparison: Comparison) -> None:
    one = comparison.evaluations[0]
    nothing = replace(one.point("in use").detection, value=None, low=None, high=None, count=0, total=0)
    points = tuple(replace(point, detection=nothing) for point in one.points)
    text = answer(Comparison((replace(one, points=points),), "autoencoder", ()), DAYS, simulated=False)
    assert f"From {DAYS[0]} to {DAYS[1]} no device of the fleet failed that had a score before" in text
    assert "alarms on " in text
    assert "it found" not in text


def test_pooled_splits_are_answered_at_one_false_alarm_rate() -> None:
    text = pooled_answer(six_splits(), (date(2014, 1, 1), date(2014, 6, 29)))
    assert text.startswith("From 2014-01-01 to 2014-06-29, fitted again before each range, it found 0% of 91 devices")
    assert f"At a false alarm rate of 1% the best of the others, {NAMES[1]}, finds 10%: +12 points" in text
    assert "(95% interval +5 to +20), better than that." in text


def _two_digits(value: float | None) -> str:
    assert value is not None
    return f"{100 * value:.2g}%"
