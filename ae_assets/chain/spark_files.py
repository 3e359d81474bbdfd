"""Rows of days that lie on Spark, written there into files of the lakehouse."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.engines.spark.engine import SparkEngine, collect
from ae_assets.lakehouse.elsewhere import DayFiles
from ae_assets.lakehouse.writer import WrittenFile
from ae_assets.schemas.records import ENTITY, PERIOD

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS_IN_FILE = 2_000_000
"""A day of more rows becomes several files."""


def write_days(
    engine: SparkEngine,
    rows: "DataFrame",
    files: DayFiles,
    rows_of_days: Mapping[date, int],
    order: Sequence[str],
    *,
    descending: Sequence[bool] | bool = False,
) -> dict[date, list[WrittenFile]]:
    """Writes rows into files of their days, which no commit names yet.

    Args:
        engine: where the rows lie.
        rows: with ``day`` and ``entity``.
        files: writes them.
        rows_of_days: about how many there are, at most.
        order: the columns that the rows of a day are sorted by.
        descending: as Polars sorts, null last.
    """
    from pyspark.sql import functions as F  # noqa: N812

    parts = -(-max(rows_of_days.values()) // ROWS_IN_FILE)
    part = F.pmod(F.xxhash64(ENTITY), F.lit(parts))
    blocks = engine.blocks(rows, engine.count_of(sum(rows_of_days.values())), PERIOD, part)

    def write(block: pl.DataFrame) -> pl.DataFrame:
        written = [
            {PERIOD: of_day[PERIOD][0], **vars(file)}
            for of_day in block.partition_by(PERIOD)
            for file in files.write(of_day[PERIOD][0], of_day.sort(order, descending=descending, nulls_last=True))
        ]
        return pl.DataFrame(written, schema=schema)

    schema = {PERIOD: files.layout.types[PERIOD], "path": pl.String(), "rows": pl.Int64(), "size_bytes": pl.Int64()}
    days: dict[date, list[WrittenFile]] = {}
    for day, *file in collect(engine.map_blocks(blocks, write, schema)).sort(PERIOD, "path").iter_rows():
        days.setdefault(day, []).append(WrittenFile(*file))
    return days
