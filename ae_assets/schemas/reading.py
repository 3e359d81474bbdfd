"""How the cells and the end of a daily file are to be read, where the writers of such files differ."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import polars as pl

MISSING_MARKERS = ("NULL", r"\N", "NA", "N/A", "NaN", "None")
"""What databases, R and Python write for an empty cell. A cell with nothing in it, also in quotes, is always empty."""

LastLineEnd = Literal["required", "optional"]

_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Reading:
    """What a source's YAML says of how its files are written.

    Attributes:
        missing_markers: cells that hold nothing but one of them are missing, in upper or lower case alike; in columns
            of numbers spaces around do not count, and a whole number stands for its value.
        last_line_end: "required": a file whose last line has no line end is refused, since its last cell and any
            number of rows may be gone. "optional": it is taken for complete if that line has all its fields.
    """

    missing_markers: tuple[str, ...] = MISSING_MARKERS
    last_line_end: LastLineEnd = "required"

    @cached_property
    def spellings(self) -> list[str]:
        """The markers as they are mostly written, for a parser that does not look at them without regard to case."""
        return sorted({f(marker) for marker in self.missing_markers for f in (str, str.lower, str.upper)})

    @cached_property
    def numbers(self) -> list[int]:
        """The markers that are whole numbers, e.g. -9999."""
        return sorted({int(marker) for marker in self.missing_markers if _WHOLE.fullmatch(marker)})

    def is_missing(self, text: str) -> bool:
        """Whether a cell with this text is missing."""
        return text.lower() in self._lowered

    def missing_among(self, texts: pl.Series) -> list[str]:
        """The different texts of a column that stand for a missing cell."""
        longest = max((len(marker.encode()) for marker in self._lowered), default=-1)
        short = texts.filter(texts.str.len_bytes() <= longest)
        return [text for text in distinct(short) if self.is_missing(text)]

    @cached_property
    def _lowered(self) -> frozenset[str]:
        return frozenset(marker.strip(" \t").lower() for marker in self.missing_markers)


def distinct(texts: pl.Series) -> Iterable[str]:
    """The different texts of a column, nulls left out."""
    return texts.drop_nulls().unique().to_list()
