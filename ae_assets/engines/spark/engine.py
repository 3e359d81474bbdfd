"""Tables and groups of rows on Spark: what a function of frames needs to run where the rows are."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.errors import EngineError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

BLOCK = "__block"
"""The number of a row's group, in frames that are grouped."""

FILE, PLACE = "__file", "__place"
"""The file of a row and its place in it: by them rows are in the order in which a read gives them."""

ROWS_IN_BLOCK = 500_000
"""So many rows of some devices are computed on at once; a worker of Python needs about 2 KB for each."""


@dataclass(frozen=True)
class SparkEngine:
    """A session that has the catalog of the tables.

    Attributes:
        session: of Spark.
        catalog: the name of the catalog in it.
        rows_in_block: about how many rows a function is given at once.
    """

    session: "SparkSession"
    catalog: str
    rows_in_block: int = ROWS_IN_BLOCK

    @classmethod
    def on(cls, session: "SparkSession", catalog: str, settings: Mapping[str, str]) -> "SparkEngine":
        """An engine on a session that is given the settings of a catalog, as `catalog_settings` gives them."""
        for key, value in settings.items():
            session.conf.set(key, value)
        return cls(session, catalog)

    def table(self, name: str, snapshot: int, period: str, stretches: Collection[tuple[date, date]]) -> "DataFrame":
        """Rows of some stretches of periods of a table, in one state of it, with ``__file, __place``.

        Args:
            name: ``"<watched table>.<asset>"``.
            snapshot: number of the state.
            period: what the table calls the column of its periods; it becomes ``day``.
            stretches: the first and the last period of each.
        """
        from functools import reduce
        from operator import or_

        from pyspark.sql import functions as F  # noqa: N812 - as all of Spark's documents call it

        table = self.session.read.option("versionAsOf", snapshot).table(f"{self.catalog}.{name}")
        lies_in = [F.col(period).between(F.lit(_literal(first)), F.lit(_literal(last))) for first, last in stretches]
        places = table.withColumns({FILE: F.col("_file"), PLACE: F.col("_pos")})
        return places.where(reduce(or_, lies_in)).withColumnRenamed(period, "day")

    def parted(self, rows: pl.DataFrame, blocks_of_a_core: int) -> "DataFrame":
        """Rows that are here as groups, ``__block``, of rows next to each other, as many as are named for each core."""
        cores: int = self.session.sparkContext.defaultParallelism
        count = min(rows.height, blocks_of_a_core * cores)
        numbered = rows.with_columns((pl.int_range(pl.len()) * count // rows.height).cast(pl.Int32).alias(BLOCK))
        return self.frame(numbered).repartitionById(count, BLOCK)

    def blocks(self, rows: "DataFrame", count: int, *by: "Column | str") -> "DataFrame":
        """The rows with the number of their group, ``__block``, one of so many: rows that agree in ``by`` share it."""
        from pyspark.sql import functions as F  # noqa: N812

        numbered = rows.withColumn(BLOCK, F.pmod(F.xxhash64(*by), F.lit(count)).cast("int"))
        return numbered.repartitionById(count, BLOCK)

    def map_blocks(
        self, blocks: "DataFrame", function: Callable[[pl.DataFrame], pl.DataFrame], schema: Mapping[str, pl.DataType]
    ) -> "DataFrame":
        """Applies a function of frames to each of the `blocks`, given without the number; it gives rows of a schema."""
        arrow = _arrow_schema(schema)

        def of_block(table: "pa.Table") -> "pa.Table":
            return _table(function(_frame(table.drop_columns([BLOCK]))), arrow)

        return blocks.groupBy(BLOCK).applyInArrow(of_block, _spark_schema(schema))

    def map_pairs(
        self,
        pairs: "tuple[DataFrame, DataFrame]",
        function: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame],
        schema: Mapping[str, pl.DataType],
    ) -> "DataFrame":
        """The same of two sorts of rows, whose groups of the same number come together."""
        arrow = _arrow_schema(schema)
        left, right = pairs

        def of_pair(one: "pa.Table", other: "pa.Table") -> "pa.Table":
            frames = (_frame(table.drop_columns([BLOCK])) for table in (one, other))
            return _table(function(*frames), arrow)

        return left.groupBy(BLOCK).cogroup(right.groupBy(BLOCK)).applyInArrow(of_pair, _spark_schema(schema))

    def frame(self, rows: pl.DataFrame) -> "DataFrame":
        """Rows of this process on Spark."""
        return self.session.createDataFrame(_table(rows, _arrow_schema(rows.schema)))

    def count_of(self, rows: int) -> int:
        """Into how many blocks so many rows are parted: no fewer than there are cores, if they are worth it."""
        cores: int = self.session.sparkContext.defaultParallelism
        return max(-(-rows // self.rows_in_block), min(cores, rows // 10_000), 1)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Says of an error of Spark what it happened at.

        Raises:
            EngineError: with the cause that Spark names.
        """
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            yield
        except (Py4JError, PySparkException) as error:
            raise EngineError(
                f"Spark failed {what}: {cause_of(str(error))}. Nothing was committed by it; docs/spark.md says what "
                "its messages mean"
            ) from error


def collect(rows: "DataFrame") -> pl.DataFrame:
    """Rows of a small frame of Spark."""
    return _frame(rows.toArrow())


def cause_of(message: str) -> str:
    """The line of a stack of Java and Python that says why: the last error of Python, else the first line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    raised = [
        line
        for line in lines
        if line.partition(":")[0].endswith(("Error", "Exception")) and " " not in line.partition(":")[0]
    ]
    of_python = [line for line in raised if not line.startswith(("org.", "java.", "py4j.", "pyspark."))]
    return (of_python or raised or lines or [message])[-1 if of_python else 0]


def _literal(period: date) -> date | str:
    return period.strftime("%Y-%m-%d %H:%M:%S") if isinstance(period, datetime) else period


def _frame(table: "pa.Table") -> pl.DataFrame:
    return pl.DataFrame(table)


def _table(frame: pl.DataFrame, schema: "pa.Schema") -> "pa.Table":
    return frame.select(schema.names).to_arrow().cast(schema)


def _spark_schema(schema: Mapping[str, pl.DataType]) -> "StructType":
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(pl.DataFrame(schema=dict(schema)).to_arrow().schema)


def _arrow_schema(schema: Mapping[str, pl.DataType]) -> "pa.Schema":
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(_spark_schema(schema))
