"""The decision section of a watched table's YAML. Every default leaves scores and alarms as the detector gives them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, PositiveInt, model_validator

from ae_assets.schemas.durations import DAY, Duration, written
from ae_assets.schemas.former_keys import FormerKeys

LONGEST = 366 * DAY


def _at_most_a_year(length: timedelta) -> timedelta:
    if length > LONGEST:
        raise ValueError(f"expected at most {written(LONGEST)}, received {written(length)}")
    return length


UpToAYear = Annotated[Duration, AfterValidator(_at_most_a_year)]


class _Strict(FormerKeys):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AggregationConfig(_Strict):
    """How the scores of an entity's last records become the one score that is held against the cut."""

    former_keys: ClassVar[Mapping[str, str]] = {"days": "span", "half_life_days": "half_life"}

    method: Literal["none", "max", "mean", "exponential"] = Field(
        default="none",
        description="none: the record's own score. max, mean: over the entity's records of the last `span`. "
        "exponential: their mean with weights that halve every `half_life`.",
    )
    span: UpToAYear = Field(
        default=7 * DAY,
        description="Length of time that is looked at, the scored record included, such as 6h; a number counts days. "
        "Unused with none.",
    )
    half_life: UpToAYear = Field(
        default=2 * DAY, description="Age at which a score counts half, such as 3h; used by exponential only."
    )

    @classmethod
    def without_former_values(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """A half-life was a number of days that need not be whole."""
        days = settings.get("half_life")
        return {**settings, "half_life": timedelta(days=days)} if isinstance(days, float) else settings

    @property
    def window(self) -> timedelta | None:
        """How far back scores count, the record's own included; None: that one alone."""
        return None if self.method == "none" else self.span


class EpisodeConfig(_Strict):
    """When alarms of an entity open an episode, and when it is over: one episode is one ticket."""

    former_keys: ClassVar[Mapping[str, str]] = {"within_days": "within", "clear_after_days": "clear_after"}

    alarms: PositiveInt = Field(
        default=1, description="An episode opens on an alarm that is at least the n-th within `within`."
    )
    within: UpToAYear = Field(
        default=DAY,
        description="Length of time in which `alarms` are counted, the record included, such as 6h; a number counts "
        "days.",
    )
    clear_below: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="An entity is clear on a record with a score of at most this share of the cut; of the fitted one, "
        "where a policy raised that of the day.",
    )
    clear_severity: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Instead of clear_below: an entity is clear on a record without an alarm and with a severity (tail "
        "probability) of at least this.",
    )
    clear_after: PositiveInt = Field(
        default=1, description="Records in a row on which an entity must be clear for its episode to end."
    )

    hold: UpToAYear | None = Field(
        default=None,
        description="Length of time, such as 12h, in which an entity that had a high score raises no alarm by one that "
        "is no higher: what goes on is told once, what becomes worse again. Left out: every score over the cut is an "
        "alarm.",
    )

    @property
    def window(self) -> timedelta | None:
        """How far back alarms count, that of the record included; None: that one alone."""
        return None if self.alarms == 1 else self.within

    @model_validator(mode="after")
    def _one_way_to_clear(self) -> "EpisodeConfig":
        if self.clear_severity is not None and self.clear_below != 1.0:
            raise ValueError(
                f"clear_below {self.clear_below} and clear_severity {self.clear_severity} both say when an entity is "
                "clear; give one of them"
            )
        return self


class DecisionConfig(_Strict):
    """What becomes of a score: what is held against the cut, when a ticket opens and closes, who is muted."""

    aggregation: AggregationConfig = Field(
        default=AggregationConfig(), description="Which score is held against the cut, in calibration as every day."
    )
    episodes: EpisodeConfig = Field(
        default=EpisodeConfig(), description="When alarms open a ticket and when it closes."
    )
    mute_list: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="A .csv or .yaml file of muted devices, read on every run: entity or cohort, until (the last muted "
        "day), reason, and optionally since. A relative path starts at the folder of this YAML.",
    )
