"""Writing days, hours or weeks: each becomes a Parquet file at once, and batches are swapped in by one commit each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self

import polars as pl

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.failures import StorageError, storage_errors
from ae_assets.schemas.periods import Periods

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from ae_assets.lakehouse.access import TableAccess

_COMMIT_DAYS = 128
"""As many as a full manifest has, see `snapshots`: a commit of more would make a larger one."""


@dataclass(frozen=True)
class WrittenFile:
    """A data file of a day that no commit names yet."""

    path: str
    rows: int
    size_bytes: int


class DayWriter:
    """Replaces days of one table; made by `Lakehouse.writer` and used as a context manager.

    Days that were written come into view together, in batches: whenever `commit_rows` rows or 128 days are waiting, and
    at the end of the context. If the context ends with an exception, the days still waiting keep their old rows.

    Attributes:
        committed: rows of each day that this writer has committed so far.
    """

    def __init__(
        self,
        access: "TableAccess",
        table: str,
        periods: Periods,
        commit_rows: int,
        after: "DayWriter | None" = None,
    ) -> None:
        if commit_rows < 1:
            raise LakehouseError(f"commit_rows is {commit_rows}: expected at least 1.")
        self.committed: dict[date, int] = {}
        self._access = access
        self._name = table
        self._periods = periods
        self._commit_rows = commit_rows
        self._after = after
        self._table: Table | None = None
        self._waiting: dict[date, list[DataFile]] = {}
        self._open = False

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        if kind is None:
            self._commit()
        else:
            self._discard(self._waiting)
            self._waiting = {}

    def write(self, day: date, frame: pl.DataFrame) -> None:
        """Makes the rows of a day exactly those of the frame.

        Args:
            day: the day to replace, or the hour or week of a table of such.
            frame: its rows, with a column ``day`` of the periods' type that is this day throughout; a frame without
                rows empties the day. Columns that the table lacks are added to it; those that the frame lacks are null.

        Raises:
            ContractError: a column whose type conflicts with the table's or cannot be stored; other days may fit.
            LakehouseError: rows of another day, a table of other periods, or a commit that did not get through.
        """
        if not self._open:
            raise LakehouseError(f"The writer of {self._name} is closed: use it inside `with lakehouse.writer(...)`.")
        from ae_assets.lakehouse.files import remove_unused, write_day

        table = self._table or self._access.find(self._name)
        self._table = table = self._access.fitting(self._name, table, day, frame, self._periods)
        if table is None:
            return
        remove_unused(table, self._waiting.pop(day, ()))
        with storage_errors(f"writing {day} of {self._name} to {table.location()}"):
            self._wait(day, write_day(table, self._access.layout(table), day, frame))

    def take(self, day: date, files: Sequence[WrittenFile]) -> None:
        """Makes a day consist of files that `DayFiles` wrote elsewhere; without any it is emptied."""
        from ae_assets.lakehouse.snapshots import data_file

        self._table = table = self._table or self._access.get(self._name)
        self._wait(day, [data_file(table, file.path, day, file.rows, file.size_bytes) for file in files])

    def _wait(self, day: date, files: "list[DataFile]") -> None:
        self._waiting[day] = files
        if sum(_rows_of(self._waiting).values()) >= self._commit_rows or len(self._waiting) >= _COMMIT_DAYS:
            self._commit()

    def _commit(self) -> None:
        if not self._waiting or self._table is None:
            return
        if self._after is not None:
            self._after._commit()  # noqa: SLF001 - of this class
        # Once a commit is asked for, only the catalog can say whether they are in use.
        files, self._waiting = self._waiting, {}
        try:
            self._table, _ = self._access.replace_days(self._table, files)
        except StorageError:
            self._discard(files)
            raise
        self.committed |= _rows_of(files)

    def _discard(self, files: "Mapping[date, list[DataFile]]") -> None:
        from ae_assets.lakehouse.files import remove_unused

        if self._table is not None:
            remove_unused(self._table, chain.from_iterable(files.values()))


def _rows_of(files: "Mapping[date, list[DataFile]]") -> dict[date, int]:
    return {day: sum(file.record_count for file in of_day) for day, of_day in files.items()}
