"""What makes the header of a drive-stats file acceptable.

How bytes become cells is decided in `csv_day`; which values are plausible is decided by the contracts in `schemas`.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.drive_stats_columns import ATTRIBUTE, IDENTITY_COLUMNS, PLACE_COLUMNS, RESERVED_COLUMNS
from ae_assets.sources.printable import quoted

_PUBLISHED_NAME = re.compile("|".join([*IDENTITY_COLUMNS, *PLACE_COLUMNS, ATTRIBUTE]), re.ASCII)
_OTHER_SEPARATORS = (";", "\t", "|")
_SHOWN_NAMES = 12

MAX_NAME_SIGNS = 128
"""Longest name of a column; official ones have 23 signs."""

MAX_COLUMNS = 1_000
"""Five times the columns of the 2024 files; each costs time and files in every table behind."""


def header_columns(header: bytes, origin: str, *, complete: bool = True) -> list[str]:
    """Column names of a header line.

    Args:
        header: the first line without its line end and byte order mark.
        origin: named in errors.
        complete: False if the file ends within this line; then names that the layout does not know show a cut file.

    Returns:
        The names as the file has them, published ones in their published spelling, whatever case the file writes.

    Raises:
        SourceError: the line is not the header of a drive-stats file.
    """
    try:
        text = header.decode("utf-8")
        columns = next(csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as problem:
        raise SourceError(
            f"{origin}: the first line is no CSV header in UTF-8 ({problem}). Expected names that begin with"
            f" {', '.join(IDENTITY_COLUMNS)}; save the file as UTF-8 CSV."
        ) from problem
    columns = [name.lower() if _PUBLISHED_NAME.fullmatch(name.lower()) else name for name in columns]
    if len(columns) > MAX_COLUMNS:
        raise SourceError(
            f"{origin}: the header names {len(columns):,} columns, more than the {MAX_COLUMNS:,} a file may have."
            f" Received {_shown(columns)}. Is this a drive-stats file?"
        )
    missing = [name for name in IDENTITY_COLUMNS if name not in columns]
    if missing and (separator := max(_OTHER_SEPARATORS, key=text.count)) and text.count(separator) >= len(missing):
        raise SourceError(
            f"{origin}: the columns of the header are separated by {separator!r}, expected commas. Received"
            f" {_shown([text])}. Write the file with commas."
        )
    if missing:
        raise SourceError(
            f"{origin}: the header lacks {', '.join(missing)}. Expected the columns {', '.join(IDENTITY_COLUMNS)},"
            f" received {_shown(columns)}. Is this a drive-stats file, and is its first line the header?"
        )
    times = Counter(name.lower() for name in columns)
    repeated = sorted(name for name in columns if times[name.lower()] > 1)
    if repeated:
        raise SourceError(
            f"{origin}: the header names {_shown(repeated)} more than once (upper or lower case does not make another"
            " name); which column is meant cannot be known. Rename or remove the repeated columns."
        )
    nameless = [place for place, name in enumerate(columns, start=1) if not name.strip()]
    if nameless:
        raise SourceError(
            f"{origin}: column {nameless[0]} of {len(columns)} has no name in the header. Name or remove it."
        )
    odd = [name for name in columns if not name.isprintable() or len(name) > MAX_NAME_SIGNS]
    if odd:
        raise SourceError(
            f"{origin}: the names {_shown(odd)} in the header hold invisible signs or have more than {MAX_NAME_SIGNS}"
            " signs. The file is damaged, or these columns need other names."
        )
    reserved = sorted(name for name in columns if name.lower() in RESERVED_COLUMNS)
    if reserved:
        raise SourceError(
            f"{origin}: the names {', '.join(reserved)} are kept for the raw table. Rename these columns."
        )
    if not complete and not all(_PUBLISHED_NAME.fullmatch(name) for name in columns):
        raise SourceError(
            f"{origin}: the file ends within its header line (…{text[-30:]!r}). It looks cut off: fetch it again."
        )
    return columns


def is_header(line: str) -> bool:
    """Whether a line of a file names all identity columns, in upper or lower case."""
    lowered = line.lower()
    return all(name in lowered for name in IDENTITY_COLUMNS)


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:_SHOWN_NAMES])
    return (
        shown + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "") if names else "nothing"
    )
