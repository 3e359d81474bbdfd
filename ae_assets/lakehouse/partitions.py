"""The partition of a table: the column ``day``, ``hour`` or ``week`` by whose values its files are listed.

Frames in memory call it `columns.DAY` whatever the table's periods are; only what is stored has the three names.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, TimestamptzType
from pyiceberg.utils.datetime import date_to_days, datetime_to_micros, days_to_date, micros_to_timestamptz

from ae_assets.errors import LakehouseError
from ae_assets.schemas.periods import HOURLY, PERIODS, Periods

_PERIODS = {periods.noun: periods for periods in PERIODS.values()}


def periods_of(table: Table) -> Periods:
    """By which periods a table is stored.

    Raises:
        LakehouseError: by none.
    """
    return Partition.of(table, table.spec().spec_id).periods


def by_periods(schema: Schema, periods: Periods) -> PartitionSpec:
    return PartitionSpec(
        PartitionField(schema.find_field(periods.noun).field_id, 1000, IdentityTransform(), periods.noun)
    )


def folder_of(period: date, periods: Periods) -> str:
    """Where the files of a period lie, without a character that a file system or another engine reads otherwise."""
    text = f"{period:%Y-%m-%dT%H}" if isinstance(period, datetime) else period.isoformat()
    return f"{periods.noun}={text}"


@dataclass(frozen=True)
class Partition:
    """How one partition spec of a table writes periods.

    Attributes:
        periods: of which kind they are.
        field_id: of the column.
        position: of the period among the values of the spec.
    """

    periods: Periods
    field_id: int
    position: int

    @classmethod
    def of(cls, table: Table, spec_id: int) -> "Partition":
        """The partition of a table by one of its specs; raises LakehouseError where that names no period."""
        schema, spec = table.schema(), table.specs()[spec_id]
        for position, part in enumerate(spec.fields):
            periods = _PERIODS.get(schema.find_column_name(part.source_id) or "")
            if periods is not None and isinstance(part.transform, IdentityTransform):
                return cls(periods, part.source_id, position)
        raise LakehouseError(
            f"Table {'.'.join(table.name())} is not partitioned by identity of {', '.join(map(repr, _PERIODS))} but by "
            f"{spec}: write it again under another name."
        )

    @property
    def _type(self) -> DateType | TimestamptzType:
        return TimestamptzType() if self.periods is HOURLY else DateType()

    def number(self, period: date) -> int:
        """As Iceberg counts it: days, or microseconds of an hour."""
        return datetime_to_micros(period) if isinstance(period, datetime) else date_to_days(period)

    def bound(self, period: date) -> bytes:
        """The same as the bound of a column."""
        return to_bytes(self._type, self.number(period))

    def period(self, value: int | date) -> date:
        """The period of a partition's value."""
        if isinstance(value, date):
            return value
        return micros_to_timestamptz(value) if self.periods is HOURLY else days_to_date(value)

    def period_of_bound(self, bound: bytes) -> date:
        """The same of a bound."""
        return self.period(cast("int", from_bytes(self._type, bound)))
