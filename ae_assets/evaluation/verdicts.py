"""From a measured rate to a verdict that gates: passed, failed, or too few to judge, with the reason in words."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from ae_assets.errors import ConfigError
from ae_assets.evaluation.intervals import CONFIDENCE, Rate, lower_bound, upper_bound
from ae_assets.evaluation.results import OperatingPoint
from ae_assets.evaluation.series import SeriesPoint

MISSED_NAMED = 20

LEAST_POWER = 0.5
"""Least probability of noticing a clearly bad share, without which a pass is none."""


class Outcome(StrEnum):
    """What the data say about a demand."""

    PASSED = "passed"
    FAILED = "failed"
    TOO_FEW = "too few to judge"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a gate and everything needed to retrace it.

    Attributes:
        explanation: counts, bound and demand in a sentence or two.
        measured: the share.
        lower: one-sided lower bound of the true share, and `upper` its upper one.
        limit: the share demanded or allowed.
        missed: what had no alarm (detection only).
    """

    outcome: Outcome
    explanation: str
    measured: Rate
    lower: float
    upper: float
    limit: float
    missed: tuple[str, ...] = ()


def verdict(
    measured: Rate,
    demand: Literal["at least", "at most"],
    limit: float,
    *,
    what: str,
    missed: tuple[str, ...] = (),
) -> Verdict:
    """Judges a share against a limit by a one-sided 95% confidence bound.

    The gate closes only when the data show that the demand is broken: the bound on the favourable side lies beyond the
    limit. A good detector is then stopped in at most 5% of the runs, but a bad one slips through while data are few; so
    a pass is only called one if a clearly bad share, half the limit or three times it, would have been noticed with a
    probability of `LEAST_POWER`, and is too few to judge otherwise.

    The effective counts of the share are used, so that alike trials do not feign certainty. `what` says in the
    explanation what the trials are, e.g. `"failed drives were detected"`, and `missed` is named in it.

    Raises:
        ConfigError: the limit is not in (0, 1).
    """
    if not 0 < limit < 1:
        raise ConfigError(f"the limit is {limit}; it must lie between 0 and 1")
    at_least = demand == "at least"
    lower, upper = 0.0, 1.0
    if measured.total:
        lower, upper = (
            float(bound(measured.effective_count, measured.effective_total)) for bound in (lower_bound, upper_bound)
        )
    shown_bad = upper < limit if at_least else lower > limit
    shown_good = lower >= limit if at_least else upper <= limit
    bad_share = limit / 2 if at_least else min(3 * limit, (1 + limit) / 2)
    power = power_of(int(measured.effective_total), limit, bad_share, at_least=at_least)
    best, worst = f"at most {upper:.2%}", f"at least {lower:.2%}"
    if not at_least:
        best, worst = worst, best
    share = "" if measured.value is None else f"Measured {measured.value:.2%}; "
    known = f"{share}with {CONFIDENCE:.0%} confidence the true rate is"
    noticed = f"a rate of {bad_share:.2%} would be noticed in {power:.0%} of cases"
    if measured.value is None:
        outcome, reason = Outcome.TOO_FEW, "There is nothing to count yet; pool more days."
    elif shown_bad:
        outcome, reason = Outcome.FAILED, f"{known} {best}, which breaks the demand."
    elif shown_good:
        outcome, reason = Outcome.PASSED, f"{known} {worst}, which keeps the demand."
    elif power >= LEAST_POWER:
        outcome, reason = Outcome.PASSED, f"{known} {best}, which does not break the demand; {noticed}."
    else:
        outcome = Outcome.TOO_FEW
        reason = f"{known} {worst} or {best}, which settles nothing; {noticed}. Pool more days."
    counted = f"{measured.count} of {measured.total} {what}, {demand} {limit:.2%} demanded."
    more = f" and {len(missed) - MISSED_NAMED} more" if len(missed) > MISSED_NAMED else ""
    named = f" Missed: {', '.join(missed[:MISSED_NAMED])}{more}." if missed else ""
    explanation = f"{outcome.capitalize()}: {counted} {reason}{named}"
    return Verdict(outcome, explanation, measured, lower, upper, limit, missed)


def rates_are_acceptable(point: OperatingPoint, demanded: float, allowed: float) -> tuple[Verdict, Verdict]:
    """Whether a threshold detects at least the demanded share of failed entities, and flags few healthy windows."""
    found = "failed entities had an alarm within the horizon"
    return (
        verdict(point.detection, "at least", demanded, what=found, missed=point.missed),
        verdict(point.false_alarm, "at most", allowed, what="healthy windows had an alarm"),
    )


def series_rates_are_acceptable(point: SeriesPoint, demanded: float, allowed: float) -> tuple[Verdict, Verdict]:
    """Whether a threshold finds at least the demanded share of the intervals, and flags few records outside of them."""
    found, outside = "labelled intervals had an alarm inside", "records outside of labelled intervals had an alarm"
    return (
        verdict(point.recall, "at least", demanded, what=found, missed=point.missed),
        verdict(point.false_alarm, "at most", allowed, what=outside),
    )


def power_of(trials: int, limit: float, bad_share: float, *, at_least: bool) -> float:
    """Probability that a share of `bad_share` fails the gate with so many independent trials."""
    from scipy.special import bdtr, bdtrc

    if trials < 1:
        return 0.0
    counts = np.arange(trials + 1)
    if at_least:
        failing = int(np.searchsorted(upper_bound(counts, trials), limit, side="left"))
        return float(bdtr(failing - 1, trials, bad_share)) if failing > 0 else 0.0
    passing = int(np.searchsorted(lower_bound(counts, trials), limit, side="right"))
    return float(bdtrc(passing - 1, trials, bad_share)) if passing <= trials else 0.0
