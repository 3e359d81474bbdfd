"""Raw on Spark: each day of the source is read where a worker is free, by the reader of the local engine.

Files are not cut between workers: a day is bounded by what readers accept, its line numbers, its checksum and whether
it was cut off are those of the whole file, and archives cannot be cut.
"""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Any

import polars as pl

from ae_assets.chain.ledger import catch_up
from ae_assets.chain.raw import RawDay, load_raw, refuse_a_mixture, repeated, with_origin
from ae_assets.chain.raw_columns import RawColumns
from ae_assets.chain.workspace import RAW, FailedPeriod, Workspace
from ae_assets.engines.spark.engine import SparkEngine, collect
from ae_assets.errors import ContractError, SourceError
from ae_assets.lakehouse.elsewhere import DayFiles
from ae_assets.lakehouse.writer import WrittenFile
from ae_assets.progress import Progress
from ae_assets.schemas.records import PERIOD
from ae_assets.sources import Source, SourceDay

BLOCKS_OF_A_CORE = 4
"""Days next to each other share a block, so that a file of many days is not read for each of them."""


@dataclass(frozen=True)
class DaysToRead:
    """Reads days of a source and writes their files; it is sent to where a worker is free.

    Attributes:
        read: of the source, with what it has listed.
        columns: those of the table.
        files: writes them.
    """

    read: Callable[[SourceDay], pl.DataFrame]
    columns: RawColumns
    files: DayFiles

    @property
    def listed(self) -> dict[str, pl.DataType]:
        """The columns of the days to read: those of a `SourceDay`."""
        dtype = self.files.layout.periods.dtype
        numbers = {"size_bytes": pl.Int64(), "records": pl.Int64()}
        return {PERIOD: dtype, "fingerprint": pl.String(), "origin": pl.String(), **numbers}

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Of what becomes of a day: its file, why it fails, or an empty frame of the columns that the table lacks."""
        file = {"path": pl.String(), "rows": pl.Int64(), "file_bytes": pl.Int64(), "rescued": pl.Int64()}
        return {PERIOD: self.files.layout.periods.dtype, **file, "failure": pl.String(), "lacking": pl.Binary()}

    def __call__(self, listed: pl.DataFrame) -> pl.DataFrame:
        """The rows of `schema` of some rows of `listed`."""
        days = [SourceDay(*row) for row in listed.select(*self.listed).sort(PERIOD).iter_rows()]
        return pl.DataFrame([{PERIOD: day.day, **self._of_day(day)} for day in days], self.schema)

    def _of_day(self, entry: SourceDay) -> Mapping[str, object]:
        try:
            rows = with_origin(self.columns.fit(self.read(entry), entry.origin), entry, self.files.layout.periods)
            if lacking := self.files.lacking(entry.day, rows):
                return {"lacking": _as_bytes(lacking)}
        except SourceError as error:
            return {"failure": str(error)}
        except ContractError as error:
            return {"failure": f"{entry.origin}: {error}"}
        rescued = {"rescued": rows["rescued"].count()}
        for file in self.files.write(entry.day, rows):
            return {"path": file.path, "rows": file.rows, "file_bytes": file.size_bytes, **rescued}
        return {"rows": 0, **rescued}


def load_raw_on_spark(
    space: Workspace, source: Source, days: Sequence[date], engine: SparkEngine
) -> Iterator[RawDay | FailedPeriod]:
    """The same as `load_raw`, of as many days at once as Spark has workers; all are committed before one is given.

    Where there is no table yet, the first day that can be read is loaded here, and makes it.

    Raises:
        SourceError: the source cannot be listed.
        LakehouseError: as `load_raw`.
        EngineError: Spark failed; then no day was changed but the first.
    """
    refuse_a_mixture(space, source)
    waiting = sorted(days)
    while waiting and not space.exists(RAW):
        yield from load_raw(space, source, waiting[:1])
        waiting = waiting[1:]
    listed, held, began = source.days(), space.days_of(RAW), time.monotonic()
    entries = {day: listed[day] for day in waiting if day in listed}
    with engine.doing(f"reading {source.location}"):
        outcomes = _read(space, source, entries, engine)
    with space.writer(RAW) as writer:
        for day, one in outcomes.items():
            if one["failure"] is None:
                file = WrittenFile(one["path"], one["rows"], one["file_bytes"])
                writer.take(day, [file] if one["rows"] else [])
    made = {day: entry for day, entry in entries.items() if outcomes[day]["failure"] is None}
    catch_up(space, made)
    rows = sum(outcomes[day]["rows"] for day in made)
    plural = space.table.periods.plural
    space.progress(Progress("raw", len(waiting), len(waiting), plural, rows, time.monotonic() - began))
    for day in waiting:
        if day not in entries:
            yield RawDay(day, "kept" if day in held else "missing", held.get(day, 0))
        elif day not in made:
            yield FailedPeriod(day, RAW, outcomes[day]["failure"])
        else:
            entry, one = entries[day], outcomes[day]
            origin = entry.origin, entry.fingerprint, entry.size_bytes, repeated(entry, one["rows"])
            yield RawDay(day, "loaded", one["rows"], one["rescued"], *origin)


def _read(
    space: Workspace, source: Source, entries: Mapping[date, SourceDay], engine: SparkEngine
) -> dict[date, dict[str, Any]]:
    """What became of each day, in order; those with columns that the table lacked are read again when it has them."""
    outcomes: dict[date, dict[str, Any]] = {}
    while waiting := [day for day in entries if day not in outcomes]:
        files = space.day_files(RAW, waiting[0], {})
        block = DaysToRead(source.read, RawColumns(space.name(RAW), space.schema(RAW)), files)
        listed = pl.DataFrame([astuple(entries[day]) for day in waiting], block.listed, orient="row")
        blocks = engine.parted(listed, BLOCKS_OF_A_CORE)
        for one in collect(engine.map_blocks(blocks, block, block.schema)).sort(PERIOD).iter_rows(named=True):
            day = one.pop(PERIOD)
            if (lacking := one.pop("lacking")) is None:
                outcomes[day] = one
                continue
            try:
                _widen(space, day, pl.read_ipc(io.BytesIO(lacking)))
            except ContractError as error:
                outcomes[day] = {**one, "failure": f"{entries[day].origin}: {error}"}
    return dict(sorted(outcomes.items()))


def _widen(space: Workspace, day: date, lacking: pl.DataFrame) -> None:
    known = {name.lower() for name in space.schema(RAW)}
    new = [name for name in lacking.columns if name.lower() not in known]
    if new:
        space.day_files(RAW, day, lacking.select(new).schema)


def _as_bytes(schema: Mapping[str, pl.DataType]) -> bytes:
    text = io.BytesIO()
    pl.DataFrame(schema=schema).write_ipc(text)
    return text.getvalue()
