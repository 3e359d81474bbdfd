"""Gates on a confidence bound: passed, failed, or too few to judge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import ConfigError
from ae_assets.evaluation.intervals import Rate, clustered_rate, rate
from ae_assets.evaluation.results import OperatingPoint
from ae_assets.evaluation.verdicts import Outcome, Verdict, power_of, rates_are_acceptable, verdict


def point(detection: Rate, false_alarm: Rate, missed: tuple[str, ...] = ()) -> OperatingPoint:
    return OperatingPoint("now", None, 1.0, detection, false_alarm, rate(0, 1), rate(0, 0), 0.1, 1.0, 1.0, (), missed)


def detection(count: int, total: int, demanded: float) -> Outcome:
    return verdict(rate(count, total), "at least", demanded, what="drives were detected").outcome


def false_alarms(count: int, total: int, allowed: float) -> Outcome:
    return verdict(rate(count, total), "at most", allowed, what="windows had an alarm").outcome


def test_a_detection_rate_fails_only_when_its_upper_bound_is_below_the_demand() -> None:
    assert detection(30, 91, 0.4) is Outcome.PASSED
    assert detection(20, 91, 0.4) is Outcome.FAILED


def test_a_false_alarm_rate_fails_only_when_its_lower_bound_is_above_what_is_allowed() -> None:
    assert false_alarms(250, 23_000, 0.01) is Outcome.PASSED
    assert false_alarms(300, 23_000, 0.01) is Outcome.FAILED


def test_a_gate_that_could_hardly_fail_says_too_few_instead_of_passed() -> None:
    assert detection(1, 4, 0.4) is Outcome.TOO_FEW
    assert false_alarms(0, 20, 0.01) is Outcome.TOO_FEW
    assert detection(0, 0, 0.4) is Outcome.TOO_FEW


def test_few_data_still_fail_when_they_are_bad_enough_and_pass_when_good_enough() -> None:
    assert detection(0, 8, 0.4) is Outcome.FAILED
    assert detection(5, 5, 0.4) is Outcome.PASSED
    assert false_alarms(2, 10, 0.01) is Outcome.FAILED


@settings(deadline=None)
@given(total=st.integers(1, 300), limit=st.floats(0.02, 0.9), data=st.data())
def test_more_detections_never_turn_a_pass_into_a_failure(total: int, limit: float, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total - 1))
    order = [Outcome.FAILED, Outcome.TOO_FEW, Outcome.PASSED]
    assert order.index(detection(count, total, limit)) <= order.index(detection(count + 1, total, limit))
    assert order.index(false_alarms(count + 1, total, limit)) <= order.index(false_alarms(count, total, limit))


def test_a_detector_exactly_as_good_as_demanded_is_stopped_in_at_most_5_percent_of_the_runs() -> None:
    counts = np.random.default_rng(1).binomial(91, 0.3, 2_000)
    outcomes = {count: detection(count, 91, 0.3) for count in set(counts.tolist())}
    stopped = np.mean([outcomes[count] is Outcome.FAILED for count in counts.tolist()])
    assert 0 < stopped <= 0.06


def test_the_stated_power_is_the_share_of_bad_detectors_that_fail() -> None:
    counts = np.random.default_rng(2).binomial(91, 0.25, 4_000)
    outcomes = {count: detection(count, 91, 0.4) for count in set(counts.tolist())}
    noticed = np.mean([outcomes[count] is Outcome.FAILED for count in counts.tolist()])
    assert power_of(91, 0.4, 0.25, at_least=True) == pytest.approx(noticed, abs=0.03)

    counts = np.random.default_rng(3).binomial(300, 0.04, 4_000)
    outcomes = {count: false_alarms(count, 300, 0.01) for count in set(counts.tolist())}
    noticed = np.mean([outcomes[count] is Outcome.FAILED for count in counts.tolist()])
    assert power_of(300, 0.01, 0.04, at_least=False) == pytest.approx(noticed, abs=0.03)


def test_windows_of_one_entity_that_alarm_together_are_weaker_evidence() -> None:
    together = clustered_rate(np.where(np.arange(200) < 5, 4, 0), np.full(200, 4))
    apart = rate(together.count, together.total)
    assert rates_are_acceptable(point(rate(1, 2), apart), 0.5, 0.015)[1].outcome is Outcome.FAILED
    assert rates_are_acceptable(point(rate(1, 2), together), 0.5, 0.015)[1].outcome is not Outcome.FAILED


def test_the_explanation_holds_counts_bound_demand_and_the_drives_missed() -> None:
    judged, _ = rates_are_acceptable(point(rate(20, 91), rate(0, 1), ("Z1", "Z2")), 0.4, 0.01)
    assert judged.explanation == (
        "Failed: 20 of 91 failed entities had an alarm within the horizon, at least 40.00% demanded. Measured 21.98%; "
        "with 95% confidence the true rate is at most 30.31%, which breaks the demand. Missed: Z1, Z2."
    )
    assert judged.missed == ("Z1", "Z2")


def test_only_the_first_twenty_missed_drives_are_named_in_the_sentence() -> None:
    missed = tuple(f"Z{number:02}" for number in range(71))
    judged, _ = rates_are_acceptable(point(rate(20, 91), rate(0, 1), missed), 0.4, 0.01)
    assert judged.explanation.endswith("Z18, Z19 and 51 more.")
    assert judged.missed == missed


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (verdict(rate(30, 91), "at least", 0.4, what="x"), "the true rate is at most 41.96%, which does not break"),
        (verdict(rate(30, 91), "at least", 0.4, what="x"), "a rate of 20.00% would be noticed in 99% of cases."),
        (verdict(rate(1, 4), "at least", 0.4, what="x"), "Too few to judge: 1 of 4 x"),
        (verdict(rate(0, 0), "at most", 0.01, what="x"), "There is nothing to count yet; pool more days."),
        (verdict(rate(150, 23_000), "at most", 0.01, what="x"), "which keeps the demand."),
    ],
)
def test_each_outcome_is_explained(judged: Verdict, expected: str) -> None:
    assert expected in judged.explanation


def test_a_limit_that_cannot_be_judged_is_refused() -> None:
    for limit in (0.0, 1.0, 1.5):
        with pytest.raises(ConfigError, match="the limit is"):
            verdict(rate(1, 2), "at least", limit, what="x")
