"""Revising days: their new rows are made of those that are there, and made again where those changed meanwhile."""

from collections.abc import Callable, Mapping
from datetime import date
from itertools import chain

import polars as pl
from pyiceberg.exceptions import CommitFailedException

from ae_assets.lakehouse.access import TableAccess, until_accepted
from ae_assets.lakehouse.files import read_files, remove_unused, write_day
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
        before = {} if table is None else files_by_day(table, first, last)
        rows = pl.DataFrame()
        if table is not None:
            layout = access.layout(table)
            rows = read_files(table, layout, list(chain.from_iterable(before.values())), list(layout.types))
        frames = change(rows)
        if not frames:
            return
        for day, frame in frames.items():
            table = access.fitting(name, table, day, frame, DAILY)
        if table is None:
            return
        written = {day: write_day(table, access.layout(table), day, frame) for day, frame in frames.items()}
        table, replaced = access.replace_days(table, written, instead_of=before, together=True)
        if not replaced:
            remove_unused(table, chain.from_iterable(written.values()))
            raise CommitFailedException(f"another run changed {name} in the meantime")

    until_accepted(f"revising {name}", change_them)
