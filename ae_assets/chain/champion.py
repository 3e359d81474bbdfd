"""The champion: the model version in use, with its threshold and the ranges it has seen."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from ae_assets.chain.model import TrainingRange
from ae_assets.chain.settings import require_settings
from ae_assets.chain.volume import day_after
from ae_assets.chain.workspace import Workspace
from ae_assets.decisions.config import AggregationConfig, EpisodeConfig
from ae_assets.detectors import load_detector
from ae_assets.errors import ModelError
from ae_assets.evaluation.drift import Reference
from ae_assets.features.settings import FeatureSettings
from ae_assets.model.definition import WatchedTable
from ae_assets.model.life import LifeRange, learned_of
from ae_assets.model.model import OF_LIFE, Limits, Model
from ae_assets.schemas.periods import DAILY, Periods
from ae_assets.thresholds.threshold import Threshold


@dataclass(frozen=True)
class CalibrationRange:
    """The days whose scores set the threshold. Labels after its end are not known to it."""

    start: date
    end: date
    left_out: tuple[date, ...] = ()
    """Days between them whose scores do not count, for their implausible volume."""
    of_life: LifeRange | None = None
    """The stretch of each entity's life whose scores count; None: all of them."""

    @classmethod
    def after(
        cls,
        training: TrainingRange,
        embargo_days: int,
        days: int,
        left_out: Collection[date] = (),
        periods: Periods = DAILY,
    ) -> "CalibrationRange":
        """The range that follows a training range, longer by the days that are left out of it.

        It has as many whole hours or weeks as hold the calendar days, and begins with the first one after the embargo.
        """
        start = periods.following(periods.end(training.end) + timedelta(days=embargo_days))
        end = day_after(start, periods.count(timedelta(days=days)), left_out, periods)
        return cls(start, end, tuple(sorted(day for day in left_out if start <= day <= end)))


@dataclass(frozen=True)
class NotJudgedRows:
    """How much of a range has no score, for want of what a score would rest on."""

    rows: int
    entities: int
    """Devices that have no other rows in it."""

    @classmethod
    def of(cls, scores: pl.DataFrame) -> "NotJudgedRows":
        """Counts them in ``entity, score``."""
        judged = scores.drop_nulls("score")
        return cls(scores.height - judged.height, scores["entity"].n_unique() - judged["entity"].n_unique())


@dataclass(frozen=True)
class Champion(Model):
    """A model with the ranges that it has seen."""

    training: TrainingRange
    calibration: CalibrationRange
    """The days on which the cut was chosen; a change in the YAML counts from the next one on."""
    reference: Reference
    """What the devices of the calibration range looked like."""

    @property
    def seen_until(self) -> date:
        """Last day that the fit or the threshold has seen, labels included.

        Where they have seen the first days or records of each entity, which are not judged, it is the one before
        the range.
        """
        if self.learned is not None:
            return self.rhythm.periods.shifted(self.training.start, -1)
        return max(self.training.known_until, self.calibration.end)


def load_champion(space: Workspace) -> Champion:
    """Loads the champion from the model store.

    Raises:
        ModelError: when the table has none yet, or as `load_version`.
    """
    name = space.table.table
    version = space.models.champion(name)
    if version is None:
        raise ModelError(
            f"{name} has no champion yet; train one: `ae-assets run {name} --start DAY --end DAY`, "
            f"or the job {name}_retrain in the UI"
        )
    return load_version(space, version)


def load_version(space: Workspace, version: str) -> Champion:
    """Loads a model version that has a threshold.

    Raises:
        ModelError: when it was trained on features of other settings than the YAML has, or its threshold does not say
            on which days it was chosen.
    """
    name = space.table.table
    require_settings(space, version)
    detector = load_detector(space.models.path(name, version))
    text = space.models.read_threshold(name, version)
    kept = json.loads(text)
    if "calibrated_on" not in kept:
        raise ModelError(
            f"the threshold of {version} does not say on which days it was chosen; choose it again: materialise "
            f"{name}/threshold with `version: {version}`"
        )
    parse = space.table.periods.parse
    start, end = map(parse, kept["calibrated_on"])
    of_life = LifeRange.from_record(kept.get(OF_LIFE))
    return Champion(
        version,
        detector,
        Threshold.from_json(text),
        AggregationConfig.model_validate(kept["aggregation"]),
        *decided_by(space.table),
        learned_of(of_life),
        training_of(space, version),
        CalibrationRange(start, end, tuple(map(parse, kept.get("days_left_out", ()))), of_life),
        Reference.from_dict(kept["reference"]),
    )


def decided_by(table: WatchedTable) -> tuple[FeatureSettings, EpisodeConfig, Limits]:
    """What of a model the YAML says; a change counts from the next day on, if the version can follow it."""
    return table.feature_settings, table.decision.episodes, Limits.of(table.checks)


def write_threshold(
    space: Workspace, calibrated: Champion, promotion: Mapping[str, Any], not_judged: NotJudgedRows
) -> None:
    """Stores the threshold of a version with all that belongs to it."""
    of_life = calibrated.calibration.of_life
    content = {
        **json.loads(calibrated.threshold.to_json()),
        "aggregation": calibrated.aggregation.model_dump(mode="json"),
        "calibrated_on": [calibrated.calibration.start.isoformat(), calibrated.calibration.end.isoformat()],
        **({} if of_life is None else {OF_LIFE: of_life.record}),
        "days_left_out": [day.isoformat() for day in calibrated.calibration.left_out],
        "reference": calibrated.reference.as_dict(),
        "promotion": dict(promotion),
        "not_judged": asdict(not_judged),
    }
    space.models.write_threshold(space.table.table, calibrated.version, json.dumps(content, indent=2))


def training_of(space: Workspace, version: str) -> TrainingRange:
    """The training range on a version's card."""
    return TrainingRange.from_record(space.models.card(space.table.table, version)["training"], space.table.periods)
