"""An evaluation by labelled intervals as people read it: the answer in words, tables for the UI and the terminal."""

from collections.abc import Sequence

import polars as pl

from ae_assets.evaluation.results import IN_USE
from ae_assets.evaluation.series import SeriesComparison, SeriesPoint, SeriesSample
from ae_assets.reports.evaluation import differences_table
from ae_assets.reports.parts import Part, page_markdown, page_text, percent, with_interval
from ae_assets.reports.tables import MISSING

MOST_NAMED = 10


def series_answer(comparison: SeriesComparison, *, simulated: bool) -> str:
    """What the detector finds at the threshold in use, how often it is wrong, and the best of the others beside it."""
    point, sample = headline_point(comparison), comparison.sample
    since = f"From {sample.start} to {sample.end}"
    wrong = (
        f"{point.false_alarms:,} false alarms in {sample.entity_days:,.1f} entity-days outside of intervals "
        f"({_a_day(point)} a day of an entity), on {percent(point.false_alarm.value)} of the records there"
    )
    fleet = " of simulated devices" if simulated else ""
    if not sample.intervals:
        found = f"{since} no labelled interval{fleet} holds a judged record, so what is found is not known; {wrong}."
        return " ".join([found, *_strangers(sample, named=False)])
    precision = "" if point.precision is None else f" {percent(point.precision)} of the time under alarm was abnormal."
    found = (
        f"{since} it raised an alarm in {point.recall.count:,} of {point.recall.total:,} labelled intervals{fleet} "
        f"({with_interval(point.recall)}), with {wrong}.{precision}"
    )
    return " ".join([found, *_beside_others(comparison), *_strangers(sample, named=False)])


def series_figures(comparison: SeriesComparison) -> dict[str, float | int | None]:
    """The figures of the answer by name, for plots; None where there is nothing to count."""
    point = headline_point(comparison)
    return {
        "Intervals found": point.recall.count,
        "Intervals": point.recall.total,
        "Share of intervals found": point.recall.value,
        "Share of intervals found, low end": point.recall.low if point.recall.total else None,
        "Share of intervals found, high end": point.recall.high if point.recall.total else None,
        "Precision over time": point.precision,
        "False alarms": point.false_alarms,
        "False alarms for each day of an entity": point.false_alarms_per_entity_day,
        "False alarm rate of records": point.false_alarm.value,
    }


def series_rates(comparison: SeriesComparison) -> pl.DataFrame:
    """One row per detector: the share of intervals found at each false alarm rate of records, as text."""
    return pl.DataFrame(
        [
            {"detector": name, **{point.name: with_interval(point.recall) for point in points if point.name != IN_USE}}
            for name, points in comparison.points.items()
        ]
    )


def series_markdown(comparison: SeriesComparison) -> str:
    """Sample, intervals found by detector and false alarm rate, differences, and what each threshold does."""
    return page_markdown(_parts(comparison))


def series_text(comparison: SeriesComparison) -> str:
    """The same for the terminal."""
    return page_text(_parts(comparison))


def headline_point(comparison: SeriesComparison) -> SeriesPoint:
    """The point that the answer is about: that of the threshold in use."""
    points = comparison.points[comparison.reference]
    return next((point for point in points if point.name == IN_USE), points[-1])


def sample_words(sample: SeriesSample) -> str:
    """How much the figures rest on."""
    unscored = f" ({sample.unscored} more without a judged record)" if sample.unscored else ""
    not_judged = f"; {sample.not_judged:,} records are not judged" if sample.not_judged else ""
    words = (
        f"{sample.start} to {sample.end}: {sample.entities:,} entities, {sample.records:,} records, "
        f"{sample.abnormal_records:,} of them within {sample.intervals:,} labelled intervals{unscored}, and "
        f"{sample.entity_days:,.1f} entity-days outside{not_judged}."
    )
    return " ".join([words, *_strangers(sample, named=True)])


def _parts(comparison: SeriesComparison) -> list[Part]:
    shares = "Share of the labelled intervals with an alarm inside, by false alarm rate (FAR) of the records outside"
    differences = f"Difference of this share to {comparison.reference}, in points, with paired 95% intervals"
    missed = headline_point(comparison).missed
    return [
        sample_words(comparison.sample),
        *([(shares, series_rates(comparison))] if comparison.sample.intervals else []),
        (differences, differences_table(comparison.differences)),
        ("What each detector does at its threshold", _points(comparison)),
        *([f"Not found by {comparison.reference}: {_first('; ', missed)}."] if missed else []),
    ]


def _points(comparison: SeriesComparison) -> pl.DataFrame:
    rows = [
        {
            "detector": name,
            "threshold at": point.name,
            "score": point.threshold,
            "found": f"{point.recall.count} of {point.recall.total}",
            "precision over time": percent(point.precision),
            "false alarms": point.false_alarms,
            "a day of an entity": _a_day(point),
            "records with a false alarm": with_interval(point.false_alarm),
        }
        for name, points in comparison.points.items()
        for point in points
        if name == comparison.reference or point.name == IN_USE
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _beside_others(comparison: SeriesComparison) -> list[str]:
    if not comparison.differences:
        return []
    at = max(one.target_false_alarm_rate for one in comparison.differences)
    best = max((one for one in comparison.differences if one.target_false_alarm_rate == at), key=lambda one: one.value)
    interval = f"95% interval {100 * best.low:+.1f} to {100 * best.high:+.1f} points"
    much = (
        "as many" if not best.value else f"{abs(100 * best.value):.1f} points {'more' if best.value > 0 else 'fewer'}"
    )
    beside = f"{best.detector}, the best of the others, finds {much} of the intervals"
    return [f"At a false alarm rate of {100 * at:g}% of the records, {beside} ({interval})."]


def _strangers(sample: SeriesSample, *, named: bool) -> list[str]:
    if not sample.unknown:
        return []
    names = f": {_first(', ', [repr(name) for name in sample.unknown])}" if named else ""
    return [f"Intervals of {len(sample.unknown)} devices that no record names do not count{names}."]


def _first(separator: str, names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return separator.join(names[:MOST_NAMED]) + more


def _a_day(point: SeriesPoint) -> str:
    return MISSING if point.false_alarms_per_entity_day is None else f"{point.false_alarms_per_entity_day:.3g}"
