"""Days that were made and hold no row, told from those that nobody has made: an empty table is an answer."""

from datetime import date

import polars as pl

from ae_assets.chain.ledger import ledger_of
from ae_assets.chain.workspace import ANOMALIES, FEATURES, QUARANTINE, RAW, Workspace
from ae_assets.model.definition import WatchedTable


def empty_days(space: Workspace, asset: str, first: date, last: date) -> list[date]:
    """The loaded days of a range of which one of the daily assets has no row, and can have none.

    Of a day, raw rows are rows of features or of quarantine: where the one has them all the other is empty. Anomalies
    have a row for each of features.
    """
    if not space.exists(RAW):
        return []
    ledger = ledger_of(space).filter(pl.col("period").is_between(first, last))
    raw = dict(ledger.select("period", "rows").iter_rows())
    others = {RAW: None, FEATURES: QUARANTINE, ANOMALIES: QUARANTINE, QUARANTINE: FEATURES}[asset]
    held = {} if others is None else space.days_of(others)
    return sorted(day for day, rows in raw.items() if rows == held.get(day, 0))


def no_rows_of(space: Workspace, asset: str) -> pl.DataFrame:
    """A frame without rows that has the columns of one of the daily assets; raw must have been written once."""
    return pl.DataFrame(schema=space.schema(asset) if space.exists(asset) else types_of(space.table, asset))


def types_of(table: WatchedTable, asset: str) -> pl.Schema:
    """The columns that one of the daily assets is made with; those of raw its files say."""
    from ae_assets.features.schema import feature_schema
    from ae_assets.schemas.anomalies import anomaly_schema
    from ae_assets.schemas.quarantine import quarantine_schema

    promised = {
        FEATURES: feature_schema(table.features, table.rhythm),
        QUARANTINE: quarantine_schema(table.periods),
        ANOMALIES: anomaly_schema(table.rhythm),
    }[asset]
    return pl.Schema({name: column.dtype.type for name, column in promised.columns.items()})
