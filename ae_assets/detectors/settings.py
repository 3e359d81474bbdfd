"""What the settings of detectors have in common, and what those of trained networks do. Nothing here computes."""

import pkgutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, PositiveFloat, PositiveInt

from ae_assets.detectors.search import Between, OneOf, SearchSpace
from ae_assets.progress import ProgressSink
from ae_assets.schemas.durations import DAY, Duration
from ae_assets.schemas.former_keys import FormerKeys

if TYPE_CHECKING:
    from ae_assets.detectors.base import FittedDetector
    from ae_assets.detectors.windows import TrainingData


Scaling = Literal["robust", "standard", "min_max"]
"""How features are scaled before a detector sees them; see ``preprocessing.Scaler.fit``."""

Fill = Literal["median", "mean"]
"""What stands in for a missing value."""


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"name each feature once; repeated: {', '.join(repeated)}")
    return names


TABLE, ENTITY, COHORT = "table", "entity", "cohort"
"""What has a detector of its own, beside columns of a table."""

FeatureNames = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]


class Settings(FormerKeys):
    """A setting that is misspelt is an error, and a config in use never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Preprocessing(Settings):
    """What becomes of features before a detector sees them, by training rows alone; see ``preprocessing.Scaler``."""

    scaling: Scaling = Field(
        "robust",
        description="By training rows alone; robust: median and interquartile range. standard: mean and standard "
        "deviation. min_max: median and range. An indicator (transform active) stays 0 or 1.",
    )
    clip: PositiveFloat = Field(
        10.0, description="Scaled values are cut to [-clip, clip], so that one wild reading cannot own the fit."
    )
    fill: Fill | None = Field(
        None,
        description="What a missing value counts as: the median or the mean of the training rows, like one that was "
        "measured. Left out: it counts for nothing. A record of which nothing is known is not judged either way. "
        "Forward: features.attributes.fill_forward.",
    )
    magnitude_percentile: float | None = Field(
        None,
        gt=0,
        lt=100,
        description="Magnitudes (transform magnitude) are cut at this percentile, such as 99, of the size of those "
        "in the training rows that are not 0.",
    )
    sparse_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Of an attribute with the transforms level, magnitude and active: where at least this share of its "
        "training values is 0, such as 0.5, magnitude and active count and level does not, elsewhere level alone. Left "
        "out: all count.",
    )


class DetectorSettings(Settings):
    """Base of the configs of all detectors; a config fits its detector and loads it again.

    A detector of your own is a subclass of `DayDetectorConfig` or `WindowDetectorConfig` with the settings as fields,
    and with `fit` and `load`, which import what computes: the module itself is read with the YAML in every process.

    Attributes:
        implementation: `module:Class` of a fitted detector whose class methods `fit(config, data, progress)` and
            `load(config, directory, record)` stand in for the methods.
        searched: the settings that `ae-assets tune` tries, each with the values that are worth it.
    """

    implementation: ClassVar[str]
    searched: ClassVar[SearchSpace] = {}

    type: str = Field(description="Which detector it is.")
    per: str = Field(
        TABLE,
        pattern=r"^[A-Za-z_]\w*$",
        description="What has a detector of its own. table: all devices together. entity: each device. cohort: each "
        "kind. Or a column of text that says where a device belongs, such as datacenter. A group's score is then a "
        "multiple of what one of 20 of its own normal records exceeds; groups with few records, those that come "
        "later, and devices that name none are scored by one detector of all.",
    )
    least_group_windows: PositiveInt = Field(
        200,
        description="Normal records from which on a group has a detector of its own: of fewer than 200 less than ten "
        "lie above the unit of its score.",
    )

    former_keys: ClassVar[Mapping[str, str]] = {"window_days": "window"}

    @classmethod
    def without_former_values(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """A detector of the scored record alone had a window of 1."""
        window = cls.model_fields.get("window")
        alone = (window is None or window.default is None) and settings.get("window") == 1
        return {key: value for key, value in settings.items() if not (alone and key == "window")}

    @property
    def name(self) -> str:
        """What tables of several detectors call it."""
        return self.type

    @property
    def is_in_units(self) -> bool:
        """Whether the scores of two fits compare as they are, since each is in units of what is usual for it."""
        return False

    def fit(self, data: "TrainingData", progress: ProgressSink) -> "FittedDetector":
        """Fits the detector; see ``detectors.fit``."""
        fitted: FittedDetector = pkgutil.resolve_name(self.implementation).fit(self, data, progress)
        return fitted

    def load(self, directory: Path, record: dict[str, Any]) -> "FittedDetector":
        """Loads what ``FittedDetector.save`` wrote; ``record`` is the ``preprocessing.json`` in the directory."""
        loaded: FittedDetector = pkgutil.resolve_name(self.implementation).load(self, directory, record)
        return loaded


class DayDetectorConfig(DetectorSettings):
    """A detector that sees the scored record only."""

    @property
    def window(self) -> timedelta | None:
        """None: the scored record alone."""
        return None


class WindowDetectorConfig(DetectorSettings):
    """A detector that sees the records of the last while."""

    window: Duration | None = Field(
        20 * DAY,
        description="Length of a window, the scored record included, such as 5h; a number counts days.",
    )


class TrainingConfig(Preprocessing):
    """How a network is trained; shared by every network.

    Which entities are trained on and which validate is decided by the caller of ``fit``, who knows the split.
    """

    searched: ClassVar[SearchSpace] = {
        "learning_rate": Between(1e-4, 1e-2, log=True),
        "batch_size": OneOf((64, 128, 256, 512)),
        "dropout": Between(0.0, 0.4),
        "weight_decay": OneOf((0.0, 1e-5, 1e-4, 1e-3)),
        "jitter": OneOf((0.0, 0.03, 0.1)),
        "scaling": OneOf(("robust", "standard", "min_max")),
    }
    features: FeatureNames | None = Field(
        None, description="Features to look at; all features of the table where left out."
    )
    epochs: PositiveInt = Field(50, description="Most passes over the training windows; early stopping ends sooner.")
    batch_size: PositiveInt = Field(256, description="Windows per gradient step.")
    learning_rate: PositiveFloat = Field(0.001, description="Step size of Adam.")
    patience: PositiveInt = Field(5, description="Epochs without a better validation loss before training stops.")
    min_improvement: float = Field(
        0.001, ge=0, lt=1, description="Relative fall of the validation loss that counts as better for patience."
    )
    reduce_after: PositiveInt | None = Field(
        None, description="Epochs without a better validation loss before the step size is cut; never where left out."
    )
    reduce_by: float = Field(0.5, gt=0, lt=1, description="What the step size is multiplied by then.")
    weight_decay: float = Field(
        0.0, ge=0, description="Share of each kernel that a step of size 1 takes away (decoupled, as in AdamW)."
    )
    l2: float = Field(0.0, ge=0, description="Weight of the sum of the kernels' squares in what is minimised.")
    gradient_clip: PositiveFloat | None = Field(
        None, description="Longest gradient over all weights; longer ones are shortened to it."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of each hidden layer's units that a step leaves out.")
    jitter: float = Field(
        0.0, ge=0, description="Standard deviation, in scaled units, of the noise on what the network sees in training."
    )
    jitter_share: float = Field(1.0, gt=0, le=1, description="Share of a batch's windows that the noise is added to.")
    max_windows: PositiveInt = Field(
        200_000, description="Training windows to sample, by seed; validation takes at most a quarter as many."
    )
    seed: int = Field(7, ge=0, description="Fixes sampling, initial weights and the order of windows.")
