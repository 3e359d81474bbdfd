"""The protocols of series as people read them: alarms, NAB's score, curves over all cuts, and what flatters."""

from collections.abc import Callable, Mapping
from math import isnan

import polars as pl

from ae_assets.evaluation.protocols.corpus import RANDOM, CorpusFigures
from ae_assets.evaluation.protocols.figure import Figure
from ae_assets.evaluation.protocols.nab import PROBATION, PROFILES
from ae_assets.reports.parts import Part, percent
from ae_assets.reports.tables import MISSING

SECONDS_AN_HOUR = 3600


def corpus_parts(figures: Mapping[str, CorpusFigures], buffer: int) -> list[Part]:
    """The tables of all detectors, the reference first.

    Args:
        figures: by detector.
        buffer: records by which VUS-PR widened an event at most.
    """
    if not figures:
        return []
    headings = {
        "Alarms at each detector's own threshold, with 95% intervals over entities. An alarm is a run of records, true "
        "where one of them lies in an event; the delay is counted from the start of its window": _events,
        "Records over the same thresholds, whether or not an alarm was held back, by time and as SKAB counts them": (
            _records
        ),
        f"NAB's score of these alarms after a probation of {PROBATION:.0%}, and at the cut that is best for all series "
        "together, which knows the labels. 0 is silence, 100 perfect": _nab,
        "Over all cuts, of the scores of records: mean over entities with an event, VUS-PR with a buffer of at most "
        f"{buffer} records": _curves,
        "At the best cut, which knows the labels": _flattering,
    }
    chance = figures.get(RANDOM)
    reached = "" if chance is None else f", so that chance reaches {_number(chance.point_adjusted_f1)}"
    flaw = (
        f"Point-adjusted F1 counts every record of an event as found for one of them{reached}. It says nothing of a "
        "detector and is shown because others publish it."
    )
    return [*((heading, _table(figures, row)) for heading, row in headings.items()), flaw]


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
        "false a day": _number(alarms.false_alarms_per_entity_day),
        "median delay": MISSING if delay is None else f"{delay / SECONDS_AN_HOUR:.1f} h",
    }


def _records(one: CorpusFigures) -> dict[str, str]:
    over = one.records
    return {
        "precision over time": percent(over.time_precision),
        "recall over time": percent(over.time_recall),
        "F1": _number(over.f1),
        "false (FAR)": percent(over.false_alarm_rate),
        "missed (MAR)": percent(over.missed_alarm_rate),
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
