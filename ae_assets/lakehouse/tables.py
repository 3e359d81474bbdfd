"""Tables partitioned by day, hour or week on Iceberg: reading ranges of them and replacing some.

The period is called day here, and ``day`` is its column in every frame: a `date`, of a table of hours a `datetime` in
UTC. Model files are in `models`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.columns import ENTITY
from ae_assets.lakehouse.failures import storage_errors
from ae_assets.lakehouse.writer import DayWriter
from ae_assets.schemas.periods import DAILY, Periods

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from ae_assets.lakehouse.access import TableAccess
    from ae_assets.lakehouse.appending import Step
    from ae_assets.lakehouse.elsewhere import DayFiles
    from ae_assets.lakehouse.maintenance import Maintained


class Lakehouse:
    """Iceberg tables named ``"<watched table>.<asset>"`` and partitioned by day, hour or week.

    Safe to use from several threads and processes at once. Opening one touches neither disk nor network; the first
    read or write does.
    """

    def __init__(self, access: "TableAccess") -> None:
        self._access = access

    @classmethod
    def open(
        cls,
        home: Path | None,
        properties: Mapping[str, str] | None = None,
        file_properties: Mapping[str, str] | None = None,
    ) -> "Lakehouse":
        """Picks the catalog: the given properties, over pyiceberg's own configuration, over the embedded default.

        Args:
            home: folder of the embedded default, a SQLite catalog ``catalog.db`` and a folder ``warehouse``, both made
                on first write; None where another catalog is configured.
            properties: pyiceberg catalog settings, e.g. ``{"type": "rest", "uri": ..., "warehouse": ...}``. Without
                them pyiceberg's configuration of a catalog named ``ae_assets`` is used where there is one
                (``PYICEBERG_CATALOG__AE_ASSETS__URI`` or ``.pyiceberg.yaml``).
            file_properties: pyiceberg's settings of files, e.g. ``{"s3.region": ...}``, where neither names them.

        Raises:
            LakehouseError: neither a home nor a catalog is given.
        """
        from ae_assets.lakehouse.access import TableAccess
        from ae_assets.lakehouse.catalogs import catalog_properties

        return cls(TableAccess(catalog_properties(home, properties or {}, file_properties or {})))

    def close(self) -> None:
        """Lets go of the connection to the catalog; the next use makes a new one."""
        self._access.close()

    def exists(self, table: str) -> bool:
        """Whether the table has been written at least once."""
        return self._access.find(table) is not None

    def schema(self, table: str) -> pl.Schema:
        """Columns of a table and the types that a read gives, in order."""
        return pl.Schema(self._access.layout(self._access.get(table)).types)

    def writer(
        self,
        table: str,
        periods: Periods = DAILY,
        *,
        commit_rows: int = 2_000_000,
        after: DayWriter | None = None,
    ) -> DayWriter:
        """A context manager whose ``write(day, frame)`` replaces days of a table, which is made on the first write.

        Args:
            table: ``"<watched table>.<asset>"``.
            periods: by which the table is stored, days, hours or weeks; it stays with those it was made with.
            commit_rows: rows that may wait for a commit; days come into view in batches of about this many rows.
            after: a writer of another table whose waiting days are committed before every commit of this one, so that
                a day that is seen here is never without what was written there for it.
        """
        return DayWriter(self._access, table, periods, commit_rows, after)

    def day_files(self, table: str, day: date, empty: pl.DataFrame, periods: Periods = DAILY) -> "DayFiles":
        """What writes files of a table in other processes, for `DayWriter.take`; the table is made or widened for it.

        Args:
            table: ``"<watched table>.<asset>"``.
            day: any period of it.
            empty: a frame without rows that has the columns that will be written.
            periods: as `writer`.

        Raises:
            ContractError: as `DayWriter.write`.
        """
        from ae_assets.lakehouse.elsewhere import DayFiles

        fitting = self._access.fitting(table, self._access.find(table), day, empty, periods)
        if fitting is None:
            raise LakehouseError(f"{table} cannot be made of a frame without columns.")
        return DayFiles.of(fitting, self._access.layout(fitting))

    def snapshot(self, table: str) -> int | None:
        """The number of the state in which a table is; None for one that never held a row."""
        current = self._access.get(table).current_snapshot()
        return None if current is None else current.snapshot_id

    @property
    def catalog(self) -> Mapping[str, str]:
        """Settings of the catalog as pyiceberg has them, passwords included, for other engines."""
        return self._access.properties

    def revise(
        self, table: str, first: date, last: date, change: Callable[[pl.DataFrame], Mapping[date, pl.DataFrame]]
    ) -> None:
        """Replaces days of a table of days by what a function makes of a range, all in one commit or not at all.

        The function is asked again where another run changed one of its days in the meantime, so that of two runs that
        revise a day at once neither undoes the other.

        Args:
            table: it is made where there is none.
            first: first day of the range that the function is given.
            last: last day of it.
            change: from the rows of the range, without columns where there is no table yet, to the new rows of the
                days that change; all of them lie in the range.

        Raises:
            LakehouseError: as `read` and `writer` raise it.
        """
        from ae_assets.lakehouse.revision import revise

        revise(self._access, table, first, last, change)

    def append(self, table: str, frames: Mapping[date, pl.DataFrame], periods: Periods, step: "Step") -> bool:
        """Appends rows to periods, and says with the same commit up to which place of a stream the table goes then.

        Args:
            table: it is made where there is none; frames without rows serve for that, too.
            frames: rows of each period, with a column ``day`` that is this period throughout.
            periods: by which the table is stored.
            step: from where to where in the stream the rows go.

        Returns:
            whether they were appended; not so where the table was at another place of the stream, to which another
            reader of it has brought it: then nothing was changed.

        Raises:
            ContractError: as `DayWriter.write`.
            LakehouseError: the catalog or the warehouse did not take them.
        """
        from ae_assets.lakehouse.appending import append

        return append(self._access, table, frames, periods, step)

    def positions(self, table: str) -> dict[str, int]:
        """Up to which place of each part of a stream a table goes; empty where there is no table."""
        from ae_assets.lakehouse.appending import positions_of

        return positions_of(self._access.find(table))

    def iceberg(self, table: str) -> "Table | None":
        """The table as pyiceberg has it; None where there is none."""
        return self._access.find(table)

    def read(
        self,
        table: str,
        first: date,
        last: date,
        columns: Sequence[str] | None = None,
        as_of: datetime | int | None = None,
        entities: Collection[str] | None = None,
        named_in: str = ENTITY,
    ) -> pl.DataFrame:
        """Rows of a range of days, both ends included, in order of days; an empty frame if the days have no rows.

        Args:
            table: ``"<watched table>.<asset>"``.
            first: first day; of a table of hours or weeks the period in which it lies.
            last: last day; the same, and a date stands for its last hour.
            columns: columns to read, in the order wanted; None for all, in the table's order.
            as_of: a time (UTC where it names no zone) or the number of a snapshot: rows and columns as they were then.
            entities: whose rows; of each file only their parts are read. None: all rows.
            named_in: the column that names entities.

        Raises:
            LakehouseError: no such table or column, a file of the table cannot be read, or the state asked for is not
                held (it says which is the oldest that is).
        """
        days, read = self._plan(table, first, last, columns, as_of, entities, named_in)
        return read([file for files in days.values() for file in files])

    def iter_days(
        self,
        table: str,
        first: date,
        last: date,
        columns: Sequence[str] | None = None,
        as_of: datetime | int | None = None,
        entities: Collection[str] | None = None,
    ) -> Iterator[tuple[date, pl.DataFrame]]:
        """Days of a range that have rows, one after the other, all of one snapshot; holds one day at a time.

        Takes what `read` takes and raises what it raises; a missing table or column at once.
        """
        days, read = self._plan(table, first, last, columns, as_of, entities)
        return ((day, read(files)) for day, files in days.items())

    def day_rows(self, table: str, as_of: datetime | int | None = None) -> dict[date, int]:
        """Rows of each day that has any, in order of days, from metadata only; empty where there is no table."""
        days = self._files_by_day(table, as_of).items()
        return {day: sum(file.record_count for file in files) for day, files in days}

    def day_versions(self, table: str) -> dict[date, str]:
        """What each day that has rows consists of, in order of days, from metadata only; empty where there is no table.

        It is another one whenever the day was written again, also with equal rows, or compacted.
        """
        days = self._files_by_day(table).items()
        return {day: "+".join(PurePosixPath(file.file_path).stem for file in files) for day, files in days}

    def properties(self, table: str) -> dict[str, str]:
        """Table properties, Iceberg's own among them."""
        return dict(self._access.get(table).properties)

    def set_properties(self, table: str, properties: Mapping[str, str]) -> None:
        """Sets properties of a table that exists, e.g. ``{"ae_assets.simulated": "true"}``; all others stay."""
        self._access.set_properties(table, properties)

    def remove_days(self, table: str, rows: Mapping[date, int], properties: Mapping[str, str]) -> bool:
        """Empties days that hold as many rows as is said, and sets properties of the table, all in one commit.

        Returns:
            whether they were emptied; where one holds another number of rows, or is written meanwhile, none is.
        """
        found = self._access.get(table)
        with storage_errors(f"listing the days of {table}"):
            files = {day: of_day for day, of_day in self._files_by_day(table).items() if day in rows}
        if {day: sum(file.record_count for file in of_day) for day, of_day in files.items()} != dict(rows):
            return False
        emptied: Mapping[date, Sequence[DataFile]] = {day: [] for day in rows}
        return bool(self._access.replace_days(found, emptied, files, together=True, properties=properties)[1])

    def maintain(
        self,
        table: str,
        keep: timedelta = timedelta(days=5),
        *,
        keep_snapshots: int = 1,
        retention_days: int | None = None,
    ) -> "Maintained":
        """Makes days of several files one file each, forgets former states, and removes files that nothing names.

        The rows of every day stay as they are, but for days past the retention. Safe beside runs whose files wait no
        longer than `keep` for their commit; a commit that waited longer fails rather than name a file that is gone.

        Args:
            table: a table that exists.
            keep: how long a former state can be read after it was replaced, and age from which on files that nothing
                names are removed; at least an hour.
            keep_snapshots: how many of the last states stay however old they are, the current one included.
            retention_days: days that the table shall hold, counted back from the newest one; None: all.
        """
        from ae_assets.lakehouse.maintenance import maintain

        with storage_errors(f"maintaining {table}"):
            return maintain(self._access, table, keep, keep_snapshots, retention_days)

    def _plan(
        self,
        table: str,
        first: date,
        last: date,
        columns: Sequence[str] | None,
        as_of: datetime | int | None,
        entities: Collection[str] | None,
        named_in: str = ENTITY,
    ) -> "tuple[dict[date, list[DataFile]], Callable[[list[DataFile]], pl.DataFrame]]":
        """The files of each day of a read, and what reads some of them."""
        from ae_assets.lakehouse.files import read_files
        from ae_assets.lakehouse.history import state_at
        from ae_assets.lakehouse.snapshots import files_by_day

        loaded = self._access.get(table)
        state = state_at(loaded, as_of)
        layout = self._access.layout(loaded, state)
        names = list(layout.types if columns is None else dict.fromkeys(columns))
        needed = names if entities is None else [*names, named_in]
        if missing := [name for name in needed if name not in layout.types]:
            raise LakehouseError(f"Table {table} has no column {', '.join(missing)}; it has {', '.join(layout.types)}.")
        with storage_errors(f"planning a read of {table}"):
            days = files_by_day(loaded, first, last, state)
        return days, lambda files: read_files(loaded, layout, files, names, entities, named_in)

    def _files_by_day(self, table: str, as_of: datetime | int | None = None) -> "dict[date, list[DataFile]]":
        from ae_assets.lakehouse.history import state_at
        from ae_assets.lakehouse.snapshots import files_by_day

        loaded = self._access.find(table)
        if loaded is None:
            return {}
        with storage_errors(f"listing the days of {table}"):
            return files_by_day(loaded, state=state_at(loaded, as_of))
