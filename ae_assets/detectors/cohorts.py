"""Cohorts as numbers: those that are large enough to be told apart, and 0 for any other."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.detectors.windows import Windows

SMALLEST = 0.002
"""Share of the training windows below which a cohort is not told from the other small ones."""


def large_cohorts(train: Windows) -> tuple[str, ...]:
    """The cohorts to be told apart, by falling number of windows."""
    sizes = train.rows["cohort"].gather(train.last_row).drop_nulls().value_counts(sort=True, name="rows")
    large = sizes.filter(pl.col("rows") >= SMALLEST * len(train))
    large = large.sort("rows", "cohort", descending=[True, False])
    return tuple(large["cohort"])


def cohort_numbers(cohorts: tuple[str, ...], windows: Windows) -> NDArray[np.int32]:
    """Number of each window's cohort (n,), from 1; 0 for one that is not among ``cohorts``."""
    numbers = {cohort: position + 1 for position, cohort in enumerate(cohorts)}
    column = windows.rows["cohort"].gather(windows.last_row)
    return column.replace_strict(numbers, default=0, return_dtype=pl.Int32).to_numpy()
