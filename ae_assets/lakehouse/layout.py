"""The columns of a table, read from its Iceberg schema and written into one; Arrow's types stand between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Table

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.columns import DAY, NARROW_TYPES, stored_type
from ae_assets.lakehouse.partitions import periods_of
from ae_assets.schemas.periods import Periods

_DOC = "polars "
"""Begins the doc of a column whose type Iceberg lacks; its name follows."""


@dataclass(frozen=True)
class Layout:
    """The columns of a table, in order.

    Attributes:
        types: type that a read gives, by column.
        stored: type in the data files, by column.
        arrow: the same as an Arrow schema whose fields carry Iceberg's field ids and the names in the files.
        periods: the table's; the column of the period is called ``day`` but for the files.
    """

    types: dict[str, pl.DataType]
    stored: dict[str, pl.DataType]
    arrow: pa.Schema
    periods: Periods

    def in_files(self, name: str) -> str:
        """What a column is called in the data files."""
        return self.periods.noun if name == DAY else name

    def arrow_of(self, names: Sequence[str]) -> pa.Schema:
        """The Arrow schema of some of the columns, in the order given."""
        return pa.schema([self.arrow.field(self.in_files(name)) for name in names])


def layout_of(table: Table, schema: Schema) -> Layout:
    """The columns of a table by its current schema or a former one.

    Raises:
        LakehouseError: a column was renamed, or dropped and added again: files are read by column name.
    """
    _check_names_are_stable(table)
    arrow, periods = schema.as_arrow(), periods_of(table)
    in_files = pl.DataFrame(arrow.empty_table()).rename({periods.noun: DAY}).schema
    stored = {name: stored_type(dtype) or dtype for name, dtype in in_files.items()}
    narrow = {f"{_DOC}{name}": dtype for name, dtype in NARROW_TYPES.items()}
    docs = {field.name: field.doc or "" for field in schema.fields}
    types = {name: narrow.get(docs.get(name, ""), dtype) for name, dtype in stored.items()}
    return Layout(types, stored, arrow, periods)


def iceberg_schema(columns: Mapping[str, pl.DataType]) -> Schema:
    """A new table's schema, or the fields to be added to one, for columns of the types that a read gives back."""
    stored = {name: stored_type(dtype) or dtype for name, dtype in columns.items()}
    fields = [
        field.with_metadata({"doc": f"{_DOC}{columns[field.name]}"})
        if str(columns[field.name]) in NARROW_TYPES
        else field
        for field in pl.DataFrame(schema=stored).to_arrow().schema
    ]
    return assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(pa.schema(fields)))


def _check_names_are_stable(table: Table) -> None:
    name = ".".join(table.name())
    names: dict[str, int] = {}
    ids: dict[int, str] = {}
    for schema in table.metadata.schemas:
        for field in schema.fields:
            former = ids.setdefault(field.field_id, field.name)
            if names.setdefault(field.name, field.field_id) != field.field_id:
                raise LakehouseError(
                    f"Column '{field.name}' of {name} was dropped and added again by another engine, so "
                    "older files hold other values under its name: write the table again under another name."
                )
            if former != field.name:
                raise LakehouseError(
                    f"Column '{former}' of {name} was renamed to '{field.name}' by another "
                    "engine, so older files hold it under its former name: write the table again under another name."
                )
