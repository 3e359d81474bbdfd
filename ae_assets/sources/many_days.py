"""Files that hold many days: which days are in them, each with a fingerprint of its own, and the rows of one day.

A file is read as a whole to see its days. What was found is remembered by the file's fingerprint, so that a file that
did not change is not read again, and a file that grew renews its new days only: those whose rows are as they were keep
their fingerprints.
"""

import contextlib
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.sources.files import DataFile
from ae_assets.sources.reader import read_file
from ae_assets.sources.source import SourceDay

VERSION = 1

HELD_BYTES = 2**30
"""Most bytes of rows that are held for the next day of the same files."""

_DAY = "__day"


@dataclass(frozen=True)
class _Part:
    """The rows of a day in one file: what they are, told by a digest, and how much text they would be."""

    digest: str
    size_bytes: int


class ManyDays:
    """The days in some files.

    Args:
        reading: how the files are written.
        memory: folder in which the days of a file are remembered between processes; None: for as long as this lives.
        location: of the source, by which its memory is told from that of others.
    """

    def __init__(self, reading: Reading, memory: Path | None, location: str) -> None:
        self._reading = reading
        self._location = location
        name = hashlib.sha256(os.fsencode(location)).hexdigest()[:16]
        self._memory = None if memory is None else memory / f"days-{name}.json"
        self._indexes: dict[str, dict[date, _Part]] = self._remembered()
        self._files: dict[date, list[DataFile]] = {}
        self._frames: OrderedDict[str, pl.DataFrame] = OrderedDict()

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
            self._remember()
        self._files = {day: [file for file, _ in of_day] for day, of_day in parts.items()}
        return {day: _listed(day, parts[day]) for day in sorted(parts)}, strays

    def read(self, day: SourceDay) -> pl.DataFrame:
        """The rows of a listed day. Of several files `source_row` counts on, since a row is known by it.

        Raises:
            SourceError: a file cannot be read, or has changed since it was listed.
        """
        files = self._files[day.day]
        frames = [self._rows(file).filter(pl.col(_DAY) == day.day).drop(_DAY) for file in files]
        rows = pl.concat(frames, how="diagonal")
        if len(files) > 1:
            numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias(ROW_COLUMN)
            last = rows.columns[-1:] if rows.columns[-1] != ROW_COLUMN else []
            others = [name for name in frames[0].columns if name in rows.columns and name not in (*last, ROW_COLUMN)]
            more = [name for name in rows.columns if name not in (*others, *last, ROW_COLUMN)]
            rows = rows.with_columns(numbers).select(*others, *more, ROW_COLUMN, *last)
        return rows

    def _without_copies(self, files: Sequence[DataFile], strays: list[str]) -> list[DataFile]:
        """The files, each content once, unless a file's name says whose it is."""
        if self._reading.layout.entity_of_file is not None:
            return list(files)
        first: dict[tuple[str, int], DataFile] = {}
        for file in sorted(files, key=lambda file: file.listed.origin):
            known = first.setdefault((file.listed.fingerprint, file.listed.size_bytes), file)
            if known is not file:
                strays.append(f"{file.listed.origin}: the same content as {known.listed.origin}, read once")
        return list(first.values())

    def _index(self, file: DataFile) -> dict[date, _Part]:
        known = self._indexes.get(self._key(file))
        if known is not None:
            return known
        days = self._rows(file).partition_by(_DAY, as_dict=True, include_key=False)
        return {day: _part(rows) for (day,), rows in days.items()}

    def _rows(self, file: DataFile) -> pl.DataFrame:
        """The rows of a file with the day of each."""
        key = self._key(file)
        if key not in self._frames:
            rows = read_file(file.fetch(), file.listed.origin, self._reading)
            self._frames[key] = _with_days(rows, file.listed.origin, self._reading)
        self._frames.move_to_end(key)
        while len(self._frames) > 1 and sum(rows.estimated_size() for rows in self._frames.values()) > HELD_BYTES:
            self._frames.popitem(last=False)
        return self._frames[key]

    def _key(self, file: DataFile) -> str:
        return f"{file.listed.origin} {file.listed.fingerprint} {self._reading.digest}"

    def _remembered(self) -> dict[str, dict[date, _Part]]:
        if self._memory is None:
            return {}
        try:
            content = json.loads(self._memory.read_text())
            if content["version"] != VERSION:
                return {}
            return {
                key: {date.fromisoformat(day): _Part(str(digest), int(size)) for day, (digest, size) in days.items()}
                for key, days in content["files"].items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}

    def _remember(self) -> None:
        if self._memory is None:
            return
        files = {
            key: {day.isoformat(): [part.digest, part.size_bytes] for day, part in days.items()}
            for key, days in self._indexes.items()
        }
        draft = self._memory.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"version": VERSION, "files": files}, separators=(",", ":")))
            draft.replace(self._memory)


def _with_days(rows: pl.DataFrame, origin: str, reading: Reading) -> pl.DataFrame:
    """The rows with their days; one whose time cannot be read stands with the row before it, to be set aside there.

    Raises:
        SourceError: there are rows, and no time can be read.
    """
    time = pl.col(reading.layout.time.name)
    days = (time if reading.layout.time.dtype == pl.Date else time.dt.date()).alias(_DAY)
    dated = rows.with_columns(days.forward_fill().backward_fill())
    if dated.height and dated[_DAY].null_count():
        written = " or ".join(reading.layout.time.format) or "YYYY-MM-DD, YYYYMMDD or YYYY/MM/DD"
        raise SourceError(
            f"{origin}: no time of its {rows.height:,} rows can be read. Expected {written} in"
            f" {', '.join(reading.layout.time.column)}; say in source.columns.time.format how they are written."
        )
    return dated


def _part(rows: pl.DataFrame) -> _Part:
    text = rows.drop(ROW_COLUMN).write_csv().encode()
    return _Part(hashlib.sha256(text).hexdigest()[:16], len(text))


def _listed(day: date, parts: Sequence[tuple[DataFile, _Part]]) -> SourceDay:
    digests = sorted(part.digest for _, part in parts)
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    first = parts[0][0].listed.origin
    origin = first if len(parts) == 1 else f"{first} and {len(parts) - 1} more"
    return SourceDay(day, f"rows-{digest}", origin, sum(part.size_bytes for _, part in parts))
