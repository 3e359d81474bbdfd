"""How a file writes its times: as the YAML says, or as dates in one form, the year first.

What could be either of two days is never guessed: rows whose time is not read are for the contract to set aside, as
`schemas/layouts/drive_stats.py` says with the remedy.
"""

import re
from datetime import date

import polars as pl

from ae_assets.schemas.columns import TimeSection
from ae_assets.schemas.layouts.layout import ROW_COLUMN
from ae_assets.schemas.reading import distinct
from ae_assets.schemas.times import read_times
from ae_assets.sources.notes import with_notes

_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-/.]?)(?P<month>\d{2})(?P=mark)(?P<day>\d{2})"
    r"(?P<time>[ T]([01]\d|2[0-3]):?[0-5]\d(:?[0-5]\d([.,]\d{1,9})?)?(Z|\+00:?00| UTC)?)?",
    re.ASCII,
)
_ISO = ("-", False)

_Form = tuple[str, bool]
"""What stands between year, month and day, and whether a time of day follows."""


def with_times(frame: pl.DataFrame, time: TimeSection) -> pl.DataFrame:
    """The rows of a file with their times as the contract has them: days, or points in time in UTC.

    A text that cannot be read becomes null and is kept in `rescued`, so that a row with a garbled time is a matter of
    that row.

    Args:
        frame: rows of a whole file, `rescued` and the columns of the time as text, or one that is a time already.
        time: the columns and how they are written. Several are put together; the time stands before `source_row` then.
    """
    if len(time.column) == 1 and (given := frame[time.name]).dtype.is_temporal():
        return frame.with_columns(_converted(given, time))
    if not time.format:
        return _with_dates(frame, time.name)
    text = pl.concat_str(time.column, separator=" ") if len(time.column) > 1 else pl.col(time.name)
    written = frame.select(text.alias(time.name)).to_series()
    times = _times(written, time)
    unread = times.is_null() & written.is_not_null()
    for column in time.column:
        frame = with_notes(frame, column, unread.arg_true())
    if len(time.column) == 1:
        return frame.with_columns(times)
    return frame.insert_column(frame.get_column_index(ROW_COLUMN), times)


def _times(written: pl.Series, time: TimeSection) -> pl.Series:
    """The times of some texts, by the first of the formats that reads them; null where none does."""
    texts = written.drop_nulls().unique()
    read = [_parsed_by(texts, one, time).alias(str(number)) for number, one in enumerate(time.format)]
    values = pl.select(pl.coalesce(read)).to_series()
    return written.replace_strict(texts, values, default=None, return_dtype=time.dtype).alias(time.name)


def _parsed_by(texts: pl.Series, form: str, time: TimeSection) -> pl.Series:
    return _converted(read_times(texts, form), time)


def _converted(given: pl.Series, time: TimeSection) -> pl.Series:
    """Days or points in time as the contract has them."""
    if given.dtype == pl.Date:
        return _in_utc(given.cast(pl.Datetime("us")), time) if time.has_time_of_day else given
    return _in_utc(given.dt.cast_time_unit("us"), time) if time.has_time_of_day else given.dt.date()


def _in_utc(times: pl.Series, time: TimeSection) -> pl.Series:
    if times.dtype.time_zone is not None:  # type: ignore[attr-defined]
        return times.dt.convert_time_zone("UTC")
    # The hour that a clock shows twice in autumn is the first of the two; one that it leaves out in spring was none.
    local = times.dt.replace_time_zone(time.time_zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def _with_dates(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """The rows of a file with their dates as dates; the time of day and the mark of UTC behind a date are left out.

    Dates of the file's own form are read: of ISO's where any date is written so, else of the one form that all dates
    share that can be read; of several such forms none is the file's. Other texts become null and are kept in `rescued`,
    so that a row with a garbled date is a matter of that row.

    Args:
        frame: rows of a whole file, dates and `rescued` as text.
        column: the column of dates.
    """
    texts = distinct(frame[column])
    read = {text: parsed for text in sorted(texts) if (parsed := _parsed(text)) is not None}
    forms = {form for form, _ in read.values()}
    form = _ISO if _ISO in forms or len(forms) != 1 else next(iter(forms))
    days = {text: day for text, (own, day) in read.items() if own == form}
    dates = frame[column].replace_strict(days, default=None, return_dtype=pl.Date)
    unread = (dates.is_null() & frame[column].is_not_null()).arg_true()
    return with_notes(frame, column, unread).with_columns(dates.alias(column))


def _parsed(text: str) -> tuple[_Form, date] | None:
    match = _YEAR_FIRST.fullmatch(text)
    try:
        day = date(*(int(match[part]) for part in ("year", "month", "day"))) if match else None
    except ValueError:  # no day of the calendar
        return None
    return ((match["mark"], match["time"] is not None), day) if match and day else None
