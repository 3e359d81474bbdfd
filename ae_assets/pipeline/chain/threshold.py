"""Threshold: the cut chosen on the calibration range, which follows the training range after an embargo."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from ae_assets.detectors import FittedDetector, load_detector
from ae_assets.errors import ModelError
from ae_assets.pipeline.chain.champion import training_of
from ae_assets.pipeline.chain.model import TrainingRange
from ae_assets.pipeline.chain.scoring import score_days
from ae_assets.pipeline.chain.storage import FEATURES, Storage, day_range
from ae_assets.thresholds import Threshold, fit_threshold


@dataclass(frozen=True)
class CalibrationRange:
    """The days whose scores set the threshold. Labels after its end are not known to it."""

    start: date
    end: date

    @classmethod
    def after(cls, training: TrainingRange, embargo_days: int, days: int) -> "CalibrationRange":
        """The range that follows a training range."""
        start = training.end + timedelta(days=1 + embargo_days)
        return cls(start, start + timedelta(days=days - 1))


@dataclass(frozen=True)
class Calibrated:
    """A model version with its new threshold; it is the champion from now on."""

    version: str
    threshold: Threshold
    calibration: CalibrationRange
    scores: pl.DataFrame
    replaced: str | None


def calibrate_latest(storage: Storage) -> Calibrated:
    """Chooses the cut of the newest model version and makes that version the champion.

    Raises:
        ModelError: when there is no version, when its training did not converge, or when the calibration range holds
            no features.
    """
    table = storage.table
    versions = storage.models.versions(table.table)
    if not versions:
        raise ModelError(f"{table.table} has no model yet; materialise {table.table}/model first")
    version = versions[-1]
    detector = load_detector(storage.models.path(table.table, version))
    if not detector.history.converged:
        raise ModelError(
            f"model {version} did not converge and does not become the champion; look at its training curve, then "
            "train again with more epochs, another learning rate or a longer range"
        )
    calibration = CalibrationRange.after(
        training_of(storage, version), table.calibration.embargo_days, table.calibration.days
    )
    scores = calibration_scores(storage, detector, calibration)
    threshold = fit_threshold(table.threshold, scores)
    storage.models.write_threshold(table.table, version, threshold.to_json())
    replaced = storage.models.champion(table.table)
    storage.models.promote(table.table, version)
    return Calibrated(version, threshold, calibration, scores, replaced)


def calibration_scores(storage: Storage, detector: FittedDetector, calibration: CalibrationRange) -> pl.DataFrame:
    """Scores of the calibration range without the drives that are known, by its end, to fail within the horizon."""
    days = [day for day in day_range(calibration.start, calibration.end) if storage.days_of(FEATURES).get(day)]
    if not days:
        raise ModelError(
            f"there are no features between {calibration.start} and {calibration.end}, where the threshold is "
            f"calibrated; materialise {storage.name(FEATURES)} for these days, or train on an earlier range"
        )
    frames = list(_scores(storage, detector, days))
    failing = storage.failures(calibration.end).filter(pl.col("day") >= calibration.start)
    return pl.concat(frames).join(failing.select("entity").unique(), on="entity", how="anti")


def _scores(storage: Storage, detector: FittedDetector, days: list[date]) -> Iterator[pl.DataFrame]:
    for scored in score_days(storage, detector, days, stage="calibration"):
        yield scored.keys.select("day", "entity", "cohort").with_columns(score=pl.Series(scored.scores.score))
