"""Files that hold many days: which days are in them, each with a fingerprint of its own, and the rows of one day.

Days are those of the table: its hours or weeks where it is cut so.

A file is read as a whole to see its days. What was found is remembered by the file's fingerprint, so that a file that
did not change is not read again, and a file that grew renews its new days only: those whose rows are as they were keep
their fingerprints.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.sources.files import DataFile
from ae_assets.sources.memory import Memory
from ae_assets.sources.metrics import records
from ae_assets.sources.reader import read_file
from ae_assets.sources.source import SourceDay

VERSION = 1

HELD_BYTES = 2**30
"""Most bytes of rows that are held for the next day of the same files."""

_DAY = "__day"


@dataclass(frozen=True)
class _Cut:
    """The rows of a file by their days.

    Attributes:
        rows: all of them, sorted by day, those of a day in the file's order.
        places: where the rows of each day begin, and how many they are.
    """

    rows: pl.DataFrame
    places: Mapping[date, tuple[int, int]]

    def of(self, day: date) -> pl.DataFrame:
        return self.rows.slice(*self.places.get(day, (0, 0)))


class _Part(NamedTuple):
    """The rows of a day in one file: what they are, told by a digest, and how much text they would be."""

    digest: str
    size_bytes: int


class ManyDays:
    """The days in some files of a source; they are remembered in a folder, None: for as long as this lives."""

    def __init__(self, reading: Reading, memory: Path | None, location: str) -> None:
        self._reading = reading
        self._location = location
        self._memory = Memory(memory, "days-", location, VERSION)
        self._indexes: dict[str, dict[date, _Part]] = self._memory.recall(self._index_of)
        self._files: dict[date, list[DataFile]] = {}
        self._cuts: OrderedDict[str, _Cut] = OrderedDict()

    def days(self, files: Sequence[DataFile]) -> tuple[dict[date, SourceDay], list[str]]:
        """The days of some files, oldest first, and one line for each file that is left out.

        Raises:
            SourceError: files are there, and none can be read.
        """
        strays: list[str] = []
        indexes: dict[str, dict[date, _Part]] = {}
        parts: dict[date, list[tuple[DataFile, _Part]]] = {}
        for file in self._without_copies(files, strays):
            try:
                index = self._index(file)
            except SourceError as problem:
                strays.append(str(problem))
                continue
            indexes[self._key(file)] = index
            for day, part in index.items():
                parts.setdefault(day, []).append((file, part))
        if strays and files and not parts:
            raise SourceError(f"{self._location}: no day can be read.\n" + "\n".join(strays))
        if indexes.keys() != self._indexes.keys():
            self._indexes = indexes
            self._memory.remember({key: _days_of(index) for key, index in indexes.items()})
        self._files = {day: [file for file, _ in of_day] for day, of_day in parts.items()}
        return {day: _listed(day, parts[day]) for day in sorted(parts)}, strays

    def read(self, day: SourceDay) -> pl.DataFrame:
        """The rows of a listed day. Of several files `source_row` counts on, since a row is known by it.

        Raises:
            SourceError: a file cannot be read, or has changed since it was listed.
        """
        files = self._files[day.day]
        frames = [self._cut(file).of(day.day) for file in files]
        if self._reading.layout.metric is not None:
            return records(pl.concat(frames, how="diagonal"), self._reading.layout)
        if len(frames) == 1:
            return frames[0]
        rows = pl.concat(frames, how="diagonal")
        columns = [name for name in rows.columns if name not in (ROW_COLUMN, RESCUED_COLUMN)]
        numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias(ROW_COLUMN)
        return rows.select(*columns, numbers, RESCUED_COLUMN)

    def _without_copies(self, files: Sequence[DataFile], strays: list[str]) -> list[DataFile]:
        """The files, each content once, unless a file's name says whose it is."""
        if self._reading.layout.names_are_told_by_files:
            return list(files)
        first: dict[tuple[str, int], DataFile] = {}
        for file in sorted(files, key=lambda file: file.listed.origin):
            original = first.setdefault((file.listed.fingerprint, file.listed.size_bytes), file)
            if original is not file:
                strays.append(f"{file.listed.origin}: the same content as {original.listed.origin}, read once")
        return list(first.values())

    def _index(self, file: DataFile) -> dict[date, _Part]:
        index = self._indexes.get(self._key(file))
        return _parts(self._cut(file)) if index is None else index

    def _cut(self, file: DataFile) -> _Cut:
        key = self._key(file)
        if key not in self._cuts:
            rows = read_file(file.fetch(), file.listed.origin, self._reading)
            self._cuts[key] = _cut_by_days(rows, file.listed.origin, self._reading)
        self._cuts.move_to_end(key)
        while len(self._cuts) > 1 and sum(cut.rows.estimated_size() for cut in self._cuts.values()) > HELD_BYTES:
            self._cuts.popitem(last=False)
        return self._cuts[key]

    def _key(self, file: DataFile) -> str:
        return f"{file.listed.origin} {file.listed.fingerprint} {self._reading.digest}"

    def _index_of(self, days: Mapping[str, tuple[str, int]]) -> dict[date, _Part]:
        return {self._reading.periods.parse(day): _Part(str(digest), int(size)) for day, (digest, size) in days.items()}


def _days_of(index: Mapping[date, _Part]) -> dict[str, _Part]:
    return {day.isoformat(): part for day, part in index.items()}


def _cut_by_days(rows: pl.DataFrame, origin: str, reading: Reading) -> _Cut:
    """The rows by their days; one whose time cannot be read stands with the row before it, to be set aside there.

    Raises:
        SourceError: there are rows, and no time can be read.
    """
    days = reading.periods.of_times(pl.col(reading.layout.time.name)).alias(_DAY)
    dated = rows.with_columns(days.forward_fill().backward_fill())
    if dated.height and dated[_DAY].null_count():
        written = " or ".join(reading.layout.time.format) or "YYYY-MM-DD, YYYYMMDD or YYYY/MM/DD"
        raise SourceError(
            f"{origin}: no time of its {rows.height:,} rows can be read. Expected {written} in"
            f" {', '.join(reading.layout.time.column)}; say in source.columns.time.format how they are written."
        )
    ordered = dated if dated[_DAY].is_sorted() else dated.sort(_DAY, maintain_order=True)
    counts = ordered.group_by(_DAY, maintain_order=True).len()
    starts = counts["len"].cum_sum() - counts["len"]
    places = {
        reading.periods.of(day): (start, count)
        for day, start, count in zip(counts[_DAY], starts, counts["len"], strict=True)
    }
    return _Cut(ordered.drop(_DAY), places)


def _parts(cut: _Cut) -> dict[date, _Part]:
    """What the rows of each day are, by their text as CSV with its header."""
    header, _, lines = _text(cut.rows).partition(b"\n")
    ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == ord("\n")) + 1
    if len(ends) != cut.rows.height:  # a cell holds a line end
        return {day: _part(_text(cut.of(day))) for day in cut.places}
    bounds = np.concatenate([[0], ends])
    return {
        day: _part(header + b"\n" + lines[bounds[start] : bounds[start + count]])
        for day, (start, count) in cut.places.items()
    }


def _text(rows: pl.DataFrame) -> bytes:
    return rows.drop(ROW_COLUMN).write_csv().encode()


def _part(text: bytes) -> _Part:
    return _Part(hashlib.sha256(text).hexdigest()[:16], len(text))


def _listed(day: date, parts: Sequence[tuple[DataFile, _Part]]) -> SourceDay:
    digests = sorted(part.digest for _, part in parts)
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    first = parts[0][0].listed.origin
    origin = first if len(parts) == 1 else f"{first} and {len(parts) - 1} more"
    return SourceDay(day, f"rows-{digest}", origin, sum(part.size_bytes for _, part in parts))
