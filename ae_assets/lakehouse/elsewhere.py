"""Files of days that other processes write, with the writer of this one; only this one asks the catalog."""

from dataclasses import dataclass
from datetime import date

import polars as pl
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.table import Table

from ae_assets.lakehouse.columns import check_day, new_columns
from ae_assets.lakehouse.failures import storage_errors
from ae_assets.lakehouse.files import write_day
from ae_assets.lakehouse.layout import Layout
from ae_assets.lakehouse.writer import WrittenFile

_HISTORY: dict[str, object] = {
    "snapshots": [],
    "snapshot_log": [],
    "metadata_log": [],
    "refs": {},
    "current_snapshot_id": None,
}


@dataclass(frozen=True)
class DayFiles:
    """Writes files of one table; it is sent to where the rows are.

    Attributes:
        table: the table without its history and without its catalog.
        layout: its columns.
    """

    table: Table
    layout: Layout

    @classmethod
    def of(cls, table: Table, layout: Layout) -> "DayFiles":
        metadata = table.metadata.model_copy(update=_HISTORY)
        return cls(
            Table(table.name(), metadata, table.metadata_location, table.io, NoopCatalog(table.name()[0])), layout
        )

    def lacking(self, day: date, rows: pl.DataFrame) -> dict[str, pl.DataType]:
        """The columns of the rows of a day that the table has yet to be given.

        Raises:
            ContractError: as `DayWriter.write`.
        """
        name = ".".join(self.table.name())
        check_day(name, day, rows, self.layout.periods)
        return new_columns(name, day, rows, self.layout.types, self.layout.periods)

    def write(self, day: date, rows: pl.DataFrame) -> list[WrittenFile]:
        """Writes rows of a day into a file that no reader sees before `DayWriter.take` has committed it.

        Raises:
            LakehouseError: the warehouse cannot be written.
        """
        with storage_errors(f"writing {day} of {'.'.join(self.table.name())} to {self.table.location()}"):
            files = write_day(self.table, self.layout, day, rows)
        return [WrittenFile(file.file_path, file.record_count, file.file_size_in_bytes) for file in files]
