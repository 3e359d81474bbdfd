"""Keeping a table small: forgetting old snapshots, and removing files that none of the remaining ones names.

Small files need no compaction here, because a day is written as one file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.snapshots import files_of

SHORTEST = timedelta(hours=1)
"""Files of a run under way are named by no snapshot yet, so younger ones are never touched."""


@dataclass(frozen=True)
class Maintained:
    """What maintenance did to a table.

    Attributes:
        snapshots_expired: snapshots that can no longer be read.
        files_removed: data and metadata files removed from the warehouse.
        bytes_freed: their size.
    """

    snapshots_expired: int
    files_removed: int
    bytes_freed: int


def check_keep(keep: timedelta) -> None:
    """Raises LakehouseError for a time that could take files from a run under way."""
    if keep < SHORTEST:
        raise LakehouseError(f"Maintenance was to keep {keep} only: files of a run under way need at least {SHORTEST}.")


def expire_snapshots(table: Table, keep: timedelta) -> int:
    """Forgets the snapshots that were replaced longer than `keep` ago; tags, branches and the current one stay.

    Returns:
        how many.
    """
    cutoff = (datetime.now(UTC) - keep).timestamp() * 1000
    replaced: list[int] = []
    follower_at: float | None = None
    protected = {reference.snapshot_id for reference in table.refs().values()}
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        if follower_at is not None and follower_at < cutoff and snapshot.snapshot_id not in protected:
            replaced.append(snapshot.snapshot_id)
        follower_at = snapshot.timestamp_ms
    if replaced:
        table.maintenance.expire_snapshots().by_ids(replaced).commit()
    return len(replaced)


def remove_unnamed_files(table: Table, keep: timedelta) -> tuple[int, int]:
    """Removes files below the table's folder that no snapshot names and that are older than `keep`.

    Returns:
        how many, and their bytes together.

    Raises:
        LakehouseError: the warehouse is not reached through pyarrow, so its files cannot be listed.
    """
    if not isinstance(table.io, PyArrowFileIO):
        raise LakehouseError(
            f"The files of {'.'.join(table.name())} are reached through {type(table.io).__name__}, which cannot list "
            "them: set py-io-impl to pyiceberg.io.pyarrow.PyArrowFileIO for the catalog."
        )
    scheme, netloc, folder = table.io.parse_location(table.location(), table.io.properties)
    files = table.io.fs_by_scheme(scheme, netloc)
    named = {table.io.parse_location(path, table.io.properties)[2] for path in _named(table)}
    cutoff = datetime.now(UTC) - keep
    removed = freed = 0
    for info in files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True)):
        if info.type == fs.FileType.File and info.path not in named and info.mtime is not None and info.mtime < cutoff:
            files.delete_file(info.path)
            removed += 1
            freed += info.size
    return removed, freed


def _named(table: Table) -> Iterator[str]:
    yield table.metadata_location
    yield from (entry.metadata_file for entry in table.metadata.metadata_log)
    yield from (statistics.statistics_path for statistics in table.metadata.statistics)
    yield from (statistics.statistics_path for statistics in table.metadata.partition_statistics)
    yield from files_of(table)
