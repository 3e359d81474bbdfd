"""Revising days: their new rows are made of those that are there, and made again where those changed meanwhile."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date

import polars as pl
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from ae_assets.lakehouse.access import TableAccess
from ae_assets.lakehouse.files import read_files, write_file
from ae_assets.lakehouse.snapshots import files_by_day
from ae_assets.schemas.periods import DAILY


def revise(
    access: TableAccess,
    name: str,
    first: date,
    last: date,
    change: Callable[[pl.DataFrame], Mapping[date, pl.DataFrame]],
) -> None:
    """Replaces days by what a function makes of a range of them; see `Lakehouse.revise`."""

    def change_them() -> None:
        table = access.find(name)
        held = {} if table is None else files_by_day(table, first, last)
        rows = pl.DataFrame()
        if table is not None:
            layout = access.layout(table)
            rows = read_files(table, layout, [file for files in held.values() for file in files], list(layout.kept))
        frames = change(rows)
        if not frames:
            return
        for day, frame in frames.items():
            table = access.fitting(name, table, day, frame, DAILY)
        if table is None:
            return
        written = {
            day: [] if frame.is_empty() else [write_file(table, access.layout(table), day, frame)]
            for day, frame in frames.items()
        }
        read = {day: {file.file_path for file in held.get(day, ())} for day in written}
        table, replaced = access.replace_days(table, written, instead_of=read, together=True)
        if not replaced:
            _remove(table, written)
            raise CommitFailedException(f"another run changed {name} in the meantime")

    access.until_accepted(f"revising {name}", change_them)


def _remove(table: Table, files: Mapping[date, list[DataFile]]) -> None:
    for file in (file for found in files.values() for file in found):
        with suppress(OSError):  # maintenance removes it
            table.io.delete(file.file_path)
