"""Keeping a table small: days past their retention, days in several files, former states, files that nothing names."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.access import TableAccess, until_accepted
from ae_assets.lakehouse.compaction import Compacted, compact
from ae_assets.lakehouse.history import expirable
from ae_assets.lakehouse.partitions import periods_of
from ae_assets.lakehouse.remains import check_keep, cutoff, is_old, remove, sum_of_sizes
from ae_assets.lakehouse.snapshots import files_by_day, files_of, forget


@dataclass(frozen=True)
class Maintained:
    """What maintenance did to a table.

    Attributes:
        days_past_retention: days that were removed from the table because they are too old.
        rows_past_retention: their rows.
        compacted: what became of days in several files.
        snapshots_expired: former states that can no longer be read.
        files_removed: data and metadata files removed from the warehouse.
        bytes_freed: their size.
    """

    days_past_retention: int
    rows_past_retention: int
    compacted: Compacted
    snapshots_expired: int
    files_removed: int
    bytes_freed: int


def maintain(
    access: TableAccess, name: str, keep: timedelta, keep_snapshots: int, retention_days: int | None
) -> Maintained:
    """Maintains a table; what the steps replace stays readable as a former state until a later maintenance.

    Raises:
        LakehouseError: an argument is too small, files cannot be listed or read, or other runs kept writing.
    """
    check_keep(keep)
    for what, value in (("snapshots", keep_snapshots), ("days", retention_days)):
        if value is not None and value < 1:
            raise LakehouseError(f"Maintenance of {name} was to keep {value} {what}: expected at least 1.")
    days, rows = (0, 0) if retention_days is None else remove_days_past_retention(access, name, retention_days)
    compacted = compact(access, name)
    table = access.get(name)
    # Buckets that are made for tables take no file that is not named as one of a table.
    probe = table.location_provider().new_metadata_location(f"{uuid.uuid4()}-m0.avro")
    before = cutoff(_warehouse_of(table)[0], _path(table, probe), keep)
    expired = expire_snapshots(access, name, before, keep_snapshots)
    return Maintained(days, rows, compacted, expired, *remove_unnamed_files(access, name, before))


def remove_days_past_retention(access: TableAccess, name: str, retention_days: int) -> tuple[int, int]:
    """Empties, in one commit, the days that lie `retention_days` or more before the newest day that has rows.

    So it is with hours and weeks. One that lies in the future is wrong and makes no other old.

    Returns:
        how many days, and their rows.
    """
    table = access.get(name)
    rows = {day: sum(file.record_count for file in files) for day, files in files_by_day(table).items()}
    now = periods_of(table).of(datetime.now(UTC))
    newest = max((day for day, count in rows.items() if count and day <= now), default=None)
    past = [day for day in rows if newest is not None and newest - day >= timedelta(days=retention_days)]
    if past:
        access.replace_days(table, {day: [] for day in past})
    return len(past), sum(rows[day] for day in past)


def expire_snapshots(access: TableAccess, name: str, before: datetime, keep_snapshots: int) -> int:
    """Forgets the states that were replaced before a time; what that leaves is what `history.expirable` says.

    Returns:
        how many.
    """

    def forget_them() -> int:
        table = access.get(name)
        expired = expirable(table, before, keep_snapshots)
        if expired:
            forget(table, expired)
        return len(expired)

    return until_accepted(f"expiring snapshots of {name}", forget_them)


def remove_unnamed_files(access: TableAccess, name: str, before: datetime) -> tuple[int, int]:
    """Removes files below the table's folder that no snapshot names and that are older than a time.

    Returns:
        how many, and their bytes together.
    """
    table = access.get(name)
    files, folder = _warehouse_of(table)
    named = _named(table)
    infos = files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    unnamed = [info for info in infos if info.is_file and info.path not in named and is_old(info, before)]
    if unnamed:
        named = _named(access.get(name))  # and what was committed while the files were listed
    removed = remove(files, [info for info in unnamed if info.path not in named])
    return len(removed), sum_of_sizes(removed)


def _warehouse_of(table: Table) -> tuple[fs.FileSystem, str]:
    """The file system that the table's files are on, and their folder there."""
    if not isinstance(table.io, PyArrowFileIO):
        raise LakehouseError(
            f"The files of {'.'.join(table.name())} are reached through {type(table.io).__name__}, which cannot list "
            "them: set py-io-impl to pyiceberg.io.pyarrow.PyArrowFileIO for the catalog."
        )
    scheme, netloc, folder = table.io.parse_location(table.location(), table.io.properties)
    return table.io.fs_by_scheme(scheme, netloc), folder


def _named(table: Table) -> set[str]:
    """Paths of everything that the table names, as its file system writes them."""
    metadata = table.metadata
    locations = {
        table.metadata_location,
        *(entry.metadata_file for entry in metadata.metadata_log),
        *(statistics.statistics_path for statistics in metadata.statistics),
        *(statistics.statistics_path for statistics in metadata.partition_statistics),
        *files_of(table),
    }
    return {_path(table, location) for location in locations}


def _path(table: Table, location: str) -> str:
    path: str = PyArrowFileIO.parse_location(location, table.io.properties)[2]
    return path
