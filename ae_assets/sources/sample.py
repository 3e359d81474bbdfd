"""The beginning of a file as text, without a contract: what a YAML for it is proposed from."""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import FORMAT_OF_ENDING, Format, Reading, Separator
from ae_assets.sources.csv_day import BYTE_ORDER_MARK
from ae_assets.sources.header import MAX_COLUMNS
from ae_assets.sources.json_day import text_columns
from ae_assets.sources.printable import printable

SAMPLE_BYTES = 16 * 2**20
SAMPLE_ROWS = 200_000
SAMPLE_FILES = 30


@dataclass(frozen=True)
class Sample:
    """The first rows of a file.

    Attributes:
        file: where it lies; of several the first.
        format: its format, by its ending.
        separator: what stands between the fields of a line; of other formats a comma.
        texts: its columns as text, null = missing.
        whole: whether these are all rows that there are.
    """

    file: Path
    format: Format
    separator: Separator
    texts: pl.DataFrame
    whole: bool


def read_sample(path: Path) -> Sample:
    """The first rows of a file, or of the first files in a folder that are written alike.

    Raises:
        SourceError: there is no such file, or it cannot be read as its ending says.
    """
    files = _files_at(path)
    samples = [_sample_of(file) for file in files[:SAMPLE_FILES]]
    first = samples[0]
    alike = [one for one in samples if (one.format, one.separator) == (first.format, first.separator)]
    texts = pl.concat((one.texts for one in alike), how="diagonal").head(SAMPLE_ROWS)
    whole = len(alike) == len(files) and all(one.whole for one in alike) and texts.height < SAMPLE_ROWS
    return replace(first, texts=texts, whole=whole)


def _sample_of(file: Path) -> Sample:
    kind = FORMAT_OF_ENDING[file.suffix.lower()]
    place = printable(str(file))
    try:
        if kind == "parquet":
            texts, whole = _of_parquet(file)
            return _sample(file, kind, ",", texts, whole=whole)
        with file.open("rb") as opened:
            head = opened.read(SAMPLE_BYTES + 1)
    except (OSError, pa.ArrowException, ValueError) as problem:
        raise SourceError(f"{place}: it cannot be read as {kind} ({printable(str(problem))[:200]}).") from problem
    whole = len(head) <= SAMPLE_BYTES
    lines = head if whole else head[: head.rfind(b"\n") + 1]
    if kind == "jsonl":
        return _sample(file, kind, ",", text_columns(lines), whole=whole)
    separator = _separator(lines, place)
    return _sample(file, kind, separator, _of_csv(lines, separator, place), whole=whole)


def _files_at(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in FORMAT_OF_ENDING and file.is_file())
        if not files:
            raise SourceError(
                f"{printable(str(path))}: no file in this folder ends with {', '.join(FORMAT_OF_ENDING)}."
            )
        return files
    if not path.is_file():
        raise SourceError(f"{printable(str(path))}: there is no such file.")
    if path.suffix.lower() not in FORMAT_OF_ENDING:
        raise SourceError(
            f"{printable(str(path))}: expected a file that ends with {', '.join(FORMAT_OF_ENDING)}; of an archive, give"
            " one of the files in it."
        )
    return [path]


def _sample(file: Path, kind: Format, separator: Separator, texts: pl.DataFrame, *, whole: bool) -> Sample:
    if not texts.width or not texts.height:
        raise SourceError(f"{printable(str(file))}: it holds no row to look at.")
    if texts.width > MAX_COLUMNS:
        raise SourceError(
            f"{printable(str(file))}: {texts.width:,} columns are more than the {MAX_COLUMNS:,} of a table."
        )
    missing = Reading()
    emptied = texts.with_columns(
        pl.when(~pl.col(name).is_in(["", *missing.missing_among(texts[name])])).then(pl.col(name))
        for name in texts.columns
    )
    return Sample(file, kind, separator, emptied, whole)


def _separator(lines: bytes, place: str) -> Separator:
    """The separator that divides header and first lines into the most and equally many fields."""
    first = [line.decode("utf-8", "replace") for line in lines.removeprefix(BYTE_ORDER_MARK).splitlines()[:20] if line]
    if len(first) < 2:
        raise SourceError(f"{place}: it has no line after its header.")

    def fields(separator: str) -> int:
        widths = [len(next(csv.reader([line], delimiter=separator), [])) for line in first]
        return widths[0] if len(set(widths)) == 1 else 0

    return max(get_args(Separator), key=fields)


def _of_csv(lines: bytes, separator: str, place: str) -> pl.DataFrame:
    try:
        return pl.read_csv(
            io.BytesIO(lines),
            separator=separator,
            infer_schema=False,
            truncate_ragged_lines=True,
            encoding="utf8-lossy",
            n_rows=SAMPLE_ROWS,
        )
    except pl.exceptions.PolarsError as problem:
        reason = printable(str(problem).split("\n")[0])[:200]
        raise SourceError(f"{place}: it cannot be read as CSV ({reason}).") from problem


def _of_parquet(file: Path) -> tuple[pl.DataFrame, bool]:
    opened = pq.ParquetFile(file)
    batch = next(opened.iter_batches(SAMPLE_ROWS), None)
    frame = pl.DataFrame() if batch is None else pl.DataFrame(pa.Table.from_batches([batch]))
    plain = [name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Binary]
    return frame.select(pl.col(plain).cast(pl.String)), frame.height == opened.metadata.num_rows
