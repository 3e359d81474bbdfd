"""Detectors on one population: operating points, curve, cohorts, and paired differences between them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.bootstrap import RESAMPLES, Highest, Judged, cuts_at, resampled_detection, spread
from ae_assets.evaluation.intervals import Flags, Floats, clopper_pearson, rate_by_entity, rate_of
from ae_assets.evaluation.population import Population, population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import (
    IN_USE,
    CohortResult,
    Comparison,
    DetectionCurve,
    Evaluation,
    OperatingPoint,
    differences_of,
    far_name,
)
from ae_assets.evaluation.spells import Lives

CURVE_POINTS = 41
CURVE_END = 0.2
COHORTS_AT = 0.01


def compare(
    scores: Mapping[str, pl.DataFrame],
    lives: Lives,
    protocol: Protocol,
    *,
    reference: str | None = None,
    in_use: Mapping[str, tuple[float, pl.DataFrame]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compares detectors on one split, each at the same false alarm rates, with paired intervals of the differences.

    Where no entity failed, false alarms are judged and detection is not known: its intervals are 0 to 1, there is no
    curve and no difference.

    Args:
        scores: for each detector by name `day, entity, cohort, score`, null = not judged; all must have the same rows
            of the range. Those that the reference does not judge count for nobody, and on those that another detector
            does not judge it raises no alarm.
        lives: lives of all scored entities.
        protocol: range and rules.
        reference: the detector that the others are compared with; the first one by default.
        in_use: of each detector the fitted cut, and how far each score lies above the cut of its row, as `scores`.
        resamples: bootstrap resamples of entities.
        seed: of the bootstrap.

    Raises:
        ContractError: a column is missing.
        EvaluationError: there is no detector, no entity stayed healthy, a detector scores other rows than the
            reference, or the reference is none of them.
    """
    return compare_and_keep(scores, lives, protocol, reference, in_use or {}, resamples, seed)[0]


def compare_and_keep(
    scores: Mapping[str, pl.DataFrame],
    lives: Lives,
    protocol: Protocol,
    reference: str | None,
    in_use: Mapping[str, tuple[float, pl.DataFrame]],
    resamples: int,
    seed: int,
) -> tuple[Comparison, Judged]:
    """What `compare` says, and the highest scores that it rests on."""
    if not scores:
        raise EvaluationError("no detector was given to compare; pass the scores of at least one")
    reference = next(iter(scores)) if reference is None else reference
    if reference not in scores:
        raise EvaluationError(f"the reference is {reference!r}, the detectors are {list(scores)}; name one of them")
    population = population_of(protocol, lives, scores[reference])
    sample = population.sample
    if not sample.healthy_windows:
        raise EvaluationError(
            f"no healthy entity between {protocol.start} and {protocol.end} was followed through its horizon "
            f"({sample.censored_windows} were lost from sight, labels are known until {sample.known_until}); "
            "evaluate an earlier range or set follow_up to none"
        )
    aligned = {name: population.align(frame, name) for name, frame in scores.items()}
    judged = Judged(
        failed=tuple(population.failed["entity"]),
        healthy=tuple(population.pairs["entity"].unique(maintain_order=True)),
        pair_entities=population.pair_entities,
        highest={name: population.highest(rows) for name, rows in aligned.items()},
    )
    rates = np.asarray(protocol.false_alarm_rates)
    grid = np.geomspace(min(max(1 / sample.healthy_windows, 1e-4), CURVE_END / 2), CURVE_END, CURVE_POINTS)
    resampled = _resampled(judged, np.concatenate([rates, grid]), resamples, seed)
    evaluations = []
    for name, rows, of_detector in zip(aligned, aligned.values(), resampled, strict=True):
        low, high = spread(of_detector) if sample.failed else (np.zeros(len(rates)), np.ones(len(rates)))
        highest = judged.highest[name]
        points = _points_at_rates(population, rows, cuts_at(highest.pairs, rates), low, high)
        shared = min(points, key=lambda point: abs((point.target_false_alarm_rate or 0) - COHORTS_AT))
        if name in in_use:
            cut, margins = in_use[name]
            alarms = population.align(margins, name) > 0
            points.append(point_of(population, alarms, IN_USE, cut))
        evaluations.append(
            Evaluation(
                detector=name,
                sample=sample,
                points=tuple(points),
                curve=_curve(highest, grid, low[len(rates) :], high[len(rates) :])
                if sample.failed
                else DetectionCurve(),
                cohorts=_cohorts(population, rows > shared.threshold),
                cohorts_at=shared.name,
                resamples=resamples,
                seed=seed,
            )
        )
    comparison = Comparison(tuple(evaluations), reference, ())
    if sample.failed:
        differences = differences_of(comparison.detection, reference, resampled[:, :, : len(rates)])
        comparison = replace(comparison, differences=differences)
    return comparison, judged


def judge_threshold(scores: pl.DataFrame, lives: Lives, protocol: Protocol, threshold: float) -> OperatingPoint:
    """What one threshold does on the scores of a range, for a daily gate: exact intervals, no bootstrap, no curve.

    A range without failures or without followed healthy entities is no error here: the rate has a total of 0, its
    interval is 0 to 1, and a verdict on it is too few to judge.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no row lies in the range, or scores and lives do not fit together.
    """
    population = population_of(protocol, lives, scores)
    return point_of(population, population.align(scores, IN_USE) > threshold, IN_USE, threshold)


def point_of(population: Population, alarms: Flags, name: str, cut: float) -> OperatingPoint:
    """What the alarms of a cut are worth, given as a flag for each row of the population."""
    detected = population.failed_rows.any(alarms)
    detection = rate_of(detected)
    false_alarm = rate_by_entity(population.pair_entities, population.pair_rows.any(alarms))
    same_entity = np.diff(population.entity_codes, prepend=-1) == 0
    continued = alarms & same_entity & np.concatenate([[False], alarms[:-1]])
    failed_on = population.failed["failed_on"].to_physical().to_numpy().astype(np.int64)
    lead_days = failed_on - population.failed_rows.first_day(alarms, population.days)
    healthy, base_rate = population.healthy_rows, population.sample.base_rate
    right, wrong = (detection.value or 0.0) * base_rate, (false_alarm.value or 0.0) * (1 - base_rate)
    return OperatingPoint(
        name=name,
        target_false_alarm_rate=None,
        threshold=cut,
        detection=detection,
        false_alarm=false_alarm,
        row_false_positive=rate_by_entity(population.entity_codes[healthy], alarms[healthy]),
        failure_day=rate_of(alarms[population.failure_day_rows]),
        precision=right / (right + wrong) if right + wrong > 0 else None,
        alarms_per_day=float(alarms.sum()) / population.sample.days,
        new_alarms_per_day=float(alarms.sum() - continued.sum()) / population.sample.days,
        lead_days=tuple(np.sort(lead_days[detected]).tolist()),
        missed=tuple(population.failed["entity"].filter(pl.Series(~detected)).sort()),
    )


def _resampled(judged: Judged, rates: Floats, resamples: int, seed: int) -> Floats:
    """Detection rates (detectors, resamples, rates) over the same resamples; 0 where no entity failed."""
    names = list(judged.highest)
    if not judged.failed:
        return np.zeros((len(names), 1, len(rates)))
    detected, drawn = resampled_detection([judged], names, rates, resamples=resamples, seed=seed, healthy_first=True)
    return np.asarray(1 - (drawn - detected) / drawn)


def _points_at_rates(
    population: Population, rows: Floats, cuts: Floats, low: Floats, high: Floats
) -> list[OperatingPoint]:
    """Operating points at the protocol's false alarm rates.

    Each exact interval at the chosen cut is widened by the spread over resamples that choose the cut again: the
    bootstrap alone would call a rate of 0 certain, the exact interval alone would call the threshold certain.
    """
    points = []
    for target, cut, *ends in zip(population.protocol.false_alarm_rates, cuts.tolist(), low, high, strict=False):
        point = point_of(population, rows > cut, far_name(target), cut)
        detection = point.detection.widened(*map(float, ends))
        points.append(replace(point, target_false_alarm_rate=target, detection=detection))
    return points


def _curve(highest: Highest, grid: Floats, low: Floats, high: Floats) -> DetectionCurve:
    detected = highest.detected(grid)
    exact_low, exact_high = clopper_pearson(detected.sum(axis=0), len(detected))
    return DetectionCurve(
        false_alarm_rate=tuple(grid.tolist()),
        detection_rate=tuple(detected.mean(axis=0).tolist()),
        low=tuple(np.minimum(low, exact_low).tolist()),
        high=tuple(np.maximum(high, exact_high).tolist()),
    )


def _cohorts(population: Population, alarms: Flags) -> tuple[CohortResult, ...]:
    failed, detected = population.failed["cohort"], population.failed_rows.any(alarms)
    healthy, false = population.pairs["cohort"], population.pair_rows.any(alarms)
    results = []
    for name in pl.concat([failed, healthy]).unique().drop_nulls():
        mine = (healthy == name).fill_null(value=False).to_numpy()
        results.append(
            CohortResult(
                cohort=name,
                detection=rate_of(detected[(failed == name).fill_null(value=False).to_numpy()]),
                false_alarm=rate_by_entity(population.pair_entities[mine], false[mine]),
            )
        )
    return tuple(sorted(results, key=lambda one: (-one.detection.total, -one.false_alarm.total, one.cohort)))
