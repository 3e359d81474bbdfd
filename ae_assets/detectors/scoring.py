"""Scoring: one jitted function per block of windows, blocks of one fixed shape spread over a few threads."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.arithmetic import gather, scale
from ae_assets.detectors.base import Scores
from ae_assets.detectors.networks import Network, Weights
from ae_assets.detectors.windows import Windows

BLOCK_WINDOWS = {1: 4096}
LSTM_BLOCK_WINDOWS = 1024


class ScalerArrays(NamedTuple):
    """The scaler inside jit; see RobustScaler."""

    centre: jax.Array
    scale: jax.Array
    clip: jax.Array


@partial(jax.jit, static_argnums=0)
def score_block(
    network: Network, weights: Weights, scaler: ScalerArrays, rows: jax.Array, last_row: jax.Array, length: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Score, contributions and expected values of one block.

    A window's score is the mean squared error, in scaled units, over the known values of its recorded steps; a
    feature's contribution is its part of that mean.

    Args:
        network: pure functions of the network.
        weights: its weights.
        scaler: centre, scale (features,) and clip.
        rows: float32 (rows, features) in feature units, NaN = missing.
        last_row: (windows,) into rows.
        length: (windows,) records of each window, 0 for filling.

    Returns:
        score (windows,), contributions (windows, features), expected of the scored day (windows, features).
    """
    scaled = scale(rows, *scaler)
    values, weight, recorded = gather(scaled, last_row, length, network.window_days)
    answer = network.reconstruct(weights, values, recorded)
    known = jnp.maximum(weight.sum(axis=(1, 2)), 1)
    contributions = (weight * (values - answer) ** 2).sum(axis=1) / known[:, None]
    return contributions.sum(axis=1), contributions, answer[:, -1] * scaler.scale + scaler.centre


def score_windows(network: Network, weights: Weights, scaler: ScalerArrays, windows: Windows) -> Scores:
    """Scores all windows block by block; memory beyond the result is a few blocks, whatever the number of windows."""
    features = windows.values.shape[1]
    scores = Scores(
        np.empty(len(windows), np.float32),
        np.empty((len(windows), features), np.float32),
        np.empty((len(windows), features), np.float32),
    )
    size = BLOCK_WINDOWS.get(network.window_days, LSTM_BLOCK_WINDOWS)

    def work(block: slice) -> None:
        count = block.stop - block.start
        results = score_block(network, weights, scaler, *_block_input(windows, block, size, network.window_days))
        for whole, part in zip((scores.score, scores.contributions, scores.expected), results, strict=True):
            whole[block] = np.asarray(part)[:count]

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(work, _blocks(len(windows), size)):
            pass
    return scores


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _block_input(
    windows: Windows, block: slice, size: int, window_days: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Rows, last_row and length of one block in shapes that depend on its size only, so that one compilation serves.

    Only the rows that the block's windows hold are copied. Their number is rounded up to a power of two times the
    size of a block: neighbouring windows share rows, so that a block of consecutive days holds few.
    """
    last_row = windows.last_row[block]
    length = np.minimum(windows.length[block], window_days)
    if window_days == 1:
        rows = np.zeros((size, windows.values.shape[1]), np.float32)
        np.take(windows.values, last_row, axis=0, out=rows[: len(last_row)], mode="clip")
        return rows, np.arange(size, dtype=np.int32), _fill(length, size)
    needed, position = rows_in_use(last_row, length)
    capacity = size
    while capacity < len(needed):
        capacity *= 2
    rows = np.zeros((capacity, windows.values.shape[1]), np.float32)
    np.take(windows.values, needed, axis=0, out=rows[: len(needed)], mode="clip")
    return rows, _fill(position, size), _fill(length, size)


def rows_in_use(last_row: NDArray[np.int64], length: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that the windows hold, ascending, and the position of each window's last row among them."""
    if not len(last_row):
        return last_row, last_row
    first = last_row - length + 1
    base = int(first.min())
    edges = np.zeros(int(last_row.max()) - base + 2, np.int32)
    np.add.at(edges, first - base, 1)
    np.add.at(edges, last_row - base + 1, -1)
    used = np.cumsum(edges[:-1]) > 0
    position = np.cumsum(used) - 1
    return np.flatnonzero(used) + base, position[last_row - base]


def _fill(values: NDArray[np.int64] | NDArray[np.int32], size: int) -> NDArray[np.int32]:
    filled = np.zeros(size, np.int32)
    filled[: len(values)] = values
    return filled
