"""Model: a detector fitted on the drives of the training range that stay healthy through the horizon."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from ae_assets.detectors import FittedDetector, fit, windows_of
from ae_assets.detectors.config import DetectorConfig
from ae_assets.errors import ModelError
from ae_assets.features.catalogue import feature_names
from ae_assets.pipeline.chain.storage import FEATURES, Storage

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


def train(storage: Storage, training: TrainingRange) -> TrainedModel:
    """Fits the table's detector and keeps it as a new version in the model store; it is not the champion yet."""
    detector, facts = fit_detector(storage, storage.table.detector, training)
    card = {
        "table": storage.table.table,
        "detector": storage.table.detector.model_dump(mode="json"),
        "features": list(detector.feature_names),
        "training": {key: value.isoformat() for key, value in asdict(training).items()},
        "horizon_days": storage.table.horizon_days,
        "data": facts,
        "history": asdict(detector.history),
    }
    version = storage.models.new_version(storage.table.table, detector.save, card)
    return TrainedModel(version, detector, card)


def fit_detector(
    storage: Storage, config: DetectorConfig, training: TrainingRange
) -> tuple[FittedDetector, dict[str, int]]:
    """Fits one detector on the training range; the same rows for every detector that is compared on it.

    Returns:
        The fitted detector, and how many rows and drives it was fitted on and how many were left out.

    Raises:
        ModelError: when the range holds no healthy drive-day.
    """
    names = feature_names(storage.table.features)
    rows, available = _sampled_rows(storage, training, names)
    if rows.is_empty():
        raise ModelError(
            f"there are no features between {training.start} and {training.end}; "
            f"materialise {storage.name(FEATURES)} for these days first"
        )
    healthy = _is_healthy(rows, storage.failures(training.known_until), storage.table.horizon_days)
    held_out = _hash_share(storage.table.training.seed + 1) < storage.table.training.validation_share
    roles = rows.select(train=healthy & ~held_out, validation=healthy & held_out)
    if not roles["train"].any() or not roles["validation"].any():
        raise ModelError(
            f"the {rows.height} drive-days between {training.start} and {training.end} do not leave healthy drives "
            "for both fitting and early stopping; take a longer range"
        )
    window_days = config.window_days
    detector = fit(
        config,
        windows_of(rows, names, window_days, where=roles["train"]),
        windows_of(rows, names, window_days, where=roles["validation"]),
        storage.progress,
    )
    facts = {
        "rows_available": available,
        "rows_held": rows.height,
        "rows_left_out_near_failure": int(rows.height - rows.select(healthy.sum()).item()),
        "rows_for_training": int(roles["train"].sum()),
        "rows_for_validation": int(roles["validation"].sum()),
        "entities": rows["entity"].n_unique(),
    }
    return detector, facts


def _sampled_rows(storage: Storage, training: TrainingRange, names: Collection[str]) -> tuple[pl.DataFrame, int]:
    """The range's feature rows of as many whole drives, chosen by hash, as ``max_rows`` allows."""
    held = storage.days_of(FEATURES)
    available = sum(rows for day, rows in held.items() if training.start <= day <= training.end)
    share = min(1.0, storage.table.training.max_rows / max(available, 1))
    chosen = _hash_share(storage.table.training.seed) < share
    columns = ["day", "entity", "cohort", "label", *names]
    frames = [
        frame if share == 1.0 else frame.filter(chosen)
        for _, frame in storage.tables.iter_days(storage.name(FEATURES), training.start, training.end, columns)
    ]
    return (pl.concat(frames, how="vertical") if frames else pl.DataFrame()), available


def _hash_share(seed: int) -> pl.Expr:
    """A number in [0, 1) for each drive that is the same on every day."""
    return (pl.col("entity").hash(seed) % _HASH_STEPS) / _HASH_STEPS


def _is_healthy(rows: pl.DataFrame, failures: pl.DataFrame, horizon_days: int) -> pl.Series | pl.Expr:
    """Whether a drive has no known failure on the day or within the horizon after it.

    Rows after a drive's failure count as healthy again only where no later failure follows within the horizon.
    """
    next_failure = (
        rows.select("entity", "day")
        .with_row_index("row")
        .sort("day")
        .join_asof(
            failures.select("entity", failed_on="day").sort("failed_on"),
            left_on="day",
            right_on="failed_on",
            by="entity",
            strategy="forward",
            check_sortedness=False,
        )
        .sort("row")
    )
    ahead = (next_failure["failed_on"] - next_failure["day"]).dt.total_days()
    return (ahead.is_null() | (ahead > horizon_days)).alias("healthy")
