"""Model: a detector fitted on the drives of the training range that stay healthy through the horizon.

Detectors that learn from labelled failures are given the drive-days before the known ones as well.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from ae_assets.chain.lives import failures_in
from ae_assets.chain.settings import DaySettings
from ae_assets.chain.volume import LEAST_SHARE, WIDEN, days_left_out, in_words
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import FittedDetector, TrainingData, fit, windows_of
from ae_assets.detectors.config import DetectorConfig
from ae_assets.errors import ModelError
from ae_assets.features.catalogue import feature_names
from ae_assets.model.definition import TrainingSection
from ae_assets.model.model import card_of
from ae_assets.progress import ProgressSink

_HASH_STEPS = 1_000_000


@dataclass(frozen=True)
class TrainingRange:
    """The days a detector learns from, and the last day whose failure labels it may know."""

    start: date
    end: date
    known_until: date

    @classmethod
    def of(cls, start: date, end: date, horizon_days: int) -> "TrainingRange":
        """The range whose labels are known through the horizon after its end."""
        if end < start:
            raise ModelError(f"the training range ends on {end}, before it starts on {start}")
        return cls(start, end, end + timedelta(days=horizon_days))


@dataclass(frozen=True)
class TrainedModel:
    """A fitted detector with the card that says what it was fitted on."""

    version: str
    detector: FittedDetector
    card: dict[str, Any]


def train(space: Workspace, training: TrainingRange) -> TrainedModel:
    """Fits the table's detector and keeps it as a new version in the model store; it is not the champion yet."""
    windows = training_windows(space, training, space.table.detector.window_days)
    detector = windows.fit(space.table.detector, space.progress)
    card = {
        "table": space.table.table,
        "detector": space.table.detector.model_dump(mode="json"),
        "features": list(detector.feature_names),
        **card_of(space.table),
        "training": {key: value.isoformat() for key, value in asdict(training).items()},
        "horizon_days": space.table.horizon_days,
        "data": windows.facts,
        "days_left_out": [day.isoformat() for day in windows.left_out],
        "history": asdict(detector.history),
    }
    version = space.models.new_version(space.table.table, detector.save, card)
    return TrainedModel(version, detector, card)


def fit_detector(
    space: Workspace, config: DetectorConfig, training: TrainingRange
) -> tuple[FittedDetector, dict[str, int]]:
    """Fits one detector on the training range; the same rows for every detector that is compared on it.

    Returns:
        The fitted detector, and how many rows and drives it was fitted on and how many were left out.

    Raises:
        ModelError: when the range holds no healthy drive-day, or the detector cannot be fitted on it.
    """
    windows = training_windows(space, training, config.window_days)
    return windows.fit(config, space.progress), windows.facts


@dataclass(frozen=True)
class TrainingWindows:
    """What detectors of one window length are fitted on.

    Attributes:
        data: the windows, of healthy devices and before the known failures.
        facts: how many rows and devices they are made of, and how many were left out.
        left_out: days of the range that are left out for their implausible volume.
    """

    data: TrainingData
    facts: dict[str, int]
    left_out: tuple[date, ...]

    def fit(self, config: DetectorConfig, progress: ProgressSink) -> FittedDetector:
        """Fits a detector whose config has these windows' length.

        Raises:
            ModelError: when it cannot be fitted on them.
        """
        return fit(config, self.data, progress)


def training_windows(space: Workspace, training: TrainingRange, window_days: int) -> TrainingWindows:
    """The windows of the drives that stay healthy, as far as is known, and those before the known failures.

    Raises:
        ModelError: when the range holds no healthy drive-day, or too few days of plausible volume.
    """
    names, horizon = feature_names(space.table.features), space.table.horizon_days
    failures = failures_in(space, training.known_until)
    held = {day: rows for day, rows in space.days_of(FEATURES).items() if training.start <= day <= training.end}
    left_out = _left_out(space, training, held)
    available = sum(rows for day, rows in held.items() if day not in left_out)
    sampled = _hash_share(space.table.training.seed) < space.table.training.max_rows / max(available, 1)
    soon_failing = _soon_failing(failures, horizon + window_days - 1)
    rows = _rows(space, training, names, sampled, soon_failing, left_out)
    if rows.is_empty():
        raise ModelError(
            f"there are no features between {training.start} and {training.end}; "
            f"materialise {space.name(FEATURES)} for these days first"
        )
    ahead = _days_to_failure(rows, failures)
    healthy, failing = ahead.is_null() | (ahead > horizon), ahead.is_between(1, horizon).fill_null(False)
    sampled_rows = rows.select(sampled).to_series()
    held_out = _held_out(rows.filter(sampled_rows & healthy)["entity"].unique(), space.table.training)
    windows = windows_of(rows, names, window_days, where=(sampled_rows & healthy) | failing)
    keys = windows.keys()
    data = TrainingData(
        windows,
        target=_days_to_failure(keys, failures).is_between(1, horizon).fill_null(False).to_numpy(),
        held_out=keys.select(held_out).to_series().to_numpy(),
    )
    facts = {
        "rows_available": available,
        "rows_held": rows.height,
        "rows_left_out_near_failure": int((sampled_rows & ~healthy).sum()),
        "rows_for_training": len(data.train),
        "rows_for_validation": len(data.validation),
        "rows_before_failure": len(data.failing),
        "entities": rows["entity"].n_unique(),
        "entities_before_failure": data.failing.keys()["entity"].n_unique(),
    }
    return TrainingWindows(data, facts, left_out)


def _left_out(space: Workspace, training: TrainingRange, held: Mapping[date, int]) -> tuple[date, ...]:
    """The days with features in a training range that nothing is learned from."""
    left_out = tuple(sorted(days_left_out(space) & held.keys()))
    if left_out and len(held) - len(left_out) < LEAST_SHARE * len(held):
        raise ModelError(
            f"of the {len(held)} days with features between {training.start} and {training.end}, "
            f"{in_words(left_out)} have an implausible number of rows and are not learned from; name a range of which "
            f"at least {LEAST_SHARE:.0%} remain (--train-start and --train-end), or {WIDEN}"
        )
    return left_out


def _rows(
    space: Workspace,
    training: TrainingRange,
    names: Collection[str],
    sampled: pl.Expr,
    soon_failing: Callable[[date], list[str]],
    left_out: Collection[date],
) -> pl.DataFrame:
    """The range's feature rows of the sampled drives, and those of every drive on the days before it fails.

    A failure is rare enough to keep all of them; the other days of a drive that was not sampled are left out, so that
    the healthy rows stay a fair sample of the fleet.
    """
    made_by = DaySettings(space, names)
    frames = [
        made_by.require(day, frame).filter(sampled | pl.col("entity").is_in(soon_failing(day)))
        for day, frame in space.iter_days(FEATURES, training.start, training.end, made_by.columns)
        if day not in left_out
    ]
    return pl.concat(frames, how="vertical") if frames else pl.DataFrame()


def _soon_failing(failures: pl.DataFrame, days: int) -> Callable[[date], list[str]]:
    """The drives that fail within so many days after a day."""

    def of(day: date) -> list[str]:
        ahead = failures["day"].is_between(day + timedelta(days=1), day + timedelta(days=days))
        return failures.filter(ahead)["entity"].to_list()

    return of


def _hash_share(seed: int) -> pl.Expr:
    """A number in [0, 1) for each drive that is the same on every day."""
    return (pl.col("entity").hash(seed) % _HASH_STEPS) / _HASH_STEPS


def _held_out(entities: pl.Series, settings: TrainingSection) -> pl.Expr:
    """Which of the healthy entities are kept for early stopping: those whose hash lies below the share of the YAML.

    Of few entities that may be none or all; then it is the one with the lowest hash, or all but the one with the
    highest.

    Raises:
        ModelError: there are fewer than two.
    """
    share = settings.validation_share
    if len(entities) < 2:
        raise ModelError(
            f"{len(entities)} of the devices in the training range stay healthy through the horizon after it "
            "(training.horizon_days), and a fit needs two: one to learn from and one that training.validation_share "
            "keeps for early stopping; train on days on which more devices report"
        )
    numbers = entities.to_frame().select(_hash_share(settings.seed + 1)).to_series().sort()
    count = min(max(int((numbers < share).sum()), 1), len(entities) - 1)
    cut: float = numbers[count - 1]
    return _hash_share(settings.seed + 1) <= cut


def _days_to_failure(rows: pl.DataFrame, failures: pl.DataFrame) -> pl.Series:
    """Days from each row to its drive's first known failure, negative after it, null where none is known."""
    first = failures.group_by("entity").agg(failed_on=pl.col("day").min())
    failing = rows.select("entity", "day").join(first, on="entity", how="left", maintain_order="left")
    return (failing["failed_on"] - failing["day"]).dt.total_days()
