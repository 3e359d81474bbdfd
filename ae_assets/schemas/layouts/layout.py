"""What the files of a table look like: what their columns are called, of which type they are, and who and when.

A layout is a preset, such as `drive_stats`, or made of `source.columns` of a table's YAML.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from ae_assets.schemas.columns import (
    READINGS_COLUMN,
    RESERVED_COLUMNS,
    LabelSection,
    MetricSection,
    TimeSection,
    ValueSection,
    stored_name,
)

ROW_COLUMN = "source_row"
RESCUED_COLUMN = "rescued"
ONE_COHORT = "all"
"""The cohort of every entity of a table whose contract names none."""


@dataclass(frozen=True)
class Layout:
    """The columns of a table's files, and the contract that their rows are held to.

    Attributes:
        name: of a preset, e.g. ``drive_stats``; ``columns`` of a table's own.
        file: what a file of it is called in messages, e.g. ``a drive-stats file``.
        time: how a record says when it was taken.
        entity: the column that names the device.
        entity_of_file: what finds the device in a file's name, by its first group; None: a column names it.
        entity_in_path: whether it is looked for in the file's name with the folders above it.
        cohort: the column that names its kind; None: there is one kind.
        label: the column that is 1 where the device failed; None: nothing is known of failures.
        abnormal: the columns whose cells mark abnormal records; None: no column does.
        required: columns of the file without which its rows cannot be told from each other.
        type_of: the type of a column by its name alone, so that days of different years stack.
        knows: whether the layout has a column of this name, in lower case.
        attributes: what the columns are called that features may be made of, in words.
        is_attribute: whether features can be made of a column.
        attribute_names: names of such columns, of which a misspelt one is said the nearest.
        never_features: columns, in lower case, that are never features, each with the reason.
        missing: cells of a column that are missing beside those of the whole source.
        spellings: how a column is spelled, by its name in lower case, where that is not lower case.
        values: the columns that a YAML names, with type, bounds and rules; a preset has rules of its own.
        entity_name: the one device of all rows, where neither a column nor a file names it.
        metric: how files in long form say which metric a row holds; None: a row holds all.
        of_rows: the layout of the rows of such files; None: this one.
    """

    name: str
    file: str
    time: TimeSection
    entity: str
    cohort: str | None
    label: str | None
    required: tuple[str, ...]
    type_of: Callable[[str], type[pl.DataType]] = field(repr=False)
    knows: Callable[[str], bool] = field(repr=False)
    attributes: str
    is_attribute: Callable[[str], bool] = field(repr=False)
    attribute_names: Collection[str] = field(repr=False)
    never_features: Mapping[str, str] = field(repr=False)
    entity_of_file: re.Pattern[str] | None = None
    entity_in_path: bool = False
    abnormal: LabelSection | None = None
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    spellings: Mapping[str, str] = field(default_factory=dict, repr=False)
    values: Mapping[str, ValueSection] = field(default_factory=dict, repr=False)
    entity_name: str | None = None
    metric: MetricSection | None = None
    of_rows: "Layout | None" = field(default=None, repr=False)

    def spelled(self, name: str) -> str:
        """A name of a file's column as the layout writes it, whatever case the file writes; others as they are.

        Of a table's own columns those whose names the tables use themselves get others.
        """
        if self.values:
            name = stored_name(name)
        return self.spellings.get(name.lower(), name.lower()) if self.knows(name.lower()) else name

    def entity_in(self, path: str) -> str | None:
        """The device of the rows of a file, by its name with the folders above it.

        None: it tells none, or no metric.
        """
        if self.metric is not None and self.metric.of_file is not None and self.metric_in(path) is None:
            return None
        return (
            self.entity_name if self.entity_of_file is None else _found(self.entity_of_file, self.entity_in_path, path)
        )

    def metric_in(self, path: str) -> str | None:
        """The metric of the rows of a file, by its name with the folders above it; None: it tells none."""
        if self.metric is None or self.metric.of_file is None:
            return None
        found = _found(self.metric.of_file, self.metric.file_path is not None, path)
        return found if found in self.values else None

    @property
    def contract_columns(self) -> tuple[str, ...]:
        """The columns that it names, each once."""
        marks = () if self.abnormal is None else self.abnormal.columns
        return tuple(dict.fromkeys((*self.required, *marks, *self.values)))

    @property
    def names_are_told_by_files(self) -> bool:
        """Whether files of the same content say something else by their names."""
        return self.entity_of_file is not None or (self.metric is not None and self.metric.of_file is not None)

    @property
    def has_several_records(self) -> bool:
        """Whether an entity has several records in a period, which its time tells apart."""
        return self.time.cadence is not None

    @cached_property
    def reserved(self) -> frozenset[str]:
        """Names that a file may not bring, in lower case."""
        added = {self.time.name} if len(self.time.column) > 1 else set()
        added |= {self.entity} if self.entity_of_file or self.entity_name else set()
        return RESERVED_COLUMNS | added | ({READINGS_COLUMN} if self.metric else set())

    def day_schema(self, columns: Collection[str]) -> dict[str, pl.DataType | type[pl.DataType]]:
        """Names and types of a day as readers return it: the file's columns, what is added, `source_row`, `rescued`."""
        types: dict[str, pl.DataType | type[pl.DataType]] = {name: self.type_of(name) for name in columns}
        if self.entity_of_file or self.entity_name:
            types[self.entity] = pl.String
        types[self.time.name] = self.time.dtype
        return {**types, ROW_COLUMN: pl.Int32, RESCUED_COLUMN: pl.String}


def _found(pattern: re.Pattern[str], in_path: bool, path: str) -> str | None:
    match = pattern.search(path if in_path else path.rsplit("/", 1)[-1])
    return None if match is None else match[1] or None
