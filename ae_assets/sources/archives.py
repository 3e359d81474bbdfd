"""Official drive-stats archives (zip) read without unpacking: which members hold days, and the bytes of one member.

Member names are only ever compared and printed, never used as paths. Archives come from this machine or, through
`https`, from a web server; both are a seekable binary file here.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources.day_files import (
    MAX_DAY_BYTES,
    DayFileSource,
    Listing,
    left_out_folder,
)
from ae_assets.sources.files import DataFile, period_of_file, stray_name_reason
from ae_assets.sources.fingerprints import fingerprint_of
from ae_assets.sources.printable import printable
from ae_assets.sources.source import SourceDay

MAX_COMPRESSION_RATIO = 300
"""Official days shrink 7 to 10 fold, a day of empty cells about 100 fold; deflate's limit, used by bombs, is 1030."""

MIN_BYTES_FOR_RATIO = 8 * 2**20
"""Smaller members do no harm at any ratio."""

MAX_DIRECTORY_BYTES = 4 * 2**20
"""Largest directory of an archive, and most that is read of one at a time: 38,000 days named as official ones are."""

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Python unpacks the others by blocks without a limit: 4 KiB of bzip2 can become gigabytes before they are counted."""

_BLOCK = 2**20
_ENCRYPTED = 0x1
_MEMBER_HEADER_BYTES = 30
_MEMBER_HEADER_MARGIN = 256
_READ_PROBLEMS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    OverflowError,  # places beyond 2^63, which a zip64 directory can name
    RuntimeError,  # includes NotImplementedError: a compression or version that zipfile does not know
)


class ArchiveFile(Protocol):
    """A place where an archive's bytes are: opened for each use, closed by its user."""

    name: str
    """How it is called in origins and errors."""

    def open(self, part: tuple[int, int] | None, /) -> IO[bytes]:
        """A seekable binary file; SourceError where it cannot be opened.

        Args:
            part: first byte and end of what will be read beside the directory, for places where that saves requests.
        """
        ...

    def version(self) -> str:
        """Changes when the archive does; used to keep a directory that was read already."""
        ...


class LocalArchive:
    """An archive on this machine."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = printable(name)

    def open(self, _part: tuple[int, int] | None, /) -> IO[bytes]:
        try:
            return self.path.open("rb")
        except OSError as problem:
            raise self._refused(f"the archive cannot be opened ({problem.strerror})") from problem

    def version(self) -> str:
        try:
            state = self.path.stat()
        except OSError as problem:
            raise self._refused(f"the archive cannot be found ({problem.strerror})") from problem
        if not stat.S_ISREG(state.st_mode):
            raise self._refused("this is not a file")
        return f"{state.st_size:x}-{state.st_mtime_ns:x}"

    def _refused(self, problem: str) -> SourceError:
        return SourceError(f"{printable(str(self.path))}: {problem}. Expected a readable zip file.")


class DirectoryCache:
    """Listings of archives by name, reused while the archive's version stays the same."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._listings: dict[str, tuple[str, Listing]] = {}

    def listing(self, archive: ArchiveFile) -> Listing:
        version = archive.version()
        if archive.name not in self._listings or self._listings[archive.name][0] != version:
            self._listings[archive.name] = (version, archive_listing(archive, self._reading))
        return self._listings[archive.name][1]

    def combined(
        self, location: str, archives: Iterable[ArchiveFile], files: Sequence[DataFile], strays: Sequence[str]
    ) -> Listing:
        """Days of several archives and of files found beside them.

        An archive that cannot be read becomes a stray, so that it hides no other; SourceError if nothing else is there.
        """
        days, left_out, broken = list(files), list(strays), list[str]()
        for archive in archives:
            try:
                listing = self.listing(archive)
                days += listing.files
                left_out += listing.strays
            except SourceError as problem:
                broken.append(str(problem))
        if broken and not days:
            raise SourceError(f"{location}: no day can be read.\n" + "\n".join(broken))
        return Listing(days, [*broken, *left_out])


class ArchiveSource(DayFileSource):
    """One archive as a source."""

    def __init__(
        self, location: str, archive: ArchiveFile, reading: Reading | None = None, memory: Path | None = None
    ) -> None:
        super().__init__(location, reading, memory)
        self._archive = archive
        self._cache = DirectoryCache(self._reading)

    def span(self) -> tuple[date, date] | None:
        """First and last day by the directory of an archive on this machine; None where rows say it."""
        if not isinstance(self._archive, LocalArchive) or self._reading.days_per_file == "many":
            return None
        try:
            days = [file.listed.day for file in self._listing().files]
        except SourceError:
            return None
        return (min(days), max(days)) if days else None

    def _listing(self) -> Listing:
        return self._cache.listing(self._archive)


def archive_listing(archive: ArchiveFile, reading: Reading) -> Listing:
    """Days among the members of an archive; each is fingerprinted by CRC32 and size, which the zip directory holds.

    Raises:
        SourceError: the archive has no readable directory.
    """
    with _opened(archive) as opened:
        members = opened.infolist()
    files: list[DataFile] = []
    strays: list[str] = []
    overlapping = _overlapping(members)
    for member in members:
        if member.filename.endswith("/"):  # a folder
            continue
        origin = f"{archive.name}!{member.filename}"
        reason = _reason_to_leave_out(member, reading)
        if reason is None and (left_out := left_out_folder(_slashed(member))) is not None:
            folder, reason = left_out
            strays.append(f"{archive.name}!{folder}: {reason}")
            continue
        if reason is None and member.header_offset in overlapping:
            reason = "refused, it overlaps another member, as only made-up archives have it"
        day = period_of_file(_slashed(member), reading)
        if reason is not None or day is None:
            strays.append(f"{origin}: {reason or stray_name_reason(_base_name(member), reading)}")
            continue
        listed = SourceDay(day, fingerprint_of(member.CRC, member.file_size), origin, member.file_size)
        files.append(DataFile(listed, partial(int, member.CRC), partial(_fetch, archive, member, listed)))
    return Listing(files, list(dict.fromkeys(strays)))


def _overlapping(members: Iterable[zipfile.ZipInfo]) -> set[int]:
    """Places of members that share bytes with another one: the same bytes would be unpacked again and again."""
    overlapping: set[int] = set()
    end, last = 0, 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            overlapping |= {last, member.header_offset}
        if (own_end := member.header_offset + _MEMBER_HEADER_BYTES + member.compress_size) > end:
            end, last = own_end, member.header_offset
    return overlapping


def _slashed(member: zipfile.ZipInfo) -> str:
    return member.filename.replace("\\", "/")


def _base_name(member: zipfile.ZipInfo) -> str:
    return _slashed(member).rsplit("/", 1)[-1]


def _reason_to_leave_out(member: zipfile.ZipInfo, reading: Reading) -> str | None:
    parts = _slashed(member).split("/")
    if "\0" in member.orig_filename:
        return "refused, its name holds a NUL, behind which other readers see another name"
    if parts[0] == "" or parts[0].endswith(":") or ".." in parts:
        return "refused, its name points outside the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "refused, it is a symbolic link"
    if period_of_file(_slashed(member), reading) is None:
        return None
    return _reason_not_to_unpack(member)


def _reason_not_to_unpack(member: zipfile.ZipInfo) -> str | None:
    if member.flag_bits & _ENCRYPTED:
        return "refused, it is encrypted; store it without a password"
    if member.compress_type not in _METHODS:
        return f"compressed by method {member.compress_type}, which cannot be read here; store it with deflate"
    largest = max(member.file_size, member.compress_size)
    if largest > MAX_DAY_BYTES:
        return f"refused, {largest:,} bytes are more than the {MAX_DAY_BYTES:,} a day may have"
    if member.file_size > max(MIN_BYTES_FOR_RATIO, MAX_COMPRESSION_RATIO * member.compress_size):
        return (
            f"refused, it claims to unpack {member.compress_size:,} bytes into {member.file_size:,}, more than"
            f" {MAX_COMPRESSION_RATIO} fold"
        )
    return None


def _fetch(archive: ArchiveFile, member: zipfile.ZipInfo, listed: SourceDay) -> bytes:
    """Bytes of a member; zipfile compares them with the CRC32 that is the day's fingerprint."""
    with _opened(archive, member) as opened:
        current = next((other for other in opened.infolist() if _identity(other) == _identity(member)), None)
        if current is None:
            raise SourceError(
                f"{listed.origin}: the archive has changed since it was listed. List the source again and"
                " read what it lists."
            )
        content = io.BytesIO()
        with opened.open(current) as packed:
            while block := packed.read(_BLOCK):
                content.write(block)
    if content.tell() != member.file_size:
        raise SourceError(
            f"{listed.origin}: it unpacks to {content.tell():,} bytes, the archive's directory says"
            f" {member.file_size:,}. The archive is damaged: download it again."
        )
    return content.getvalue()


def _identity(member: zipfile.ZipInfo) -> tuple[str, int, int, int]:
    return member.filename, member.CRC, member.file_size, member.header_offset


def _extent(member: zipfile.ZipInfo | None) -> tuple[int, int] | None:
    """Where a member lies, with a margin: its own header may be longer than the copy of it in the directory."""
    if member is None:
        return None
    head = _MEMBER_HEADER_BYTES + len(member.filename.encode("utf-8")) + len(member.extra) + _MEMBER_HEADER_MARGIN
    return member.header_offset, member.header_offset + head + member.compress_size


class _SparingFile:
    """A file that hands out no more at a time than a directory may have, whatever the archive says about itself."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1, /) -> bytes:
        block = self._file.read(min(size, MAX_DIRECTORY_BYTES + 1) if size >= 0 else MAX_DIRECTORY_BYTES + 1)
        if len(block) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its directory has more than the {MAX_DIRECTORY_BYTES:,} bytes it may have")
        return block


@contextmanager
def _opened(archive: ArchiveFile, member: zipfile.ZipInfo | None = None) -> Iterator[zipfile.ZipFile]:
    place = printable(archive.name if member is None else f"{archive.name}!{member.filename}")
    try:
        with archive.open(_extent(member)) as file, zipfile.ZipFile(_SparingFile(file)) as opened:
            yield opened
    except _READ_PROBLEMS as problem:
        reason = printable(str(problem)) or type(problem).__name__
        raise SourceError(
            f"{place}: not readable as a zip archive ({reason}). It is probably damaged or cut off: compare its size"
            " with the original and download it again."
        ) from problem
