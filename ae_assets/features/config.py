"""What turns a device's raw attributes into features, as a table's YAML says. Import-light: no frames, no networks."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ae_assets.schemas.durations import Duration, whole_days, written

Kind = Literal["counter", "gauge", "age", "rate"]
Transform = Literal[
    "level", "magnitude", "active", "growth", "per_1000_hours", "deviation", "drift", "excess", "range", "flatline"
]

Calendar = Literal["hour", "minute", "weekday", "day", "month"]

LONGEST_SPAN = timedelta(days=366)

TRANSFORMS_OF_KIND: dict[str, tuple[Transform, ...]] = {
    "counter": ("level", "growth", "per_1000_hours"),
    "gauge": ("level", "deviation"),
    "age": ("level", "drift"),
    "rate": ("deviation",),
}
"""What each kind of attribute is turned into where the YAML does not choose."""

ALLOWED_TRANSFORMS: dict[str, frozenset[Transform]] = {
    "counter": frozenset({"level", "active", "growth", "per_1000_hours", "deviation", "flatline"}),
    "gauge": frozenset({"level", "magnitude", "active", "growth", "deviation", "excess", "range", "flatline"}),
    "age": frozenset({"level", "drift"}),
    "rate": frozenset({"level", "magnitude", "active", "deviation", "excess", "range", "flatline"}),
}


def _rising(spans: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    if not spans or any(later <= earlier for earlier, later in pairwise(spans)):
        raise ValueError(f"spans are lengths that rise, such as [1d, 7d, 28d]; received {list(map(written, spans))}")
    if spans[-1] > LONGEST_SPAN:
        raise ValueError(f"a span is at most {written(LONGEST_SPAN)} long, received {written(spans[-1])}")
    return spans


Spans = Annotated[tuple[Duration, ...], AfterValidator(_rising)]


class AttributeConfig(BaseModel):
    """One raw attribute: what it is, what it means, and what is made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = Field(
        description="counter: counts events and normally only rises. gauge: a reading that goes up and down "
        "(temperature). age: hours of use, the denominator of rates against age. rate: an error rate whose "
        "scale is the vendor's own, so that only its change on the same device says anything."
    )
    meaning: str = Field(min_length=1, description="What the attribute measures, in words; shown in the UI.")
    transforms: tuple[Transform, ...] | None = Field(
        default=None,
        description="Features to make of it. level: log1p of a counter, age or rate, the value of a gauge. magnitude: "
        "the sign of the value times log1p of its size. active: 1 where the value is not 0, else 0. growth: "
        "signed log1p of the difference to the earliest value of each span. per_1000_hours: log1p of the count per "
        "1000 power-on hours. deviation: against the device's own past. drift: days by which the hours depart from the "
        "calendar. excess: how far it lies outside of the range of the device's own past, from 0 inside of it to 1. "
        "range: log of the difference of the 95th and the 5th percentile of the values of each span, which tells a "
        "sensor that stands still from one that is restless; unknown where half of the span is. "
        "flatline: log1p of the number of earlier records within the look-back since which the value has not changed; "
        "those without a value do not count. Left out: what suits "
        "the kind.",
    )
    spans: Spans | None = Field(
        default=None, description="Spans of its growth and range, where they differ from the table's."
    )
    excess_of_means: Spans | None = Field(
        default=None,
        description="Lengths of time, such as 2h, over whose means excess is measured too: a shift that is small "
        "beside single readings leaves the range of their means.",
    )
    fill_forward: Duration | None = Field(
        default=None,
        description="Where a record lacks the value, the last one that the device reported stands in, if it is no "
        "older than this, such as 30m; what is older stays unknown. The missing flag stays 1, range stays unknown, and "
        "the past that growth, deviation and excess are held against is that of reported values alone.",
    )
    cap: float | None = Field(
        default=None, gt=0, description="Values above it count as this value, where a counter saturates."
    )
    low_bits: int | None = Field(
        default=None,
        ge=1,
        le=48,
        description="How many low bits carry the value, where vendors pack further counters into the bits above.",
    )

    @model_validator(mode="after")
    def _transforms_suit_the_kind(self) -> "AttributeConfig":
        for transform in self.chosen_transforms:
            if transform not in ALLOWED_TRANSFORMS[self.kind]:
                allowed = ", ".join(sorted(ALLOWED_TRANSFORMS[self.kind]))
                raise ValueError(f"transform {transform!r} does not suit the kind {self.kind!r}; allowed are {allowed}")
        if len(set(self.chosen_transforms)) != len(self.chosen_transforms):
            raise ValueError(f"a transform is named twice in {list(self.chosen_transforms)}")
        if self.excess_of_means is not None and "excess" not in self.chosen_transforms:
            raise ValueError(f"excess_of_means needs the transform 'excess'; received {list(self.chosen_transforms)}")
        return self

    @property
    def chosen_transforms(self) -> tuple[Transform, ...]:
        """The transforms that are made: those of the YAML, or what suits the kind."""
        return TRANSFORMS_OF_KIND[self.kind] if self.transforms is None else self.transforms


RESERVED_GROUPS = frozenset({"table", "day", "time", "entity", "cohort", "label", "settings"})
"""What columns beside the features are called already, and what `detector.per` says in other senses."""


class FeatureConfig(BaseModel):
    """The attributes of a watched table and the spans of time over which they are described."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: dict[str, AttributeConfig] = Field(
        min_length=1,
        description="By raw column, e.g. smart_5_raw. A column that a year lacks gives unknown values and a missing "
        "flag of 1.",
    )
    spans: Spans = Field(
        default=(timedelta(days=1), timedelta(days=7), timedelta(days=28)),
        min_length=1,
        description="Lengths of time over which growth and range are measured, rising, such as 1h or 28d; a number "
        "counts days. The longest is the look-back of every feature.",
    )

    groups: tuple[str, ...] = Field(
        default=(),
        description="Columns of text that say where a device belongs and stay the same on it, such as datacenter. They "
        "are kept beside the features and are none; detector.per may name one, whose values then have detectors of "
        "their own.",
    )
    calendar: tuple[Calendar, ...] = Field(
        default=(),
        description="What is said of the time of a record, in UTC: hour (0 to 23), minute, weekday (1 = Monday), day "
        "of the month, month. It is no evidence: a record of which nothing else is known is not judged.",
    )
    presence: bool = Field(
        default=True,
        description="Whether gap_days and history_days are features: how long a device was away, and how many days of "
        "the look-back it has been there. Off, as for series, a new device is not strange for being new.",
    )

    @model_validator(mode="after")
    def _calendar_is_named_once(self) -> "FeatureConfig":
        if len(set(self.calendar)) != len(self.calendar):
            raise ValueError(f"calendar names something twice: {list(self.calendar)}")
        return self

    @model_validator(mode="after")
    def _one_clock(self) -> "FeatureConfig":
        clocks = [column for column, attribute in self.attributes.items() if attribute.kind == "age"]
        if len(clocks) > 1:
            raise ValueError(f"attributes: only one can be of kind 'age', received {clocks}; name the others 'counter'")
        rated = [c for c, a in self.attributes.items() if a.transforms is not None and "per_1000_hours" in a.transforms]
        if rated and not clocks:
            raise ValueError(
                f"attributes.{rated[0]}.transforms: 'per_1000_hours' needs an attribute of kind 'age' (smart_9_raw)"
            )
        return self

    @model_validator(mode="after")
    def _means_are_shorter_than_the_past(self) -> "FeatureConfig":
        for column, attribute in self.attributes.items():
            if attribute.excess_of_means is not None and attribute.excess_of_means[-1] >= self.look_back:
                raise ValueError(
                    f"attributes.{column}.excess_of_means: {written(attribute.excess_of_means[-1])} is held against "
                    f"means of the look-back, which is {written(self.look_back)} long; name a shorter one, or longer "
                    "spans"
                )
        return self

    @model_validator(mode="after")
    def _values_that_stand_in_lie_within_the_look_back(self) -> "FeatureConfig":
        for column, attribute in self.attributes.items():
            if attribute.fill_forward is not None and attribute.fill_forward > self.look_back:
                raise ValueError(
                    f"attributes.{column}.fill_forward: received {written(attribute.fill_forward)}, and rows are read "
                    f"back by {written(self.look_back)}, the longest of features.spans; name a shorter one, or longer "
                    "spans"
                )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "FeatureConfig":
        names: dict[str, str] = {}
        for column in self.attributes:
            if self.calendar and feature_prefix(column) == "calendar":
                raise ValueError(f"attributes.{column}: gives features of the same names as features.calendar")
            if (other := names.setdefault(feature_prefix(column), column)) != column:
                raise ValueError(
                    f"attributes.{column}: gives features of the same names as {other!r}; keep one of them"
                )
        return self

    @model_validator(mode="after")
    def _groups_are_no_other_columns(self) -> "FeatureConfig":
        for name in self.groups:
            if name in self.attributes or name in RESERVED_GROUPS or self.groups.count(name) > 1:
                raise ValueError(f"groups: {name!r} is a column with another meaning, or named twice; leave it out")
        return self

    @property
    def age_column(self) -> str | None:
        """The column of power-on hours; None where the table has none, and then nothing is rated against age."""
        return next((column for column, attribute in self.attributes.items() if attribute.kind == "age"), None)

    @property
    def low_bits(self) -> Mapping[str, int]:
        """How many low bits carry the value, of each attribute whose YAML says so."""
        return {name: attribute.low_bits for name, attribute in self.attributes.items() if attribute.low_bits}

    @property
    def look_back(self) -> timedelta:
        """How far before a record rows are read: the longest span."""
        return max(span for spans in (self.spans, *(a.spans or () for a in self.attributes.values())) for span in spans)

    @property
    def look_back_days(self) -> int:
        """The same in whole days."""
        return whole_days(self.look_back)

    def spans_of(self, column: str) -> tuple[timedelta, ...]:
        """Spans of the growth and the range of one attribute."""
        return self.attributes[column].spans or self.spans


def feature_prefix(column: str) -> str:
    """How the names of an attribute's features begin: the raw column without ``_raw``."""
    return column.removesuffix("_raw")
