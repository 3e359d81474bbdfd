"""Maintenance: the tables are kept small, and what killed runs left is removed, in the tables and among the models."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

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
        tables[asset] = space.tables.maintain(
            space.name(asset),
            keep,
            keep_snapshots=settings.keep_snapshots,
            retention_days=getattr(settings.retention_days, asset, None),
        )
        space.progress(Progress("maintenance", done, len(assets), "tables", 0, time.monotonic() - began))
    removed, freed = space.models.remove_incomplete(space.table.table, keep)
    return TablesMaintained(tables, removed, freed, time.monotonic() - began)
