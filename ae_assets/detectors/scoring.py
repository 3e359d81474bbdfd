"""Scoring: one jitted function per block of windows, blocks of one fixed shape spread over a few threads."""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.arithmetic import gather, scale
from ae_assets.detectors.backend import Model
from ae_assets.detectors.base import Scores
from ae_assets.detectors.compilation import FUSED_NETWORK, NO_PRODUCT_LIBRARY, ONE_THREAD, WIDE_VECTORS, compiled
from ae_assets.detectors.networks.network import Answer, Batch, NetworkConfig, Outputs
from ae_assets.detectors.preprocessing import RobustScaler
from ae_assets.detectors.windows import Windows

BLOCK = 2048
LOOPING_BLOCK = 256
"""Windows of a block: small enough that a block's activations stay in cache, large enough to hide the call."""

ScoreBlock = Callable[..., tuple[jax.Array, ...]]


class Scorer:
    """Scores windows with one network.

    The weights are constants of the compiled function, which lets XLA lay them out once; a scorer therefore compiles
    for itself, on its first block (and again where a block's windows hold many more rows).
    """

    def __init__(self, network: NetworkConfig, model: Model, scaler: RobustScaler, steps: int) -> None:
        """Prepares the function; nothing is compiled yet."""
        self.steps = steps
        self.block = LOOPING_BLOCK if network.loops_over_steps else BLOCK
        options = (NO_PRODUCT_LIBRARY, ONE_THREAD) if network.loops_over_steps else (FUSED_NETWORK,)
        self._score_block: ScoreBlock = compiled(score_function(network, model, scaler, steps), WIDE_VECTORS, *options)

    def score(self, windows: Windows, cohort: NDArray[np.int32]) -> Scores:
        """Scores all windows; memory beyond the result is a few blocks, whatever the number of windows.

        Args:
            windows: n windows.
            cohort: number of each window's cohort (n,).
        """
        shape = len(windows), windows.values.shape[1]
        scores = Scores(np.empty(shape[0], np.float32), np.empty(shape, np.float32), np.full(shape, np.nan, np.float32))

        def work(block: slice) -> None:
            inputs = _block_input(windows, block, self.block, self.steps)
            results = self._score_block(*inputs, _fill(cohort[block], self.block))
            for whole, part in zip((scores.score, scores.contributions, scores.expected), results, strict=False):
                whole[block] = np.asarray(part)[: block.stop - block.start]

        blocks = _blocks(len(windows), self.block)
        for first in itertools.islice(blocks, 1):
            work(first)  # alone, so that the threads do not each compile
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(work, blocks):
                pass
        return scores


def score_function(network: NetworkConfig, model: Model, scaler: RobustScaler, steps: int) -> ScoreBlock:
    """The function of one block that a scorer compiles.

    Returns:
        A function of rows (rows, features) in feature units with NaN = missing, last_row (windows,) into them, length
        (windows,), 0 for filling, and cohort (windows,). It gives score (windows,), contributions (windows, features)
        and, where the network has an expectation, the values expected of the scored record (windows, features), in
        feature units.
    """
    weights = [jnp.array(variable.value) for variable in model.trainable_variables]
    carried = [jnp.array(variable.value) for variable in model.non_trainable_variables]
    centre, spread = jnp.asarray(scaler.centre), jnp.asarray(scaler.scale)

    def outputs(batch: Batch) -> Outputs:
        return model.stateless_call(weights, carried, network.inputs(batch), training=False)[0]

    def score_block(
        rows: jax.Array, last_row: jax.Array, length: jax.Array, cohort: jax.Array
    ) -> tuple[jax.Array, ...]:
        scaled = scale(rows, centre, spread, scaler.clip)
        batch = gather(scaled, last_row, length, steps, cohort=cohort)
        contributions, expected = network.verdict(Answer(outputs, weights), batch)
        said = contributions.sum(axis=1), contributions
        return said if expected is None else (*said, expected * spread + centre)

    return score_block


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _block_input(
    windows: Windows, block: slice, size: int, steps: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Rows, last_row and length of one block in shapes that depend on its size only, so that one compilation serves.

    Only the rows that the block's windows hold are copied. Their number is rounded up to one of a few sizes:
    neighbouring windows share rows, so that a block of consecutive records holds few. Rows and windows beyond those in
    use are filling that no result depends on.
    """
    length = np.minimum(windows.length[block], steps)
    if steps == 1:
        needed, position = windows.last_row[block], np.arange(len(length))
    else:
        needed, position = rows_in_use(windows.last_row[block], length)
    capacity = size
    while capacity < len(needed):
        capacity = min(2 * capacity, size * steps)
    rows = np.empty((capacity, windows.values.shape[1]), np.float32)
    np.take(windows.values, needed, axis=0, out=rows[: len(needed)], mode="clip")
    return rows, _fill(position, size), _fill(length, size)


def rows_in_use(last_row: NDArray[np.int64], length: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that the windows hold, ascending, and the position of each window's last row among them.

    Args:
        last_row: row of each window's scored record (windows,), at least one, in any order.
        length: records of each window (windows,), 1 or more.
    """
    first = last_row - length + 1
    base = int(first.min())
    span = int(last_row.max()) - base + 1
    edges = np.bincount(first - base, minlength=span + 1) - np.bincount(last_row - base + 1, minlength=span + 1)
    used = np.cumsum(edges[:-1]) > 0
    return np.flatnonzero(used) + base, (np.cumsum(used) - 1)[last_row - base]


def _fill(values: NDArray[np.int64] | NDArray[np.int32], size: int) -> NDArray[np.int32]:
    filled = np.zeros(size, np.int32)
    filled[: len(values)] = values
    return filled
