"""A schema as rows for a person: what each column is called, holds and means."""

from typing import NamedTuple

import pandera.polars as pa


class ColumnDescription(NamedTuple):
    """One column of a table as the UI shows it."""

    name: str
    dtype: str
    description: str
    nullable: bool


def columns(schema: pa.DataFrameSchema) -> list[ColumnDescription]:
    """The columns of a schema in their order; the description is '' where it has none."""
    return [
        ColumnDescription(str(name), str(column.dtype), column.description or "", column.nullable)
        for name, column in schema.columns.items()
    ]
