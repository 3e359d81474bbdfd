"""How many records of an entity lie within a length of time before each of its records: what windows are made of."""

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.schemas.records import ENTITY, TIME, time_of


def counts_within(rows: pl.DataFrame, length: timedelta, places: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
    """Records of the entity at times in ``(t - length, t]``, of records at times ``t``.

    Args:
        rows: ``entity`` and ``time``, or ``day`` where a period holds one record, sorted by the two; no two alike.
        length: how far back to count; above 0.
        places: the rows to count for, by position; all if None.

    Returns:
        Int32, one for each of ``places``, 1 or more: the records are that row and the rows just before it.
    """
    if rows.is_empty():
        return np.zeros(0, np.int32)
    places = np.arange(rows.height) if places is None else places
    entities = rows[ENTITY].rle_id().to_numpy().astype(np.int64)
    times = rows.select(time_of(rows.columns).cast(pl.Int64).alias(TIME)).to_series()
    moments = times.unique().sort().to_numpy()
    at = np.searchsorted(moments, times.to_numpy())
    earliest = np.searchsorted(moments, moments - length // timedelta(microseconds=1), side="right")
    # One number rises with entity, then time, so that one search finds the first record of each window.
    first = np.searchsorted(entities * len(moments) + at, (entities * len(moments) + earliest[at])[places])
    counts: NDArray[np.int32] = (places - first + 1).astype(np.int32)
    return counts
