"""``export-source``: periods of a source to CSV files that read back to the same rows, one file each."""

import json
import os
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from ae_assets.errors import ConfigError
from ae_assets.progress import Progress, ProgressSink, publish
from ae_assets.schemas.columns import RESERVED_COLUMNS, TimeSection, stored_name
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.schemas.times import EPOCH, read_times
from ae_assets.sources import Source
from ae_assets.sources.files import stem_of


def export_source(
    source: Source,
    reading: Reading,
    days: Sequence[date],
    folder: Path,
    progress: ProgressSink = publish,
) -> tuple[int, int]:
    """Writes periods to ``YYYY-MM-DD.csv`` (hours, weeks: as docs/tables.md names files).

    A file appears when it is whole, and replaces one that is there. Cells that were rescued are written as the source
    has them; line breaks in texts become spaces, since a line of a file is a row.

    Returns:
        Rows and periods written; periods that the source lacks are left out.

    Raises:
        ConfigError: the source has none of the periods, a file cannot be written, or times cannot be written as the
            YAML reads them.
        SourceError: a period cannot be read.
    """
    listed = source.days()
    there = [day for day in days if day in listed]
    if not there:
        held = f"; it holds {stem_of(min(listed))} to {stem_of(max(listed))}" if listed else " and holds no others"
        raise ConfigError(f"{source.location} has nothing of {stem_of(days[0])} to {stem_of(days[-1])}{held}")
    began, total = time.monotonic(), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, day in enumerate(there, start=1):
            rows = source.read(listed[day])
            file = folder / f"{stem_of(day)}.csv"
            partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
            try:
                as_text(rows, reading).write_csv(partial, separator=reading.separator)
                partial.replace(file)
            finally:
                partial.unlink(missing_ok=True)
            total += rows.height
            done = number, len(there), reading.periods.plural, total, time.monotonic() - began
            progress(Progress("export", *done))
    except OSError as error:
        raise ConfigError(f"--output {folder}: the files cannot be written ({error.strerror})") from None
    return total, len(there)


def as_text(rows: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Rows of a source as a file of the table has them: texts, under the file's own names."""
    moment = reading.layout.time
    written = [name for name in rows.columns if name not in {ROW_COLUMN, RESCUED_COLUMN}]
    if moment.name not in moment.column:  # it was put together of others, which are there
        written.remove(moment.name)
    texts = rows.select(
        _times_as_text(rows[name], moment) if rows[name].dtype.is_temporal() else pl.col(name).cast(pl.String)
        for name in written
    )
    if reading.decimal_mark == ",":
        numbers = [name for name in written if rows[name].dtype.is_float()]
        texts = texts.with_columns(pl.col(numbers).str.replace(".", ",", literal=True))
    notes = [(place, json.loads(note)) for place, note in enumerate(rows[RESCUED_COLUMN]) if note is not None]
    for name in written:
        told = {place: note[name] for place, note in notes if name in note}
        texts = texts.with_columns(texts[name].scatter(list(told), list(told.values())))
    own = {stored_name(name): name for name in RESERVED_COLUMNS}
    texts = texts.with_columns(pl.col(pl.String).str.replace_all(r"[\r\n]+", " "))
    return texts.rename({name: own[name] for name in written if name in own})


def _times_as_text(times: pl.Series, time: TimeSection) -> pl.Series:
    """Times by the first of the YAML's formats that reads them back."""
    if times.dtype == pl.Date and not time.format:
        return times.cast(pl.String)
    for form in time.format:
        if form in EPOCH:
            texts = (times.dt.epoch("us") / (1_000_000 / EPOCH[form])).cast(pl.String)
        else:
            local = times if times.dtype == pl.Date else times.dt.convert_time_zone(time.time_zone)
            texts = local.dt.strftime(form)
        read = read_times(texts, form)
        if isinstance(read.dtype, pl.Datetime) and read.dtype.time_zone is None:
            read = read.dt.replace_time_zone(time.time_zone, ambiguous="earliest", non_existent="null")
        if read.dtype != pl.Date:
            read = read.dt.convert_time_zone("UTC")
        if read.dtype == times.dtype and read.equals(times):
            return texts
    example = ", such as ".join(["", *map(str, times.drop_nulls().head(1))])
    raise ConfigError(
        f"source.columns.time.format: none of {', '.join(time.format)} writes {times.name} so that it reads back"
        f"{example}; add a format with seconds and an offset, e.g. %Y-%m-%dT%H:%M:%S%.f%z"
    )
