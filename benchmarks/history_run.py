"""The timed part of ``benchmarks.history``: ``python -m benchmarks.history_run DAY`` prints one line of JSON.

Processor time is that of all threads: other work on the machine does not count in it.
"""

import importlib
import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from unittest.mock import patch

import polars as pl
import pyarrow.parquet as pq

from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT
from ae_assets.cli.instance import open_chain
from ae_assets.lakehouse import files, revision


@dataclass
class Reads:
    """What was read of one table."""

    paths: Counter[str] = field(default_factory=Counter)
    """How often each file was read."""
    columns: int = 0
    """Most columns that were asked for at once."""
    bytes: int = 0
    """Of the asked columns in the files, compressed; of rows of single entities it is more than what is fetched."""

    def add(self, paths: Sequence[str], columns: Collection[str]) -> None:
        """Counts one read."""
        self.paths.update(paths)
        self.columns = max(self.columns, len(columns))
        self.bytes += sum(_column_bytes(path.removeprefix("file://"), columns) for path in paths)

    @property
    def plain(self) -> dict[str, int]:
        """The figures."""
        return {
            "files": len(self.paths),
            "most_reads_of_a_file": max(self.paths.values(), default=0),
            "columns": self.columns,
            "bytes": self.bytes,
        }


@contextmanager
def counted_reads() -> Iterator[dict[str, Reads]]:
    """Counts what the lakehouse reads of its data files, by table."""
    found: dict[str, Reads] = {}
    asked: list[tuple[str, list[str], list[str]]] = []
    read = files.read_files

    def counting(
        table: Any, layout: Any, data_files: Sequence[Any], columns: Sequence[str], *entities: Any
    ) -> pl.DataFrame:
        asked.append((table.name()[-1], [file.file_path for file in data_files], list(columns)))
        return read(table, layout, data_files, columns, *entities)

    with patch.object(files, "read_files", counting), patch.object(revision, "read_files", counting):
        try:
            yield found
        finally:
            for name, paths, columns in asked:
                found.setdefault(name, Reads()).add(paths, columns)


def _column_bytes(path: str, columns: Collection[str]) -> int:
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(
        column.total_compressed_size
        for group in groups
        for column in (group.column(number) for number in range(group.num_columns))
        if column.path_in_schema.partition(".")[0] in columns
    )


def main() -> int:
    """Runs the chain of one day; start-up (loading the code location, keras and jax) is not counted."""
    day = date.fromisoformat(sys.argv[1])
    with open_chain("drive_stats") as chain:
        importlib.import_module("ae_assets.detectors.backend")
        with counted_reads() as reads:
            began, wall = time.process_time(), time.monotonic()
            outcome = chain.run((*DAILY_INPUT, ANOMALIES), (day, day))
            seconds, wall = time.process_time() - began, time.monotonic() - wall
        began = time.process_time()
        maintained = chain.run(("maintenance",))
        maintenance_seconds = time.process_time() - began
    if not (outcome.success and maintained.success):
        print(outcome.failure or maintained.failure, file=sys.stderr)
        return 1
    figures = {
        "seconds": seconds,
        "wall_seconds": wall,
        "maintenance_seconds": maintenance_seconds,
        "reads": {name: of_table.plain for name, of_table in sorted(reads.items())},
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
