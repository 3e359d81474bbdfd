"""How a daily file writes its dates: in one form, the year first. What could be either of two days is never guessed."""

import re
from datetime import date

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import distinct
from ae_assets.sources.notes import with_notes
from ae_assets.sources.printable import quoted

DATE = "date"
EXPECTED = "YYYY-MM-DD (YYYYMMDD and YYYY/MM/DD are read as well, and a time of day behind any of them)"

_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-/.]?)(?P<month>\d{2})(?P=mark)(?P<day>\d{2})"
    r"(?P<time>[ T]([01]\d|2[0-3]):?[0-5]\d(:?[0-5]\d([.,]\d{1,9})?)?(Z|\+00:?00| UTC)?)?",
    re.ASCII,
)
_ISO = ("-", False)

_Form = tuple[str, bool]
"""What stands between year, month and day, and whether a time of day follows."""


def with_dates(frame: pl.DataFrame, origin: str) -> pl.DataFrame:
    """The rows of a file with their dates as dates; the time of day and the mark of UTC behind a date are left out.

    Dates of the file's own form are read: of ISO's where any date is written so, else of the one form that all dates
    share that can be read. Other texts become null and are kept in `rescued`, so that a row with a garbled date is a
    matter of that row.

    Args:
        frame: rows of a whole file, `date` and `rescued` as text.
        origin: named in errors.

    Raises:
        SourceError: there are dates, and none is of a form whose day is certain, or they are of several such forms.
    """
    texts = distinct(frame[DATE])
    read = {text: parsed for text in sorted(texts) if (parsed := _parsed(text)) is not None}
    forms = {form for form, _ in read.values()}
    if texts and not read:
        raise SourceError(
            f"{origin}: no date in the file can be read, the first is {_first(frame)}. Which of its numbers is the day"
            f" and which the month is not guessed. Expected {EXPECTED}: write the dates so and load the day again."
        )
    if len(forms) > 1 and _ISO not in forms:
        raise SourceError(
            f"{origin}: the dates in the file are written in several ways, the first is {_first(frame)}. Expected"
            f" {EXPECTED}, the same in all rows: write the dates so and load the day again."
        )
    form = _ISO if _ISO in forms else next(iter(forms), _ISO)
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


def _first(frame: pl.DataFrame) -> str:
    return quoted(str(frame[DATE].drop_nulls()[0]))
