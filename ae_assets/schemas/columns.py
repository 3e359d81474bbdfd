"""`source.columns` of a table's YAML: which columns say when, who, of what kind and failed, and which are values."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ae_assets.schemas.durations import Duration
from ae_assets.schemas.times import has_time_of_day, require_format

TIME_COLUMN, ENTITY_COLUMN, READINGS_COLUMN = "time", "entity", "readings"
"""What a reader adds where no column of the file is the time, or the entity; and how many rows are in a record."""
TIME_BESIDE = "time_of_record"
"""The time, beside a column of the file that is called as that."""

RESERVED_COLUMNS = frozenset(
    {"day", "hour", "week", "source_file", "source_fingerprint", "source_row", "loaded_at", "rescued"}
)
"""Written beside the file's own columns."""


def stored_name(name: str) -> str:
    """What a column of a file is called in the tables, which use some names themselves: ``file_day`` for ``day``."""
    return f"file_{name}" if name.lower() in RESERVED_COLUMNS else name


VALUE_RULES: Mapping[str, tuple[str, Callable[[pl.Expr], pl.Expr]]] = {
    "known": ("a record without it says nothing", lambda value: value.is_not_null()),
    "whole": ("it is counted, so it is a whole number", lambda value: value == value.floor()),
    "not_negative": ("it is counted or measured from zero on", lambda value: value >= 0),
    "positive": ("it is measured from above zero on", lambda value: value > 0),
    "share": ("it is a share, from 0 to 1", lambda value: value.is_between(0, 1)),
    "percentage": ("it is a percentage, from 0 to 100", lambda value: value.is_between(0, 100)),
}
"""Rules that a YAML asks for by name: the reason, and the check of a value."""

Name = Annotated[str, Field(min_length=1, max_length=128)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _column_alone(given: object) -> object:
    """A section that is written as the name of a column, or as several."""
    return {"column": given} if isinstance(given, str | list) else given


def _any_cell(given: object) -> object:
    """The word that stands for every cell which is not missing."""
    return () if given == "present" else given


def _listed(given: object) -> object:
    """A list that is written as its only member."""
    return [given] if isinstance(given, str | int | float) and not isinstance(given, bool) else given


def _as_text(given: object) -> object:
    given = _listed(given)
    if not isinstance(given, list | tuple):
        return given
    return [str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in given]


_Cell = str | int | float
_Names = Annotated[tuple[Name, ...], BeforeValidator(_listed, json_schema_input_type=Name | list[Name])]


class TimeSection(_Section):
    """How a record says when it was taken."""

    column: _Names = Field(
        min_length=1,
        description="The column of the file; or several, whose texts are put together with a space between.",
    )
    format: _Names = Field(
        default=(),
        description='How it is written, as strftime has it, e.g. "%d.%m.%Y" or "%Y-%m-%d %H:%M"; or several ways; '
        "%s is seconds since 1970, %Q milliseconds. Left "
        "out: a date with the year first (2024-04-17, 20240417, 2024/04/17), whose time of day does not count.",
    )
    time_zone: str = Field(
        default="UTC", description="Where the clock stood that wrote a time of day without an offset: Europe/Berlin."
    )
    cadence: Duration | None = Field(
        default=None,
        description="The usual step between the records of a device where a period holds several of them, e.g. 15m. "
        "Left out: a device has one record in a period.",
    )

    @field_validator("format")
    @classmethod
    def _formats_are_formats(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for one in formats:
            if "%" not in one:
                raise ValueError(f'expected a format such as "%d.%m.%Y", received {one!r}')
            require_format(one)
        return formats

    @field_validator("time_zone")
    @classmethod
    def _time_zone_is_known(cls, name: str) -> str:
        try:
            pl.Series([], dtype=pl.Datetime("us")).dt.replace_time_zone(name)
        except pl.exceptions.PolarsError:
            raise ValueError(
                f"expected the name of a time zone such as UTC or Europe/Berlin, received {name!r}"
            ) from None
        return name

    @model_validator(mode="after")
    def _several_columns_have_a_format(self) -> Self:
        if len(self.column) > 1 and not self.format:
            raise ValueError(
                f"a time that is put together of {', '.join(self.column)} needs a format, such as "
                f'"{" ".join(["%Y", "%m", "%d", "%H", "%M", "%S"][: len(self.column)])}"'
            )
        return self

    @property
    def name(self) -> str:
        """The column of the rows that holds it: the file's own, or the one that a reader adds."""
        if len(self.column) == 1:
            return self.column[0]
        return TIME_BESIDE if TIME_COLUMN in map(str.lower, self.column) else TIME_COLUMN

    @property
    def has_time_of_day(self) -> bool:
        """Whether it says more than a day."""
        return any(has_time_of_day(one) for one in self.format)

    @property
    def dtype(self) -> pl.DataType:
        """Of the column of the rows: a day, or a point in time in UTC."""
        return pl.Datetime("us", "UTC") if self.has_time_of_day else pl.Date()


class _NamedSection(_Section):
    """What a column, or the name of a file, says of the rows."""

    column: Name | None = Field(default=None, description="The column that names it.")
    file_name: str | None = Field(
        default=None,
        description="Instead of a column: a regular expression that finds it in the file's name (without folders), by "
        "its group, e.g. '(.+)_\\d{4}\\.csv'.",
    )
    file_path: str | None = Field(
        default=None,
        description="The same in the file's name with the folders above it, e.g. '([^/]+/[^/]+)\\.csv$' where files of "
        "several folders have the same names.",
    )

    @model_validator(mode="after")
    def _the_name_or_the_path(self) -> Self:
        if self.file_name is not None and self.file_path is not None:
            raise ValueError("name file_name or file_path, not both")
        return self

    @field_validator("file_name", "file_path")
    @classmethod
    def _expression_has_a_group(cls, expression: str | None) -> str | None:
        try:
            groups = 1 if expression is None else re.compile(expression).groups
        except re.error as error:
            raise ValueError(f"no regular expression ({error}), received {expression!r}") from None
        if groups != 1:
            raise ValueError(f"expected one group (…) that holds the name, received {expression!r}")
        return expression

    @property
    def of_file(self) -> re.Pattern[str] | None:
        """What finds it where no column names it."""
        expression = self.file_name or self.file_path
        return None if expression is None else re.compile(expression)

    @model_serializer(mode="wrap")
    def _later_keys_where_they_are_set(self, serialize: SerializerFunctionWrapHandler) -> object:
        # Settings from before there were these stay as they are.
        return {
            key: value for key, value in serialize(self).items() if value is not None or key in {"column", "file_name"}
        }


class EntitySection(_NamedSection):
    """What names the device of a record."""

    name: Name | None = Field(default=None, description="Instead of both: the name of the one device of all rows.")

    @model_validator(mode="after")
    def _one_of_the_three(self) -> Self:
        if sum(one is not None for one in (self.column, self.of_file, self.name)) != 1:
            raise ValueError(
                "name the column of the device, or file_name or file_path, which finds it in the file's name; or its "
                "name, where all rows are of one"
            )
        return self


class MetricSection(_NamedSection):
    """Files in long form: a row holds one metric of a device, which the file's name or a column tells."""

    value: Name = Field(default="value", description="The column of the number.")
    several: Literal["mean", "last", "sum"] = Field(
        default="mean", description="What becomes of several numbers of a metric in one record."
    )

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.column is None) == (self.of_file is None):
            raise ValueError(
                "name either the column of the metric, or file_name or file_path, which finds it in the file's name"
            )
        return self


class ValueSection(_Section):
    """A column that is measured."""

    type: Literal["int", "float", "text"] = Field(
        default="float", description="int: whole numbers of 64 bits; float; or text, of which no feature is made."
    )
    unit: str = Field(default="", description="Its unit, e.g. bar.")
    at_least: float | None = Field(default=None, description="A lower value cannot be true: its row is set aside.")
    at_most: float | None = Field(default=None, description="A higher value cannot be true: its row is set aside.")
    missing: Annotated[tuple[str, ...], BeforeValidator(_as_text, json_schema_input_type=_Cell | list[_Cell])] = Field(
        default=(), description="Cells that are missing in this column, beside source.missing_markers, e.g. -9999."
    )
    rules: Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = Field(
        default=(), description=f"Rules by name: {', '.join(VALUE_RULES)}."
    )

    @field_validator("rules")
    @classmethod
    def _rules_are_known(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for one in rules:
            if one not in VALUE_RULES:
                raise ValueError(f"no such rule as {one!r}; expected {', '.join(VALUE_RULES)}")
        return rules

    @model_validator(mode="after")
    def _bounds_are_of_numbers_and_in_order(self) -> Self:
        bounded = self.at_least is not None or self.at_most is not None
        if self.type == "text" and (bounded or set(self.rules) - {"known"}):
            raise ValueError("a column of text has no bounds, and no rule but known; give it the type int or float")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} lies above at_most {self.at_most:g}")
        return self


class LabelSection(_Section):
    """What a record says of its device: that it failed, or that the record is abnormal."""

    column: Name | None = Field(
        default=None, description="The column that is 1 (or true) where the device failed on that day, else 0."
    )
    columns: _Names = Field(
        default=(),
        description="Instead of column: columns whose cell says that a record is abnormal, such as a technician's "
        "qualifier. Abnormal records that follow each other make an interval.",
    )
    abnormal: Annotated[
        tuple[str, ...],
        BeforeValidator(_as_text, json_schema_input_type=_Cell | list[_Cell]),
        BeforeValidator(_any_cell, json_schema_input_type=_Cell | list[_Cell]),
    ] = Field(
        default=(),
        description="The cells of these columns that say so; present, as where it is left out: every cell that is not "
        "missing.",
    )
    gap: Duration | None = Field(
        default=None,
        description="Abnormal records of a device that are no further apart make one interval, whatever lies between "
        "them. Left out: three times the cadence, or three periods where there is none.",
    )

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.column is None) == (not self.columns):
            raise ValueError(
                "name either the column that is 1 where the device failed, or columns whose cells mark abnormal records"
            )
        if self.column is not None and (self.abnormal or self.gap is not None):
            raise ValueError("abnormal and gap belong to columns; of the column of failures 1 counts")
        return self

    @model_serializer(mode="wrap")
    def _failures_by_the_column_alone(self, serialize: SerializerFunctionWrapHandler) -> object:
        return serialize(self) if self.column is None else self.column

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""
        return self.columns if self.column is None else (self.column,)


class ColumnsSection(_Section):
    """The contract of a table's own columns. Columns of a file that are not named here are kept as text."""

    time: Annotated[
        TimeSection, BeforeValidator(_column_alone, json_schema_input_type=Name | list[Name] | TimeSection)
    ] = Field(description="When a record was taken: the name of the column, or how it is put together and written.")
    entity: Annotated[EntitySection, BeforeValidator(_column_alone, json_schema_input_type=Name | EntitySection)] = (
        Field(description="The device of a record: the name of the column, or how to find it in the file's name.")
    )
    cohort: Name | None = Field(
        default=None, description="The column that names the device's kind; left out: all are of one kind."
    )
    label: Annotated[
        LabelSection | None, BeforeValidator(_column_alone, json_schema_input_type=Name | LabelSection | None)
    ] = Field(
        default=None,
        description="What is known to have gone wrong: the name of the column that is 1 (or true) where the device "
        "failed on that day, else 0; or which cells mark abnormal records. Left out: nothing is known, unless "
        "target.file says it, and nothing is judged by it.",
    )
    metric: Annotated[
        MetricSection | None, BeforeValidator(_column_alone, json_schema_input_type=Name | MetricSection | None)
    ] = Field(
        default=None,
        description="Where a row holds one metric: the column that names it, or how to find it in the file's name, as "
        "with one file for each metric. The rows of a device up to each step of the cadence become one record with a "
        "column for each metric.",
    )
    values: dict[Name, ValueSection] = Field(
        min_length=1, description="The columns that are measured, by name; of files in long form the metrics."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        labels = () if self.label is None else self.label.names
        named = [*self.time.column, self.entity.column, self.cohort, *labels, *self.values]
        names = [name.lower() for name in named if name is not None]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{repeated[0]!r} has two meanings; expected one for each column, whatever its case")
        added = {self.time.name} if len(self.time.column) > 1 else set()
        added |= set() if self.entity.column else {ENTITY_COLUMN}
        added |= {READINGS_COLUMN} if self.metric else set()
        if taken := sorted(set(names) & added):
            raise ValueError(f"the name {taken[0]!r} is what the reader adds; rename the column in the source")
        return self

    @model_validator(mode="after")
    def _metrics_are_put_together(self) -> Self:
        if self.metric is None:
            return self
        if self.time.has_time_of_day and self.time.cadence is None:
            raise ValueError("rows of one metric become records at each step of time.cadence; name it, such as 5m")
        if others := [name for name, value in self.values.items() if value.type != "float"]:
            raise ValueError(f"a metric is a float, since it may be a mean; received {others[0]}: {{type: …}}")
        return self
