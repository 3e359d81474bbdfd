"""Compaction: days that consist of several files become one file each.

A day that ae_assets writes is one file. Other engines, and appends of single rows, leave more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from ae_assets.lakehouse.access import TableAccess
from ae_assets.lakehouse.files import read_files, remove_unused, write_day
from ae_assets.lakehouse.snapshots import files_by_day

_COMMIT_ROWS = 2_000_000


@dataclass(frozen=True)
class Compacted:
    """What compaction made of a table.

    Attributes:
        days: days that became one file.
        files_before: data files of all days.
        files_after: the same afterwards; the former ones stay as long as a state that is held names them.
    """

    days: int
    files_before: int
    files_after: int


def compact(access: TableAccess, name: str) -> Compacted:
    """Compacts a table; every day has the same rows in the same order afterwards.

    A day that another run writes in the meantime stays as that run left it. Holds one day in memory.

    Raises:
        LakehouseError: a file of such a day cannot be read, or other runs kept writing.
    """
    table = access.get(name)
    before = files_by_day(table)
    merged = 0
    for batch in _batches({day: files for day, files in before.items() if len(files) > 1}):
        table, days = _merge_days(access, table, batch)
        merged += len(days)
    files_before, files_after = (sum(map(len, days.values())) for days in (before, files_by_day(access.get(name))))
    return Compacted(merged, files_before, files_after)


def _merge_days(
    access: TableAccess, table: Table, days: Mapping[date, Sequence[DataFile]]
) -> tuple[Table, frozenset[date]]:
    layout = access.layout(table)
    merged = {
        day: write_day(table, layout, day, read_files(table, layout, files, list(layout.types)))
        for day, files in days.items()
    }
    current, replaced = access.replace_days(table, merged, instead_of=days)
    remove_unused(table, (file for day, files in merged.items() if day not in replaced for file in files))
    return current, replaced


def _batches(days: Mapping[date, Sequence[DataFile]]) -> Iterator[dict[date, Sequence[DataFile]]]:
    """Days of about `_COMMIT_ROWS` rows together, so that a conflict repeats little work."""
    batch: dict[date, Sequence[DataFile]] = {}
    rows = 0
    for day, files in days.items():
        batch[day] = files
        rows += sum(file.record_count for file in files)
        if rows >= _COMMIT_ROWS:
            yield batch
            batch, rows = {}, 0
    if batch:
        yield batch
