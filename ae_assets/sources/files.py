"""Files of rows: what a file's name says, and how its bytes are had."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from ae_assets.schemas.reading import FORMAT_OF_ENDING, Reading
from ae_assets.sources.source import SourceDay

MANY_DAYS = date.min
"""Stands for the day of a file that holds many, until they are known."""

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz")
_DAY_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.[^.]+", re.ASCII)


@dataclass(frozen=True)
class DataFile:
    """A file that holds a day, or many.

    Attributes:
        listed: the day as it is listed; of a file with many days, the file.
        checksum: CRC32 of the content; free for a member of an archive, reads a plain file.
        fetch: the content; SourceError where it cannot be had or is no longer what was listed.
    """

    listed: SourceDay
    checksum: Callable[[], int]
    fetch: Callable[[], bytes]


def day_of_name(name: str, reading: Reading) -> date | None:
    """The day that a file name (without folders) stands for, `MANY_DAYS` where rows say it; None: no file of rows."""
    if name.startswith(".") or reading.format_of(name) is None:
        return None
    if reading.days_per_file == "many":
        return MANY_DAYS
    match = _DAY_NAME.fullmatch(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def stray_name_reason(name: str, reading: Reading) -> str:
    """Why a file name (without folders) does not stand for a day."""
    if name == ".DS_Store" or name.startswith("._"):
        return "a macOS side file, no data"
    if name.startswith("."):
        return "a hidden file"
    if name.lower().endswith(_COMPRESSED):
        return "compressed in a form that is not read: unpack it, or put it into a .zip"
    if reading.days_per_file == "many":
        return f"its name ends with none of {', '.join(FORMAT_OF_ENDING)}; name its format in source.format"
    return "not named YYYY-MM-DD.csv after a day of the calendar"
