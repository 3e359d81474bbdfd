"""Maintenance: the tables are kept small, and what killed runs left is removed, in the tables and among the models."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from ae_assets.chain.ledger import ledger_of
from ae_assets.chain.workspace import (
    ANOMALIES,
    DAILY_INPUT,
    DEAD_LETTERS,
    LEDGER,
    LIVES,
    STREAM,
    TARGET,
    Workspace,
)
from ae_assets.progress import Progress
from ae_assets.sources.kafka import REMOVED, fingerprint_of, removed_up_to

if TYPE_CHECKING:
    from ae_assets.lakehouse.maintenance import Maintained


@dataclass(frozen=True)
class TablesMaintained:
    """What became of each table, by its asset, and of the models.

    Attributes:
        tables: by asset.
        model_files_removed: files of models that were never finished.
        model_bytes_freed: their size.
        seconds: how long it took.
    """

    tables: Mapping[str, "Maintained"]
    model_files_removed: int
    model_bytes_freed: int
    seconds: float

    @property
    def bytes_freed(self) -> int:
        """Bytes of all files removed."""
        return self.model_bytes_freed + sum(table.bytes_freed for table in self.tables.values())


def maintain(space: Workspace) -> TablesMaintained:
    """Maintains each table that there is, and the models. Runs under way are not disturbed.

    Rows stay as they are, but for those of days past the table's retention.

    Raises:
        LakehouseError: a table's files cannot be listed or read, or other runs kept writing.
    """
    settings = space.table.maintenance
    keep = timedelta(days=settings.keep_days)
    assets = [
        asset for asset in (*DAILY_INPUT, ANOMALIES, LEDGER, LIVES, TARGET, STREAM, DEAD_LETTERS) if space.exists(asset)
    ]
    began, tables = time.monotonic(), {}
    for done, asset in enumerate(assets, 1):
        landed = remove_landed(space) if asset == STREAM else {}
        tables[asset] = space.tables.maintain(
            space.name(asset),
            keep,
            keep_snapshots=settings.keep_snapshots,
            retention_days=None if asset == STREAM else getattr(settings.retention_days, asset, None),
        )
        if landed:
            tables[asset] = replace(
                tables[asset], days_past_retention=len(landed), rows_past_retention=sum(landed.values())
            )
        space.progress(Progress("maintenance", done, len(assets), "tables", 0, time.monotonic() - began))
    removed, freed = space.models.remove_incomplete(space.table.table, keep)
    return TablesMaintained(tables, removed, freed, time.monotonic() - began)


def remove_landed(space: Workspace) -> dict[date, int]:
    """Takes periods past their retention away from what was landed of a topic, once raw has all of their records.

    The oldest first, up to one that raw has not: so all before the newest that is gone are gone, and records of them
    that come later are told from new periods.

    Returns:
        the periods, each with its rows.
    """
    days, periods, name = space.table.maintenance.retention_days.stream, space.table.periods, space.name(STREAM)
    rows = {day: count for day, count in space.days_of(STREAM).items() if count}
    newest = max((day for day in rows if day <= periods.of(datetime.now(UTC))), default=None)
    if days is None or newest is None:
        return {}
    before = removed_up_to(space.tables.properties(name), periods)
    loaded = dict(ledger_of(space).select("period", "fingerprint").iter_rows())
    gone: dict[date, int] = {}
    for day in sorted(rows):
        if before is not None and day <= before:
            continue  # records that came late
        if newest - day < timedelta(days=days) or loaded.get(day) != fingerprint_of(rows[day]):
            break
        gone[day] = rows[day]
    if not gone or not space.tables.remove_days(name, gone, {REMOVED: periods.key(max(gone))}):
        return {}
    return gone
