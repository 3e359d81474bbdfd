"""Days that were made and hold no row, told from those that nobody has made: an empty table is an answer."""

from datetime import date

import polars as pl

from ae_assets.pipeline.chain.ledger import ledger_of
from ae_assets.pipeline.chain.storage import ANOMALIES, FEATURES, QUARANTINE, RAW, Storage


def empty_days(storage: Storage, asset: str, first: date, last: date) -> list[date]:
    """The loaded days of a range of which one of the daily assets has no row, and can have none.

    Of a day, raw rows are rows of features or of quarantine: where the one has them all the other is empty. Anomalies
    have a row for each of features.

    Args:
        storage: the table.
        asset: which of its daily assets.
        first: first day.
        last: last day.
    """
    if not storage.tables.exists(storage.name(RAW)):
        return []
    ledger = ledger_of(storage).filter(pl.col("period").is_between(first, last))
    raw = dict(ledger.select("period", "rows").iter_rows())
    others = {RAW: None, FEATURES: QUARANTINE, ANOMALIES: QUARANTINE, QUARANTINE: FEATURES}[asset]
    held = {} if others is None else storage.days_of(others)
    return sorted(day for day, rows in raw.items() if rows == held.get(day, 0))


def no_rows_of(storage: Storage, asset: str) -> pl.DataFrame:
    """A frame without rows that has the columns of one of the daily assets; raw must have been written once."""
    from ae_assets.schemas.anomalies import ANOMALY_SCHEMA
    from ae_assets.schemas.features import feature_schema
    from ae_assets.schemas.quarantine import QUARANTINE_SCHEMA

    if storage.tables.exists(storage.name(asset)):
        return pl.DataFrame(schema=storage.tables.schema(storage.name(asset)))
    promised = {
        FEATURES: feature_schema(storage.table.features),
        QUARANTINE: QUARANTINE_SCHEMA,
        ANOMALIES: ANOMALY_SCHEMA,
    }[asset]
    return pl.DataFrame(schema={name: column.dtype.type for name, column in promised.columns.items()})
