"""What the raw rows of a table promise: a layout and rules. ``features/validation.py`` holds rows to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, Layout
from ae_assets.schemas.records import DAILY_RECORDS, Rhythm
from ae_assets.schemas.rules import Rule

ORIGIN = ("source_file", "source_row")
"""Columns of every raw table that say where a row is from."""


@dataclass(frozen=True)
class RawContract:
    """What the raw rows of one layout promise.

    Attributes:
        layout: whose rows.
        rules_of_row: rules about the columns that are no attributes, given which columns are read, for a period.
        rules_of_attribute: rules of one raw attribute column, about the value that features read of it.
        unique: the rule that a row is the only one of its record, which is told by its ``key``; asked of rows that hold
            all others, in the file's order.
        further: typed columns that rules look at, beside those that say who, when, of what kind and failed.
        attributes: raw attribute columns to check and keep; None = all that a frame has.
        groups: columns of text that are kept beside what is checked, where a frame has them.
        rhythm: by which periods the rows are kept, and how the records of an entity follow each other.
    """

    layout: Layout
    rules_of_row: Callable[[Callable[[str], bool], date], list[Rule]] = field(repr=False)
    rules_of_attribute: Callable[[str], list[Rule]] = field(repr=False)
    unique: Rule = field(repr=False)
    further: Mapping[str, pl.DataType] = field(default_factory=dict)
    attributes: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    rhythm: Rhythm = DAILY_RECORDS

    @cached_property
    def names(self) -> dict[str, str]:
        """``day, entity, cohort, label, time`` -> the layout's own column, those that it has.

        It has a ``time`` where an entity has several records in a period.
        """
        layout = self.layout
        time = layout.time.name if layout.has_several_records else None
        names = {"day": layout.time.name, "entity": layout.entity, "cohort": layout.cohort, "label": layout.label}
        return {name: column for name, column in {**names, "time": time}.items() if column is not None}

    @cached_property
    def columns(self) -> dict[str, pl.DataType]:
        """The typed columns of the layout, attributes left out; any integer type passes for Int64."""
        types = {"label": pl.Int64(), **dict.fromkeys(("day", "time"), self.layout.time.dtype)}
        named = {column: types.get(name, pl.String()) for name, column in self.names.items()}
        return {RESCUED_COLUMN: pl.String(), **named, **self.further}

    @property
    def key(self) -> tuple[str, ...]:
        """The layout's own columns that tell the records of a period apart: the entity, and the time of several."""
        return tuple(self.names[name] for name in ("time", "entity") if name in self.names)

    def attributes_in(self, columns: Sequence[str]) -> list[str]:
        """The raw attribute columns of a frame that are checked and kept, in the frame's order."""
        if self.attributes is None:
            return [column for column in columns if self.layout.is_attribute(column)]
        return [column for column in columns if column in self.attributes]

    def reads(self, column: str) -> bool:
        """Whether a column says who, when, of what kind and failed, or is checked and kept."""
        return column in self.columns or column in self.layout.time.column or bool(self.attributes_in([column]))

    def read_in(self, columns: Sequence[str]) -> list[str]:
        """The columns of a frame that are validated or kept, or say where a row is from, in the frame's order."""
        read = {*self.columns, *self.attributes_in(columns), *self.groups, *ORIGIN}
        return [column for column in columns if column in read]

    def rules(self, period: date, columns: Sequence[str]) -> list[Rule]:
        """The rules that apply to a frame with these columns, the gravest first; ``unique`` comes after them."""
        rules = [rule for rule in self.rules_of_row(self.reads, period) if rule.column in columns]
        for attribute in self.attributes_in(columns):
            rules += self.rules_of_attribute(attribute)
        return rules

    def schema(self, period: date, columns: Sequence[str]) -> pa.DataFrameSchema:
        """The Pandera schema of a period for a frame with these columns, one check per rule."""
        checks: dict[str, list[pa.Check]] = {}
        for rule in [*self.rules(period, columns), self.unique]:
            checks.setdefault(rule.column, []).append(pandera_check(rule))
        return pa.DataFrameSchema(
            {
                column: pa.Column(dtype, checks.get(column), nullable=True, required=column != RESCUED_COLUMN)
                for column, dtype in self._types(columns).items()
            },
            name=f"{self.layout.name}.raw",
        )

    def widened(self, raw: pl.DataFrame) -> pl.DataFrame:
        """A frame whose numbers have the width of the contract and whose columns without a value have its types."""
        return raw.with_columns(
            pl.col(column).cast(dtype)
            for column, dtype in self._types(raw.columns).items()
            if (received := raw.schema.get(column, dtype)) != dtype
            and (received == pl.Null or (dtype == pl.Int64 and received.is_integer()))
        )

    def has_types(self, schema: Mapping[str, pl.DataType]) -> bool:
        """Whether the columns of a frame that the contract names are there and of its types."""
        return all(
            schema[column] == dtype if column in schema else column == RESCUED_COLUMN
            for column, dtype in self._types(list(schema)).items()
        )

    def _types(self, columns: Sequence[str]) -> dict[str, pl.DataType]:
        return {**self.columns, **{name: self.layout.type_of(name)() for name in self.attributes_in(columns)}}


def pandera_check(rule: Rule) -> pa.Check:
    """The Pandera check of a rule: the same expression, with the rule's name and reason in its failure cases."""

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(rule.check)

    return pa.Check(holds, name=rule.name, error=rule.name, description=rule.reason, ignore_na=False)
