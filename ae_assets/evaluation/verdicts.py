"""From a measured rate to a verdict that gates: passed, failed, or too few to judge, with the reason in words."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np

from ae_assets.errors import ConfigError
from ae_assets.evaluation.intervals import Rate, lower_bound, upper_bound
from ae_assets.evaluation.results import OperatingPoint
from ae_assets.evaluation.series import SeriesPoint

Proof = Literal["bad", "good"]
MISSED_NAMED = 20


class Outcome(StrEnum):
    """What the data say about a demand."""

    PASSED = "passed"
    FAILED = "failed"
    TOO_FEW = "too few to judge"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a gate and everything needed to retrace it.

    Attributes:
        outcome: passed, failed or too few to judge.
        explanation: counts, bound and demand in a sentence or two.
        count: successes.
        total: trials.
        value: measured share; None without trials.
        lower: one-sided lower bound of the true share.
        upper: one-sided upper bound of the true share.
        limit: the share demanded or allowed.
        confidence: of each bound.
        power: probability that the gate would fail if the true share were `clearly_bad`.
        clearly_bad: a share that the gate must be able to notice.
        missed: failed entities without an alarm (detection only).
    """

    outcome: Outcome
    explanation: str
    count: int
    total: int
    value: float | None
    lower: float
    upper: float
    limit: float
    confidence: float
    power: float
    clearly_bad: float
    missed: tuple[str, ...] = ()


def verdict(
    measured: Rate,
    demand: Literal["at least", "at most"],
    limit: float,
    *,
    what: str,
    proof: Proof = "bad",
    confidence: float = 0.95,
    clearly_bad: float | None = None,
    least_power: float = 0.5,
) -> Verdict:
    """Judges a share against a limit by a one-sided confidence bound.

    With `proof="bad"` the gate closes only when the data show that the demand is broken: the bound on the favourable
    side lies beyond the limit. A good detector is then stopped in at most 1 - confidence of the runs, but a bad
    one slips through while data are few; so a pass is only called one if a clearly bad share would have been noticed
    with a probability of `least_power`, and is too few to judge otherwise. With `proof="good"` the gate opens only
    when the data show that the demand is kept: the bound on the unfavourable side lies within the limit. A bad detector
    then slips through in at most 1 - confidence of the runs, but a good one waits until there are data enough. The
    first suits a daily gate, where a false stop costs a day of alarms; the second suits a promise, such as a promotion.

    Args:
        measured: the share; its effective counts are used, so that alike trials do not feign certainty.
        demand: whether the share must be at least or at most the limit.
        limit: in (0, 1).
        what: what the trials are, for the explanation, e.g. `"failed drives were detected"`.
        proof: what must be shown for the gate to act.
        confidence: of the one-sided bounds.
        clearly_bad: a share beyond the limit that must be noticed; half the limit, or three times it, by default.
        least_power: least probability of noticing it.

    Raises:
        ConfigError: the limit or the confidence is not in (0, 1), or `clearly_bad` is on the good side of the limit.
    """
    if not (0 < limit < 1 and 0 < confidence < 1):
        raise ConfigError(f"the limit is {limit} and the confidence {confidence}; both must lie between 0 and 1")
    at_least = demand == "at least"
    bad_share = clearly_bad if clearly_bad is not None else limit / 2 if at_least else min(3 * limit, (1 + limit) / 2)
    if (bad_share >= limit) if at_least else (bad_share <= limit):
        raise ConfigError(f"clearly_bad is {bad_share}; a demand of {demand} {limit} needs it beyond the limit")
    lower, upper = 0.0, 1.0
    if measured.total:
        lower = float(lower_bound(measured.effective_count, measured.effective_total, confidence))
        upper = float(upper_bound(measured.effective_count, measured.effective_total, confidence))
    shown_bad = upper < limit if at_least else lower > limit
    shown_good = lower >= limit if at_least else upper <= limit
    power = _power(int(measured.effective_total), limit, bad_share, confidence, at_least)
    if shown_bad:
        outcome = Outcome.FAILED
    elif shown_good or (proof == "bad" and power >= least_power):
        outcome = Outcome.PASSED
    else:
        outcome = Outcome.TOO_FEW
    bounds = _Bounds(
        value=measured.value,
        best=f"at most {upper:.2%}" if at_least else f"at least {lower:.2%}",
        worst=f"at least {lower:.2%}" if at_least else f"at most {upper:.2%}",
        shown_good=shown_good,
    )
    counted = f"{measured.count} of {measured.total} {what}, {demand} {limit:.2%} demanded."
    return Verdict(
        outcome=outcome,
        explanation=f"{outcome.capitalize()}: {counted} {_reason(outcome, bounds, confidence, bad_share, power)}",
        count=measured.count,
        total=measured.total,
        value=measured.value,
        lower=lower,
        upper=upper,
        limit=limit,
        confidence=confidence,
        power=power,
        clearly_bad=bad_share,
    )


def detection_rate_is_acceptable(
    point: OperatingPoint, demanded: float, *, proof: Proof = "bad", confidence: float = 0.95
) -> Verdict:
    """Whether a threshold detects at least the demanded share of failed entities. Names the entities it missed."""
    judged = verdict(
        point.detection,
        "at least",
        demanded,
        what="failed entities had an alarm within the horizon",
        proof=proof,
        confidence=confidence,
    )
    return _naming(judged, point.missed)


def recall_is_acceptable(point: SeriesPoint, demanded: float) -> Verdict:
    """Whether a threshold raises an alarm in at least the demanded share of the intervals. Names those it missed."""
    judged = verdict(point.recall, "at least", demanded, what="labelled intervals had an alarm inside")
    return _naming(judged, point.missed)


def alarms_outside_are_acceptable(point: SeriesPoint, allowed: float) -> Verdict:
    """Whether a threshold raises an alarm on at most the allowed share of the records outside of intervals."""
    return verdict(point.false_alarm, "at most", allowed, what="records outside of labelled intervals had an alarm")


def _naming(judged: Verdict, missed: tuple[str, ...]) -> Verdict:
    named = ", ".join(missed[:MISSED_NAMED])
    more = f" and {len(missed) - MISSED_NAMED} more" if len(missed) > MISSED_NAMED else ""
    text = f"{judged.explanation} Missed: {named}{more}." if missed else judged.explanation
    return replace(judged, missed=missed, explanation=text)


def false_alarm_rate_is_acceptable(
    point: OperatingPoint, allowed: float, *, proof: Proof = "bad", confidence: float = 0.95
) -> Verdict:
    """Whether a threshold raises an alarm in at most the allowed share of healthy windows."""
    return verdict(
        point.false_alarm,
        "at most",
        allowed,
        what="healthy windows had an alarm",
        proof=proof,
        confidence=confidence,
    )


def _power(trials: int, limit: float, bad_share: float, confidence: float, at_least: bool) -> float:
    """Probability that a share of `bad_share` fails the gate with so many independent trials."""
    from scipy.special import bdtr, bdtrc

    if trials < 1:
        return 0.0
    counts = np.arange(trials + 1)
    if at_least:
        failing = int(np.searchsorted(upper_bound(counts, trials, confidence), limit, side="left"))
        return float(bdtr(failing - 1, trials, bad_share)) if failing > 0 else 0.0
    passing = int(np.searchsorted(lower_bound(counts, trials, confidence), limit, side="right"))
    return float(bdtrc(passing - 1, trials, bad_share)) if passing <= trials else 0.0


@dataclass(frozen=True)
class _Bounds:
    """The measured share and its one-sided bounds in words: the most favourable and the least favourable share."""

    value: float | None
    best: str
    worst: str
    shown_good: bool


def _reason(outcome: Outcome, bounds: _Bounds, confidence: float, bad_share: float, power: float) -> str:
    if bounds.value is None:
        return "There is nothing to count yet; pool more days."
    measured = f"Measured {bounds.value:.2%}; with {confidence:.0%} confidence the true rate is"
    noticed = f"a rate of {bad_share:.2%} would be noticed in {power:.0%} of cases"
    if outcome is Outcome.FAILED:
        return f"{measured} {bounds.best}, which breaks the demand."
    if bounds.shown_good:
        return f"{measured} {bounds.worst}, which keeps the demand."
    if outcome is Outcome.PASSED:
        return f"{measured} {bounds.best}, which does not break the demand; {noticed}."
    return f"{measured} {bounds.worst} or {bounds.best}, which settles nothing; {noticed}. Pool more days."
