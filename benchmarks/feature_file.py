"""The features of a source's days in one Parquet file with a row group a day, for `benchmarks.rolling_origin`.

    python -m benchmarks.feature_file --table drive_stats --location data_2013.zip --output f2013.parquet

The chain's own readers, validation and features without the lakehouse; of each file one day and its look-back are held.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ae_assets.cli.instance import load_table
from ae_assets.features.volume import table_gaps
from ae_assets.model.definition import WatchedTable
from ae_assets.model.preparation import Preparation
from ae_assets.schemas.contracts import contract_of
from ae_assets.sources import Source, open_source


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the file and says how many rows it holds and how many were set aside."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feature_file", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--table", default="drive_stats", help="whose features (default: drive_stats)")
    parser.add_argument("--location", required=True, help="a source, as in DRIVE_STATS_LOCATION")
    parser.add_argument("--start", type=date.fromisoformat, default=date.min, help="first day, YYYY-MM-DD")
    parser.add_argument("--end", type=date.fromisoformat, default=date.max, help="last day")
    parser.add_argument("--output", type=Path, required=True, help="the Parquet file")
    given = parser.parse_args(arguments)
    rows, set_aside = write(
        load_table(given.table)[1], open_source(given.location), given.output, given.start, given.end
    )
    print(f"{given.output}: {rows:,} rows, {set_aside:,} set aside")
    return 0


def write(table: WatchedTable, source: Source, output: Path, start: date, end: date) -> tuple[int, int]:
    """Writes the features of the source's days in a range.

    Returns:
        Rows written, and rows set aside by validation.
    """
    contract = contract_of(table.layout, tuple(table.features.attributes), table.features.low_bits, table.periods)
    preparation, began, rows, set_aside = Preparation(contract, table.features), time.monotonic(), 0, 0
    day_rows: dict[date, int] = {}
    gaps_of = partial(table_gaps, lowest_share=table.checks.volume_low, highest_share=table.checks.volume_high)
    days = [listed for day, listed in source.days().items() if start <= day <= end]
    if not days:
        sys.exit(f"{source.location} holds no day from {start} to {end}")
    part = output.with_suffix(".part")
    writer: pq.ParquetWriter | None = None
    for done, listed in enumerate(days, 1):
        raw = source.read(listed)
        day_rows[listed.day] = raw.height
        first = table.periods.before(listed.day, table.features.look_back)
        prepared = preparation.prepare(raw, listed.day, gaps_of(day_rows, first, listed.day, table.periods))
        features = prepared.features.to_arrow()
        schema: pa.Schema = features.schema if writer is None else writer.schema
        writer = writer or pq.ParquetWriter(part, schema, compression="zstd")
        writer.write_table(features.cast(schema))
        rows, set_aside = rows + len(features), set_aside + prepared.quarantine.height
        print(
            f"features: {done} of {len(days)} days, {rows:,} rows, {time.monotonic() - began:.0f} s",
            end="\r",
            file=sys.stderr,
            flush=True,
        )
    if writer is not None:
        writer.close()
    part.replace(output)
    return rows, set_aside


if __name__ == "__main__":
    sys.exit(main())
