"""Days of an Iceberg table: which files hold them, and the commit that replaces some of them.

The only module that builds on internals of pyiceberg (0.12). Its public overwrite takes Arrow tables and row filters,
keeps a manifest for every commit ever made, and retries without planning its deletes anew; files streamed one by one,
a thousand small commits and two writers of one day need what `_ReplaceDays` does instead: the list of manifests of the
new snapshot. All else (snapshot, manifest list, metadata, the atomic swap in the catalog) stays pyiceberg's.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, partial

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io import FileIO
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
)
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update import AddSnapshotUpdate, RemoveSnapshotsUpdate, TableUpdate
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.typedef import Record
from requests import RequestException

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.failures import is_full
from ae_assets.lakehouse.partitions import Partition, periods_of

MANIFEST_FILES = 128
"""Data files in a full manifest: what a rewritten day costs at least, so a few milliseconds' worth."""
_LOOSE_MANIFESTS = 32
"""Manifests that are less than half full and are left as they are; one more, and they are merged."""


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
    found: dict[date, list[DataFile]] = defaultdict(list)
    periods = periods_of(table)
    first = None if first is None else periods.of(first)
    last = None if last is None else periods.last_of(last)
    for manifest in _manifests_of(state or table.current_snapshot(), table.io):
        _refuse_row_deletes(table, manifest)
        at = Partition.of(table, manifest.partition_spec_id)
        if not _is_live(manifest) or not _may_hold(manifest, at, first, last):
            continue
        for entry in _entries(_Listed(manifest, table.io)):
            day = _day(entry, at)
            if day is not None and (first is None or first <= day) and (last is None or day <= last):
                found[day].append(entry.data_file)
    return {day: sorted(found[day], key=lambda file: file.file_path) for day in sorted(found)}


def manifest_count(table: Table) -> int:
    """Manifests that a read of all days opens."""
    return sum(_is_live(manifest) for manifest in _manifests_of(table.current_snapshot(), table.io))


def files_of(table: Table) -> set[str]:
    """Locations of all files that the table's snapshots name: manifest lists, manifests, and data and delete files."""
    manifests: dict[str, ManifestFile] = {}
    for snapshot in table.snapshots():
        manifests.update({manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)})
    lists = {snapshot.manifest_list for snapshot in table.snapshots()}
    held = (entry.data_file.file_path for it in manifests.values() for entry in it.fetch_manifest_entry(table.io))
    return {*lists, *manifests, *held}


@dataclass(frozen=True)
class Attempt:
    """One try to replace days.

    Attributes:
        snapshot_id: of the snapshot it makes or may have made; None where there is certainly none.
        failure: why the catalog did not say that it accepted; None if it did.
    """

    snapshot_id: int | None
    failure: Exception | None = None


def replace_days(table: Table, files: Mapping[date, Sequence[DataFile]]) -> Attempt:
    """Tries once to make one snapshot in which the given days hold the given files and nothing else is changed.

    The catalog accepts it only if no other snapshot came after the one that `table` has loaded; so of two writers of
    one day the later accepted one replaces the earlier one's files, and the two are never both there.

    Args:
        table: the table, loaded; on success it holds the new metadata.
        files: what each day shall consist of; an empty sequence empties the day.

    Returns:
        what came of it. After a failure other than a conflict the catalog may have accepted all the same: look whether
        the snapshot is there before trying again.
    """
    transaction = _Transaction(table)
    return _tried(transaction, _ReplaceDays(table, transaction, files))


def merge_manifests(table: Table) -> Attempt:
    """Tries once to make one snapshot of the same files under as few manifests as hold them."""
    transaction = _Transaction(table)
    return _tried(transaction, _ReplaceDays(table, transaction, {}, merges_all=True))


def forget(table: Table, snapshots: Sequence[int]) -> None:
    """Makes snapshots unreadable, in one commit; raises what the catalog refuses it with.

    pyiceberg's own way copies the whole metadata twice for each of them: minutes for a thousand.
    """
    transaction = _Transaction(table)
    transaction._apply((RemoveSnapshotsUpdate(snapshot_ids=list(snapshots)),))  # noqa: SLF001
    transaction.commit_transaction()


def _tried(transaction: "_Transaction", replacing: "_ReplaceDays") -> Attempt:
    if replacing.changes_nothing:
        return Attempt(None)
    try:
        replacing.commit()
        transaction.commit_transaction()
    except (CommitFailedException, ValidationException) as conflict:
        replacing.remove_manifests()
        return Attempt(replacing.snapshot_id, conflict)
    except RequestException as unknown:
        return Attempt(replacing.snapshot_id, unknown)
    except OSError as failure:  # of the files that are written before the catalog is asked
        replacing.remove_manifests()
        return Attempt(None, failure)
    except Exception as unknown:  # noqa: BLE001 - handed to the caller, who alone can tell whether to look and try again
        return Attempt(None if is_full(unknown) else replacing.snapshot_id, unknown)
    return Attempt(replacing.snapshot_id)


class _Transaction(Transaction):
    """A transaction of one snapshot, which is planned on the metadata as loaded.

    pyiceberg's copies the metadata, all former snapshots with it, some twenty times a commit to show staged changes.
    """

    @property
    def table_metadata(self) -> TableMetadata:
        return self._table.metadata


class _ReplaceDays(_OverwriteFiles):
    """Snapshot in which some days hold new files: the old files of exactly those days are deleted.

    Manifests are kept few and small: those of the replaced days are rewritten without them, records of earlier
    deletions are dropped, and loose ones are merged when they are many.
    """

    def __init__(
        self,
        table: Table,
        transaction: Transaction,
        files: Mapping[date, Sequence[DataFile]],
        *,
        merges_all: bool = False,
    ) -> None:
        self._table = table
        self._merges_all = merges_all
        snapshot = transaction.table_metadata.current_snapshot()
        super().__init__(Operation.OVERWRITE if snapshot else Operation.APPEND, transaction, table.io)
        for day in sorted(files):
            for file in files[day]:
                self.append_data_file(file)
        self._kept: list[ManifestFile] = []
        self._rewritten: list[ManifestEntry] = []
        self._gone: list[ManifestEntry] = []
        self._plan(snapshot, files.keys())
        self._deleted_data_files = {entry.data_file for entry in self._gone}

    @property
    def changes_nothing(self) -> bool:
        return not self._added_data_files and not self._gone and not self._merges_all

    def commit(self) -> None:
        updates, requirements = self._commit()
        # Unregistered, the transaction does not retry by itself: a retry has to look anew for files of these days.
        self._transaction._apply(tuple(map(self._in_order_of_time, updates)), requirements)  # noqa: SLF001

    def remove_manifests(self) -> None:
        """Removes what a refused commit wrote, as far as it came."""
        for path in (*self._uncommitted_manifests, *self._written_manifests, *self._written_manifest_lists):
            with suppress(OSError):
                self._io.delete(path)

    def _in_order_of_time(self, update: TableUpdate) -> TableUpdate:
        """A snapshot is never older than the table, whatever the clocks of its writers: other engines refuse such."""
        last = self._transaction.table_metadata.last_updated_ms
        if not isinstance(update, AddSnapshotUpdate) or update.snapshot.timestamp_ms > last:
            return update
        return AddSnapshotUpdate(snapshot=update.snapshot.model_copy(update={"timestamp_ms": last + 1}))

    def _plan(self, snapshot: Snapshot | None, days: Collection[date]) -> None:
        first, last = min(days, default=None), max(days, default=None)
        live = [manifest for manifest in _manifests_of(snapshot, self._io) if _is_live(manifest)]
        loose = [manifest for manifest in live if _live_files(manifest) < MANIFEST_FILES // 2]
        merged = set(live) if self._merges_all else set(loose) if len(loose) > _LOOSE_MANIFESTS else set()
        for manifest in live:
            _refuse_row_deletes(self._table, manifest)
            at = Partition.of(self._table, manifest.partition_spec_id)
            if manifest not in merged and not _may_hold(manifest, at, first, last):
                self._kept.append(manifest)
                continue
            entries = manifest.fetch_manifest_entry(self._io)
            gone = [entry for entry in entries if _day(entry, at) in days]
            if not gone and manifest not in merged:
                self._kept.append(manifest)
                continue
            self._gone.extend(gone)
            self._rewritten.extend(entry for entry in entries if _day(entry, at) not in days)

    def _manifests(self) -> list[ManifestFile]:
        changed = [
            _entry(ManifestEntryStatus.ADDED, self._snapshot_id, file, self._transaction.table_metadata.default_spec_id)
            for file in self._added_data_files
        ]
        changed += [_restated(entry, ManifestEntryStatus.DELETED, self._snapshot_id) for entry in self._gone]
        existing = [_restated(entry, ManifestEntryStatus.EXISTING, entry.snapshot_id) for entry in self._rewritten]
        return [*self._written(changed), *self._written(existing), *self._kept]

    def _written(self, entries: Sequence[ManifestEntry]) -> list[ManifestFile]:
        by_spec: dict[int, list[ManifestEntry]] = defaultdict(list)
        for entry in entries:
            by_spec[entry.data_file.spec_id].append(entry)
        written = []
        for spec_id, group in by_spec.items():
            at = Partition.of(self._table, spec_id)
            group.sort(key=partial(_order, at=at))
            for start in range(0, len(group), MANIFEST_FILES):
                with self.new_manifest_writer(self.spec(spec_id)) as writer:
                    for entry in group[start : start + MANIFEST_FILES]:
                        writer.add_entry(entry)
                written.append(writer.to_manifest_file())
        return written


@dataclass(frozen=True)
class _Listed:
    """A manifest as a manifest list names it, and what reads it."""

    manifest: ManifestFile
    io: FileIO = field(compare=False)


@lru_cache(maxsize=256)
def _entries(listed: _Listed) -> tuple[ManifestEntry, ...]:
    """The live entries of a manifest, read once: a file that a snapshot names never changes.

    A table of 4,000 days has 32 such files, and each step of a run asks several times which days are there.
    """
    return tuple(listed.manifest.fetch_manifest_entry(listed.io))


def _entry(status: ManifestEntryStatus, snapshot_id: int, file: DataFile, spec_id: int) -> ManifestEntry:
    file.spec_id = spec_id
    return ManifestEntry.from_args(
        status=status, snapshot_id=snapshot_id, sequence_number=None, file_sequence_number=None, data_file=file
    )


def _restated(entry: ManifestEntry, status: ManifestEntryStatus, snapshot_id: int | None) -> ManifestEntry:
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=entry.data_file,
    )


def _manifests_of(snapshot: Snapshot | None, io: FileIO) -> list[ManifestFile]:
    return [] if snapshot is None else list(snapshot.manifests(io))


def _is_live(manifest: ManifestFile) -> bool:
    return manifest.has_added_files() or manifest.has_existing_files()


def _live_files(manifest: ManifestFile) -> int:
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)


def _may_hold(manifest: ManifestFile, at: Partition, first: date | None, last: date | None) -> bool:
    if not manifest.partitions:
        return True
    summary = manifest.partitions[at.position]
    if summary.lower_bound is None or summary.upper_bound is None:
        return False
    lowest, highest = (at.period_of_bound(bound) for bound in (summary.lower_bound, summary.upper_bound))
    return (first is None or highest >= first) and (last is None or lowest <= last)


def _day(entry: ManifestEntry, at: Partition) -> date | None:
    value = entry.data_file.partition[at.position]
    return None if value is None else at.period(value)


def _order(entry: ManifestEntry, at: Partition) -> int:
    day = _day(entry, at)
    return 0 if day is None else at.number(day)


def _refuse_row_deletes(table: Table, manifest: ManifestFile) -> None:
    if manifest.content == ManifestContent.DELETES and _is_live(manifest):
        raise LakehouseError(
            f"Another engine deleted single rows of {'.'.join(table.name())} in place (merge-on-read), which ae_assets "
            "does not read: run rewrite_data_files there, and set write.delete.mode to copy-on-write."
        )
