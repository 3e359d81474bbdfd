"""Files of rows: which period a file's name says, and how its bytes are had."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import NoReturn

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import FORMAT_OF_ENDING, Reading
from ae_assets.sources.source import SourceDay

MANY_DAYS = date.min
"""Stands for the period of a file that holds many, until they are known."""

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz")
_DAY_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.[^.]+", re.ASCII)
_WEEK_NAME = re.compile(r"(\d{4}-W\d{2})\.[^.]+", re.ASCII)
_HOUR_PATH = re.compile(
    r"(?:.*/)?(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?:[-T_]|/)(\d{1,2})(?:\.[^./]+|/[^/]+)", re.ASCII | re.DOTALL
)
_HIVE_KEY = re.compile(r"(?:(?<=/)|^)\w+=(?=[^/]*/)", re.ASCII)
"""What stands before the value of a folder such as ``hour=05/``."""

_EXPECTED = {
    "hourly": "not named YYYY-MM-DDTHH.csv after an hour, nor in folders YYYY/MM/DD/HH/ or date=YYYY-MM-DD/hour=HH/",
    "daily": "not named YYYY-MM-DD.csv after a day of the calendar",
    "weekly": "not named YYYY-Www.csv after a week (2024-W16), nor YYYY-MM-DD.csv after one of its days",
}


@dataclass(frozen=True)
class DataFile:
    """A file that holds a period, or many.

    Attributes:
        listed: the period as it is listed; of a file with many, the file.
        checksum: CRC32 of the content; free for a member of an archive, reads a plain file.
        fetch: the content; SourceError where it cannot be had or is no longer what was listed.
    """

    listed: SourceDay
    checksum: Callable[[], int]
    fetch: Callable[[], bytes]

    @classmethod
    def refused(cls, listed: SourceDay, reason: str) -> "DataFile":
        """A file that is listed and cannot be read, with the message of the error."""

        def refuse() -> NoReturn:
            raise SourceError(reason)

        return cls(listed, refuse, refuse)


def period_of_file(path: str, reading: Reading) -> date | None:
    """The period that a file stands for, `MANY_DAYS` where its rows say it; None: it is no file of rows.

    Args:
        path: its name, with the folders that may say its hour, between slashes.
        reading: which files there are, and by which periods the table is cut.
    """
    name = path.rsplit("/", 1)[-1]
    if name.startswith(".") or reading.format_of(name) is None or not _is_asked_for(name, reading):
        return None
    if reading.days_per_file == "many":
        return MANY_DAYS
    try:
        match reading.periods.partitions:
            case "hourly":
                return _hour_of(path)
            case "weekly":
                week = _WEEK_NAME.fullmatch(name)
                day = date.fromisoformat(week[1]) if week else _day_of(name)
                return None if day is None else reading.periods.of(day)
            case "daily":
                return _day_of(name)
    except ValueError:  # not of the calendar
        return None


def stray_name_reason(name: str, reading: Reading) -> str:
    """Why a file name (without folders) does not stand for a period."""
    if name == ".DS_Store" or name.startswith("._"):
        return "a macOS side file, no data"
    if name.startswith("."):
        return "a hidden file"
    if not _is_asked_for(name, reading):
        return f"its name does not match source.files {reading.files!r}"
    if name.lower().endswith(_COMPRESSED):
        return "compressed in a form that is not read: unpack it, or put it into a .zip"
    if reading.days_per_file == "many":
        return f"its name ends with none of {', '.join(FORMAT_OF_ENDING)}; name its format in source.format"
    return _EXPECTED[reading.periods.partitions]


def stem_of(period: date) -> str:
    """What a file of a period is called, without its ending."""
    return f"{period:%Y-%m-%dT%H}" if isinstance(period, datetime) else f"{period}"


def _is_asked_for(name: str, reading: Reading) -> bool:
    return reading.files is None or fnmatchcase(name, reading.files)


def _day_of(name: str) -> date | None:
    match = _DAY_NAME.fullmatch(name)
    return date.fromisoformat(match[1]) if match else None


def _hour_of(path: str) -> datetime | None:
    match = _HOUR_PATH.fullmatch(_HIVE_KEY.sub("", path))
    if match is None:
        return None
    year, month, day, hour = (int(match[part]) for part in (1, 3, 4, 5))
    return datetime(year, month, day, hour, tzinfo=UTC)
