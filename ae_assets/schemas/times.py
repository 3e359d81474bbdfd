"""Texts as times, by a format of strftime."""

import re
from datetime import UTC, datetime

import polars as pl

EPOCH = {"%s": 1, "%Q": 1_000}
"""Formats of numbers: units of a second since 1970 in UTC, with decimals or without."""

_TIME_OF_DAY = re.compile(r"%[-_0]?[HIklMSTRrXcsQ]")
_END_OF_YEARS = 253_402_300_800e6
"""Microseconds from 1970 to the year 10000."""

_HOUR = re.compile(r"%[-_0]?[HIkl]")
_MINUTE = re.compile(r"%[-_0]?M|%[TRrXc]")


def has_time_of_day(form: str) -> bool:
    """Whether a format says more than a day."""
    return _TIME_OF_DAY.search(form) is not None


def require_format(form: str) -> None:
    """Raises ValueError for a format by which no day can be read."""
    if form in EPOCH:
        return
    known = pl.Series([datetime(2024, 4, 17, 18, 15, 30, tzinfo=UTC)])
    try:
        read = read_times(known.dt.strftime(form), form)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{form!r} is no format of times: {str(error).splitlines()[0]}") from error
    if read.null_count():
        raise ValueError(f"{form!r} is no format of times: it needs year, month and day, such as %Y-%m-%d")


def read_times(texts: pl.Series, form: str) -> pl.Series:
    """Texts as Date, or as Datetime where the format has a time of day: in UTC where it has an offset, else as written.

    Texts that are not written so are null. ``%s`` is seconds since 1970 in UTC, ``%Q`` milliseconds.
    A format with an hour and no minute means the full hour.

    Raises:
        ValueError: it is no format.
    """
    if form in EPOCH:
        numbers = texts.str.strip_chars().cast(pl.Float64, strict=False) * (1_000_000 / EPOCH[form])
        of_years = pl.when(numbers.abs() < _END_OF_YEARS).then(numbers.round().cast(pl.Int64, strict=False))
        return pl.select(of_years.alias(texts.name)).to_series().cast(pl.Datetime("us", "UTC"))
    try:
        if not has_time_of_day(form):
            return texts.str.to_date(form, strict=False)
        if _HOUR.search(form) and not _MINUTE.search(form):
            texts, form = texts + " 00", f"{form} %M"
        return texts.str.to_datetime(form, strict=False, time_unit="us")
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{form!r} is no format of times: {str(error).splitlines()[0]}") from error
