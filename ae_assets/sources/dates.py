"""How a daily file writes its dates: in one form, the year first. What could be either of two days is never guessed.

Rows whose date is not read are for the contract to set aside, as `schemas/drive_stats.py` says with the remedy.
"""

import re
from datetime import date

import polars as pl

from ae_assets.schemas.reading import distinct
from ae_assets.sources.notes import with_notes

DATE = "date"

_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-/.]?)(?P<month>\d{2})(?P=mark)(?P<day>\d{2})"
    r"(?P<time>[ T]([01]\d|2[0-3]):?[0-5]\d(:?[0-5]\d([.,]\d{1,9})?)?(Z|\+00:?00| UTC)?)?",
    re.ASCII,
)
_ISO = ("-", False)

_Form = tuple[str, bool]
"""What stands between year, month and day, and whether a time of day follows."""


def with_dates(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of a file with their dates as dates; the time of day and the mark of UTC behind a date are left out.

    Dates of the file's own form are read: of ISO's where any date is written so, else of the one form that all dates
    share that can be read; of several such forms none is the file's. Other texts become null and are kept in `rescued`,
    so that a row with a garbled date is a matter of that row.

    Args:
        frame: rows of a whole file, `date` and `rescued` as text.
    """
    texts = distinct(frame[DATE])
    read = {text: parsed for text in sorted(texts) if (parsed := _parsed(text)) is not None}
    forms = {form for form, _ in read.values()}
    form = _ISO if _ISO in forms or len(forms) != 1 else next(iter(forms))
    days = {text: day for text, (own, day) in read.items() if own == form}
    dates = frame[DATE].replace_strict(days, default=None, return_dtype=pl.Date)
    unread = (dates.is_null() & frame[DATE].is_not_null()).arg_true()
    return with_notes(frame, DATE, unread).with_columns(dates.alias(DATE))


def _parsed(text: str) -> tuple[_Form, date] | None:
    match = _YEAR_FIRST.fullmatch(text)
    try:
        day = date(*(int(match[part]) for part in ("year", "month", "day"))) if match else None
    except ValueError:  # no day of the calendar
        return None
    return ((match["mark"], match["time"] is not None), day) if match and day else None
