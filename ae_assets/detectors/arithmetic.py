"""Arithmetic shared by training and scoring, inside jit: scaling, gathering windows, weighted squared errors."""

import jax
import jax.numpy as jnp


def scale(values: jax.Array, centre: jax.Array, width: jax.Array, clip: jax.Array | float) -> jax.Array:
    """Scaled values (rows, features); NaN where the value is missing or not finite."""
    return jnp.where(jnp.isfinite(values), jnp.clip((values - centre) / width, -clip, clip), jnp.nan)


def gather(
    rows: jax.Array, last_row: jax.Array, length: jax.Array, window_days: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Windows padded on the left.

    Args:
        rows: scaled values (rows, features), NaN = missing.
        last_row: row of each window's scored day (windows,).
        length: records of each window (windows,); 0 masks the whole window.
        window_days: steps of a window.

    Returns:
        values (windows, days, features) with 0 for what is missing or padded, their weights 0.0 or 1.0 of the same
        shape, and recorded, boolean (windows, days).
    """
    age = jnp.arange(window_days - 1, -1, -1)
    recorded = age < length[:, None]
    values = rows[jnp.maximum(last_row[:, None] - age, 0)]
    known = jnp.isfinite(values) & recorded[:, :, None]
    return jnp.where(known, values, 0), known.astype(values.dtype), recorded


def padded_width(features: int) -> int:
    """The number of features rounded up to whole vector registers; see ``networks.padded``."""
    return -(-features // 16) * 16


def pad_rows(rows: jax.Array, width: int) -> jax.Array:
    """Rows (rows, features) with missing features added up to ``width``."""
    return jnp.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=jnp.nan)
