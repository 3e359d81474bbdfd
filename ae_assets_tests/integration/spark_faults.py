"""What dies while Spark works: a worker of Python, an executor, and, as a program, the driver before its commit."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ae_assets.engines.spark.engine import SparkEngine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Dying:
    """A function of frames whose process dies when it has made the first one, once."""

    function: Callable[..., pl.DataFrame]
    mark: Path
    executor: bool = False

    def __call__(self, *rows: pl.DataFrame) -> pl.DataFrame:
        made = self.function(*rows)
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            return made
        # A worker is a child of Spark's daemon, and that one of the executor.
        os.kill(_parent(os.getppid()) if self.executor else os.getpid(), signal.SIGKILL)
        signal.pause()
        return made


@dataclass(frozen=True)
class DyingEngine(SparkEngine):
    """One on which a worker is killed at each thing that it makes, or an executor at the first; marks are left."""

    marks: Path = Path()
    executors: bool = False

    def map_blocks(self, blocks: "DataFrame", function: Any, schema: Mapping[str, pl.DataType]) -> "DataFrame":
        return super().map_blocks(blocks, self._dying(function), schema)

    def map_pairs(
        self, pairs: "tuple[DataFrame, DataFrame]", function: Any, schema: Mapping[str, pl.DataType]
    ) -> "DataFrame":
        return super().map_pairs(pairs, self._dying(function), schema)

    def _dying(self, function: Any) -> Any:
        number = len(list(self.marks.glob("made-*")))
        self.marks.joinpath(f"made-{number}").touch()
        return function if self.executors and number else Dying(function, self.marks / str(number), self.executors)


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def run(home: Path, how: str, days: Sequence[date]) -> None:
    """Makes the anomalies of days of a fleet, loses an executor meanwhile, and is killed when all files are written."""
    from ae_assets.chain.anomalies_on_spark import find_anomalies_on_spark
    from ae_assets.chain.champion import load_champion
    from ae_assets.engines.spark.catalog import catalog_settings
    from ae_assets.engines.spark.session import session_settings, spark_session
    from ae_assets.lakehouse.catalogs import CATALOG_NAME
    from ae_assets.lakehouse.writer import DayWriter
    from ae_assets_tests.chain.faulty_fleet import opened

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    space = opened(home, how)
    with spark_session(session_settings()) as session:
        plain = SparkEngine.on(session, CATALOG_NAME, catalog_settings(CATALOG_NAME, space.tables.catalog))
        marks = home / "marks"
        marks.mkdir()
        engine = DyingEngine(session, plain.catalog, 60, marks, executors=True)
        DayWriter.take = die  # type: ignore[method-assign]
        list(find_anomalies_on_spark(space, load_champion(space), days, engine))


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], [date.fromisoformat(day) for day in sys.argv[3:]])
