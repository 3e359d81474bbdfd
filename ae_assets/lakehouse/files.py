"""Data files of a table: one Parquet file per written day, and reading such files, whoever wrote them, as one frame."""

import logging
import uuid
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.columns import DAY, ENTITY
from ae_assets.lakehouse.layout import Layout
from ae_assets.lakehouse.partitions import folder_of
from ae_assets.lakehouse.snapshots import data_file

_ZSTD_LEVEL = 1
"""Higher levels take twice the time and spare a few percent of a day's attributes."""
_ROW_GROUP_ROWS = 250_000
_ROW_GROUP_ROWS_OF_ENTITIES = 16_384
"""Of tables by entity: the rows of one are found and read without the others of its day."""
_WIDENING = pl.ScanCastOptions(integer_cast="upcast", float_cast="upcast")
"""Other engines may widen a type without rewriting the files."""
_LOGGER = logging.getLogger(__name__)


def write_day(table: Table, layout: Layout, day: date, frame: pl.DataFrame) -> list[DataFile]:
    """Writes a day's rows into a new file of the table's warehouse; no reader sees it before a commit names it.

    Returns:
        the file; none for a frame without rows.
    """
    if frame.is_empty():
        return []
    # A column that a file lacks reads as null, so columns of nulls are left out: most of the attributes of a day.
    names = [name for name in layout.stored if name in frame.columns and frame[name].null_count() < frame.height]
    path = table.location_provider().new_data_location(f"{folder_of(day, layout.periods)}/{uuid.uuid4()}.parquet")
    output = table.io.new_output(path)
    try:
        with output.create() as stream:
            frame.select(
                pl.col(name).cast(layout.stored[name]).alias(layout.in_files(name)) for name in names
            ).write_parquet(
                stream,  # type: ignore[arg-type]  # pyiceberg's stream has all of a file's methods that are used here
                compression="zstd",
                compression_level=_ZSTD_LEVEL,
                row_group_size=_ROW_GROUP_ROWS_OF_ENTITIES if ENTITY in names else _ROW_GROUP_ROWS,
                arrow_schema=layout.arrow_of(names),
            )
        return [data_file(table, path, day, frame.height, len(output))]
    except BaseException:
        # Also on S3, where a broken-off file is there as soon as its stream is closed.
        with suppress(OSError):
            table.io.delete(path)
        raise


def remove_unused(table: Table, files: Iterable[DataFile]) -> None:
    """Removes files that no commit names; one that cannot be removed stays until maintenance finds it."""
    for file in files:
        try:
            table.io.delete(file.file_path)
        except OSError as reason:
            _LOGGER.info("The unused file %s stays until maintenance removes it: %s", file.file_path, reason)


def read_files(
    table: Table,
    layout: Layout,
    files: Sequence[DataFile],
    columns: Sequence[str],
    entities: Collection[str] | None = None,
    named_in: str = ENTITY,
) -> pl.DataFrame:
    """Some columns of the files, null where a file lacks one; rows in order of the files.

    With `entities`, which a column names, only their rows, and only the parts of a file that hold one are read; also
    from a server.

    Raises:
        LakehouseError: a file is missing or not what the table says it is.
    """
    types = {column: layout.types[column] for column in columns}
    if not files or not types:
        return pl.DataFrame(schema=types)
    stored = {layout.in_files(column): layout.stored[column] for column in columns}
    paths = [file.file_path for file in files]
    try:
        if entities is None and not any(map(_is_remote, paths)):
            rows = _scanned(paths, stored)
        else:
            rows = pl.concat(
                [
                    _parts(table, path, stored, layout.in_files(DAY), entities, layout.in_files(named_in))
                    for path in paths
                ]
            )
        return rows.select(pl.col(layout.in_files(column)).cast(dtype).alias(column) for column, dtype in types.items())
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as reason:
        raise LakehouseError(
            f"{len(files)} files of table {'.'.join(table.name())}, from {paths[0]} to {paths[-1]}, cannot be read: "
            f"{reason}. If the storage could not be reached, run it again; if a file is lost, materialise its day "
            "again."
        ) from reason


def _is_remote(path: str) -> bool:
    return "://" in path.removeprefix("file://")


def _scanned(paths: Sequence[str], stored: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """All rows of local files, which Polars reads fastest."""
    return pl.scan_parquet(
        [Path(path.removeprefix("file://")) for path in paths],
        schema=stored,
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        glob=False,
        cast_options=_WIDENING,
    ).collect()


def _parts(
    table: Table,
    path: str,
    stored: Mapping[str, pl.DataType],
    partition: str,
    entities: Collection[str] | None,
    named_in: str,
) -> pl.DataFrame:
    """Some columns of a file, and of its rows those of some entities: only these parts of the file are fetched.

    The partition's column is in every file, so that one without any of the others still gives its rows.
    """
    with table.io.new_input(path).open() as stream, pq.ParquetFile(stream, pre_buffer=True) as parquet:
        names = {*stored, partition, *([] if entities is None else [named_in])}.intersection(parquet.schema_arrow.names)
        groups = range(parquet.num_row_groups) if entities is None else _groups_of(parquet, named_in, sorted(entities))
        found = parquet.read_row_groups(list(groups), columns=list(names))
    if entities is not None and named_in in names:
        # Rows that Polars filters go on holding the text of all rows; of sixty days of a fleet that is half a gigabyte.
        found = found.filter(pc.is_in(found[named_in], value_set=pa.array(list(entities), found.field(named_in).type)))
    rows = pl.DataFrame(found)
    absent = (pl.lit(None, dtype).alias(name) for name, dtype in stored.items() if name not in names)
    return rows.with_columns(absent).match_to_schema(
        stored, extra_columns="ignore", integer_cast="upcast", float_cast="upcast"
    )


def _groups_of(parquet: pq.ParquetFile, named_in: str, entities: Sequence[str]) -> list[int]:
    """The row groups of a file that hold a row of one of the entities, which are sorted; none without their column."""
    metadata = parquet.metadata
    leaf = next((at for at in range(metadata.num_columns) if metadata.schema.column(at).path == named_in), None)
    if leaf is None:
        return []
    possible = [
        group
        for group in range(metadata.num_row_groups)
        if _may_hold(metadata.row_group(group).column(leaf).statistics, entities)
    ]
    found = pl.Series(parquet.read_row_groups(possible, columns=[named_in])[named_in]).is_in(list(entities)).arg_true()
    ends = pl.Series([metadata.row_group(group).num_rows for group in possible], dtype=pl.Int64).cum_sum()
    return [possible[at] for at in ends.search_sorted(found, side="right").unique().sort()]


def _may_hold(statistics: pq.Statistics | None, entities: Sequence[str]) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    at = bisect_left(entities, statistics.min)
    return at < len(entities) and entities[at] <= statistics.max
