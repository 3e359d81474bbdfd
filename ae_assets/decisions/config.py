"""The decision section of a watched table's YAML. Every default leaves scores and alarms as the detector gives them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Days = Annotated[int, Field(ge=1, le=366)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AggregationConfig(_Strict):
    """How the scores of an entity's last days become the one score that is held against the cut."""

    method: Literal["none", "max", "mean", "exponential"] = Field(
        default="none",
        description="none: the day's own score. max, mean: over the entity's records of the last `days` days. "
        "exponential: their mean with weights that halve every `half_life_days`.",
    )
    days: Days = Field(
        default=7, description="Calendar days that are looked at, the scored day included; unused with none."
    )
    half_life_days: float = Field(
        default=2.0, gt=0, description="Age in days at which a score counts half; used by exponential only."
    )

    @property
    def look_back_days(self) -> int:
        """Days before the scored one whose scores are needed."""
        return 0 if self.method == "none" else self.days - 1


class EpisodeConfig(_Strict):
    """When alarms of an entity open an episode, and when it is over: one episode is one ticket."""

    alarms: Days = Field(
        default=1, description="An episode opens on an alarm that is at least the n-th within `within_days`."
    )
    within_days: Days = Field(default=1, description="Calendar days in which `alarms` are counted, the day included.")
    clear_below: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="An entity is clear on a day with a score of at most this share of the cut; of the fitted one, "
        "where a policy raised that of the day.",
    )
    clear_severity: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Instead of clear_below: an entity is clear on a day without an alarm and with a severity (tail "
        "probability) of at least this.",
    )
    clear_after_days: Days = Field(
        default=1, description="Days with a record, in a row, on which an entity must be clear for its episode to end."
    )

    @model_validator(mode="after")
    def _can_open(self) -> "EpisodeConfig":
        if self.alarms > self.within_days:
            raise ValueError(
                f"alarms: {self.alarms} alarms cannot lie within {self.within_days} days, as a day has one at most; "
                f"raise within_days to {self.alarms} or more"
            )
        return self

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
