"""A folder on this machine as a source: `YYYY-MM-DD.csv` files and zip archives, mixed, in any subfolder."""

import os
import stat
import zlib
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path

from ae_assets.errors import SourceError
from ae_assets.sources.archives import DirectoryCache, LocalArchive
from ae_assets.sources.day_files import (
    MAX_DAY_BYTES,
    DayFile,
    DayFileSource,
    Listing,
    day_of_name,
    stray_name_reason,
)
from ae_assets.sources.printable import printable
from ae_assets.sources.reading import Reading
from ae_assets.sources.source import SourceDay

_CHECKSUM_BLOCK = 2**20


class FolderSource(DayFileSource):
    """Daily files and archives below a folder.

    A file's fingerprint is its size and time of last change (nanoseconds), not a hash of its content: the sensor lists
    the folder every minute, and hashing a year of official days would read 40 GB each time. A file that is rewritten
    with equal content is loaded once more, which changes nothing; one that changes always gets another time, unless
    somebody sets the time back on purpose. Members of archives carry a CRC32 in the archive's directory, which is used
    instead.

    An archive that cannot be read is named by `strays()` with the reason, and once more by the error of whoever asks
    for a day that is not there; the other files stay usable. If nothing but broken archives is there, listing fails.
    """

    def __init__(self, path: Path, reading: Reading | None = None) -> None:
        super().__init__(str(path), reading)
        self._path = path
        self._cache = DirectoryCache()

    def _listing(self) -> Listing:
        root = Path(os.path.realpath(self._path))
        if not root.is_dir():
            raise SourceError(
                f"{self.location}: expected a folder of YYYY-MM-DD.csv files or zip archives, or one .zip file;"
                f" received {'a single file' if root.exists() else 'a path where nothing is'}."
            )
        files: list[DayFile] = []
        strays: list[str] = []
        archives: list[LocalArchive] = []
        for path in _walk(root, strays):
            name = path.relative_to(root).as_posix()
            reason = _reason_to_leave_out(path, root)
            day = day_of_name(path.name)
            if reason is not None:
                strays.append(f"{name}: {reason}")
            elif path.name.lower().endswith(".zip") and not path.name.startswith("._"):
                archives.append(LocalArchive(path, name))
            elif day is None:
                strays.append(f"{name}: {stray_name_reason(path.name)}")
            else:
                files.append(_day_file(path, name, day))
        return self._cache.combined(self.location, archives, files, strays)


def _walk(root: Path, strays: list[str]) -> Iterator[Path]:
    """Paths below a folder that are not folders, in a fixed order; folders that cannot be entered go to `strays`."""

    def note(problem: OSError) -> None:
        if Path(problem.filename) == root:
            raise SourceError(f"{printable(str(root))}: the folder cannot be listed ({problem.strerror}).") from problem
        strays.append(f"{Path(problem.filename).relative_to(root).as_posix()}/: cannot be listed ({problem.strerror})")

    for folder, subfolders, names in os.walk(root, onerror=note):
        for subfolder in list(subfolders):
            path = Path(folder, subfolder)
            if subfolder == "__MACOSX":
                subfolders.remove(subfolder)
                strays.append(f"{path.relative_to(root).as_posix()}/: a macOS side folder, no data")
            elif path.is_symlink():
                strays.append(f"{path.relative_to(root).as_posix()}/: a symbolic link to a folder is not followed")
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


def _day_file(path: Path, name: str, day: date) -> DayFile:
    state = path.stat()
    listed = SourceDay(day, _fingerprint(state), name, state.st_size)
    return DayFile(listed, partial(_checksum, path), partial(_fetch, path, listed))


def _fingerprint(state: os.stat_result) -> str:
    return f"{state.st_size:x}-{state.st_mtime_ns:x}"


def _fetch(path: Path, listed: SourceDay) -> bytes:
    if listed.size_bytes > MAX_DAY_BYTES:
        raise SourceError(
            f"{printable(str(path))}: {listed.size_bytes:,} bytes are more than the {MAX_DAY_BYTES:,} a day may have."
        )
    try:
        with path.open("rb") as file:
            before = _fingerprint(os.fstat(file.fileno()))
            content = file.read(listed.size_bytes + 1)
            after = _fingerprint(os.fstat(file.fileno()))
    except OSError as problem:
        raise SourceError(f"{printable(str(path))}: the file cannot be read ({problem.strerror}).") from problem
    if not before == after == listed.fingerprint:
        raise SourceError(
            f"{printable(str(path))}: the file is still changing, or has changed since it was listed. List the source"
            " again."
        )
    return content


def _checksum(path: Path) -> int:
    value = 0
    try:
        with path.open("rb") as file:
            while block := file.read(_CHECKSUM_BLOCK):
                value = zlib.crc32(block, value)
    except OSError as problem:
        raise SourceError(f"{printable(str(path))}: the file cannot be read ({problem.strerror}).") from problem
    return value
