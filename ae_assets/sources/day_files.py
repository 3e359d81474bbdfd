"""Sources whose days are files: what happens to a day found twice, how a listed day is read.

Where the files lie (a folder, an archive, a web server) is known to `folder`, `archives` and `https`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources.files import DataFile, stem_of
from ae_assets.sources.printable import printable
from ae_assets.sources.source import SourceDay

if TYPE_CHECKING:
    from ae_assets.sources.many_days import ManyDays

MAX_DAY_BYTES = 2 * 2**30
"""A day larger than this is refused: the largest official day is near 0.12 GiB, and a day is held in memory."""

_SHOWN_STRAYS = 10
_MARKS_OF_HIDDEN = (".", "#", "@", "$", "~")
"""How hidden folders begin, and those that storage keeps for itself: #recycle, @eaDir, $RECYCLE.BIN, ~snapshot."""
_SYSTEM_FOLDERS = frozenset(
    {
        *("lost+found", "system volume information", "recycler", "recycled", "network trash folder"),
        *("temporary items", "_temporary"),  # Spark's, of days that are being written
    }
)


@dataclass(frozen=True)
class Listing:
    """The files that hold days, and what was left out, one line each with the reason."""

    files: Sequence[DataFile]
    strays: Sequence[str]


def is_archive_name(name: str) -> bool:
    """Whether a file of this name (without folders) is read as a zip archive."""
    return name.lower().endswith(".zip") and not name.startswith(".")


def folder_to_leave_out(name: str) -> str | None:
    """Why nothing in a folder of this name (without those above it) is read, None if it is an ordinary one."""
    if name == "__MACOSX":
        return "a macOS side folder, no data"
    if name in {".", ".."}:
        return None
    if name.startswith(_MARKS_OF_HIDDEN) or name.lower() in _SYSTEM_FOLDERS:
        return "a hidden folder, a recycle bin or one of the system's; move days that are to be read elsewhere"
    return None


def left_out_folder(name: str) -> tuple[str, str] | None:
    """The first folder in a file's name in which nothing is read, with those above it, and why; None: there is none."""
    folders = name.split("/")[:-1]
    for depth, folder in enumerate(folders, start=1):
        if (reason := folder_to_leave_out(folder)) is not None:
            return "/".join(folders[:depth]) + "/", reason
    return None


class ListingSource(ABC):
    """A source that looks at its location, and reads only what was listed there and is still the same."""

    simulated = False

    def __init__(self, location: str, reading: Reading | None = None, memory: Path | None = None) -> None:
        self.location = printable(location)
        self._reading = reading or Reading()
        self._memory = memory
        self._listed: dict[date, SourceDay] | None = None
        self._strays: list[str] = []

    @abstractmethod
    def _look(self) -> tuple[dict[date, SourceDay], list[str]]:
        """The days that are there now, oldest first, and what is left out."""

    @abstractmethod
    def _rows(self, day: SourceDay) -> pl.DataFrame:
        """The rows of a day as the last look listed it."""

    def span(self) -> tuple[date, date] | None:
        return None

    def days(self) -> dict[date, SourceDay]:
        """Days, oldest first. A day that files claim differently is listed, but `read` refuses it."""
        self._listed, left_out = self._look()
        self._strays = [printable(stray) for stray in left_out]
        return dict(self._listed)

    def strays(self) -> list[str]:
        if self._listed is None:
            self.days()
        return list(self._strays)

    def read(self, day: SourceDay) -> pl.DataFrame:
        """Rows of a listed day, see `csv_day.parse_day`. SourceError if it is gone or changed since it was listed."""
        listed = (self._listed or {}).get(day.day)
        if listed != day:
            listed = self.days().get(day.day)
        if listed is None:
            raise SourceError(absent_day(self.location, day.day, self._strays))
        if listed != day:
            raise SourceError(
                f"{day.origin}: {stem_of(day.day)} has changed since it was listed (fingerprint {day.fingerprint} then,"
                f" {listed.fingerprint} in {listed.origin} now). List the source again and read"
                " what it lists."
            )
        return self._rows(day)


class DayFileSource(ListingSource):
    """A source that lists files and reads each as the rows of a day, or of many."""

    _files: dict[date, DataFile]

    @abstractmethod
    def _listing(self) -> Listing:
        """Looks at the location now."""

    def _look(self) -> tuple[dict[date, SourceDay], list[str]]:
        listing = self._listing()
        if self._reading.days_per_file == "many":
            listed, left_out = self._many_days.days(listing.files)
        else:
            self._files, left_out = one_file_per_day(listing.files)
            listed = {day: file.listed for day, file in self._files.items()}
        return listed, [*listing.strays, *left_out]

    def _rows(self, day: SourceDay) -> pl.DataFrame:
        if self._reading.days_per_file == "many":
            return self._many_days.read(day)
        # Sources are opened in every process to list their days; only reading a day needs numpy.
        from ae_assets.sources.reader import read_file

        return read_file(self._files[day.day].fetch(), day.origin, self._reading)

    @cached_property
    def _many_days(self) -> "ManyDays":
        from ae_assets.sources.many_days import ManyDays

        return ManyDays(self._reading, self._memory, self.location)


def absent_day(location: str, day: date, strays: Sequence[str]) -> str:
    """What to tell someone who asks for a day that is not listed: it may sit in something that could not be read."""
    left_out = "".join(f"\n  left out: {stray}" for stray in strays[:_SHOWN_STRAYS])
    more = f"\n  and {len(strays) - _SHOWN_STRAYS} more" if len(strays) > _SHOWN_STRAYS else ""
    name = stem_of(day)
    return f"{location}: there is no file for {name}. Add {name}.csv or an archive that holds it.{left_out}{more}"


def one_file_per_day(files: Sequence[DataFile]) -> tuple[dict[date, DataFile], list[str]]:
    """Settles days that several files claim.

    Copies with the same content count once. Files that differ leave the day listed under a fingerprint of all of them
    and make it unreadable: the day is neither dropped nor guessed, the other days stay usable, and removing a file
    changes the fingerprint, so that the day is asked for again.

    Returns:
        The file of each day, oldest first, and one line per copy that was left out.
    """
    by_day: dict[date, list[DataFile]] = {}
    for file in sorted(files, key=lambda file: (file.listed.day, file.listed.origin)):
        by_day.setdefault(file.listed.day, []).append(file)
    settled: dict[date, DataFile] = {}
    copies: list[str] = []
    for day, claims in by_day.items():
        first, *others = claims
        different = [other for other in others if not _same_content(first, other)]
        settled[day] = _conflict([first, *different]) if different else first
        copies += [
            f"{other.listed.origin}: the same content as {first.listed.origin}, read once"
            for other in others
            if other not in different
        ]
    return settled, copies


def _same_content(one: DataFile, other: DataFile) -> bool:
    if one.listed.size_bytes != other.listed.size_bytes:
        return False
    try:
        return one.checksum() == other.checksum()
    except SourceError:
        return False


def _conflict(claims: Sequence[DataFile]) -> DataFile:
    day = claims[0].listed.day
    origins = " and ".join(claim.listed.origin for claim in claims)
    message = (
        f"{stem_of(day)} is there more than once with different content: {origins}. Keep one"
        " of them and remove the others; where several files hold it together, set source.days_per_file: many."
    )
    listed = SourceDay(
        day,
        "conflict:" + "+".join(claim.listed.fingerprint for claim in claims),
        origins,
        max(claim.listed.size_bytes for claim in claims),
    )
    return DataFile.refused(listed, message)
