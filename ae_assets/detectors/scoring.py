"""Scoring: one jitted function per block of windows, blocks of one fixed shape spread over a few threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ae_assets.detectors.backend import Model, keras
from ae_assets.detectors.base import Scores
from ae_assets.detectors.compilation import (
    FUSED_NETWORK,
    NO_PRODUCT_LIBRARY,
    ONE_THREAD,
    WIDE_VECTORS,
    Option,
    compiled,
)
from ae_assets.detectors.networks.network import CODE, Answer, Batch, NetworkConfig, Outputs
from ae_assets.detectors.preprocessing import Scaler
from ae_assets.detectors.windows import Windows

BLOCK, WINDOW_BLOCK, LOOPING_BLOCK = 2048, 512, 256
"""Windows of a block, of one record, of several, and of several one after the other: small enough that a block's
activations stay in cache, large enough to hide the call."""

SCATTERED = 8
"""Rows among which windows lie for each that they hold, beyond which these are sorted rather than looked for."""


class Scorer:
    """Scores windows with one network.

    The weights are constants of the compiled function, which lets XLA lay them out once; a scorer therefore compiles
    for itself, on its first block (and again where a block's windows hold many more rows).
    """

    def __init__(self, network: NetworkConfig, model: Model, scaler: Scaler, steps: int) -> None:
        self.network = network
        self.model = model
        self.scaler = scaler
        self.steps = steps
        self.weights = [jnp.array(variable.value) for variable in model.trainable_variables]
        self.carried = [jnp.array(variable.value) for variable in model.non_trainable_variables]
        options: tuple[Option, ...] = (FUSED_NETWORK,)
        self.block = BLOCK
        if network.loops_over_steps:
            self.block, options = LOOPING_BLOCK, (NO_PRODUCT_LIBRARY, ONE_THREAD)
        elif steps > 1:
            self.block, options = WINDOW_BLOCK, ()
        self._explained = compiled(self._explain_block, WIDE_VECTORS, *options)
        self._scored = compiled(self._score_block, WIDE_VECTORS, *options) if network.scores_alone else self._explained

    def score(self, windows: Windows, cohort: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores n windows with the numbers of their cohorts (n,); memory beyond the result is a few blocks."""
        score = np.empty(len(windows), np.float32)
        self._fill_blocks(self._scored, windows, cohort, (score,))
        return score

    def explain(self, windows: Windows, cohort: NDArray[np.int32]) -> Scores:
        """The same with contributions and expected values."""
        shape = len(windows), windows.values.shape[1]
        scores = Scores(np.empty(shape[0], np.float32), np.empty(shape, np.float32), np.full(shape, np.nan, np.float32))
        self._fill_blocks(self._explained, windows, cohort, (scores.score, scores.contributions, scores.expected))
        return scores

    def _fill_blocks(
        self,
        function: Callable[..., tuple[jax.Array, ...]],
        windows: Windows,
        cohort: NDArray[np.int32],
        results: tuple[NDArray[np.float32], ...],
    ) -> None:
        """Fills the arrays, of a row for each window, with what the function says of block after block."""

        def work(start: int) -> None:
            block = slice(start, min(start + self.block, len(windows)))
            inputs = block_input(windows, block, self.block, self.steps)
            parts = function(*inputs, filled_up(cohort[block], self.block))
            for whole, part in zip(results, parts, strict=False):
                whole[block] = np.asarray(part)[: block.stop - block.start]

        starts = range(0, len(windows), self.block)
        for first in starts[:1]:
            work(first)  # alone, so that the threads do not each compile
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(work, starts[1:]):
                pass

    def code(self, windows: Windows, cohort: NDArray[np.int32]) -> NDArray[np.float32] | None:
        """What the layer of the code says of n windows (n, width), of few at a time; None without such a layer."""
        layers = [layer for layer in self.model.layers if layer.name == CODE]
        if not layers:
            return None
        encoder = keras.Model(self.model.inputs, layers[0].output)
        parts = []
        for start in range(0, len(windows), self.block):
            block = slice(start, min(start + self.block, len(windows)))
            inputs = block_input(windows, block, self.block, self.steps)
            batch = self._batch(*(jnp.asarray(one) for one in (*inputs, filled_up(cohort[block], self.block))))
            answer = encoder(self.network.inputs(batch), training=False)
            parts.append(np.asarray(answer, np.float32).reshape(self.block, -1)[: block.stop - block.start])
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def _score_block(
        self, rows: jax.Array, last_row: jax.Array, length: jax.Array, cohort: jax.Array
    ) -> tuple[jax.Array, ...]:
        """The scores of one block of windows; see `_explain_block`."""
        return (self.network.score(Answer(self._outputs, self.weights), self._batch(rows, last_row, length, cohort)),)

    def _explain_block(
        self, rows: jax.Array, last_row: jax.Array, length: jax.Array, cohort: jax.Array
    ) -> tuple[jax.Array, ...]:
        """Score, contributions and, where the network has an expectation, expected values of one block of windows.

        ``rows`` (rows, features) and what is expected are in feature units, NaN = missing; see :func:`gather`.
        """
        return verdict_of(
            self.network, self._outputs, self.weights, self.scaler, self._batch(rows, last_row, length, cohort)
        )

    def _batch(self, rows: jax.Array, last_row: jax.Array, length: jax.Array, cohort: jax.Array) -> Batch:
        """Windows as the network sees them, of rows in feature units."""
        return gather(scaled(self.scaler, rows), last_row, length, self.steps, cohort=cohort)

    def _outputs(self, batch: Batch) -> Outputs:
        inputs = self.network.inputs(batch)
        return self.model.stateless_call(self.weights, self.carried, inputs, training=False)[0]


def verdict_of(
    network: NetworkConfig,
    outputs: Callable[[Batch], Outputs],
    weights: list[jax.Array],
    scaler: Scaler,
    batch: Batch,
) -> tuple[jax.Array, ...]:
    """Score, contributions and, where the network has an expectation, expected values in feature units."""
    contributions, expected = network.verdict(Answer(outputs, weights), batch)
    verdict = contributions.sum(axis=1), contributions
    if expected is None:
        return verdict
    expected = expected * jnp.asarray(scaler.scale) + jnp.asarray(scaler.centre)
    is_used = scaler.is_used
    return (*verdict, expected if is_used is None else jnp.where(is_used, expected, jnp.nan))


def scaled(scaler: Scaler, rows: jax.Array) -> jax.Array:
    """Rows in feature units as ``Scaler.apply`` scales them, inside jit; what was fitted may be traced."""
    centre, spread, clip = jnp.asarray(scaler.centre), jnp.asarray(scaler.scale), scaler.clip
    within = rows if scaler.limit is None else jnp.clip(rows, -scaler.limit, scaler.limit)
    missing = jnp.nan if scaler.filled is None else jnp.asarray(scaler.filled)
    values = jnp.where(jnp.isfinite(rows), jnp.clip((within - centre) / spread, -clip, clip), missing)
    return values if scaler.is_used is None else jnp.where(scaler.is_used, values, jnp.nan)


def gather(
    rows: jax.Array,
    last_row: jax.Array,
    length: jax.Array,
    steps: int,
    target: jax.Array | None = None,
    cohort: jax.Array | None = None,
) -> Batch:
    """Windows of scaled rows (rows, features), NaN = missing, padded on the left.

    The rest is of each window (windows,): the row of its scored record, its records, 0 of which mask it, target and
    cohort, 0 where left out.
    """
    age = jnp.arange(steps - 1, -1, -1)
    recorded = age < length[:, None]
    values = rows[jnp.maximum(last_row[:, None] - age, 0)]
    known = jnp.isfinite(values) & recorded[:, :, None]
    return Batch(
        values=jnp.where(known, values, 0),
        known=known.astype(values.dtype),
        recorded=recorded,
        target=jnp.zeros(len(length)) if target is None else target,
        cohort=jnp.zeros(len(length), jnp.int32) if cohort is None else cohort,
    )


def block_input(
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
    return rows, filled_up(position, size), filled_up(length, size)


def rows_in_use(last_row: NDArray[np.int64], length: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that the windows (at least one, in any order) hold, ascending, and where each one's last row is in them."""
    first = last_row - length + 1
    base = int(first.min())
    span, held = int(last_row.max()) - base + 1, int(length.sum())
    if span > SCATTERED * held:
        starts = np.repeat(first - np.cumsum(length) + length, length)
        rows = np.unique(starts + np.arange(held))
        return rows, np.searchsorted(rows, last_row)
    edges = np.bincount(first - base, minlength=span + 1) - np.bincount(last_row - base + 1, minlength=span + 1)
    used = np.cumsum(edges[:-1]) > 0
    return np.flatnonzero(used) + base, (np.cumsum(used) - 1)[last_row - base]


def filled_up(values: NDArray[np.int64] | NDArray[np.int32], size: int) -> NDArray[np.int32]:
    filled = np.zeros(size, np.int32)
    filled[: len(values)] = values
    return filled
