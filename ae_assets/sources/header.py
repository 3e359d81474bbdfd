"""What makes the header of a daily file acceptable.

How bytes become cells is decided in `csv_day`; which values are plausible is decided by the contracts in `schemas`.
"""

import csv
from collections import Counter
from collections.abc import Sequence

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import Layout
from ae_assets.schemas.reading import Reading
from ae_assets.sources.printable import quoted

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "upright lines (|)"}
_SHOWN_NAMES = 12

MAX_NAME_CHARACTERS = 128
"""Longest name of a column; official ones have 23 characters."""

MAX_COLUMNS = 1_000
"""Five times the columns of the 2024 files; each costs time and files in every table behind."""


def header_columns(header: bytes, origin: str, reading: Reading, *, complete: bool = True) -> list[str]:
    """Column names of a header line.

    Args:
        header: the first line without its line end and byte order mark.
        origin: named in errors.
        reading: the layout and the separator.
        complete: False if the file ends within this line; then names that the layout does not know show a cut file.

    Returns:
        The names as `acceptable_names` gives them.

    Raises:
        SourceError: the line is not the header of a file of the layout.
    """
    layout = reading.layout
    try:
        text = header.decode("utf-8")
        columns = next(csv.reader([text], strict=True, delimiter=reading.separator), [])
    except (UnicodeDecodeError, csv.Error) as problem:
        raise SourceError(
            f"{origin}: the first line is no CSV header in UTF-8 ({problem}). Expected names that begin with"
            f" {', '.join(layout.required)}; save the file as UTF-8 CSV."
        ) from problem
    columns = [layout.spelled(name) for name in columns]
    missing = [name for name in layout.required if name not in columns]
    others = [separator for separator in SEPARATORS if separator != reading.separator]
    if missing and (separator := max(others, key=text.count)) and text.count(separator) >= len(missing):
        setting = "" if layout.values == {} else f", or set source.separator: {separator!r}"
        raise SourceError(
            f"{origin}: the columns of the header are separated by {separator!r}, expected"
            f" {SEPARATORS[reading.separator]}. Received {_shown([text])}. Write the file with"
            f" {SEPARATORS[reading.separator]}{setting}."
        )
    columns = acceptable_names(columns, origin, layout)
    if not complete and not all(layout.knows(name.lower()) for name in columns):
        raise SourceError(
            f"{origin}: the file ends within its header line (…{text[-30:]!r}). It looks cut off: fetch it again."
        )
    return columns


def acceptable_names(names: Sequence[str], origin: str, layout: Layout, place: str = "the header") -> list[str]:
    """The names of a file's columns, those of the layout as it spells them, whatever case the file writes.

    Args:
        names: as the file has them.
        origin: named in errors.
        layout: what they are to be.
        place: where the file names them, for messages.

    Raises:
        SourceError: the names are not those of a file of the layout, or nothing can be stored under them.
    """
    columns = [layout.spelled(name) for name in names]
    if len(columns) > MAX_COLUMNS:
        raise SourceError(
            f"{origin}: {place} names {len(columns):,} columns, more than the {MAX_COLUMNS:,} a file may have."
            f" Received {_shown(columns)}. Is this {layout.file}?"
        )
    missing = [name for name in layout.required if name not in columns]
    if missing:
        raise SourceError(
            f"{origin}: {place} lacks {', '.join(missing)}. Expected the columns {', '.join(layout.required)},"
            f" received {_shown(columns)}. Is this {layout.file}, and is its first line the header?"
        )
    times = Counter(name.lower() for name in columns)
    repeated = sorted(name for name in columns if times[name.lower()] > 1)
    if repeated:
        raise SourceError(
            f"{origin}: {place} names {_shown(repeated)} more than once (upper or lower case does not make another"
            " name); which column is meant cannot be known. Rename or remove the repeated columns."
        )
    if layout.values and columns and not layout.values.keys() & set(columns):
        raise SourceError(
            f"{origin}: {place} names none of the columns that are measured, {_shown(list(layout.values))}; received"
            f" {_shown(columns)}. Is this {layout.file}? If not, say in source.files which are."
        )
    nameless = [place for place, name in enumerate(columns, start=1) if not name.strip()]
    if nameless:
        raise SourceError(
            f"{origin}: column {nameless[0]} of {len(columns)} has no name in {place}. Name or remove it."
        )
    odd = [name for name in columns if not name.isprintable() or len(name) > MAX_NAME_CHARACTERS]
    if odd:
        raise SourceError(
            f"{origin}: the names {_shown(odd)} in {place} hold invisible characters or have more than"
            f" {MAX_NAME_CHARACTERS} characters. The file is damaged, or these columns need other names."
        )
    reserved = sorted(name for name in columns if name.lower() in layout.reserved)
    if reserved:
        raise SourceError(
            f"{origin}: the names {', '.join(reserved)} are kept for the raw table. Rename these columns."
        )
    return columns


def is_header(line: str, reading: Reading) -> bool:
    """Whether a line of a file names all columns that a file must have, in upper or lower case."""
    fields = [field.strip("\ufeff\"' \r\n") for field in line.lower().split(reading.separator)]
    absent = [name for name in map(str.lower, reading.layout.required) if name not in fields]
    # Where the line before it has no end, the last field of that stands before one of the names.
    glued = len(absent) == 1 and len(fields) > 1 and any(field.endswith(absent[0]) for field in fields)
    return not absent or glued


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:_SHOWN_NAMES])
    return (
        shown + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "") if names else "nothing"
    )
