"""The protocols of series as people read them: alarms, NAB's score, curves over all cuts, and what flatters."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from math import isnan

import polars as pl

from ae_assets.evaluation.protocols.corpus import RANDOM, CorpusFigures, Figure
from ae_assets.evaluation.protocols.nab import PROBATION, PROFILES
from ae_assets.reports.parts import Part, percent
from ae_assets.reports.tables import MISSING
from ae_assets.schemas.durations import written

MINUTE = timedelta(minutes=1)


def corpus_parts(figures: Mapping[str, CorpusFigures], buffer: int) -> list[Part]:
    """The tables of all detectors, the reference first.

    Args:
        figures: by detector.
        buffer: records by which VUS-PR widened an event at most.
    """
    if not figures:
        return []
    chance = figures.get(RANDOM)
    flattered = "" if chance is None else f" Chance reaches {_number(chance.point_adjusted_f1)}."
    headings = {
        "Alarms at each detector's own threshold, with 95% intervals over entities; an alarm is a run of records, and "
        "true where one of them lies in an event": _events,
        "Time under alarm, and records at the same thresholds as SKAB counts them (F1, false and missed alarm rate)": (
            _records
        ),
        f"NAB's score after a probation of {PROBATION:.0%}: of these alarms, and at the cut that is best for all "
        "series together, which knows the labels; 0 is silence, 100 perfect": _nab,
        "Over all cuts, of the scores of records: mean over entities with an event; VUS-PR with a buffer of at most "
        f"{buffer} records": _curves,
        "At the best cut, which knows the labels; point-adjusted F1 counts every record of an event as found for one "
        f"of them, and says nothing of a detector.{flattered}": _flattering,
    }
    return [(heading, _table(figures, row)) for heading, row in headings.items()]


def corpus_headline(one: CorpusFigures | None) -> dict[str, float | int | None]:
    """The figures of a detector by name, for plots; none where there are none."""
    if one is None:
        return {}
    standard = next(iter(PROFILES))
    return {
        "NAB score": one.nab.value,
        "NAB score at the best cut": one.nab_at_best_cut[standard].score,
        "AUC-PR": one.average_precision.value,
        "VUS-PR": one.vus_pr.value,
        "Share of alarms that are true": one.event_precision.value,
    }


def _events(one: CorpusFigures) -> dict[str, str]:
    alarms = one.alarms
    delay = alarms.median_delay
    return {
        "events found": f"{alarms.events_detected} of {alarms.events}, {_shares(one.event_recall)}",
        "true alarms": f"{alarms.true_alarms} of {alarms.alarms}, {_shares(one.event_precision)}",
        "false a day of an entity": _number(alarms.false_alarms_per_entity_day),
        "median delay": MISSING if delay is None else written(round(timedelta(seconds=delay) / MINUTE) * MINUTE),
    }


def _records(one: CorpusFigures) -> dict[str, str]:
    alarms = one.alarms
    return {
        "time: precision": percent(alarms.time_precision),
        "recall": percent(alarms.time_recall),
        "records: F1": _number(alarms.f1),
        "false": percent(alarms.false_alarm_rate),
        "missed": percent(alarms.missed_alarm_rate),
    }


def _nab(one: CorpusFigures) -> dict[str, str]:
    own = {name: f"{score:.1f}" for name, score in one.nab_of_profiles.items()}
    standard = next(iter(PROFILES))
    interval = "" if one.nab.low is None else f" [{one.nab.low:.1f}, {one.nab.high:.1f}]"
    best = {f"best cut: {name}": f"{found.score:.1f}" for name, found in one.nab_at_best_cut.items()}
    return {**own, standard: own[standard] + interval, **best}


def _curves(one: CorpusFigures) -> dict[str, str]:
    return {
        "AUC-PR": _numbers(one.average_precision),
        "AUC-PR, pooled": _number(one.pooled_average_precision),
        "VUS-PR": _numbers(one.vus_pr),
    }


def _flattering(one: CorpusFigures) -> dict[str, str]:
    return {"F1 of records": _number(one.best_f1), "point-adjusted F1": _number(one.point_adjusted_f1)}


def _table(figures: Mapping[str, CorpusFigures], row: Callable[[CorpusFigures], dict[str, str]]) -> pl.DataFrame:
    return pl.DataFrame([{"detector": name, **row(one)} for name, one in figures.items()])


def _number(value: float | None) -> str:
    return MISSING if value is None or isnan(value) else f"{value:.3g}"


def _numbers(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return MISSING
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _shares(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return MISSING
    return f"{figure.value:.0%} [{figure.low:.0%}, {figure.high:.0%}]"
