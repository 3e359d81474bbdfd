"""Between polars and Iceberg schemas: a table's columns as polars types, and polars types as Iceberg fields."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import polars as pl
import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
)

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.columns import DAY, NARROW_TYPES, stored_type
from ae_assets.lakehouse.partitions import periods_of
from ae_assets.schemas.periods import Periods

_DOC = "polars "
_SIMPLE: dict[type[pl.DataType], IcebergType] = {
    pl.Boolean: BooleanType(),
    pl.Int32: IntegerType(),
    pl.Int64: LongType(),
    pl.Float32: FloatType(),
    pl.Float64: DoubleType(),
    pl.String: StringType(),
    pl.Binary: BinaryType(),
    pl.Date: DateType(),
}


@dataclass(frozen=True)
class Layout:
    """The columns of a table, in order.

    Attributes:
        kept: type that a read gives, by column.
        stored: type in the data files, by column.
        arrow: the same as an Arrow schema whose fields carry Iceberg's field ids and the names in the files.
        periods: the table's; the column of the period is called ``day`` but for the files.
    """

    kept: dict[str, pl.DataType]
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
    """Reads the columns of a table.

    Args:
        table: the table.
        schema: its current schema or a former one.

    Raises:
        LakehouseError: a column was renamed, or dropped and added again: files are read by column name.
    """
    _check_names_are_stable(table)
    arrow, periods = schema.as_arrow(), periods_of(table)
    types = pl.DataFrame(arrow.empty_table()).rename({periods.noun: DAY}).schema
    stored = {name: stored_type(dtype) or dtype for name, dtype in types.items()}
    narrow = {
        field.name: NARROW_TYPES[field.doc.removeprefix(_DOC)]
        for field in schema.fields
        if field.doc and field.doc.startswith(_DOC) and field.doc.removeprefix(_DOC) in NARROW_TYPES
    }
    return Layout({name: narrow.get(name, dtype) for name, dtype in stored.items()}, stored, arrow, periods)


def iceberg_schema(columns: Mapping[str, pl.DataType]) -> Schema:
    """A new table's schema.

    Args:
        columns: type that a read gives back, by column.
    """
    ids = count(1)
    return Schema(*[_field(name, dtype, ids) for name, dtype in columns.items()])


def iceberg_fields(columns: Mapping[str, pl.DataType]) -> tuple[NestedField, ...]:
    """Fields for columns to be added to a table; Iceberg gives them their ids."""
    return iceberg_schema(columns).fields


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
                    "older files hold other values under its name: write the table anew under another name."
                )
            if former != field.name:
                raise LakehouseError(
                    f"Column '{former}' of {name} was renamed to '{field.name}' by another "
                    "engine, so older files hold it under its former name: write the table anew under another name."
                )


def _field(name: str, kept: pl.DataType, ids: Iterator[int]) -> NestedField:
    stored = stored_type(kept) or kept
    doc = f"{_DOC}{kept}" if str(kept) in NARROW_TYPES else None
    return NestedField(field_id=next(ids), name=name, field_type=_type(stored, ids), required=False, doc=doc)


def _type(dtype: pl.DataType, ids: Iterator[int]) -> IcebergType:
    if isinstance(dtype, pl.List):
        inner = dtype.inner
        return ListType(element_id=next(ids), element=_type(inner, ids), element_required=False)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return StructType(*[_field(field.name, field.dtype, ids) for field in dtype.fields])  # type: ignore[arg-type]
    if isinstance(dtype, pl.Datetime):
        return TimestamptzType() if dtype.time_zone else TimestampType()
    if isinstance(dtype, pl.Decimal):
        return DecimalType(dtype.precision or 38, dtype.scale)
    return _SIMPLE[type(dtype)]
