"""Rolling origin: several splits of the same months, each judged at its own thresholds. `pooling` joins them.

A split is a training range, an embargo and a test range. What is fitted and scored in between is the caller's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.bootstrap import RESAMPLES, Judged
from ae_assets.evaluation.compare import compare_and_keep
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Comparison
from ae_assets.evaluation.spells import Lives
from ae_assets.schemas.periods import DAILY, Periods


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
) -> list[Origin]:
    """The splits that fit into a range of days, earliest first; each test range follows the one before it.

    Args:
        first_day: first day with data.
        last_day: last day to judge.
        periods: what the ranges are made of; of hours or weeks all lengths are counted in these.
        train_days: length of each training range.
        test_days: length of each test range.
        embargo_days: days left out between the two, as long as the horizon, whose labels the fit may know, at least.

    Returns:
        At least one split.

    Raises:
        EvaluationError: the range holds no split.
    """
    needed, days = train_days + embargo_days + test_days, len(periods.range(first_day, last_day))
    if days < needed:
        raise EvaluationError(
            f"{first_day} to {last_day} are {days} days, and a split needs {needed}: {train_days} to fit, "
            f"{embargo_days} of embargo, {test_days} to judge; load more days or shorten the ranges"
        )
    splits = []
    for back in range(0, days - needed + 1, test_days):
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
        protocol: the test range and the rules.
        comparison: the figures of this split alone.
        judged: the entities behind them, with their scores.
    """

    name: str
    training: tuple[date, date]
    protocol: Protocol
    comparison: Comparison
    judged: Judged


def judge_split(
    name: str,
    training: tuple[date, date],
    scores: Mapping[str, pl.DataFrame],
    lives: Lives,
    protocol: Protocol,
    *,
    reference: str,
    resamples: int = RESAMPLES,
) -> Split:
    """Judges the detectors of one split over the test range, which the protocol holds, as `compare` does.

    Raises:
        ContractError: a column is missing.
        EvaluationError: the test range starts within the horizon after the training range, there is nothing to judge,
            or the detectors score different rows.
    """
    if (protocol.start - training[1]).days <= protocol.horizon_days:
        raise EvaluationError(
            f"split {name} fits until {training[1]} and judges from {protocol.start} on; labels are known to the fit "
            f"for {protocol.horizon_days} days more, so judge from "
            f"{training[1] + timedelta(days=protocol.horizon_days + 1)} on"
        )
    comparison, judged = compare_and_keep(scores, lives, protocol, reference, {}, resamples, seed=0)
    return Split(name, training, protocol, comparison, judged)
