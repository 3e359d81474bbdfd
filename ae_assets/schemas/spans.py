"""What lies within a length of time before each record of an entity: how many records, and the largest of values."""

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


def largest_within(
    values: NDArray[np.float64], since: NDArray[np.int64], until: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The largest value of each slice; -inf of an empty one.

    By maxima of 1, 2, 4, ... values from each place on, of which two cover a slice, so that the cost does not grow with
    the length of the slices.

    Args:
        values: (n,), no NaN.
        since: the first place of each slice (k,).
        until: the one after the last (k,).

    Returns:
        (k,).
    """
    length = until - since
    result = np.full(len(since), -np.inf)
    reach, level = 1, values
    while (length >= reach).any():
        chosen = np.flatnonzero((length >= reach) & (length < 2 * reach))
        result[chosen] = np.maximum(level[since[chosen]], level[until[chosen] - reach])
        level = np.maximum(level[:-reach], level[reach:])
        reach *= 2
    return result
