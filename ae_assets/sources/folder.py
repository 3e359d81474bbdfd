"""A folder on this machine as a source, with `YYYY-MM-DD.csv` files and zip archives in any depth; or one such file."""

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources.archives import DirectoryCache, LocalArchive
from ae_assets.sources.day_files import (
    MAX_DAY_BYTES,
    DayFileSource,
    Listing,
    folder_to_leave_out,
    is_archive_name,
)
from ae_assets.sources.files import DataFile, period_of_file, stray_name_reason
from ae_assets.sources.fingerprints import Fingerprints, fingerprint_of
from ae_assets.sources.printable import printable
from ae_assets.sources.source import SourceDay


class FolderSource(DayFileSource):
    """Daily files and archives below a folder, or a single daily file.

    A file's fingerprint is that of its content, so a file that is touched or copied again is the same day. Each file is
    read for it once: `fingerprints` remembers what it holds while nothing about the file changes, in the home where one
    is given. Members of archives carry their checksum in the archive's directory.

    An archive that cannot be read is named by `strays()` with the reason, and once more by the error of whoever asks
    for a day that is not there; the other files stay usable. If nothing but broken archives is there, listing fails.
    """

    def __init__(self, path: Path, reading: Reading | None = None, memory: Path | None = None) -> None:
        super().__init__(str(path), reading, memory)
        self._path = path
        self._cache = DirectoryCache(self._reading)

    @cached_property
    def _fingerprints(self) -> Fingerprints:
        return Fingerprints(Path(os.path.realpath(self._path)), self._memory)

    def span(self) -> tuple[date, date] | None:
        """First and last day by the names of files, and by the directories of archives; None where rows say it."""
        if self._reading.days_per_file == "many":
            return None
        root = Path(os.path.realpath(self._path))
        if not root.is_dir():
            single = self._period_of_a_file(root)
            return None if single is None else (single, single)
        days: list[date] = []
        with suppress(SourceError):
            for path in _walk(root, []):
                day = period_of_file(path.relative_to(root).as_posix(), self._reading)
                days += [] if day is None else [day]
                if is_archive_name(path.name):
                    with suppress(SourceError):
                        archive = LocalArchive(path, path.relative_to(root).as_posix())
                        days += [file.listed.day for file in self._cache.listing(archive).files]
        return (min(days), max(days)) if days else None

    def _listing(self) -> Listing:
        root = Path(os.path.realpath(self._path))
        day = self._period_of_a_file(root)
        if day is not None and root.is_file():
            single = self._day_file(root, self._path.name, day)
            self._fingerprints.end_of_look()
            return Listing([single], [])
        if not root.is_dir():
            named = f"a file of another name ({stray_name_reason(root.name, self._reading)})"
            raise SourceError(
                f"{self.location}: expected a folder of YYYY-MM-DD.csv files or zip archives, one such file or one .zip"
                f" file; received {named if root.exists() else 'a path where nothing is'}."
            )
        files, strays = [], list[str]()
        archives: list[LocalArchive] = []
        for path in _walk(root, strays):
            name = path.relative_to(root).as_posix()
            reason = _reason_to_leave_out(path, root)
            day = period_of_file(name, self._reading)
            if reason is not None:
                strays.append(f"{name}: {reason}")
            elif is_archive_name(path.name):
                archives.append(LocalArchive(path, name))
            elif day is None:
                strays.append(f"{name}: {stray_name_reason(path.name, self._reading)}")
            else:
                try:
                    files.append(self._day_file(path, name, day))
                except OSError as problem:  # gone since it was found
                    strays.append(f"{name}: cannot be looked at ({problem.strerror})")
        self._fingerprints.end_of_look()
        return self._cache.combined(self.location, archives, files, strays)

    def _period_of_a_file(self, root: Path) -> date | None:
        """The period of the location itself, by its name or by that of what it links to; None where it is a folder."""
        return period_of_file(self._path.as_posix(), self._reading) or period_of_file(root.as_posix(), self._reading)

    def _day_file(self, path: Path, name: str, day: date) -> DataFile:
        """A file as a day; one that cannot be read is listed and says so when it is read. OSError where it is gone."""
        state = path.stat()
        listed = SourceDay(day, f"unread:{state.st_size:x}-{state.st_mtime_ns:x}", name, state.st_size)
        if state.st_size > MAX_DAY_BYTES:
            reason = f"{state.st_size:,} bytes are more than the {MAX_DAY_BYTES:,} a day may have"
            return DataFile.refused(listed, f"{printable(str(path))}: {reason}.")
        try:
            checksum = self._fingerprints.checksum(name, path)
        except OSError as problem:
            return DataFile.refused(listed, f"{printable(str(path))}: the file cannot be read ({problem.strerror}).")
        listed = replace(listed, fingerprint=fingerprint_of(checksum, state.st_size))
        return DataFile(listed, partial(int, checksum), partial(_fetch, path, listed))


def _walk(root: Path, strays: list[str]) -> Iterator[Path]:
    """Paths below a folder that are not folders, in a fixed order; folders that are not entered go to `strays`."""

    def note(problem: OSError) -> None:
        if Path(problem.filename) == root:
            raise SourceError(f"{printable(str(root))}: the folder cannot be listed ({problem.strerror}).") from problem
        strays.append(f"{Path(problem.filename).relative_to(root).as_posix()}/: cannot be listed ({problem.strerror})")

    for folder, subfolders, names in os.walk(root, onerror=note):
        for subfolder in list(subfolders):
            path = Path(folder, subfolder)
            reason = folder_to_leave_out(subfolder)
            if reason is not None:
                subfolders.remove(subfolder)
            elif path.is_symlink():
                reason = "a symbolic link to a folder is not followed"
            if reason is not None:
                strays.append(f"{path.relative_to(root).as_posix()}/: {reason}")
        subfolders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _reason_to_leave_out(path: Path, root: Path) -> str | None:
    try:
        target = Path(os.path.realpath(path, strict=True))
        mode = target.stat().st_mode
    except OSError as problem:
        return f"cannot be looked at ({problem.strerror})"
    if path.is_symlink() and not target.is_relative_to(root):
        return "refused, a symbolic link out of the folder"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return None


def _fetch(path: Path, listed: SourceDay) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(listed.size_bytes + 1)
    except OSError as problem:
        raise SourceError(f"{printable(str(path))}: the file cannot be read ({problem.strerror}).") from problem
    if fingerprint_of(zlib.crc32(content), len(content)) != listed.fingerprint:
        raise SourceError(
            f"{printable(str(path))}: the file is still changing, or has changed since it was listed. List the source"
            " again."
        )
    return content
