"""What every step of the chain is given (definition, tables, models), and what it says of a period that failed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.lakehouse import DayWriter, Lakehouse
from ae_assets.lakehouse.registry import ModelRegistry
from ae_assets.lakehouse.run_log import NoRunLog, RunLog
from ae_assets.model.definition import WatchedTable
from ae_assets.progress import ProgressSink, silent

if TYPE_CHECKING:
    from ae_assets.lakehouse.elsewhere import DayFiles

RAW, FEATURES, QUARANTINE = "raw", "features", "quarantine"
MODEL, THRESHOLD, ANOMALIES, EVALUATION = "model", "threshold", "anomalies", "evaluation"
MAINTENANCE = "maintenance"
LEDGER, LIVES, TARGET = "ledger", "lives", "target"
"""Tables that are no assets: what was loaded, from when to when each device was seen, and when it was abnormal."""
STREAM, DEAD_LETTERS = "stream", "dead_letters"
"""Tables of a topic: the records that were landed, and those that are none, each with the reason."""

SIMULATED_SCHEME = "simulated:"
"""How the source file of invented rows begins."""

DAILY_INPUT = (RAW, FEATURES, QUARANTINE)
"""The daily tables that need no model."""

DAILY = (*DAILY_INPUT, ANOMALIES)
"""The tables that are made day by day."""


@dataclass(frozen=True)
class Workspace:
    """A watched table with the places where its tables and models are kept and its trainings are logged."""

    table: WatchedTable
    tables: Lakehouse
    models: ModelRegistry
    progress: ProgressSink = silent
    run_log: RunLog = field(default_factory=NoRunLog)

    def name(self, asset: str) -> str:
        """Full name of one of the chain's tables, e.g. ``drive_stats.raw``."""
        return f"{self.table.table}.{asset}"

    def exists(self, asset: str) -> bool:
        """Whether one of the chain's tables has been written at least once."""
        return self.tables.exists(self.name(asset))

    def schema(self, asset: str) -> pl.Schema:
        """Its columns and the types that a read gives."""
        return self.tables.schema(self.name(asset))

    def read(
        self,
        asset: str,
        first: date,
        last: date,
        columns: Sequence[str] | None = None,
        entities: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a range of days of one of the chain's tables, as `Lakehouse.read` gives them."""
        return self.tables.read(self.name(asset), first, last, columns, entities=entities)

    def iter_days(
        self,
        asset: str,
        first: date,
        last: date,
        columns: Sequence[str] | None = None,
        entities: Collection[str] | None = None,
    ) -> Iterator[tuple[date, pl.DataFrame]]:
        """The same one day at a time."""
        return self.tables.iter_days(self.name(asset), first, last, columns, entities=entities)

    def writer(self, asset: str, after: DayWriter | None = None) -> DayWriter:
        """Replaces days of one of the chain's tables, as `Lakehouse.writer` does."""
        return self.tables.writer(self.name(asset), self.table.periods, after=after)

    def day_files(self, asset: str, day: date, types: Mapping[str, pl.DataType]) -> "DayFiles":
        """What writes files of days of one of the chain's tables in other processes, as `Lakehouse.day_files` does."""
        return self.tables.day_files(self.name(asset), day, pl.DataFrame(schema=types), self.table.periods)

    def day_versions(self, asset: str) -> dict[date, str]:
        """What each of its days consists of, as `Lakehouse.day_versions` says."""
        return self.tables.day_versions(self.name(asset))

    def days_of(self, asset: str) -> dict[date, int]:
        """Rows of each day that one of the chain's tables holds."""
        return self.tables.day_rows(self.name(asset))

    def days_with_rows(self, asset: str) -> list[date]:
        """The days of which it holds rows, in order."""
        return sorted(day for day, rows in self.days_of(asset).items() if rows)

    @property
    def no_rows(self) -> pl.DataFrame:
        """Written for a period, it makes the period empty."""
        return pl.DataFrame(schema={"day": self.table.periods.dtype})

    @property
    def simulated(self) -> bool:
        """Whether the rows that are held were invented: the file that they name says so."""
        last = max(self.days_of(RAW), default=None)
        if last is None:
            return False
        files = self.read(RAW, last, last, ["source_file"])
        return bool(files["source_file"].str.starts_with(SIMULATED_SCHEME).any())

    def read_with_look_back(
        self,
        asset: str,
        periods: Collection[date],
        look_back: timedelta,
        columns: Sequence[str] | None = None,
        entities: Collection[str] | None = None,
    ) -> Iterator[tuple[date, bool, pl.DataFrame]]:
        """The given periods in order, each preceded by those it looks back on, one at a time and each once.

        Periods that reach into the look-back before the beginning of one are read whole.

        Yields:
            Period, whether it was asked for itself, and its rows; periods without rows are left out.
        """
        asked = set(periods)
        for first, last in self.table.periods.stretches(asked, look_back):
            for period, frame in self.iter_days(asset, first, last, columns, entities):
                if frame.height:
                    yield period, period in asked, frame


@dataclass(frozen=True)
class FailedPeriod:
    """A period that could not be made, or that a check holds back, while the others go on.

    Attributes:
        day: which one.
        asset: the asset of the chain at which it failed; for what follows that asset it failed there, too.
        reason: why, for a person.
        check: the check that holds the day back: the asset's rows are stored, what follows them is not made. None
            where the rows could not be made.
    """

    day: date
    asset: str
    reason: str
    check: str | None = None
