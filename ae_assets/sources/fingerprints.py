"""What local files hold, told by CRC32 and size as the directory of a zip archive tells it of its members.

A file is read once, and again when anything about it has changed: what was found is remembered with the file's size,
times and inode, in memory and in a file of the home. So a file that is touched or copied again is read once more and
keeps its fingerprint, and a look at ten thousand files that nobody touched opens none of them.
"""

import time
import zlib
from pathlib import Path

from ae_assets.sources.memory import Memory

VERSION = 1

YOUNG_SECONDS = 2.0
"""A file that changed so lately is read at the next look as well: file systems tell times in steps of up to 2 s, so one
that is written again within a step may look the same."""

SAVE_AFTER_BYTES = 2**30
"""A first look at many files remembers meanwhile: whoever has to give up does not start again."""

_BLOCK = 2**20

_Stamp = tuple[int, int, int, int]
"""Size, time of change, time of change of the inode (which nobody can set), inode."""


class Fingerprints:
    """Checksums of the files below a folder, remembered in another; None: for as long as this object lives."""

    def __init__(self, root: Path, memory: Path | None) -> None:
        self._memory = Memory(memory, "", root, VERSION)
        self._remembered = self._memory.recall(_stamped)
        self._seen: dict[str, tuple[_Stamp, int]] = {}
        self._unsaved_bytes = 0

    def checksum(self, name: str, path: Path) -> int:
        """CRC32 of a file's content; OSError where it cannot be read.

        Args:
            name: its name below the folder.
            path: where it lies.
        """
        stamp = _stamp(path)
        entry = self._remembered.get(name)
        if entry is None or entry[0] != stamp:
            young = time.time_ns() - max(stamp[1:3]) < YOUNG_SECONDS * 1e9
            entry = (stamp, checksum_of(path))
            if young or _stamp(path) != stamp:
                return entry[1]
            self._unsaved_bytes += stamp[0] + 1
        self._seen[name] = entry
        if self._unsaved_bytes > SAVE_AFTER_BYTES:
            self._save({**self._remembered, **self._seen})
        return entry[1]

    def end_of_look(self) -> None:
        """Forgets files that were not asked for since the last look, and remembers the others."""
        if self._unsaved_bytes or self._remembered.keys() != self._seen.keys():
            self._save(self._seen)
        self._remembered, self._seen = self._seen, {}

    def _save(self, files: dict[str, tuple[_Stamp, int]]) -> None:
        self._unsaved_bytes = 0
        self._memory.remember({name: [*stamp, checksum] for name, (stamp, checksum) in files.items()})


def checksum_of(path: Path) -> int:
    """CRC32 of a file's content, read by blocks; OSError where it cannot be read."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def fingerprint_of(checksum: int, size: int) -> str:
    """The fingerprint of a content: the same for a plain file and for the member of an archive."""
    return f"{checksum:08x}-{size:x}"


def _stamp(path: Path) -> _Stamp:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _stamped(values: tuple[int, int, int, int, int]) -> tuple[_Stamp, int]:
    size, changed, inode_changed, inode, checksum = (int(value) for value in values)
    return (size, changed, inode_changed, inode), checksum
