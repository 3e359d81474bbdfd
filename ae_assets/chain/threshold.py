"""Threshold: the cut chosen on the calibration range, which follows the training range after an embargo."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import polars as pl

from ae_assets.chain.challenger import Promotion, PromotionRule, judge_challenger
from ae_assets.chain.champion import (
    CalibrationRange,
    Champion,
    NotJudgedRows,
    decided_by,
    training_of,
    write_threshold,
)
from ae_assets.chain.drift import reference_of
from ae_assets.chain.lives import day_known
from ae_assets.chain.logged_facts import threshold_facts
from ae_assets.chain.model import TrainingRange
from ae_assets.chain.scoring import score_days
from ae_assets.chain.settings import require_settings
from ae_assets.chain.target import target_of
from ae_assets.chain.volume import LEAST_SHARE, WIDEN, days_left_out, in_words
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.decisions.config import AggregationConfig
from ae_assets.detectors import FittedDetector, load_detector
from ae_assets.errors import ModelError
from ae_assets.evaluation.target import Failures
from ae_assets.lakehouse.run_log import Logged
from ae_assets.model.life import learned_of
from ae_assets.schemas.periods import named
from ae_assets.schemas.records import day_of
from ae_assets.thresholds.threshold import Threshold, fit_threshold


@dataclass(frozen=True)
class Calibrated:
    """A model version with its new threshold."""

    version: str
    threshold: Threshold
    calibration: CalibrationRange
    scores: pl.DataFrame
    """Of the drives that are not known to fail, as far as they were judged."""
    not_judged: NotJudgedRows
    """Rows and drives of the calibration range that were not."""
    promotion: Promotion
    """Whether it is the champion from now on, and why."""
    logged: Logged | None = None
    """The run that it is logged in; None where there is none."""


def calibrate_latest(
    space: Workspace, promote: PromotionRule = "if_not_worse", version: str | None = None
) -> Calibrated:
    """Chooses the cut of a model version, the newest if None, and makes it the champion unless it is found worse.

    Raises:
        ModelError: when there is no such version, when it was trained on features of other settings, when its training
            did not converge, or when the calibration range holds no features.
    """
    table = space.table
    versions = space.models.versions(table.table)
    if not versions:
        raise ModelError(f"{table.table} has no model yet; materialise {table.table}/model first")
    version = version or versions[-1]
    require_settings(space, version)
    detector = load_detector(space.models.path(table.table, version))
    if not detector.history.converged:
        raise ModelError(
            f"model {version} did not converge and does not become the champion; look at its training curve, then "
            "train again with more epochs, another learning rate or a longer range"
        )
    training = training_of(space, version)
    calibration = calibration_after(space, training)
    aggregation, sees_failures = table.decision.aggregation, table.threshold.sees_failures
    scores = calibration_scores(space, detector, aggregation, training, calibration, earlier_failures=sees_failures)
    threshold = fit_threshold(table.threshold, scores)
    of_range = scores.filter(pl.col("fails_in").is_null())
    healthy, not_judged = of_range.drop_nulls("score"), NotJudgedRows.of(of_range)
    reference = reference_of(space, calibration.start, calibration.end, healthy, detector.feature_names)
    learned = learned_of(calibration.of_life)
    challenger = Champion(
        version, detector, threshold, aggregation, *decided_by(table), learned, training, calibration, reference
    )
    promotion = judge_challenger(space, challenger, promote)
    write_threshold(space, challenger, promotion.record, not_judged)
    if promotion.promoted:
        space.models.promote(table.table, version)
    facts = partial(threshold_facts, threshold, promotion.record)
    logged = space.run_log.add(space.models.card(table.table, version), facts)
    return Calibrated(version, threshold, calibration, healthy, not_judged, promotion, logged)


def calibration_after(space: Workspace, training: TrainingRange) -> CalibrationRange:
    """The days on which the threshold of a model is chosen, by the YAML.

    Raises:
        ModelError: too few of them have a plausible volume.
    """
    asked_for, periods = space.table.calibration, space.table.periods
    left_out = days_left_out(space)
    if (of_life := space.table.calibration_of_life(training.learned)) is not None:
        within = sorted(day for day in left_out if training.start <= day <= training.end)
        return CalibrationRange(training.start, training.end, tuple(within), of_life)
    calibration = CalibrationRange.after(training, asked_for.embargo_days, asked_for.days, left_out, periods)
    left = len(_days_of(space, calibration))
    if calibration.left_out and left < LEAST_SHARE * periods.count(timedelta(days=asked_for.days)):
        raise ModelError(
            f"the threshold is chosen on the {asked_for.days} days (calibration.days) from {named(calibration.start)} "
            f"on, and only {left} {periods.plural} with features remain until {named(calibration.end)}, since "
            f"{in_words(calibration.left_out, periods)} have an implausible number of rows; load the days after them, "
            f"train on other days (--train-start and --train-end), or {WIDEN}"
        )
    return calibration


def _days_of(space: Workspace, calibration: CalibrationRange) -> list[date]:
    return _filled(space, calibration.start, calibration.end, calibration.left_out)


def _filled(space: Workspace, first: date, last: date, left_out: Collection[date]) -> list[date]:
    rows = space.days_of(FEATURES)
    return [day for day in space.table.periods.range(first, last) if rows.get(day) and day not in left_out]


def calibration_scores(
    space: Workspace,
    detector: FittedDetector,
    aggregation: AggregationConfig,
    training: TrainingRange,
    calibration: CalibrationRange,
    *,
    earlier_failures: bool,
) -> pl.DataFrame:
    """The scores that a threshold may see, for `fit_threshold`.

    Abnormal records, and those whose window holds one, do not count, as far as they are known by the end of
    calibration. A drive that is known by then to fail or to have failed is not normal: of its rows only those within
    the horizon before its first failure are kept, marked by ``fails_in``. The calibration range holds few of them, so
    those between its start and that of training may be added. They are in-sample for the training days, which makes
    them no better where the detector never learned from rows near a failure. A detector that learned from failures
    knows those until `training.known_until`, wherever their rows lie: of its scores only those before later failures
    are kept. ``earlier_failures`` says whether a policy asks for those from before the calibration range.

    Returns:
        ``day, entity, cohort, score, fails_in`` and, where the table has it, ``time``; rows without ``fails_in`` are of
        the calibration range, those whose score is null were not judged.

    Raises:
        ModelError: when the calibration range holds no features.
    """
    days = _days_of(space, calibration)
    if not days:
        raise ModelError(
            f"there are no features between {named(calibration.start)} and {named(calibration.end)}, where the "
            f"threshold is calibrated; materialise {space.name(FEATURES)} for these days, or train on an earlier range"
        )
    target = target_of(space, calibration.end)
    scored_days = score_days(space, detector, aggregation, days, "calibration")
    frames = [scored.scores_of_life(calibration.of_life) for scored in scored_days]
    if not isinstance(target, Failures):
        scores = pl.concat(frames)
        rhythm = space.table.rhythm
        looked_back_on = rhythm.look_back(detector.window) + rhythm.look_back(aggregation.window)
        normal = target.normal(scores, looked_back_on)
        return scores.filter(normal).with_columns(fails_in=pl.lit(None, pl.Int64))
    failures = target.first
    if earlier_failures and not detector.learns_from_failures:
        last = space.table.periods.shifted(calibration.start, -1)
        before = _filled(space, training.start, last, days_left_out(space))
        first_day, _ = space.table.periods.days(training.start, last)
        failing = failures.filter(pl.col("failed_on") > first_day)["entity"].to_list()
        earlier = score_days(space, detector, aggregation, before, "calibration", failing)
        frames += [scored.scores for scored in earlier]
    marked = _marked(pl.concat(frames), failures, space.table.horizon_days)
    if not detector.learns_from_failures:
        return marked
    failed_on = day_of(marked.columns) + pl.duration(days="fails_in")
    return marked.filter(pl.col("fails_in").is_null() | (failed_on > day_known(space, training.known_until)))


def _marked(scores: pl.DataFrame, failures: pl.DataFrame, horizon_days: int) -> pl.DataFrame:
    """With ``fails_in``; rows of drives that fail, or failed, are kept within the horizon before it only."""
    ahead = (pl.col("failed_on") - day_of(scores.columns)).dt.total_days()
    return (
        scores.join(failures, on="entity", how="left", maintain_order="left")
        .with_columns(fails_in=ahead)
        .filter(pl.col("failed_on").is_null() | pl.col("fails_in").is_between(1, horizon_days))
        .drop("failed_on")
    )
