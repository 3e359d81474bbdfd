"""How the files of a table are to be read: their columns, and what the writers of such files do differently."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

import polars as pl

from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.schemas.layouts.layout import Layout
from ae_assets.schemas.periods import DAILY, Periods

MISSING_MARKERS = ("NULL", r"\N", "NA", "N/A", "NaN", "None")
"""What databases, R and Python write for an empty cell. A cell with nothing in it, also in quotes, is always empty."""

LastLineEnd = Literal["required", "optional"]
Separator = Literal[",", ";", "\t", "|"]
DecimalMark = Literal[".", ","]
Format = Literal["csv", "parquet", "jsonl"]
DaysPerFile = Literal["one", "many"]

FORMAT_OF_ENDING: Mapping[str, Format] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The format of a file by the ending of its name, in lower case."""

_NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Lines:
    """What the lines of CSV files lack.

    Attributes:
        columns: the names of their fields; none: the first line is the header.
        begin: the time of the first line of each file, as its clock showed it; None: a column says the time.
        step: from each line to the next.
    """

    columns: tuple[str, ...] = ()
    begin: datetime | None = None
    step: timedelta | None = None


@dataclass(frozen=True)
class Reading:
    """What a source's YAML says of how its files are written.

    Attributes:
        missing_markers: cells that hold nothing but one of them are missing, in upper or lower case alike; in columns
            of numbers spaces around do not count, and a whole number stands for its value.
        last_line_end: "required": a file whose last line has no line end is refused, since its last cell and any
            number of rows may be gone. "optional": it is taken for complete if that line has all its fields.
        layout: what the columns are called and of which type they are.
        separator: what stands between the fields of a line.
        decimal_mark: what stands before the decimals of a number.
        format: of all files; None: that of each file's ending.
        days_per_file: one: a file is named after its period. many: each row says its own.
        periods: by which the rows are cut.
        files: names of files that hold rows, as a pattern such as ``Flow_*.csv``; None: all.
        lines: what CSV files lack; None: nothing.
    """

    missing_markers: tuple[str, ...] = MISSING_MARKERS
    last_line_end: LastLineEnd = "required"
    layout: Layout = DRIVE_STATS
    separator: Separator = ","
    decimal_mark: DecimalMark = "."
    format: Format | None = None
    days_per_file: DaysPerFile = "one"
    periods: Periods = DAILY
    files: str | None = None
    lines: Lines | None = None

    def format_of(self, name: str) -> Format | None:
        """The format of a file of this name; None where it is no file of rows."""
        ending = FORMAT_OF_ENDING.get(PurePosixPath(name).suffix.lower())
        return self.format or ending

    @cached_property
    def digest(self) -> str:
        """Differs where the same file would give other rows, or other periods of them."""
        layout = self.layout
        entity = (layout.entity, layout.entity_of_file, layout.entity_in_path)
        columns = (layout.name, layout.time, *entity, layout.cohort, layout.label)
        written = (self.missing_markers, self.separator, self.decimal_mark, self.format, self.lines)
        of_files = filter(None, (layout.entity_name, layout.metric))
        said = (columns, layout.values, *written, self.periods.partitions, *of_files)
        return hashlib.sha256(repr(said).encode()).hexdigest()[:12]

    @cached_property
    def of_rows(self) -> "Reading":
        """How the rows of a file are read, which are no records yet where the files are in long form."""
        return self if self.layout.of_rows is None else replace(self, layout=self.layout.of_rows)

    @cached_property
    def spellings(self) -> list[str]:
        """The markers as they are mostly written, for a parser that does not look at them without regard to case."""
        return sorted({f(marker) for marker in self.missing_markers for f in (str, str.lower, str.upper)})

    def numbers(self, column: str) -> list[int]:
        """The markers of a column that are whole numbers, e.g. -9999."""
        return sorted({int(marker) for marker in self._markers(column) if _WHOLE.fullmatch(marker)})

    def floats(self, column: str) -> list[float]:
        """The markers of a column that are numbers."""
        return sorted({float(marker) for marker in self._markers(column) if _NUMBER.fullmatch(marker)})

    def is_missing(self, text: str, column: str = "") -> bool:
        """Whether a cell with this text is missing."""
        return text.lower() in self._lowered or (column in self.layout.missing and text.lower() in self._of(column))

    def missing_among(self, texts: pl.Series) -> list[str]:
        """The different texts of a column, named as it is, that stand for a missing cell."""
        longest = max((len(marker.encode()) for marker in self._of(texts.name)), default=0)
        short = texts.filter(texts.str.len_bytes() <= longest)
        return [text for text in distinct(short) if self.is_missing(text, texts.name)]

    @cached_property
    def _lowered(self) -> frozenset[str]:
        return frozenset(marker.strip(" \t").lower() for marker in self.missing_markers)

    def _of(self, column: str) -> frozenset[str]:
        own = self.layout.missing.get(column)
        return self._lowered | {marker.strip(" \t").lower() for marker in own} if own else self._lowered

    def _markers(self, column: str) -> tuple[str, ...]:
        return (*self.missing_markers, *self.layout.missing.get(column, ()))


def distinct(texts: pl.Series) -> Iterable[str]:
    """The different texts of a column, nulls left out."""
    return texts.drop_nulls().unique().to_list()
