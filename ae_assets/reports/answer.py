"""Whether a model is any good, in words: what stands before the tables of an evaluation."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from ae_assets.evaluation.pooling import Pooled
from ae_assets.evaluation.results import IN_USE, Comparison, Evaluation
from ae_assets.reports.evaluation import HEADLINE_POINT

Row = Mapping[str, Any]


def answer(comparison: Comparison, days: tuple[date, date], *, simulated: bool) -> str:
    """What the detector does at the threshold in use, and beside the best of the others at one false alarm rate.

    Args:
        comparison: the detectors on one split.
        days: first and last day judged.
        simulated: whether the devices are invented.
    """
    reference = comparison.of_reference
    point = headline(comparison)
    window = f"of healthy devices within {reference.sample.window_days} days"
    false = (
        f"alarms on {_share(point['false_alarm_rate'])} {window} ({_interval(point, 'false_alarm')})"
        if point["false_alarm_rate"] is not None
        else f"alarms on an unknown share {window}"
    )
    fleet = "a simulated fleet" if simulated else "the fleet"
    since = f"From {days[0]} to {days[1]}"
    if point["detection_rate"] is None:
        return f"{since} no device of {fleet} failed that had a score before, so what it detects is not known; {false}."
    found = (
        f"{since} it found {point['detection_count']:,} of {point['detection_total']:,} devices of {fleet} "
        f"({_share(point['detection_rate'])}, {_interval(point, 'detection')}) before they failed, with {false}."
    )
    return " ".join([found, *_beside_others(comparison)])


def pooled_answer(pooled: Pooled, days: tuple[date, date]) -> str:
    """What the detector finds at one false alarm rate over all splits, and how much more than the best of the others.

    Args:
        pooled: the detectors on several splits.
        days: first and last day judged.
    """
    rows = {row["detector"]: row for row in pooled.to_table().iter_rows(named=True)}
    own = rows[pooled.reference]
    head = _headline_of(own)
    rate = own[f"detection at {head}"]
    if rate is None:
        return f"From {days[0]} to {days[1]} no device failed, so what is detected is not known."
    interval = f"95% interval {_ends(own[f'{head} low'], own[f'{head} high'])}"
    found = (
        f"From {days[0]} to {days[1]}, fitted again before each range, it found {_share(rate)} of {own['failed']:,} "
        f"devices ({interval}) before they failed, at a false alarm rate of {head.removeprefix('FAR ')}."
    )
    others = {name: row[f"detection at {head}"] for name, row in rows.items() if name != pooled.reference}
    known = {name: value for name, value in others.items() if value is not None}
    if not known:
        return found
    best = max(known, key=lambda name: known[name])
    return f"{found} {_compared(best, f'{_share(known[best])}', pooled.difference_table(), head)}"


def headline(comparison: Comparison) -> Row:
    """The operating point that the answer is about: that of the threshold in use, else of the headline rate."""
    rows = {row["point"]: row for row in comparison.of_reference.to_table().iter_rows(named=True)}
    return rows.get(IN_USE) or rows.get(HEADLINE_POINT) or next(iter(rows.values()))


def headline_figures(comparison: Comparison) -> dict[str, float | int | None]:
    """The figures of the answer by name, for plots; None where there is nothing to count."""
    point = headline(comparison)
    return {
        "Devices found before failure": point["detection_count"],
        "Devices that failed": point["detection_total"],
        "Detection rate": point["detection_rate"],
        "Detection rate, low end": point["detection_low"],
        "Detection rate, high end": point["detection_high"],
        "False alarm rate": point["false_alarm_rate"],
        "False alarm rate, low end": point["false_alarm_low"],
        "False alarm rate, high end": point["false_alarm_high"],
        "Alarms a day": point["alarms_per_day"],
        "Median days from alarm to failure": point["median_lead_days"],
    }


def pooled_figures(pooled: Pooled) -> dict[str, float | int | None]:
    """The figures of the pooled answer by name."""
    own = next(row for row in pooled.to_table().iter_rows(named=True) if row["detector"] == pooled.reference)
    head = _headline_of(own)
    return {
        "Devices that failed": own["failed"],
        "Detection rate": own[f"detection at {head}"],
        "Detection rate, low end": own[f"{head} low"],
        "Detection rate, high end": own[f"{head} high"],
        "False alarm rate": _rate_of(head),
    }


def _rate_of(head: str) -> float:
    """The rate that an operating point such as ``FAR 1%`` is named after."""
    return float(head.removeprefix("FAR ").removesuffix("%")) / 100


def _beside_others(comparison: Comparison) -> list[str]:
    """A sentence on the best of the other detectors; none where there is no other."""
    at = {one.detector: _point_at_headline(one) for one in comparison.evaluations}
    own = at.pop(comparison.reference)
    known = {name: row for name, row in at.items() if row["detection_rate"] is not None}
    if not known:
        return []
    best = max(known, key=lambda name: known[name]["detection_rate"])
    found = f"{known[best]['detection_count']:,}, it {own['detection_count']:,}"
    return [_compared(best, found, comparison.difference_table(), own["point"])]


def _compared(best: str, found: str, differences: pl.DataFrame, head: str) -> str:
    rate = _rate_of(head)
    rows = differences.filter(
        pl.col("detector") == best, (pl.col("target_false_alarm_rate") - rate).abs() < 1e-12
    ).to_dicts()
    if not rows:
        return f"At a false alarm rate of {100 * rate:g}% the best of the others, {best}, finds {found}."
    # The table says by how much the other one finds more; the sentence is about the reference.
    value, low, high = -rows[0]["value"], -rows[0]["high"], -rows[0]["low"]
    verdict = (
        "better than that" if low > 0 else "worse than that" if high < 0 else "neither shown to be better nor worse"
    )
    return (
        f"At a false alarm rate of {100 * rate:g}% the best of the others, {best}, finds {found}: "
        f"{_points(value)} points (95% interval {_points(low)} to {_points(high)}), {verdict}."
    )


def _point_at_headline(evaluation: Evaluation) -> Row:
    rows = {row["point"]: row for row in evaluation.to_table().iter_rows(named=True)}
    return rows.get(HEADLINE_POINT) or next(iter(rows.values()))


def _headline_of(row: Row) -> str:
    heads = [name.removeprefix("detection at ") for name in row if name.startswith("detection at ")]
    return HEADLINE_POINT if HEADLINE_POINT in heads else heads[0]


def _interval(row: Row, name: str) -> str:
    return f"95% interval {_ends(row[f'{name}_low'], row[f'{name}_high'])}"


def _ends(low: float, high: float) -> str:
    return f"{_share(low).removesuffix('%')} to {_share(high)}"


def _points(difference: float) -> str:
    """A difference of shares in whole points, with its sign unless it is none."""
    points = round(100 * difference)
    return f"{points:+d}" if points else "0"


def _share(value: float) -> str:
    """A share in percent: whole from 10% on, with two digits below."""
    if value >= 0.0995 or value == 0:
        return f"{value:.0%}"
    return f"{100 * value:.2g}%"
