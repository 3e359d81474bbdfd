"""Files that nothing names: how old they are by the clock of the place they are in, and removing them."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import TYPE_CHECKING

from ae_assets.errors import LakehouseError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

SHORTEST = timedelta(hours=1)
"""Files of a run under way are named by nothing yet, so younger ones are never touched."""
_AT_ONCE = 8


def check_keep(keep: timedelta) -> None:
    """Raises LakehouseError for a time that could take files from a run under way."""
    if keep < SHORTEST:
        raise LakehouseError(f"Maintenance was to keep {keep} only: files of a run under way need at least {SHORTEST}.")


def cutoff(files: "FileSystem", probe: str, keep: timedelta) -> datetime:
    """The time before which files and states are old, by the earlier of two clocks: the storage's and this machine's.

    Files carry the storage's time, so a machine whose clock is fast would take young files for old ones.

    Args:
        files: the storage.
        probe: path of a file of no name in use: it is written, to see what time it is given, and removed.
        keep: age from which on something is old.
    """
    try:
        with files.open_output_stream(probe) as stream:
            stream.write(b"now")
        written = files.get_file_info(probe).mtime
    finally:
        with suppress(FileNotFoundError):
            files.delete_file(probe)
    now = datetime.now(UTC)
    return (now if written is None else min(now, written)) - keep


def is_old(info: "FileInfo", before: datetime) -> bool:
    """Whether a file was last written before a time; one whose time is unknown is not old."""
    return info.mtime is not None and info.mtime < before


def remove(files: "FileSystem", unnamed: Sequence["FileInfo"]) -> list["FileInfo"]:
    """Removes files, also where some of them are gone already; returns those that were there."""

    def existed(info: "FileInfo") -> bool:
        try:
            files.delete_file(info.path)
        except FileNotFoundError:
            return False
        return True

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(compress(unnamed, pool.map(existed, unnamed)))


def sum_of_sizes(infos: Iterable["FileInfo"]) -> int:
    return sum(info.size or 0 for info in infos)
