"""An evaluation as people read it: Markdown for the UI, plain text for the terminal, and its figures."""

from collections.abc import Mapping, Sequence

import polars as pl

from ae_assets.evaluation.results import IN_USE, Comparison, Evaluation
from ae_assets.reports.evaluation_figures import cohort_rates, detection_curve, lead_time_histogram
from ae_assets.reports.tables import MISSING, markdown_table

COHORTS_SHOWN = 15
HEADLINE_POINT = "FAR 1%"
HEADLINES = (0.001, 0.01)
"""False alarm rates of the tables that show no more than two."""
TERMINAL_WIDTH = 80


def comparison_markdown(comparison: Comparison) -> str:
    """Sample, detection by detector and false alarm rate, the reference's operating points, and its cohorts."""
    reference = comparison.of_reference
    parts = [reference.sample.in_words()]
    if reference.sample.failed:
        parts += [
            f"Detection rate at a false alarm rate (FAR) per {reference.sample.window_days} days, with 95% intervals",
            markdown_table(rates_table(comparison)),
        ]
    if not comparison.difference_table().is_empty():
        parts += [
            f"Difference of the detection rate to {comparison.reference}, in points, with paired 95% intervals",
            markdown_table(differences_table(comparison)),
        ]
    parts += [
        f"What {reference.detector} does at each threshold",
        markdown_table(points_table(reference)),
        f"{reference.detector} per cohort at the threshold of {reference.cohorts_at}",
        markdown_table(cohorts_table(reference), limit=COHORTS_SHOWN),
    ]
    return "\n\n".join(parts)


def comparison_text(comparison: Comparison) -> str:
    """The same tables for the terminal, without cohorts."""
    reference = comparison.of_reference
    parts = [reference.sample.in_words()]
    if reference.sample.failed:
        parts += [
            f"Detection rate at a false alarm rate (FAR) per {reference.sample.window_days} days, with 95% intervals:",
            plain_table(rates_table(comparison)),
        ]
    if not comparison.difference_table().is_empty():
        parts += [
            f"Difference of the detection rate to {comparison.reference}, in points, with paired 95% intervals:",
            plain_table(differences_table(comparison)),
        ]
    parts += [f"What {reference.detector} does at each threshold:", plain_table(points_table(reference))]
    return "\n\n".join(parts)


def comparison_figures(comparison: Comparison) -> dict[str, bytes]:
    """Detection over false alarms of all detectors, the reference's lead times and its cohorts, as PNG by name.

    All of them show detection: there is none where no entity failed.
    """
    reference = comparison.of_reference
    if not reference.sample.failed:
        return {}
    ordered = [reference, *(one for one in comparison.evaluations if one.detector != reference.detector)]
    points = {point.name: point for point in reference.points}
    headline = points.get(IN_USE) or points.get(HEADLINE_POINT) or reference.points[0]
    return {
        "detection_and_false_alarms": detection_curve(
            {one.detector: one.curve for one in ordered},
            window_days=reference.sample.window_days,
            marked=_in_use(reference),
        ),
        "lead_time": lead_time_histogram(
            headline.lead_days, missed=len(headline.missed), horizon_days=reference.sample.horizon_days
        ),
        "cohorts": cohort_rates(
            reference.cohort_table(),
            overall=reference.to_table().filter(pl.col("point") == reference.cohorts_at),
            threshold=reference.cohorts_at,
        ),
    }


def rates_table(comparison: Comparison, rates: tuple[float, ...] = ()) -> pl.DataFrame:
    """One row per detector: detection rate and interval at the given false alarm rates, at all where empty, as text."""
    rows = []
    for evaluation in comparison.evaluations:
        points = {
            row["point"]: row
            for row in evaluation.to_table().iter_rows(named=True)
            if row["target_false_alarm_rate"] is not None
        }
        chosen = [name for name, row in points.items() if row["target_false_alarm_rate"] in rates] or list(points)
        cells = {name: _with_interval(points[name], "detection") for name in chosen}
        rows.append({"detector": evaluation.detector, **cells})
    return pl.DataFrame(rows)


def differences_table(comparison: Comparison) -> pl.DataFrame:
    """One row per detector other than the reference: difference of detection rates in points, as text."""
    rows: dict[str, dict[str, str]] = {}
    for row in comparison.difference_table().iter_rows(named=True):
        cells = rows.setdefault(row["detector"], {"detector": row["detector"]})
        head = f"FAR {100 * row['target_false_alarm_rate']:g}%"
        cells[head] = f"{100 * row['value']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    return pl.DataFrame(list(rows.values()))


def points_table(evaluation: Evaluation) -> pl.DataFrame:
    """One row per operating point of a detector, rates as text."""
    rows = [
        {
            "threshold at": row["point"],
            "score": row["threshold"],
            "detected": f"{row['detection_count']} of {row['detection_total']}",
            "detection rate": _with_interval(row, "detection"),
            "false alarms": f"{row['false_alarm_count']:,} of {row['false_alarm_total']:,}",
            "false alarm rate": _with_interval(row, "false_alarm"),
            "precision": percent(row["precision"]),
            "median lead days": row["median_lead_days"],
            "alarms a day": round(row["alarms_per_day"], 1),
            "new a day": round(row["new_alarms_per_day"], 1),
            "row false positives": percent(row["row_false_positive_rate"]),
            "on failure day": f"{percent(row['failure_day_rate'])} of {row['failure_day_entities']}",
        }
        for row in evaluation.to_table().iter_rows(named=True)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def cohorts_table(evaluation: Evaluation) -> pl.DataFrame:
    """One row per cohort, those with most failures first, rates as text."""
    rows = [
        {
            "cohort": row["cohort"],
            "detected": f"{row['detection_count']} of {row['detection_total']}",
            "detection rate": _with_interval(row, "detection"),
            "false alarms": f"{row['false_alarm_count']:,} of {row['false_alarm_total']:,}",
            "false alarm rate": _with_interval(row, "false_alarm"),
        }
        for row in evaluation.cohort_table().iter_rows(named=True)
    ]
    return pl.DataFrame(rows)


def plain_table(frame: pl.DataFrame, width: int = TERMINAL_WIDTH) -> str:
    """A frame as aligned columns of text; columns that do not fit the width go below, beside the first one again."""
    columns = [[name, *map(_plain, frame[name])] for name in frame.columns]
    for column in columns:
        column.insert(1, "-" * max(map(len, column)))
    widths = [len(column[1]) for column in columns]
    blocks: list[list[int]] = []
    for place in range(1, len(columns)):
        if not blocks or widths[0] + sum(2 + widths[taken] for taken in [*blocks[-1], place]) > width:
            blocks.append([])
        blocks[-1].append(place)
    return "\n\n".join(_lines([columns[place] for place in [0, *block]]) for block in blocks or [[]])


def _lines(columns: Sequence[Sequence[str]]) -> str:
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(cell.ljust(len(column[1])) for cell, column in zip(line, columns, strict=True)).rstrip()
        for line in lines
    )


def _in_use(evaluation: Evaluation) -> dict[str, tuple[float, float]]:
    for row in evaluation.to_table().iter_rows(named=True):
        if row["point"] == IN_USE and row["false_alarm_rate"] is not None and row["detection_rate"] is not None:
            return {evaluation.detector: (row["false_alarm_rate"], row["detection_rate"])}
    return {}


def _with_interval(row: Mapping[str, float | None], name: str) -> str:
    if row[f"{name}_rate"] is None:
        return MISSING
    return f"{percent(row[f'{name}_rate'])} [{percent(row[f'{name}_low'])}, {percent(row[f'{name}_high'])}]"


def percent(value: float | None) -> str:
    """A share in percent, with more digits below 10%; unknown where it is None."""
    if value is None:
        return MISSING
    if value in {0.0, 1.0}:
        return f"{value:.0%}"
    return f"{value:.1%}" if value >= 0.1 else f"{value:.2%}"


def _plain(value: object) -> str:
    if value is None:
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) else str(value)
