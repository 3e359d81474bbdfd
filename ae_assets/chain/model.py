"""Model: a detector fitted on the records of the training range that are normal, as far as is known.

Detectors that learn from what went wrong are given the abnormal records as well.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import polars as pl

from ae_assets.chain.logged_facts import training_facts
from ae_assets.chain.settings import DaySettings
from ae_assets.chain.target import target_of
from ae_assets.chain.volume import LEAST_SHARE, WIDEN, days_left_out, in_words
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.detectors import FittedDetector, TrainingData, fit, windows_of
from ae_assets.detectors.per_group import FitOwn, FittedPerGroup
from ae_assets.errors import ModelError
from ae_assets.evaluation.channels import Channels, channels_of
from ae_assets.evaluation.target import MOMENT, Intervals, Target
from ae_assets.features.catalogue import catalogue, feature_names
from ae_assets.lakehouse.run_log import RUN, Logged
from ae_assets.model.definition import TrainingSection
from ae_assets.model.life import SEEN, LifeRange
from ae_assets.model.model import card_of
from ae_assets.schemas.periods import DAILY, Periods, named

_HASH_STEPS = 1_000_000


@dataclass(frozen=True)
class TrainingRange:
    """The days a detector learns from, and the last day whose failure labels it may know.

    With ``learned`` it learns in these from the first so many days or records of each entity alone.
    """

    start: date
    end: date
    known_until: date
    learned: LifeRange | None = None

    @classmethod
    def of(
        cls, start: date, end: date, horizon_days: int, periods: Periods = DAILY, learned: LifeRange | None = None
    ) -> "TrainingRange":
        """The range whose labels are known through the horizon after its end, to the end of a period."""
        if end < start:
            raise ModelError(f"the training range ends on {named(end)}, before it starts on {named(start)}")
        return cls(start, end, periods.after(end, timedelta(days=horizon_days)), learned)

    @property
    def record(self) -> dict[str, str | int]:
        """Plain values, which `from_record` reads."""
        days = {"start": self.start, "end": self.end, "known_until": self.known_until}
        record: dict[str, str | int] = {name: day.isoformat() for name, day in days.items()}
        return record if self.learned is None else {**record, f"first_{self.learned.unit}": self.learned.last}

    @classmethod
    def from_record(cls, record: Mapping[str, str], periods: Periods) -> "TrainingRange":
        """What `record` gave."""
        start, end, known_until = (periods.parse(record[name]) for name in ("start", "end", "known_until"))
        learned = (LifeRange(1, int(record[key]), unit) for unit in SEEN if (key := f"first_{unit}") in record)
        return cls(start, end, known_until, next(learned, None))


@dataclass(frozen=True)
class TrainedModel:
    """A fitted detector with the card that says what it was fitted on."""

    version: str
    detector: FittedDetector
    card: dict[str, Any]
    channels: Channels | None
    """How its readings go on in time; None where no device has a record often enough."""
    logged: Logged | None = None
    """The run that it is logged in; None where there is none."""


def train(space: Workspace, training: TrainingRange, fit_own: FitOwn | None = None) -> TrainedModel:
    """Fits the table's detector and keeps it as a new version in the model store; it is not the champion yet.

    ``fit_own`` fits the detectors of groups where the table has such, as an engine does; in this process if None.
    """
    snapshot = space.tables.snapshot(space.name(FEATURES)) if space.exists(FEATURES) else None
    with space.run_log.training(space.table.table) as run:
        windows = training_windows(space, training, space.table.detector.window)
        detector = fit(space.table.detector, windows.data, space.progress, fit_own)
        card = {
            "table": space.table.table,
            "detector": space.table.detector.model_dump(mode="json"),
            "features": list(detector.feature_names),
            **card_of(space.table),
            "training": training.record,
            "horizon_days": space.table.horizon_days,
            "target": space.table.target_settings,
            "data": windows.facts,
            "features_snapshot": None if snapshot is None else str(snapshot),
            "days_left_out": [day.isoformat() for day in windows.left_out],
            "history": asdict(detector.history),
            **({"groups": detector.facts} if isinstance(detector, FittedPerGroup) else {}),
            **({RUN: dict(run.reference)} if run.reference else {}),
        }
        version = space.models.new_version(space.table.table, detector.save, card)
        logged = run.finish(partial(training_facts, version, card))
    readings = [one.name for one in catalogue(space.table.features) if one.transform == "level"]
    return TrainedModel(version, detector, card, channels_of(windows.data.windows, readings), logged)


@dataclass(frozen=True)
class TrainingWindows:
    """What detectors of one window length are fitted on.

    Attributes:
        data: the windows, of normal records and of abnormal ones.
        facts: how many rows and devices they are made of, and how many were left out.
        left_out: days of the range that are left out for their implausible volume.
    """

    data: TrainingData
    facts: dict[str, int]
    left_out: tuple[date, ...]


def training_windows(space: Workspace, training: TrainingRange, window: timedelta | None) -> TrainingWindows:
    """The windows of the records that are normal, as far as is known, and those of the abnormal ones.

    Raises:
        ModelError: when the range holds no normal record, or too few days of plausible volume.
    """
    names = feature_names(space.table.features)
    target = target_of(space, training.known_until)
    rows_by_day = {day: rows for day, rows in space.days_of(FEATURES).items() if training.start <= day <= training.end}
    left_out = _left_out(space, training, rows_by_day)
    available = sum(rows for day, rows in rows_by_day.items() if day not in left_out)
    sampled = hash_share(space.table.training.seed) < space.table.training.max_rows / max(available, 1)
    before = space.table.rhythm.look_back(window)
    rows = _rows(space, training, names, sampled, target, before, left_out)
    if rows.is_empty():
        raise ModelError(
            f"there are no features between {named(training.start)} and {named(training.end)}; "
            f"materialise {space.name(FEATURES)} for these days first"
        )
    healthy, failing = target.normal(rows, before), target.abnormal(rows)
    sampled_rows = rows.select(sampled).to_series()
    held_out = _held_out(rows.filter(sampled_rows & healthy).select("day", "entity"), space.table.training)
    windows = windows_of(rows, names, window, where=(sampled_rows & healthy) | failing, step=space.table.rhythm.step)
    keys = windows.keys()
    data = TrainingData(
        windows,
        target=target.abnormal(keys).to_numpy(),
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
        **({"entities_of_intervals_unknown": len(target.unknown)} if isinstance(target, Intervals) else {}),
    }
    return TrainingWindows(data, facts, left_out)


def _left_out(space: Workspace, training: TrainingRange, rows_by_day: Mapping[date, int]) -> tuple[date, ...]:
    """The days with features in a training range that nothing is learned from."""
    left_out = tuple(sorted(days_left_out(space) & rows_by_day.keys()))
    if left_out and len(rows_by_day) - len(left_out) < LEAST_SHARE * len(rows_by_day):
        raise ModelError(
            f"of the {len(rows_by_day)} days with features between {named(training.start)} and {named(training.end)}, "
            f"{in_words(left_out, space.table.periods)} have an implausible number of rows and are not learned from; "
            f"name a range of which at least {LEAST_SHARE:.0%} remain (--train-start and --train-end), or {WIDEN}"
        )
    return left_out


def _rows(
    space: Workspace,
    training: TrainingRange,
    names: Collection[str],
    sampled: pl.Expr,
    target: Target,
    window: timedelta,
    left_out: Collection[date],
) -> pl.DataFrame:
    """The range's feature rows of the sampled devices, and those of every device whose window has an abnormal record.

    These are rare enough to keep all of them; the other days of a device that was not sampled are left out, so that the
    normal rows stay a fair sample of the fleet.
    """
    made_by, periods = DaySettings(space, names), space.table.periods
    frames = []
    of_life = [] if training.learned is None else [SEEN[training.learned.unit]]
    for day, frame in space.iter_days(FEATURES, training.start, training.end, [*made_by.columns, *of_life]):
        if day not in left_out:
            soon_abnormal = target.entities_within(periods.start(day), periods.end(day) - MOMENT + window)
            frames.append(
                _learned(made_by.require(day, frame), training).filter(sampled | pl.col("entity").is_in(soon_abnormal))
            )
    return pl.concat(frames) if frames else pl.DataFrame()


def _learned(rows: pl.DataFrame, training: TrainingRange) -> pl.DataFrame:
    """The rows that a training may learn from by the age of their entities."""
    if training.learned is None:
        return rows
    seen = SEEN[training.learned.unit]
    return rows.filter(training.learned.holds(rows[seen])).drop(seen)


def hash_share(seed: int) -> pl.Expr:
    """A number in [0, 1) for each device that is the same on every day."""
    return (pl.col("entity").hash(seed) % _HASH_STEPS) / _HASH_STEPS


def _held_out(normal: pl.DataFrame, settings: TrainingSection) -> pl.Expr:
    """Which of the normal rows are kept for early stopping: those of entities whose hash lies below the YAML's share.

    Of few entities that may be none or all; then it is the one with the lowest hash, or all but the one with the
    highest. Of a single entity it is the last periods, as many as the share says.

    Raises:
        ModelError: there are fewer than two periods of one entity, or none of any.
    """
    share, entities = settings.validation_share, normal["entity"].unique()
    if len(entities) < 2:
        days = normal["day"].unique().sort()
        if len(days) < 2:
            raise ModelError(
                f"the training range has normal records of {len(entities)} devices (of those that fail within "
                f"training.horizon_days after it none are normal) in {len(days)} periods, and a fit needs two devices, "
                "or two periods of one: one to learn from and one that training.validation_share keeps for early "
                "stopping; train on days on which more devices report, or on more days"
            )
        count = min(max(int(share * len(days)), 1), len(days) - 1)
        return pl.col("day") >= pl.lit(days[len(days) - count])
    numbers = entities.to_frame().select(hash_share(settings.seed + 1)).to_series().sort()
    count = min(max(int((numbers < share).sum()), 1), len(entities) - 1)
    cut: float = numbers[count - 1]
    return hash_share(settings.seed + 1) <= cut
