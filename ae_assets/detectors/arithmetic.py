"""Arithmetic shared by training and scoring, inside jit: scaling and gathering windows."""

import jax
import jax.numpy as jnp

from ae_assets.detectors.networks.network import Batch


def scale(values: jax.Array, centre: jax.Array, width: jax.Array, clip: jax.Array | float) -> jax.Array:
    """Scaled values (rows, features); NaN where the value is missing or not finite."""
    return jnp.where(jnp.isfinite(values), jnp.clip((values - centre) / width, -clip, clip), jnp.nan)


def gather(
    rows: jax.Array,
    last_row: jax.Array,
    length: jax.Array,
    steps: int,
    target: jax.Array | None = None,
    cohort: jax.Array | None = None,
) -> Batch:
    """Windows padded on the left.

    Args:
        rows: scaled values (rows, features), NaN = missing.
        last_row: row of each window's scored record (windows,).
        length: records of each window (windows,); 0 masks the whole window.
        steps: of a window.
        target: of each window (windows,), float32; 0 where left out.
        cohort: of each window (windows,), int32; 0 where left out.
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
