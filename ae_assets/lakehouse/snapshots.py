"""Days of an Iceberg table: which files hold them, and the commit that replaces some of them.

The only module that builds on internals of pyiceberg (0.12), and on few: how a transaction stages, and when manifests
are merged. Which manifests a commit writes is pyiceberg's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io import FileIO
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestFile,
)
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import AddSnapshotUpdate, RemoveSnapshotsUpdate, TableRequirement, TableUpdate
from pyiceberg.table.update.snapshot import _FastAppendFiles, _OverwriteFiles
from pyiceberg.typedef import Record
from requests import RequestException

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.failures import is_full
from ae_assets.lakehouse.partitions import Partition, periods_of

MANIFEST_FILES, _MANIFEST_BYTES = 128, 64 * 2**10
"""Files and bytes of a full manifest, which is what a rewritten day costs at least: some milliseconds."""
_LOOSE_MANIFESTS = 32
"""Manifests beyond the full ones; so many are merged."""


def data_file(table: Table, path: str, day: date, rows: int, size_bytes: int) -> DataFile:
    """Describes a Parquet file, written already, that holds one day, hour or week."""
    partition = Partition.of(table, table.spec().spec_id)
    bound = {partition.field_id: partition.bound(day)}
    described = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(partition.number(day)),
        record_count=rows,
        file_size_in_bytes=size_bytes,
        lower_bounds=bound,
        upper_bounds=bound,
    )
    described.spec_id = table.spec().spec_id
    return described


def files_by_day(
    table: Table, first: date | None = None, last: date | None = None, state: Snapshot | None = None
) -> dict[date, list[DataFile]]:
    """The data files of each day that has rows, in order of days and file names; reads metadata only.

    Args:
        table: the table, as of its loaded metadata.
        first: leave out days before; None for all. Of a table of hours or weeks, the period in which it lies.
        last: leave out days after; None for all. Of a table of hours, a date stands for its last one.
        state: a former state of the table; None for the current one.

    Raises:
        LakehouseError: the table is not partitioned by its periods, or another engine left row deletes in it.
    """
    days: dict[date, list[DataFile]] = defaultdict(list)
    periods = periods_of(table)
    first = None if first is None else periods.of(first)
    last = None if last is None else periods.last_of(last)
    for manifest in _manifests_of(state or table.current_snapshot(), table.io):
        _refuse_row_deletes(table, manifest)
        at = Partition.of(table, manifest.partition_spec_id)
        if not _is_live(manifest) or not _may_hold(manifest, at, first, last):
            continue
        for entry in _entries(_Listed(manifest, table.io)):
            value = entry.data_file.partition[at.position]
            if value is None:
                continue
            day = at.period(value)
            if (first is None or first <= day) and (last is None or day <= last):
                days[day].append(entry.data_file)
    return {day: sorted(days[day], key=lambda file: file.file_path) for day in sorted(days)}


def manifest_count(table: Table) -> int:
    """Manifests that a read of all days opens."""
    return sum(_is_live(manifest) for manifest in _manifests_of(table.current_snapshot(), table.io))


def files_of(table: Table) -> set[str]:
    """Locations of all files that the table's snapshots name: manifest lists, manifests, and data and delete files."""
    manifests: dict[str, ManifestFile] = {}
    for snapshot in table.snapshots():
        manifests.update({manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)})
    lists = {snapshot.manifest_list for snapshot in table.snapshots()}
    content = (entry.data_file.file_path for it in manifests.values() for entry in it.fetch_manifest_entry(table.io))
    return {*lists, *manifests, *content}


@dataclass(frozen=True)
class Attempt:
    """One try to replace days.

    Attributes:
        snapshot_id: of the snapshot it makes or may have made; None where there is certainly none.
        failure: why the catalog did not say that it accepted; None if it did.
    """

    snapshot_id: int | None
    failure: Exception | None = None


def replace_days(
    table: Table, files: Mapping[date, Sequence[DataFile]], properties: Mapping[str, str] | None = None
) -> Attempt:
    """Tries once to make one snapshot in which the given days hold the given files and nothing else is changed.

    Properties of the table are set with it, or not either.

    The catalog accepts it only if no other snapshot came after the one that `table` has loaded; so of two writers of
    one day the later accepted one replaces the earlier one's files, and the two are never both there.

    Returns:
        what came of it; on success the table holds the new metadata. After a failure other than a conflict the catalog
        may have accepted all the same: look whether the snapshot is there before trying again.
    """
    if _has_many_manifests(table):
        merge_manifests(table)  # Before, since after the commit no failure may look like one of the commit.
    before = files_by_day(table, min(files), max(files))
    gone = [file for day in files for file in before.get(day, ())]
    added = [file for day in sorted(files) for file in files[day]]
    if not gone and not added:
        return Attempt(None)
    transaction = _Transaction(table)
    overwrite = transaction.update_snapshot().overwrite()
    for file in gone:
        overwrite.delete_data_file(file)
    for file in added:
        overwrite.append_data_file(file)
    if properties:
        transaction.set_properties(dict(properties))
    return _tried(transaction, overwrite)


def append_files(table: Table, files: Sequence[DataFile], properties: Mapping[str, str]) -> Attempt:
    """Tries once to make one snapshot with more files, and to set properties of the table, both or neither.

    The catalog accepts it only if no other snapshot came after the one that `table` has loaded.
    """
    if _has_many_manifests(table):
        merge_manifests(table)
    transaction = _Transaction(table)
    append = transaction.update_snapshot().fast_append()
    for file in files:
        append.append_data_file(file)
    transaction.set_properties(dict(properties))
    return _tried(transaction, append)


def merge_manifests(table: Table) -> Attempt:
    """Tries once to make one snapshot of the same files under fewer manifests."""
    transaction = _Transaction(table)
    append = transaction.update_snapshot().merge_append()
    # Set here and not as properties of the table, which would bind other engines as well.
    append._merge_enabled, append._min_count_to_merge, append._target_size_bytes = True, 2, _MANIFEST_BYTES  # noqa: SLF001
    return _tried(transaction, append)


def _has_many_manifests(table: Table) -> bool:
    snapshot = table.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return False
    full = int(snapshot.summary["total-data-files"] or 0) // MANIFEST_FILES
    return manifest_count(table) >= full + _LOOSE_MANIFESTS


def forget(table: Table, snapshots: Sequence[int]) -> None:
    """Makes snapshots unreadable, in one commit; raises what the catalog refuses it with.

    pyiceberg's own way copies the whole metadata twice for each of them: minutes for a thousand.
    """
    transaction = _Transaction(table)
    transaction._apply((RemoveSnapshotsUpdate(snapshot_ids=list(snapshots)),))  # noqa: SLF001
    transaction.commit_transaction()


def _tried(transaction: "_Transaction", producer: _OverwriteFiles | _FastAppendFiles) -> Attempt:
    try:
        producer.commit()
        transaction.commit_transaction()
    except (CommitFailedException, ValidationException) as conflict:
        producer._clean_all_uncommitted()  # noqa: SLF001 - what the transaction does where it tries again
        return Attempt(producer.snapshot_id, conflict)
    except RequestException as unknown:
        return Attempt(producer.snapshot_id, unknown)
    except OSError as failure:  # of the files that are written before the catalog is asked
        producer._clean_all_uncommitted()  # noqa: SLF001
        return Attempt(None, failure)
    except Exception as unknown:  # noqa: BLE001 - handed to the caller, who alone can tell whether to look and try again
        return Attempt(None if is_full(unknown) else producer.snapshot_id, unknown)
    return Attempt(producer.snapshot_id)


class _Transaction(Transaction):
    """A transaction of one snapshot, which is never older than the table: other engines refuse such.

    pyiceberg takes the clock of whoever writes, and copies the metadata, all former snapshots with it, some twenty
    times a commit to show what is staged.
    """

    @property
    def table_metadata(self) -> TableMetadata:
        return self._table.metadata

    def _register_snapshot_producer(self, producer: object) -> None:
        """Nothing: pyiceberg would try again with the deletes as planned; our caller looks which files there are."""

    def _stage(self, updates: tuple[TableUpdate, ...], requirements: tuple[TableRequirement, ...] = ()) -> Transaction:
        last = self._table.metadata.last_updated_ms
        ordered = (
            AddSnapshotUpdate(snapshot=update.snapshot.model_copy(update={"timestamp_ms": last + 1}))
            if isinstance(update, AddSnapshotUpdate) and update.snapshot.timestamp_ms <= last
            else update
            for update in updates
        )
        return super()._stage(tuple(ordered), requirements)


@dataclass(frozen=True)
class _Listed:
    """A manifest as a manifest list names it, and what reads it."""

    manifest: ManifestFile
    io: FileIO = field(compare=False)


@lru_cache(maxsize=256)
def _entries(listed: _Listed) -> tuple[ManifestEntry, ...]:
    """The live entries of a manifest, read once: a file that a snapshot names never changes.

    Each step of a run asks several times which days are there.
    """
    return tuple(listed.manifest.fetch_manifest_entry(listed.io))


def _manifests_of(snapshot: Snapshot | None, io: FileIO) -> list[ManifestFile]:
    return [] if snapshot is None else list(snapshot.manifests(io))


def _is_live(manifest: ManifestFile) -> bool:
    return manifest.has_added_files() or manifest.has_existing_files()


def _may_hold(manifest: ManifestFile, at: Partition, first: date | None, last: date | None) -> bool:
    if not manifest.partitions:
        return True
    summary = manifest.partitions[at.position]
    if summary.lower_bound is None or summary.upper_bound is None:
        return False
    lowest, highest = (at.period_of_bound(bound) for bound in (summary.lower_bound, summary.upper_bound))
    return (first is None or highest >= first) and (last is None or lowest <= last)


def _refuse_row_deletes(table: Table, manifest: ManifestFile) -> None:
    if manifest.content == ManifestContent.DELETES and _is_live(manifest):
        raise LakehouseError(
            f"Another engine deleted single rows of {'.'.join(table.name())} in place (merge-on-read), which ae_assets "
            "does not read: run rewrite_data_files there, and set write.delete.mode to copy-on-write."
        )
