"""Judges detectors on one population: operating points, curve, cohorts, and paired differences between detectors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.bootstrap import cuts_at, resampled_detection
from ae_assets.evaluation.intervals import Rate, clopper_pearson, clustered_rate, rate
from ae_assets.evaluation.lives import Lives
from ae_assets.evaluation.population import Population, population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import (
    CohortResult,
    Comparison,
    DetectionCurve,
    Difference,
    Evaluation,
    OperatingPoint,
    Sample,
)

CURVE_POINTS = 41
CURVE_END = 0.2
CONFIDENCE = 0.95
RESAMPLES = 500

COHORTS_AT = 0.01

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Scored:
    """A detector's scores in the order of a population: of its rows, its failed entities and its healthy pairs."""

    name: str
    rows: Floats
    failed: Floats
    pairs: Floats

    @classmethod
    def of(cls, population: Population, name: str, scores: pl.DataFrame) -> "_Scored":
        rows = population.align(scores, name)
        return cls(name, rows, population.failed_rows.highest(rows), population.pair_rows.highest(rows))


def evaluate(
    detector: str,
    scores: pl.DataFrame,
    lives: Lives,
    protocol: Protocol,
    *,
    thresholds: Mapping[str, float] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Judges one detector by the drive-level protocol.

    Args:
        detector: its name.
        scores: `day, entity, cohort, score`, one row per entity and day; days outside the range are ignored.
        lives: lives of all scored entities, known at least until the end of the range.
        protocol: range and rules.
        thresholds: cuts to judge besides those at the protocol's false alarm rates, by name, e.g. the one in use.
        resamples: bootstrap resamples of entities behind the intervals.
        seed: of the bootstrap.

    Raises:
        ContractError: a column is missing.
        EvaluationError: there is nothing to judge, or scores and lives do not fit together.
    """
    population = population_of(protocol, lives, scores)
    return compare_on(
        population, {detector: scores}, thresholds={detector: thresholds or {}}, resamples=resamples, seed=seed
    ).evaluations[0]


def compare_on(
    population: Population,
    scores: Mapping[str, pl.DataFrame],
    *,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
    reference: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Judges several detectors on one population, over the same bootstrap resamples.

    Where no entity failed, false alarms are judged and detection is not known: its intervals are 0 to 1, there is no
    curve and no difference.

    Args:
        population: who counts, from `population_of`.
        scores: `day, entity, score` of each detector, all for exactly the rows that the population was made of.
        thresholds: for each detector further cuts to judge, by name.
        reference: the detector that the others are compared with; the first one by default.
        resamples: bootstrap resamples of entities.
        seed: of the bootstrap.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no entity stayed healthy, a detector scores other rows, or the reference is none of them.
    """
    names = list(scores)
    if not names or (reference is not None and reference not in names):
        raise EvaluationError(f"the reference is {reference!r}, the detectors are {names}; name one of them")
    _require_healthy(population)
    rates = np.asarray(population.protocol.false_alarm_rates)
    grid = _curve_rates(population)
    scored = [_Scored.of(population, name, scores[name]) for name in names]
    pair_entities = population.pairs["entity"].rle_id().to_numpy().astype(np.int64)
    sample = _sample(population)
    resampled = (
        resampled_detection(
            [detector.failed for detector in scored],
            [detector.pairs for detector in scored],
            pair_entities,
            np.concatenate([rates, grid]),
            resamples=resamples,
            seed=seed,
        )
        if sample.failed
        else None
    )
    unknown = np.zeros(len(rates) + len(grid)), np.ones(len(rates) + len(grid))
    evaluations = []
    for place, detector in enumerate(scored):
        low, high = unknown if resampled is None else _percentiles(resampled[place])
        given = (thresholds or {}).get(detector.name, {})
        points = [
            *_points_at_rates(population, detector, rates, low, high),
            *(_operating_point(population, detector, name, cut) for name, cut in given.items()),
        ]
        shared = min(points, key=lambda point: abs((point.target_false_alarm_rate or 0) - COHORTS_AT))
        evaluations.append(
            Evaluation(
                detector=detector.name,
                sample=sample,
                points=tuple(points),
                curve=_curve(detector, grid, low[len(rates) :], high[len(rates) :]),
                cohorts=_cohorts(population, detector, shared.threshold),
                cohorts_at=shared.name,
                resamples=resamples,
                seed=seed,
            )
        )
    chosen = reference or names[0]
    differences = () if resampled is None else _differences(names, chosen, evaluations, resampled, rates)
    return Comparison(tuple(evaluations), chosen, differences)


def judge_threshold(
    scores: pl.DataFrame, lives: Lives, protocol: Protocol, threshold: float, name: str = "threshold"
) -> OperatingPoint:
    """What one threshold does on a range, for a daily gate: exact intervals, no bootstrap, no curve.

    A range without failures or without followed healthy entities is no error here: the rate has a total of 0, its
    interval is 0 to 1, and a verdict on it is too few to judge.

    Args:
        scores: `day, entity, cohort, score`, one row per entity and day; days outside the range are ignored, null =
            not judged.
        lives: lives of all scored entities, known at least until the end of the range.
        protocol: range and rules; its false alarm rates are not used.
        threshold: the cut to judge.
        name: name of the operating point.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no row lies in the range, or scores and lives do not fit together.
    """
    return judge_threshold_on(population_of(protocol, lives, scores), scores, threshold, name)


def judge_threshold_on(
    population: Population, scores: pl.DataFrame, threshold: float, name: str = "threshold"
) -> OperatingPoint:
    """What one threshold does on a population, which may be that of another detector's scores."""
    return _operating_point(population, _Scored.of(population, name, scores), name, threshold)


def _require_healthy(population: Population) -> None:
    protocol = population.protocol
    if population.pairs.is_empty():
        raise EvaluationError(
            f"no healthy entity between {protocol.start} and {protocol.end} was followed through its horizon "
            f"({population.censored} were lost from sight, labels are known until {population.known_until}); "
            "evaluate an earlier range or set follow_up to none"
        )


def _far_name(target: float) -> str:
    return f"FAR {target:.4%}".rstrip("%").rstrip("0").rstrip(".") + "%"


def _curve_rates(population: Population) -> Floats:
    smallest = min(max(1 / population.pairs.height, 1e-4), CURVE_END / 2)
    return np.geomspace(smallest, CURVE_END, CURVE_POINTS)


def _percentiles(resampled: Floats) -> tuple[Floats, Floats]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return low, high


def _sample(population: Population) -> Sample:
    protocol = population.protocol
    return Sample(
        start=protocol.start,
        end=protocol.end,
        known_until=population.known_until,
        horizon_days=protocol.horizon_days,
        window_days=protocol.window_days,
        windows=len(protocol.windows),
        follow_up=protocol.follow_up,
        rows=population.rows.height,
        days=population.rows["day"].n_unique(),
        entities=population.rows["entity"].n_unique(),
        failures=population.failures,
        failed=population.failed.height,
        unscored=population.unscored,
        healthy_entities=population.pairs["entity"].n_unique(),
        healthy_windows=population.pairs.height,
        censored_windows=population.censored,
        windows_followed_short=population.followed_short,
        healthy_rows=len(population.healthy_rows),
        base_rate=population.base_rate,
        not_judged=population.not_judged,
        never_judged=population.never_judged,
    )


def _points_at_rates(
    population: Population, detector: _Scored, rates: Floats, low: Floats, high: Floats
) -> list[OperatingPoint]:
    """Operating points at the target rates.

    Each exact interval at the chosen cut is widened by the spread over resamples that choose the cut anew: the
    bootstrap alone would call a rate of 0 certain, the exact interval alone would call the threshold certain.
    """
    points = []
    for position, cut in enumerate(cuts_at(detector.pairs, rates)):
        target = float(rates[position])
        point = _operating_point(population, detector, _far_name(target), float(cut))
        detection = point.detection.widened(float(low[position]), float(high[position]))
        points.append(replace(point, target_false_alarm_rate=target, detection=detection))
    return points


def _operating_point(population: Population, detector: _Scored, name: str, cut: float) -> OperatingPoint:
    scores = detector.rows
    found = detector.failed > cut
    detection = rate(int(found.sum()), len(found), CONFIDENCE)
    false_alarm = rate_by_entity(population.pairs["entity"], detector.pairs > cut)
    alarms = scores > cut
    same_entity = np.diff(population.entity_codes, prepend=-1) == 0
    continued = alarms & same_entity & np.concatenate([[False], alarms[:-1]])
    days = population.rows["day"].n_unique()
    on_failure_day = alarms[population.failure_day_rows]
    return OperatingPoint(
        name=name,
        target_false_alarm_rate=None,
        threshold=cut,
        detection=detection,
        false_alarm=false_alarm,
        row_false_positive=rate_by_entity(
            population.rows["entity"].gather(population.healthy_rows), alarms[population.healthy_rows]
        ),
        failure_day=rate(int(on_failure_day.sum()), len(on_failure_day), CONFIDENCE),
        precision=_precision(detection, false_alarm, population.base_rate),
        alarms_per_day=float(alarms.sum()) / days,
        new_alarms_per_day=float(alarms.sum() - continued.sum()) / days,
        lead_days=_lead_days(population, scores, cut, found),
        missed=tuple(population.failed["entity"].filter(pl.Series(~found)).sort().to_list()),
    )


def rate_by_entity(entities: pl.Series, alarms: NDArray[np.bool_]) -> Rate:
    """Share of trials with an alarm, in clusters of one entity.

    Args:
        entities: the entity of each trial, equal ones beside each other.
        alarms: whether each has an alarm.
    """
    if len(entities) == 0:
        return rate(0, 0, CONFIDENCE)
    codes = entities.rle_id().to_numpy()
    return clustered_rate(np.bincount(codes, weights=alarms), np.bincount(codes), CONFIDENCE)


def _precision(detection: Rate, false_alarm: Rate, base_rate: float) -> float | None:
    right = (detection.value or 0.0) * base_rate
    wrong = (false_alarm.value or 0.0) * (1 - base_rate)
    return right / (right + wrong) if right + wrong > 0 else None


def _lead_days(population: Population, scores: Floats, cut: float, found: NDArray[np.bool_]) -> tuple[int, ...]:
    first = population.failed_rows.first_day_over(scores, population.days, cut)
    failed_on = population.failed["failed_on"].to_physical().to_numpy().astype(np.int64)
    return tuple(np.sort(failed_on[found] - first[found]).tolist())


def _curve(detector: _Scored, grid: Floats, low: Floats, high: Floats) -> DetectionCurve:
    if not len(detector.failed):
        return DetectionCurve((), (), (), ())
    cuts = cuts_at(detector.pairs, grid)
    failed = len(detector.failed)
    count = (detector.failed[:, None] > cuts).sum(axis=0)
    exact_low, exact_high = clopper_pearson(count, failed, CONFIDENCE)
    return DetectionCurve(
        false_alarm_rate=tuple(grid.tolist()),
        detection_rate=tuple((count / failed).tolist()),
        low=tuple(np.minimum(low, exact_low).tolist()),
        high=tuple(np.maximum(high, exact_high).tolist()),
    )


def _cohorts(population: Population, detector: _Scored, cut: float) -> tuple[CohortResult, ...]:
    failed_frame = population.failed.select("cohort", pl.Series("alarm", detector.failed > cut))
    pair_frame = population.pairs.select("cohort", "entity", pl.Series("alarm", detector.pairs > cut))
    names = pl.concat([failed_frame["cohort"], pair_frame["cohort"]]).unique().drop_nulls().to_list()
    found = {key[0]: part for key, part in failed_frame.partition_by("cohort", as_dict=True).items()}
    healthy = {key[0]: part for key, part in pair_frame.partition_by("cohort", as_dict=True).items()}
    results = []
    for name in names:
        alarms = found.get(name, failed_frame.clear())["alarm"]
        mine = healthy.get(name, pair_frame.clear())
        results.append(
            CohortResult(
                cohort=name,
                detection=rate(int(alarms.sum()), len(alarms), CONFIDENCE),
                false_alarm=rate_by_entity(mine["entity"], mine["alarm"].to_numpy()),
            )
        )
    return tuple(sorted(results, key=lambda r: (-r.detection.total, -r.false_alarm.total, r.cohort)))


def _differences(
    names: list[str], reference: str, evaluations: list[Evaluation], resampled: Floats, rates: Floats
) -> tuple[Difference, ...]:
    base = names.index(reference)
    differences = []
    for index, name in enumerate(names):
        if index == base:
            continue
        low, high = _percentiles(resampled[index] - resampled[base])
        for position, target in enumerate(rates):
            mine = evaluations[index].points[position].detection.value or 0.0
            theirs = evaluations[base].points[position].detection.value or 0.0
            differences.append(
                Difference(name, reference, float(target), mine - theirs, float(low[position]), float(high[position]))
            )
    return tuple(differences)
