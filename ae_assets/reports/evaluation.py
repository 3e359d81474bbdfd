"""An evaluation as people read it: Markdown for the UI, plain text for the terminal, and its figures."""

from collections.abc import Collection, Sequence

import polars as pl

from ae_assets.evaluation.results import IN_USE, CohortResult, Comparison, Detection, Difference, Evaluation, far_name
from ae_assets.reports.evaluation_figures import ALL_COHORTS, cohort_rates, detection_curve, lead_time_histogram
from ae_assets.reports.parts import Part, page_markdown, page_text, percent, with_interval
from ae_assets.reports.tables import markdown_table

COHORTS_SHOWN = 15
HEADLINE_POINT = far_name(0.01)
HEADLINES = (0.001, 0.01)
"""False alarm rates of the tables that show no more than two."""


def comparison_markdown(comparison: Comparison) -> str:
    """Sample, detection by detector and false alarm rate, the reference's operating points, and its cohorts."""
    reference = comparison.of_reference
    return "\n\n".join(
        [
            page_markdown(_parts(comparison)),
            f"{reference.detector} per cohort at the threshold of {reference.cohorts_at}",
            markdown_table(cohorts_table(reference), limit=COHORTS_SHOWN),
        ]
    )


def comparison_text(comparison: Comparison) -> str:
    """The same tables for the terminal, without cohorts."""
    return page_text(_parts(comparison))


def _parts(comparison: Comparison) -> list[Part]:
    reference = comparison.of_reference
    rates = f"Detection rate at a false alarm rate (FAR) per {reference.sample.window_days} days, with 95% intervals"
    differences = f"Difference of the detection rate to {comparison.reference}, in points, with paired 95% intervals"
    return [
        reference.sample.in_words(),
        *([(rates, rates_table(comparison.detection))] if reference.sample.failed else []),
        (differences, differences_table(comparison.differences)),
        (f"What {reference.detector} does at each threshold", points_table(reference)),
    ]


def comparison_figures(comparison: Comparison) -> dict[str, bytes]:
    """Detection over false alarms of all detectors, the reference's lead times and its cohorts, as PNG by name.

    All of them show detection: there is none where no entity failed.
    """
    reference = comparison.of_reference
    if not reference.sample.failed:
        return {}
    headline = reference.point(IN_USE, HEADLINE_POINT)
    shared = reference.point(reference.cohorts_at)
    overall = CohortResult(ALL_COHORTS, shared.detection, shared.false_alarm)
    return {
        "detection_and_false_alarms": detection_curve(
            {one.detector: one.curve for one in [reference, *comparison.evaluations]},
            in_use=headline if headline.name == IN_USE else None,
            window_days=reference.sample.window_days,
        ),
        "lead_time": lead_time_histogram(
            headline.lead_days, missed=len(headline.missed), horizon_days=reference.sample.horizon_days
        ),
        "cohorts": cohort_rates([overall, *reference.cohorts], reference.cohorts_at),
    }


def rates_table(detection: Detection, rates: Collection[float] = ()) -> pl.DataFrame:
    """One row per detector: detection rate and interval at the given false alarm rates, at all where empty, as text."""
    return pl.DataFrame(
        [
            {"detector": name, **{far_name(target): with_interval(found[target]) for target in chosen(found, rates)}}
            for name, found in detection.items()
        ]
    )


def differences_table(differences: Sequence[Difference], rates: Collection[float] = ()) -> pl.DataFrame:
    """One row per detector other than the reference: difference of detection rates in points, as text."""
    rows: dict[str, dict[str, str]] = {}
    shown = chosen([one.target_false_alarm_rate for one in differences], rates)
    for one in differences:
        cells = rows.setdefault(one.detector, {"detector": one.detector})
        if one.target_false_alarm_rate in shown:
            words = f"{100 * one.value:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
            cells[far_name(one.target_false_alarm_rate)] = words
    return pl.DataFrame(list(rows.values()))


def chosen(targets: Collection[float], rates: Collection[float]) -> list[float]:
    """The false alarm rates that are among the given ones; all of them where none is given or there."""
    return [target for target in targets if target in rates] or list(targets)


def points_table(evaluation: Evaluation) -> pl.DataFrame:
    """One row per operating point of a detector, rates as text."""
    rows = [
        {
            "threshold at": point.name,
            "score": point.threshold,
            "detected": f"{point.detection.count} of {point.detection.total}",
            "detection rate": with_interval(point.detection),
            "false alarms": f"{point.false_alarm.count:,} of {point.false_alarm.total:,}",
            "false alarm rate": with_interval(point.false_alarm),
            "precision": percent(point.precision),
            "median lead days": point.median_lead_days,
            "alarms a day": round(point.alarms_per_day, 1),
            "new a day": round(point.new_alarms_per_day, 1),
            "row false positives": percent(point.row_false_positive.value),
            "on failure day": f"{percent(point.failure_day.value)} of {point.failure_day.total}",
        }
        for point in evaluation.points
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def cohorts_table(evaluation: Evaluation) -> pl.DataFrame:
    """One row per cohort, those with most failures first, rates as text."""
    rows = [
        {
            "cohort": one.cohort,
            "detected": f"{one.detection.count} of {one.detection.total}",
            "detection rate": with_interval(one.detection),
            "false alarms": f"{one.false_alarm.count:,} of {one.false_alarm.total:,}",
            "false alarm rate": with_interval(one.false_alarm),
        }
        for one in evaluation.cohorts
    ]
    return pl.DataFrame(rows)
