"""Maintenance: old states of the tables are forgotten, and files that nothing names are removed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ae_assets.pipeline.chain.storage import ANOMALIES, DAILY_INPUT, Storage
from ae_assets.progress import Progress

if TYPE_CHECKING:
    from ae_assets.lakehouse.maintenance import Maintained


@dataclass(frozen=True)
class TablesMaintained:
    """What became of each table, by its asset."""

    tables: Mapping[str, "Maintained"]
    seconds: float

    @property
    def bytes_freed(self) -> int:
        """Bytes of all files removed."""
        return sum(table.bytes_freed for table in self.tables.values())


def maintain(storage: Storage) -> TablesMaintained:
    """Maintains each daily table that there is. Rows stay as they are; runs under way are not disturbed.

    Raises:
        LakehouseError: a table's files cannot be listed, or other runs kept writing.
    """
    keep = timedelta(days=storage.table.maintenance.keep_days)
    assets = [asset for asset in (*DAILY_INPUT, ANOMALIES) if storage.tables.exists(storage.name(asset))]
    began, tables = time.monotonic(), {}
    for done, asset in enumerate(assets, 1):
        tables[asset] = storage.tables.maintain(storage.name(asset), keep)
        storage.progress(Progress("maintenance", done, len(assets), "tables", 0, time.monotonic() - began))
    return TablesMaintained(tables, time.monotonic() - began)
