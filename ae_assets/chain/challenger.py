"""Champion and challenger: whether a newly calibrated version takes the place of the one in use."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Literal

import polars as pl

from ae_assets.chain.champion import Champion, load_version
from ae_assets.chain.lives import lives_in
from ae_assets.chain.scoring import score_days
from ae_assets.chain.settings import changed_settings
from ae_assets.chain.target import intervals_in, step_of
from ae_assets.chain.volume import day_before, days_left_out, in_words
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.errors import EvaluationError, ModelError
from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.intervals import Rate
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Difference
from ae_assets.evaluation.series import Series, SeriesPoint, compare_series
from ae_assets.features.catalogue import feature_names
from ae_assets.schemas.daily import of_days
from ae_assets.schemas.periods import DAILY, Periods, named

PromotionRule = Literal["if_not_worse", "always"]

CHAMPION, CHALLENGER = "champion", "challenger"

FEW_EVENTS = 20
"""With fewer failed devices, or intervals, a difference is hardly ever shown to be one; said beside the verdict."""


class Reason(StrEnum):
    """Why a version became the champion, or why not."""

    FIRST = "the first model"
    SAME = "the champion itself, calibrated again"
    ASKED = "promoted as asked, without a comparison"
    NOT_COMPARED = "promoted, the two cannot be compared"
    NOT_WORSE = "promoted, not worse than the champion"
    WORSE = "rejected, worse than the champion"
    LOWER = "rejected, finds fewer than the margin allows"


@dataclass(frozen=True)
class Promotion:
    """What became of a newly calibrated version, and what it rests on."""

    version: str
    champion_before: str | None
    reason: Reason
    words: str
    """The verdict with its figures and, where it was rejected, what to do to promote it nevertheless."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Of a comparison, as plain values: its days, what each of the two detects, the difference and what it rests on."""

    @property
    def promoted(self) -> bool:
        """Whether the version is the champion from now on."""
        return self.reason not in (Reason.WORSE, Reason.LOWER)

    @property
    def record(self) -> dict[str, Any]:
        """Plain values, kept with the threshold."""
        return {
            "version": self.version,
            "champion_before": self.champion_before,
            "promoted": self.promoted,
            "reason": self.reason.value,
            "words": self.words,
            **self.figures,
        }


@dataclass(frozen=True)
class _Match:
    """Champion and challenger on the same days, each at its own cut for the same false alarm rate.

    Attributes:
        difference: how much more the challenger detects.
        detection: what each of the two detects, by `CHAMPION` and `CHALLENGER`.
        at: the false alarm rate in words.
        events: what is detected or missed, in words: "failed devices".
        sizes: how much the figures rest on, by name; the first is the number of events.
    """

    difference: Difference
    detection: Mapping[str, Rate]
    at: str
    events: str
    sizes: Mapping[str, int]


def judge_challenger(space: Workspace, challenger: Champion, rule: PromotionRule) -> Promotion:
    """Decides whether a newly calibrated version becomes the champion.

    Champion and challenger score the same latest labelled days, which lie after everything that the fits and the
    thresholds of both have seen, labels included: a champion that had been trained on these days would look better
    than it is. They are compared by the detection rate at one false alarm rate, each at its own cut for it on these
    days, so that the policy of the threshold plays no part. Of labelled intervals the share with an alarm inside is
    that rate, and the share of the records outside of them with an alarm the other. `decide` says what follows.

    Where they cannot be compared the challenger is promoted, since nothing speaks against it but that nobody knows:
    there is no complete unseen window, nothing went wrong in it, nothing is ever known to go wrong with the table's
    devices, or the champion was trained on other features than the table has now. The verdict says which. The rule
    `always` promotes without a comparison.
    """
    name, version = space.table.table, challenger.version
    before = space.models.champion(name)
    if before is None:
        return Promotion(version, None, Reason.FIRST, f"{version} is the first champion of {name}")
    if before == version:
        return Promotion(version, before, Reason.SAME, f"{version} is the champion and has a new threshold")
    if rule == "always":
        return Promotion(version, before, Reason.ASKED, f"{version} replaces {before}, as asked, without a comparison")
    margin, periods = space.table.retraining.margin, space.table.periods
    try:
        days, match, left_out = _matched(space, before, challenger)
    except (EvaluationError, ModelError) as error:
        words = f"{version} replaces {before}; the two cannot be compared: {error}"
        return Promotion(version, before, Reason.NOT_COMPARED, words)
    difference = match.difference
    reason = decide(difference, margin)
    words = _in_words(name, version, before, reason, days, match, margin)
    if left_out:
        words += f". Left out, for their implausible number of rows: {in_words(left_out, periods)}"
    figures = {
        "window": [day.isoformat() for day in days],
        "days_left_out": [day.isoformat() for day in left_out],
        **match.sizes,
        "false_alarm_rate": difference.target_false_alarm_rate,
        "detection": {name: _with_interval(rate) for name, rate in match.detection.items()},
        "difference": _with_interval(difference),
        "margin": margin,
    }
    return Promotion(version, before, reason, words, figures)


def _with_interval(figure: Rate | Difference) -> dict[str, float | None]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def decide(difference: Difference, margin: float) -> Reason:
    """The verdict on a difference of detection rates, challenger minus champion.

    The challenger is rejected where it is shown to be worse: the whole 95% interval of the paired bootstrap over
    devices lies below 0. A few failures show nothing, and "not shown to be worse" would then promote whatever comes;
    so it is rejected as well where it detects less by more than the margin, whatever the interval. A challenger that
    is as good as the champion is therefore rejected now and then when failures are few, which costs no more than
    keeping a champion that is as good; one that is worse by less than the margin is promoted unless failures are many.
    The margin is the largest loss of detection rate that is put down to chance, in [0, 1).
    """
    if difference.high < 0:
        return Reason.WORSE
    # One device of few must not pass a margin of its size by rounding, nor fail it.
    if difference.value < -margin - 1e-9:
        return Reason.LOWER
    return Reason.NOT_WORSE


def window_to_judge(
    last: date,
    seen_until: date,
    longest_days: int,
    shortest_days: int,
    left_out: Collection[date] = (),
    periods: Periods = DAILY,
) -> tuple[date, date]:
    """First and last of the latest periods that may be judged.

    Args:
        last: the last one with features and labels.
        seen_until: the last one that either version has seen, labels included.
        longest_days: most calendar days that are judged.
        shortest_days: fewest.
        left_out: periods that count as none.
        periods: of which kind they are.

    Raises:
        EvaluationError: too few days follow what was seen.
    """
    longest = periods.count(timedelta(days=longest_days))
    first = periods.shifted(max(day_before(last, longest, left_out, periods), seen_until), 1)
    days = (len({*periods.range(first, last)} - {*left_out}) * periods.step).days
    if days < shortest_days:
        raise EvaluationError(
            f"the champion or the challenger has seen days and labels until {named(seen_until)}, and until "
            f"{named(last)} {days} unseen days follow, which hold no complete window of {shortest_days} days"
        )
    return first, last


def _matched(
    space: Workspace, champion_version: str, challenger: Champion
) -> tuple[tuple[date, date], _Match, list[date]]:
    """The latest days that neither has seen, the two on them, and which of them did not count.

    Raises:
        EvaluationError: there are no such days, or nothing that the two could be compared by.
        ModelError: the champion cannot be loaded.
    """
    table = space.table
    if table.target_kind is None:
        raise EvaluationError(
            f"nothing is known to have gone wrong with the devices of {table.table} (source.columns.label and "
            "target.file are not set), so neither can be shown to be better"
        )
    if changes := changed_settings(space, champion_version):
        words = "; ".join(change.in_words("the champion has", "the YAML") for change in changes)
        raise EvaluationError(f"the champion was trained on features of other settings: {words}")
    champion = load_version(space, champion_version)
    gone = sorted(set(champion.detector.feature_names) - set(feature_names(table.features)))
    if gone:
        raise EvaluationError(f"the champion was trained on features that the table no longer has: {', '.join(gone)}")
    known_until, left_out, periods = lives_in(space).known_until, days_left_out(space), table.periods
    plausible = set(space.days_with_rows(FEATURES)) - left_out
    labelled = {day for day in plausible if periods.start(day).date() <= known_until}
    if not labelled:
        raise EvaluationError("no day with features and labels has a plausible number of rows")
    seen_until = max(champion.seen_until, challenger.seen_until)
    longest, shortest = table.retraining.window_days, table.checks.window_days
    first, last = window_to_judge(max(labelled), seen_until, longest, shortest, left_out, periods)
    days = [day for day in periods.range(first, last) if day in labelled]
    scores = {name: _scores(space, one, days, name) for name, one in ((CHAMPION, champion), (CHALLENGER, challenger))}
    match = _by_failures if table.target_kind == "failures" else _by_intervals
    return (first, last), match(space, scores, (first, last)), sorted(left_out & set(periods.range(first, last)))


def _by_failures(space: Workspace, scores: Mapping[str, pl.DataFrame], days: tuple[date, date]) -> _Match:
    table = space.table
    protocol = Protocol(
        *table.periods.days(*days),
        table.horizon_days,
        table.checks.window_days,
        false_alarm_rates=(table.retraining.false_alarm_rate,),
    )
    of_day = {name: of_days(frame) for name, frame in scores.items()}
    comparison = compare(of_day, lives_in(space), protocol, reference=CHAMPION)
    if not comparison.differences:
        raise EvaluationError(f"no device that was scored before failed between {named(days[0])} and {named(days[1])}")
    sample, (difference,) = comparison.evaluations[0].sample, comparison.differences
    points = {evaluation.detector: evaluation.points[0] for evaluation in comparison.evaluations}
    return _Match(
        difference,
        {name: point.detection for name, point in points.items()},
        f"{points[CHALLENGER].name} per {sample.window_days} days",
        "failed devices",
        {"failed": sample.failed, "healthy_windows": sample.healthy_windows},
    )


def _by_intervals(space: Workspace, scores: Mapping[str, pl.DataFrame], days: tuple[date, date]) -> _Match:
    series = Series(scores[CHAMPION], intervals_in(space), *days, step_of(space))
    comparison = compare_series(series, scores, reference=CHAMPION, rates=(space.table.retraining.false_alarm_rate,))
    if not comparison.differences:
        raise EvaluationError(
            f"no labelled interval with a judged record lies between {named(days[0])} and {named(days[1])}"
        )
    sample, (difference,) = comparison.sample, comparison.differences
    points: dict[str, Sequence[SeriesPoint]] = dict(comparison.points)
    return _Match(
        difference,
        {name: of_detector[0].recall for name, of_detector in points.items()},
        f"{points[CHALLENGER][0].name} of the records outside of intervals",
        "labelled intervals",
        {"intervals": sample.intervals, "records_outside": sample.records - sample.abnormal_records},
    )


def _scores(space: Workspace, one: Champion, days: list[date], name: str) -> pl.DataFrame:
    scored = score_days(space, one.detector, one.aggregation, days, stage=f"scoring the {name}")
    return pl.concat([of_day.judged_after(one.learned).scores for of_day in scored])


def _in_words(
    table: str, version: str, before: str, reason: Reason, days: tuple[date, date], match: _Match, margin: float
) -> str:
    difference, total = match.difference, next(iter(match.sizes.values()))
    detects = {name: f"{rate.value or 0.0:.3f}" for name, rate in match.detection.items()}
    figures = (
        f"from {named(days[0])} to {named(days[1])}, at {match.at}, it detects {detects[CHALLENGER]} of "
        f"{total} {match.events} and the champion {detects[CHAMPION]}: {difference.value:+.3f} with a "
        f"95% interval of {difference.low:+.3f} to {difference.high:+.3f}"
    )
    few = f"; {total} {match.events} are few, so only a large difference would show" if total < FEW_EVENTS else ""
    if reason is Reason.NOT_WORSE:
        return f"{version} replaces {before}: {figures}{few}"
    why = "which is worse" if reason is Reason.WORSE else f"which is lower by more than the margin of {margin}"
    return (
        f"{version} is rejected and {before} stays the champion: {figures}, {why}{few}. The rejected version is kept; "
        f"to use it nevertheless: `ae-assets promote {table} {version}`, or materialise {table}/threshold with "
        f"`promote: always` and `version: {version}`"
    )
