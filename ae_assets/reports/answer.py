"""Whether a model is any good, in words: what stands before the tables of an evaluation."""

from collections.abc import Sequence
from datetime import date

from ae_assets.evaluation.intervals import Rate
from ae_assets.evaluation.pooling import Pooled
from ae_assets.evaluation.results import IN_USE, Comparison, Detection, Difference, OperatingPoint
from ae_assets.reports.evaluation import HEADLINE_POINT, HEADLINES


def answer(comparison: Comparison, days: tuple[date, date], *, simulated: bool) -> str:
    """What the detector does at the threshold in use, and beside the best of the others at one false alarm rate."""
    detection, false_alarm = headline(comparison).detection, headline(comparison).false_alarm
    window = f"of healthy devices within {comparison.of_reference.sample.window_days} days"
    false = (
        f"alarms on an unknown share {window}"
        if false_alarm.value is None
        else f"alarms on {_share(false_alarm.value)} {window} ({_interval(false_alarm)})"
    )
    fleet = "a simulated fleet" if simulated else "the fleet"
    since = f"From {days[0]} to {days[1]}"
    if detection.value is None:
        return f"{since} no device of {fleet} failed that had a score before, so what it detects is not known; {false}."
    found = (
        f"{since} it found {detection.count:,} of {detection.total:,} devices of {fleet} "
        f"({_share(detection.value)}, {_interval(detection)}) before they failed, with {false}."
    )
    at, best = _best_of_others(comparison.detection, comparison.reference)
    if best is None:
        return found
    counts = [comparison.detection[name][at].count for name in (best, comparison.reference)]
    return f"{found} {_beside(best, f'{counts[0]:,}, it {counts[1]:,}', comparison.differences, at)}"


def pooled_answer(pooled: Pooled, days: tuple[date, date]) -> str:
    """What the detector finds at one false alarm rate over all splits, and beside the best of the others."""
    at, best = _best_of_others(pooled.detection, pooled.reference)
    own = pooled.detection[pooled.reference][at]
    found = (
        f"From {days[0]} to {days[1]}, fitted again before each range, it found {_share(own.value or 0.0)} of "
        f"{pooled.failed:,} devices ({_interval(own)}) before they failed, at a false alarm rate of {100 * at:g}%."
    )
    if best is None:
        return found
    rate = _share(pooled.detection[best][at].value or 0.0)
    return f"{found} {_beside(best, rate, pooled.differences, at)}"


def headline(comparison: Comparison) -> OperatingPoint:
    """The operating point that the answer is about: that of the threshold in use, else of the headline rate."""
    return comparison.of_reference.point(IN_USE, HEADLINE_POINT)


def headline_figures(comparison: Comparison) -> dict[str, float | int | None]:
    """The figures of the answer by name, for plots; None where there is nothing to count."""
    point = headline(comparison)
    return {
        "Devices found before failure": point.detection.count,
        "Devices that failed": point.detection.total,
        "Detection rate": point.detection.value,
        "Detection rate, low end": point.detection.low,
        "Detection rate, high end": point.detection.high,
        "False alarm rate": point.false_alarm.value,
        "False alarm rate, low end": point.false_alarm.low,
        "False alarm rate, high end": point.false_alarm.high,
        "Alarms a day": point.alarms_per_day,
        "Median days from alarm to failure": point.median_lead_days,
    }


def pooled_figures(pooled: Pooled) -> dict[str, float | int | None]:
    """The figures of the pooled answer by name."""
    at, _ = _best_of_others(pooled.detection, pooled.reference)
    own = pooled.detection[pooled.reference][at]
    return {
        "Devices that failed": pooled.failed,
        "Detection rate": own.value,
        "Detection rate, low end": own.low,
        "Detection rate, high end": own.high,
        "False alarm rate": at,
    }


def _best_of_others(detection: Detection, reference: str) -> tuple[float, str | None]:
    """The false alarm rate of the answer, and the detector beside the reference that finds most at it, if any."""
    at = HEADLINES[-1] if HEADLINES[-1] in detection[reference] else next(iter(detection[reference]))
    others = [name for name in detection if name != reference]
    return at, max(others, key=lambda name: detection[name][at].value or 0.0, default=None)


def _beside(best: str, found: str, differences: Sequence[Difference], at: float) -> str:
    (apart,) = (one for one in differences if (one.detector, one.target_false_alarm_rate) == (best, at))
    # The difference is by how much the other one finds more; the sentence is about the reference.
    value, low, high = -apart.value, -apart.high, -apart.low
    verdict = (
        "better than that" if low > 0 else "worse than that" if high < 0 else "neither shown to be better nor worse"
    )
    return (
        f"At a false alarm rate of {100 * at:g}% the best of the others, {best}, finds {found}: "
        f"{_points(value)} points (95% interval {_points(low)} to {_points(high)}), {verdict}."
    )


def _interval(rate: Rate) -> str:
    return f"95% interval {_share(rate.low).removesuffix('%')} to {_share(rate.high)}"


def _points(difference: float) -> str:
    """A difference of shares in whole points, with its sign unless it is none."""
    points = round(100 * difference)
    return f"{points:+d}" if points else "0"


def _share(value: float) -> str:
    """A share in percent: whole from 10% on, with two digits below."""
    if value >= 0.0995 or value == 0:
        return f"{value:.0%}"
    return f"{100 * value:.2g}%"
