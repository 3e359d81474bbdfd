"""Rolling origin: several splits of the same months, each judged at its own thresholds. `pooling` joins them.

A split is a training range, an embargo and a test range. What is fitted and scored in between is the caller's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ConfigError, EvaluationError
from ae_assets.evaluation.bootstrap import cuts_at
from ae_assets.evaluation.evaluate import RESAMPLES, compare_on
from ae_assets.evaluation.lives import Lives
from ae_assets.evaluation.population import population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Comparison
from ae_assets.schemas.periods import DAILY, Periods

FORMAT_VERSION = 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """One split of the days.

    Attributes:
        training: first and last day to fit on; labels are known through the horizon after it.
        test: first and last day to judge.
    """

    training: tuple[date, date]
    test: tuple[date, date]


def origins(
    first_day: date,
    last_day: date,
    periods: Periods = DAILY,
    *,
    train_days: int,
    test_days: int,
    embargo_days: int,
    step_days: int,
    horizon_days: int,
) -> list[Origin]:
    """The splits that fit into a range of days, earliest first; the last one is judged up to the last day.

    The labels that a fit may know reach a horizon beyond its training range, so the embargo between training and test
    is that long at least.

    Args:
        first_day: first day with data.
        last_day: last day to judge.
        periods: what the ranges are made of; of hours or weeks all lengths are counted in these.
        train_days: length of each training range.
        test_days: length of each test range.
        embargo_days: days left out between the two.
        step_days: days from one test range to the next; less than `test_days` makes them overlap, and then the same
            failures count several times.
        horizon_days: days before a failure in which an alarm is a detection.

    Returns:
        At least one split.

    Raises:
        ConfigError: a length is below 1, or the embargo is shorter than the horizon.
        EvaluationError: the range holds no split.
    """
    lengths = {"train_days": train_days, "test_days": test_days, "step_days": step_days, "horizon_days": horizon_days}
    short = {name: days for name, days in lengths.items() if days < 1}
    if short:
        raise ConfigError(f"received {short}; each must be 1 day or more")
    if embargo_days < horizon_days:
        raise ConfigError(
            f"embargo_days is {embargo_days} and the horizon {horizon_days} days: a fit knows the labels of the "
            "horizon after its training range, so it would have seen some of the judged ones; make the embargo as long"
        )
    needed = train_days + embargo_days + test_days
    held = len(periods.range(first_day, last_day))
    if held < needed:
        raise EvaluationError(
            f"{first_day} to {last_day} are {held} days, and a split needs {needed}: {train_days} to fit, "
            f"{embargo_days} of embargo, {test_days} to judge; load more days or shorten the ranges"
        )
    splits = []
    for back in range(0, held - needed + 1, step_days):
        test_end = periods.shifted(last_day, -back)
        test_start = periods.shifted(test_end, 1 - test_days)
        train_end = periods.shifted(test_start, -embargo_days - 1)
        splits.append(Origin((periods.shifted(train_end, 1 - train_days), train_end), (test_start, test_end)))
    return splits[::-1]


@dataclass(frozen=True, eq=False)
class Split:
    """What the detectors did on one split, and the scores that pooling draws from again.

    Attributes:
        name: what the tables call it.
        training: first and last day that the detectors were fitted on.
        comparison: the figures of this split alone.
        failed: failed entities.
        failed_scores: for each detector the highest score of each of them in its horizon.
        healthy: entities of the healthy pairs, each once.
        pair_entities: for each healthy pair its position in `healthy`.
        pair_scores: for each detector the highest score of each pair.
        protocol: the test range and the rules.
    """

    name: str
    training: tuple[date, date]
    comparison: Comparison
    failed: tuple[str, ...]
    failed_scores: Mapping[str, Floats]
    healthy: tuple[str, ...]
    pair_entities: Ints
    pair_scores: Mapping[str, Floats]
    protocol: Protocol

    @property
    def judged_by(self) -> dict[str, object]:
        """Reference and rules, which the splits of one pool share; their ranges differ."""
        rules = {name: value for name, value in vars(self.protocol).items() if name not in {"start", "end"}}
        return {"reference": self.comparison.reference, **rules}

    def found(self, detector: str) -> NDArray[np.bool_]:
        """Which failed entities (rows) a detector finds at each rate (columns), at this split's own thresholds."""
        cuts = cuts_at(self.pair_scores[detector], np.asarray(self.protocol.false_alarm_rates))
        found: NDArray[np.bool_] = self.failed_scores[detector][:, None] > cuts
        return found


def judge_split(
    name: str,
    training: tuple[date, date],
    scores: Mapping[str, pl.DataFrame],
    lives: Lives,
    protocol: Protocol,
    *,
    reference: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Split:
    """Judges the detectors of one split.

    Args:
        name: what the tables call the split.
        training: first and last day that the detectors were fitted on.
        scores: for each detector `day, entity, cohort, score`, null = not judged; all for the same rows of the test
            range. Those that the reference judges are counted.
        lives: lives of all scored entities.
        protocol: the test range and the rules.
        reference: the detector that the others are compared with.
        resamples: bootstrap resamples behind the intervals of this split alone.
        seed: of the bootstrap.

    Raises:
        ContractError: a column is missing.
        EvaluationError: the test range starts within the horizon after the training range, there is nothing to judge,
            or the detectors score different rows.
    """
    if not scores:
        raise EvaluationError("no detector was given to judge; pass the scores of at least one")
    if (protocol.start - training[1]).days <= protocol.horizon_days:
        raise EvaluationError(
            f"split {name} fits until {training[1]} and judges from {protocol.start} on; labels are known to the fit "
            f"for {protocol.horizon_days} days more, so judge from "
            f"{training[1] + timedelta(days=protocol.horizon_days + 1)} on"
        )
    population = population_of(protocol, lives, scores.get(reference, next(iter(scores.values()))))
    comparison = compare_on(population, scores, reference=reference, resamples=resamples, seed=seed)
    failed_scores, pair_scores = {}, {}
    for detector, frame in scores.items():
        rows = population.align(frame, detector)
        failed_scores[detector] = population.failed_rows.highest(rows)
        pair_scores[detector] = population.pair_rows.highest(rows)
    entities = population.pairs["entity"]
    return Split(
        name=name,
        training=training,
        comparison=comparison,
        failed=tuple(population.failed["entity"]),
        failed_scores=failed_scores,
        healthy=tuple(entities.unique(maintain_order=True)),
        pair_entities=entities.rle_id().to_numpy().astype(np.int64),
        pair_scores=pair_scores,
        protocol=protocol,
    )
