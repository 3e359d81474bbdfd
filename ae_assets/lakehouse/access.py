"""Tables as the catalog has them: loading, making, widening, replacing days, all tried again after conflicts."""

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TypeVar

import polars as pl
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy.exc import IntegrityError, OperationalError

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.catalogs import open_catalog, sqlite_file
from ae_assets.lakehouse.columns import DAY, check_day, new_columns
from ae_assets.lakehouse.failures import PATIENCE_SECONDS, StorageError, explained, is_full, retrying
from ae_assets.lakehouse.layout import Layout, iceberg_schema, layout_of
from ae_assets.lakehouse.partitions import by_periods
from ae_assets.lakehouse.servers import AWAY
from ae_assets.lakehouse.snapshots import Attempt, files_by_day, replace_days
from ae_assets.schemas.periods import Periods

_COMMIT_SECONDS = 180.0
_LOAD_SECONDS = PATIENCE_SECONDS
_MISSING_FILE_SECONDS = 10.0
_LOOKS_AT_ONCE = 8
_REFUSALS = (
    CommitFailedException,
    CommitStateUnknownException,
    TableAlreadyExistsError,
    ValidationException,
    OperationalError,
    *AWAY,
    FileNotFoundError,  # metadata that a writer replaced between the catalog's answer and the read
)
_TABLE_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    # Bounds of 200 columns in each of a thousand files would make planning slow; days are found by partition.
    "write.metadata.metrics.default": "none",
    # A file of metadata is written at every commit; the snapshots it lists stay readable without its predecessors.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # Engines other than ae_assets shall leave whole files behind when they delete rows.
    "write.delete.mode": "copy-on-write",
    "write.update.mode": "copy-on-write",
    "write.merge.mode": "copy-on-write",
}
_Result = TypeVar("_Result")


class TableAccess:
    """The tables of one catalog; connects on first use, and again in a forked process."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self.properties: Mapping[str, str] = dict(properties)
        self._catalog: Catalog | None = None
        self._process = 0
        self._layouts: dict[tuple[str, int], Layout] = {}

    def __reduce__(self) -> tuple[type["TableAccess"], tuple[Mapping[str, str]]]:
        """Sent to another process, it connects there."""
        return TableAccess, (self.properties,)

    def close(self) -> None:
        """Lets go of the connection; the next use makes a new one."""
        if self._catalog is not None and self._process == os.getpid():
            self._catalog.close()
        self._catalog = None

    def find(self, name: str) -> Table | None:
        """The table as it is now, or None where there is none; makes nothing."""
        identifier = _identifier(name)
        database = sqlite_file(self.properties)
        if self._catalog is None and database is not None and not database.exists():
            return None
        catalog = self._opened()
        try:
            return until_accepted(f"opening {name}", lambda: catalog.load_table(identifier), _LOAD_SECONDS)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def get(self, name: str) -> Table:
        """The table as it is now.

        Raises:
            LakehouseError: there is none.
        """
        table = self.find(name)
        if table is None:
            raise LakehouseError(
                f"Table {name} does not exist yet: materialise the asset {name.replace('.', '/')} first, "
                "or check that the home folder or catalog is the one it was written to."
            )
        return table

    def layout(self, table: Table, state: Snapshot | None = None) -> Layout:
        """Columns of the table, now or as they were in a former state."""
        schema = table.schema()
        if state is not None and state.schema_id is not None:
            schema = table.schemas().get(state.schema_id, schema)
        key = (str(table.metadata.table_uuid), schema.schema_id)
        if key not in self._layouts:
            self._layouts[key] = layout_of(table, schema)
        return self._layouts[key]

    def fitting(self, name: str, table: Table | None, day: date, frame: pl.DataFrame, periods: Periods) -> Table | None:
        """The table with the frame's columns, made or widened if need be; None for no columns of no table.

        Raises:
            ContractError: a column has another type than the table's, or cannot be stored.
            LakehouseError: the table is stored by other periods.
        """
        check_day(name, day, frame, periods)

        def lacking(table: Table | None) -> dict[str, pl.DataType]:
            return new_columns(name, day, frame, {} if table is None else self._columns(name, table, periods), periods)

        def widened() -> Table:
            table = self.find(name)
            added = lacking(table)
            if table is None:
                return self._create(name, added, periods)
            if added:
                with table.update_schema() as update:
                    for field in iceberg_schema(added).fields:
                        update.add_column((field.name,), field.field_type, doc=field.doc)
            return table

        added = lacking(table)
        if not added or (table is None and DAY not in added):
            return table
        return until_accepted(f"adding columns to {name}", widened)

    def _columns(self, name: str, table: Table, periods: Periods) -> Mapping[str, pl.DataType]:
        layout = self.layout(table)
        if layout.periods is not periods:
            raise LakehouseError(
                f"{name} is stored by {layout.periods.noun}s, and was to be written by {periods.noun}s: set "
                f"partitions: {layout.periods.partitions} again, or load the source into a new home (AE_ASSETS_HOME)."
            )
        return layout.types

    def set_properties(self, name: str, properties: Mapping[str, str]) -> None:
        """Sets table properties; no commit where all have their values already."""

        def set_them() -> None:
            table = self.get(name)
            if any(table.properties.get(key) != value for key, value in properties.items()):
                with table.transaction() as transaction:
                    transaction.set_properties(dict(properties))

        until_accepted(f"setting properties of {name}", set_them)

    def replace_days(
        self,
        table: Table,
        files: Mapping[date, Sequence[DataFile]],
        instead_of: Mapping[date, Sequence[DataFile]] | None = None,
        *,
        together: bool = False,
        properties: Mapping[str, str] | None = None,
    ) -> tuple[Table, frozenset[date]]:
        """Makes the days consist of the files, in one snapshot; every try looks again what the days hold.

        Args:
            table: the table that the files were written for.
            files: what each day shall consist of; an empty sequence empties the day.
            instead_of: the files that each day is taken to consist of, days without any left out. A day that consists
                of others when the commit is made is left as it is. None: days are replaced whatever they hold.
            together: whether one such day leaves all of them as they are.
            properties: of the table, set with the commit.

        Returns:
            the table as it is then, and the days that were replaced.

        Raises:
            LakehouseError: a file is gone, or other runs kept writing.
        """
        name = ".".join(table.name())
        tried: list[tuple[Attempt, frozenset[date]]] = []

        def replace_them() -> tuple[Table, frozenset[date]]:
            current = self.get(name) if tried else table
            if current.metadata.table_uuid != table.metadata.table_uuid:
                raise LakehouseError(f"Table {name} was dropped and made again during this run: run it again.")
            for attempt, replaced in tried:
                if attempt.snapshot_id and current.snapshot_by_id(attempt.snapshot_id):
                    return current, replaced  # An answer was lost, the commit was not.
            new_files = files if instead_of is None else _unchanged(current, files, instead_of)
            if not new_files or (together and len(new_files) < len(files)):
                return current, frozenset()
            _check_that_files_are_there(current, new_files)
            attempt = replace_days(current, new_files, properties)
            tried.append((attempt, frozenset(new_files)))
            if attempt.failure is not None:
                raise attempt.failure
            return current, frozenset(new_files)

        try:
            return until_accepted(
                f"committing {len(files)} days from {min(files)} to {max(files)} of {name}", replace_them
            )
        except StorageError as failure:
            if not any(attempt.snapshot_id for attempt, _ in tried):
                raise
            # An earlier try may have come through without an answer: its files must stay.
            raise LakehouseError(str(failure)) from failure

    def _create(self, name: str, columns: Mapping[str, pl.DataType], periods: Periods) -> Table:
        identifier = _identifier(name)
        catalog = self._opened()
        with contextlib.suppress(NamespaceAlreadyExistsError, IntegrityError):
            catalog.create_namespace_if_not_exists(identifier[0])
        schema = iceberg_schema({periods.noun if name == DAY else name: dtype for name, dtype in columns.items()})
        return catalog.create_table(
            identifier,
            schema,
            partition_spec=by_periods(schema, periods),
            properties={**_TABLE_PROPERTIES, f"write.metadata.metrics.column.{periods.noun}": "full"},
        )

    def _opened(self) -> Catalog:
        # A database connection must not cross a fork.
        if self._catalog is None or self._process != os.getpid():
            self._catalog = open_catalog(self.properties)
            self._process = os.getpid()
        return self._catalog


def _identifier(table: str) -> tuple[str, str]:
    """Iceberg's namespace and name of ``"<watched table>.<asset>"``, which can never lead out of their folder."""
    namespace, _, name = table.partition(".")
    if not all(re.fullmatch(r"[A-Za-z0-9_]+", word) for word in (namespace, name)):
        raise LakehouseError(
            f"'{table}' is not a table name: expected <watched table>.<asset> with letters, digits and underscores, "
            "e.g. drive_stats.raw."
        )
    return namespace, name


def _unchanged(
    table: Table, files: Mapping[date, Sequence[DataFile]], instead_of: Mapping[date, Sequence[DataFile]]
) -> dict[date, Sequence[DataFile]]:
    """The days that still consist of exactly the files that they are taken to consist of."""

    def locations(of_day: Sequence[DataFile]) -> set[str]:
        return {file.file_path for file in of_day}

    current = files_by_day(table, min(files), max(files))
    return {
        day: new for day, new in files.items() if locations(current.get(day, ())) == locations(instead_of.get(day, ()))
    }


def _check_that_files_are_there(table: Table, files: Mapping[date, Sequence[DataFile]]) -> None:
    """A commit must not name a file that is gone, whatever the clocks told who removes old files."""
    locations = [(day, file.file_path) for day, of_day in files.items() for file in of_day]
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        exist = pool.map(lambda location: table.io.new_input(location[1]).exists(), locations)
        for (day, location), exists in zip(locations, exist, strict=True):
            if not exists:
                raise LakehouseError(
                    f"The file of {day} that was to be committed to {'.'.join(table.name())} was removed from the "
                    f"warehouse: {location}. Nothing was changed; run it again. If maintenance removed it, this run "
                    "took longer than attributes.maintenance.keep_days, or the clock jumped."
                )


def until_accepted(what: str, attempt: Callable[[], _Result], seconds: float | None = None) -> _Result:
    """Repeats what a concurrent commit or a busy or restarting server refuses.

    Args:
        what: what is attempted, for messages.
        attempt: attempts it.
        seconds: for how long; None: as long as a commit may take.

    Raises:
        LakehouseError: it was refused for that long, or as `StorageError` for a reason that does not pass.
    """
    longest = _COMMIT_SECONDS if seconds is None else seconds

    def patience(refusal: BaseException) -> float:
        if is_full(refusal) or not isinstance(refusal, _REFUSALS):
            return 0.0
        return min(longest, _MISSING_FILE_SECONDS) if isinstance(refusal, FileNotFoundError) else longest

    try:
        return retrying(patience)(attempt)
    except (OSError, *_REFUSALS) as refusal:
        if not patience(refusal):
            raise StorageError(explained(what, refusal)) from refusal
        raise LakehouseError(
            f"Gave up {what} after {patience(refusal):.0f} seconds, because other runs kept writing or the catalog kept"
            f" refusing: {refusal}. Nothing was changed; run it again when fewer runs write, or when the catalog's"
            " server answers."
        ) from refusal
