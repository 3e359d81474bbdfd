"""Raw: the source's rows of each day, typed, nothing dropped, with the file they came from."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import polars as pl

from ae_assets.chain.ledger import catch_up
from ae_assets.chain.raw_columns import RawColumns
from ae_assets.chain.workspace import RAW, FailedPeriod, Workspace
from ae_assets.errors import ContractError, LakehouseError, SourceError
from ae_assets.progress import Progress
from ae_assets.schemas.periods import Periods
from ae_assets.sources import Source, SourceDay


@dataclass(frozen=True)
class RawDay:
    """What became of one day of the source."""

    day: date
    status: Literal["loaded", "missing", "kept"]
    """kept: the source does not list the day any more; the rows that were loaded before stay."""
    rows: int
    rescued_rows: int = 0
    origin: str = ""
    fingerprint: str = ""
    size_bytes: int = 0
    repeated: int = 0
    """Records of the source that repeat another one word for word, as where a topic was sent a period twice."""


def load_raw(space: Workspace, source: Source, days: Sequence[date]) -> Iterator[RawDay | FailedPeriod]:
    """Writes the source's rows of the given days, and brings the ledger and the lives up to them.

    A day that the source lacks is reported; rows loaded for it before are kept, since a file that is away for a moment
    (an archive that is being replaced) must not empty a table. So are those of a day whose file cannot be read or does
    not fit the table, which fails and stops no other day.

    Raises:
        SourceError: the source cannot be listed.
        LakehouseError: simulated and real rows would meet in one table, or the table cannot be written.
    """
    refuse_a_mixture(space, source)
    listed, held = source.days(), space.days_of(RAW)
    columns = RawColumns(space.name(RAW), space.schema(RAW) if held else {})
    written: dict[date, SourceDay] = {}
    began, rows = time.monotonic(), 0
    with space.writer(RAW) as writer:
        for done, day in enumerate(sorted(days), start=1):
            entry = listed.get(day)
            if entry is None:
                yield RawDay(day, "kept" if day in held else "missing", held.get(day, 0))
                continue
            try:
                loaded = with_origin(columns.fit(source.read(entry), entry.origin), entry, space.table.periods)
                writer.write(day, loaded)
            except SourceError as error:
                yield FailedPeriod(day, RAW, str(error))
                continue
            except ContractError as error:
                yield FailedPeriod(day, RAW, f"{entry.origin}: {error}")
                continue
            written[day] = entry
            rows += loaded.height
            space.progress(Progress("raw", done, len(days), space.table.periods.plural, rows, time.monotonic() - began))
            yield RawDay(
                day,
                "loaded",
                loaded.height,
                loaded["rescued"].count(),
                entry.origin,
                entry.fingerprint,
                entry.size_bytes,
                repeated(entry, loaded.height),
            )
    catch_up(space, written)


def repeated(entry: SourceDay, rows: int) -> int:
    """The records of a day of the source that are no rows since they repeat others."""
    return 0 if entry.records is None else entry.records - rows


def with_origin(rows: pl.DataFrame, entry: SourceDay, periods: Periods) -> pl.DataFrame:
    """The rows of a day with the day, the file that they are of, its fingerprint, and now."""
    return rows.with_columns(
        day=pl.lit(entry.day, periods.dtype),
        source_file=pl.lit(entry.origin),
        source_fingerprint=pl.lit(entry.fingerprint),
        loaded_at=pl.lit(datetime.now(tz=UTC)).cast(pl.Datetime("us", "UTC")),
    )


def refuse_a_mixture(space: Workspace, source: Source) -> None:
    """Refuses simulated rows beside real ones.

    Raises:
        LakehouseError: the table holds one kind and the source the other.
    """
    if not space.days_of(RAW):
        return
    held = space.simulated
    if held != source.simulated:
        kinds = ("simulated", "real") if held else ("real", "simulated")
        raise LakehouseError(
            f"{space.name(RAW)} holds {kinds[0]} devices and the source {source.location} has {kinds[1]} ones; "
            "name another folder in AE_ASSETS_HOME for it"
        )
