"""Blocks in threads of this process: Polars and NumPy let go of the interpreter while they compute."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import polars as pl

from ae_assets.schemas.records import ENTITY, key_of

ROWS_IN_BLOCK = 1_000_000
"""So many rows of a look-back are computed on at once in a thread, whatever the size of the fleet."""

LEAST_ROWS = 100_000
"""Smaller blocks cost more than a thread gains."""


@dataclass(frozen=True)
class LocalEngine:
    """Parts rows by entity and applies a function to so many parts at once; each has about as many rows as it says."""

    threads: int = os.cpu_count() or 1
    rows_in_block: int = ROWS_IN_BLOCK
    least_rows: int = LEAST_ROWS

    def map_blocks(self, function: Callable[[pl.DataFrame], pl.DataFrame], rows: pl.DataFrame) -> pl.DataFrame:
        """Applies a function to blocks of all rows of some entities each.

        Args:
            function: from the rows of some entities, in the order given, to rows that rest on those of the same entity
                alone.
            rows: with a column ``entity`` (String or Categorical).

        Returns:
            All rows that it gave, sorted by entity and time: the same whatever the number of blocks.
        """
        parts = max(-(-rows.height // self.rows_in_block), min(self.threads, rows.height // self.least_rows))
        if parts <= 1:
            return function(rows)
        entities = rows[ENTITY]
        coded = isinstance(entities.dtype, pl.Categorical)
        numbers = (entities.to_physical() if coded else entities.hash(seed=0)) % parts
        with ThreadPoolExecutor(self.threads) as pool:
            made = list(pool.map(lambda part: function(rows.filter(numbers == part)), range(parts)))
        moment, entity = key_of(made[0].columns)
        return pl.concat(made).sort(entity, moment)
