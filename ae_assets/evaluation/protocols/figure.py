"""A figure of a corpus with its interval: sums over entities, and their spread when the entities are drawn again."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ae_assets.evaluation.bootstrap import RESAMPLES, spread
from ae_assets.evaluation.intervals import Floats


@dataclass(frozen=True)
class Figure:
    """A figure and its 95% interval by a bootstrap over entities; None where there is nothing to count."""

    value: float | None
    low: float | None = None
    high: float | None = None


def of_entities(parts: Floats, figure: Callable[[Floats], Floats], *, counted: bool = False) -> Figure:
    """A figure of sums over entities, and its spread when these are drawn again.

    Args:
        parts: what each entity adds to the sums (entities, sums).
        figure: the figure of sums (n, sums), NaN where nothing is counted.
        counted: whether the number of entities is a further sum.
    """
    if not len(parts):
        return Figure(None)
    parts = np.column_stack([parts, np.ones(len(parts))]) if counted else parts
    value = float(figure(parts.sum(axis=0)[None])[0])
    if np.isnan(value):
        return Figure(None)
    drawn = np.random.default_rng(0).integers(0, len(parts), (RESAMPLES, len(parts)))
    resampled = figure(parts[drawn].sum(axis=1))
    low, high = spread(resampled[~np.isnan(resampled)])
    return Figure(value, float(low), float(high))


def share_of(part: Floats, whole: Floats) -> Floats:
    """A part by its whole, NaN where that is nothing."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
