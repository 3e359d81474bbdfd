"""The beginning of some files as text, without a contract: what a YAML for them is proposed from."""

import csv
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, get_args

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import FORMAT_OF_ENDING, Format, Reading, Separator
from ae_assets.sources.csv_day import BYTE_ORDER_MARK
from ae_assets.sources.day_files import is_archive_name, left_out_folder
from ae_assets.sources.header import MAX_COLUMNS
from ae_assets.sources.json_day import text_columns
from ae_assets.sources.printable import printable

SAMPLE_BYTES = 16 * 2**20
SAMPLE_ROWS = 200_000
SAMPLE_FILES = 100

PLAIN_TEXT = (".txt", ".tsv", ".tab", ".dat")
"""Endings of files that may hold rows as CSV does, where there are no others."""

NOTES = (".json",)
"""Of files that may say when devices were abnormal."""

_DATA = re.compile(r"\s*([+-]?(\d[\d.,]*|\.\d+)([eE][+-]?\d+)?|\d[\d ./:TZ+-]*|nan|null|)\s*", re.IGNORECASE)
"""A cell of a number, a time, or nothing; a header has other cells."""

_PROBLEMS = (OSError, pa.ArrowException, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Sample:
    """The first rows of files that are written alike.

    Attributes:
        names: of these files, with folders below the place that was given; in the order of their rows.
        others: of files that hold something else.
        notes: of files of other kinds that may say when devices were abnormal.
        columns: the names that were given to columns where the files have no header.
        format: their format, by its ending.
        separator: what stands between the fields of a line; of other formats a comma.
        texts: their columns as text, null = missing.
        file: of each row the place of its file among the names.
        whole: whether these are all rows that there are.
        share: of the rows of these files, by their sizes.
        share_of_files: that were looked into.
        ends_with_line_ends: whether each file does.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    format: Format
    separator: Separator
    texts: pl.DataFrame
    file: pl.Series
    whole: bool
    share: float
    share_of_files: float
    ends_with_line_ends: bool


@dataclass(frozen=True)
class _File:
    """A file of rows: its name below the place that was given, and where it is."""

    name: str
    path: Path | zipfile.Path

    @property
    def place(self) -> str:
        if isinstance(self.path, Path):
            return printable(str(self.path))
        return printable(f"{self.path.root.filename}!{self.name}")

    @property
    def format(self) -> Format:
        return FORMAT_OF_ENDING.get(PurePosixPath(self.name).suffix.lower(), "csv")


@dataclass(frozen=True)
class _Part:
    """The first rows of one file."""

    file: _File
    separator: Separator
    texts: pl.DataFrame
    rows: float
    """How many the file has, by its size."""
    ends_with_line_end: bool
    has_header: bool = True

    @property
    def whole(self) -> bool:
        return self.texts.height >= self.rows

    @property
    def written(self) -> tuple[Format, Separator | None, bool, int]:
        """Files that are read alike have the same; without a header, also as many columns."""
        width = 0 if self.has_header else self.texts.width
        return self.file.format, None if width == 1 else self.separator, self.has_header, width


def read_sample(path: Path) -> Sample:
    """The first rows of a file, or of the first files in a folder or a zip archive that are written alike.

    The files that count are those of the most columns, and those that have some of these beside what all files have.

    Raises:
        SourceError: there is no such file, or it cannot be read as its ending says.
    """
    files, notes = _files_at(path)
    first = files[:SAMPLE_FILES]
    parts = [_part(file, SAMPLE_ROWS // len(first)) for file in first]
    alike, others = _alike(parts)
    texts = pl.concat((part.texts for part in alike), how="diagonal")
    numbers = [pl.repeat(number, part.texts.height, eager=True) for number, part in enumerate(alike)]
    return Sample(
        names=tuple(part.file.name for part in alike),
        others=tuple(part.file.name for part in others),
        notes=notes,
        columns=() if alike[0].has_header else tuple(texts.columns),
        format=alike[0].file.format,
        separator=alike[0].separator,
        texts=texts,
        file=pl.concat(numbers),
        whole=len(parts) == len(files) and all(part.whole for part in alike),
        share=min(texts.height / sum(part.rows for part in alike), 1.0),
        share_of_files=len(first) / len(files),
        ends_with_line_ends=all(part.ends_with_line_end for part in alike),
    )


def _alike(parts: Sequence[_Part]) -> tuple[list[_Part], list[_Part]]:
    """The parts that are written as the one with the most columns and hold the same things, and the others."""
    main = max(parts, key=lambda part: part.texts.width)
    counts = Counter(name for part in parts for name in part.texts.columns)
    common = {name for name, count in counts.items() if count == len(parts)}

    def own(part: _Part) -> set[str]:
        return set(part.texts.columns) - common

    def is_alike(part: _Part) -> bool:
        return part.written == main.written and (not own(part) or bool(own(part) & own(main)))

    return [part for part in parts if is_alike(part)], [part for part in parts if not is_alike(part)]


def _part(file: _File, most_rows: int) -> _Part:
    try:
        with file.path.open("rb") as opened:
            if file.format == "parquet":
                texts, stored = _of_parquet(opened, most_rows)
                return _checked(_Part(file, ",", texts, stored, ends_with_line_end=True))
            head = opened.read(SAMPLE_BYTES + 1)
            whole = len(head) <= SAMPLE_BYTES
            ended = (head if whole else _last_byte(opened)).endswith(b"\n")
            size = len(head) if whole else opened.seek(0, io.SEEK_END)
    except _PROBLEMS as problem:
        reason = printable(str(problem))[:200]
        raise SourceError(f"{file.place}: it cannot be read as {file.format} ({reason}).") from problem
    lines = head if whole else head[: head.rfind(b"\n") + 1]
    separator: Separator = ","
    if file.format == "jsonl":
        texts = text_columns(lines)
    else:
        separator = _separator(lines, file.place)
        texts, has_header = _of_csv(lines, separator, file.place)
        rows = texts.height * size / len(lines)
        return _checked(_Part(file, separator, texts.head(most_rows), rows, ended, has_header))
    return _checked(_Part(file, separator, texts.head(most_rows), texts.height * size / len(lines), ended))


def _last_byte(opened: IO[bytes]) -> bytes:
    opened.seek(-1, io.SEEK_END)
    return opened.read(1)


def _files_at(path: Path) -> tuple[list[_File], tuple[str, ...]]:
    """The files of rows at a path, in the order of their names, and the names of those that may be notes."""
    if path.is_dir():
        files = [_File(file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file()]
    elif not path.is_file():
        raise SourceError(f"{printable(str(path))}: there is no such file.")
    elif is_archive_name(path.name):
        files = _in_archive(path)
    else:
        files = [_File(path.name, path)]
    by_name = sorted(files, key=lambda file: file.name)
    rows = [file for file in by_name if _is_read(file.name, FORMAT_OF_ENDING)]
    rows = rows or [file for file in by_name if _is_read(file.name, PLAIN_TEXT)]
    notes = tuple(file.name for file in by_name if _is_read(file.name, NOTES))
    if not rows:
        endings = ", ".join((*FORMAT_OF_ENDING, *PLAIN_TEXT))
        raise SourceError(
            f"{printable(str(path))}: expected a file that ends with {endings}, or a folder or .zip of such."
        )
    return rows, notes


def _in_archive(path: Path) -> list[_File]:
    try:
        archive = zipfile.ZipFile(path)
        return [_File(name, zipfile.Path(archive, name)) for name in archive.namelist()]
    except _PROBLEMS as problem:
        reason = printable(str(problem))[:200]
        raise SourceError(f"{printable(str(path))}: it cannot be read as a zip archive ({reason}).") from problem


def _is_read(name: str, endings: Collection[str]) -> bool:
    """Whether a name, with folders, is that of a file with one of these endings which a source would read."""
    base = PurePosixPath(name)
    return base.suffix.lower() in endings and not base.name.startswith(".") and left_out_folder(name) is None


def _checked(part: _Part) -> _Part:
    place, texts = part.file.place, part.texts
    if not texts.width or not texts.height:
        raise SourceError(f"{place}: it holds no row to look at.")
    if texts.width > MAX_COLUMNS:
        raise SourceError(f"{place}: {texts.width:,} columns are more than the {MAX_COLUMNS:,} of a table.")
    missing = Reading()
    emptied = texts.with_columns(
        pl.when(~pl.col(name).is_in(["", *missing.missing_among(texts[name])])).then(pl.col(name))
        for name in texts.columns
    )
    rows = emptied.filter(~pl.all_horizontal(pl.all().is_null()))
    return replace(part, texts=rows, rows=part.rows - (texts.height - rows.height))


def _separator(lines: bytes, place: str) -> Separator:
    """The separator that divides header and first lines into the most and equally many fields."""
    first = [line.decode("utf-8", "replace") for line in lines.removeprefix(BYTE_ORDER_MARK).splitlines()[:20] if line]
    if len(first) < 2:
        raise SourceError(f"{place}: it has no line after its header.")

    def fields(separator: str) -> int:
        widths = [len(next(csv.reader([line], delimiter=separator), [])) for line in first]
        return widths[0] if len(set(widths)) == 1 else 0

    return max(get_args(Separator), key=fields)


def _of_csv(lines: bytes, separator: str, place: str) -> tuple[pl.DataFrame, bool]:
    """The rows, and whether the first line was a header."""
    first = lines.removeprefix(BYTE_ORDER_MARK).partition(b"\n")[0].decode("utf-8", "replace")
    cells = next(csv.reader([first], delimiter=separator), [])
    has_header = not all(map(_DATA.fullmatch, cells))
    try:
        texts = pl.read_csv(
            io.BytesIO(lines),
            has_header=has_header,
            separator=separator,
            infer_schema=False,
            truncate_ragged_lines=True,
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError as problem:
        reason = printable(str(problem).split("\n")[0])[:200]
        raise SourceError(f"{place}: it cannot be read as CSV ({reason}).") from problem
    return texts, has_header


def _of_parquet(opened: IO[bytes], most_rows: int) -> tuple[pl.DataFrame, int]:
    file = pq.ParquetFile(opened)
    batch = next(file.iter_batches(most_rows), None)
    frame = pl.DataFrame() if batch is None else pl.DataFrame(pa.Table.from_batches([batch]))
    plain = [name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Binary]
    in_utc = [
        pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Datetime) and kind.time_zone
    ]
    return frame.with_columns(in_utc).select(pl.col(plain).cast(pl.String)), file.metadata.num_rows
