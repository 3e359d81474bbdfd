"""The slow way from bytes of a daily CSV file to rows: line by line and cell by cell, keeping what cannot be typed.

`csv_day` decides which stretches of a file need it.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

import polars as pl

from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.schemas.reading import Reading, distinct
from ae_assets.sources.notes import note_of, with_notes

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)
_DECIMAL = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_SHORT_SCIENTIFIC = r"^[+-]?[0-9]\.[0-9]{1,14}[eE][+]?[0-9]{1,3}$"
"""At most 15 digits: no two such numbers have the same double, so one that is a whole number below 2^53 is exact."""
EXACT_DOUBLES = 2**53
"""Below it every whole number has a double of its own."""

_SPACES, _ALL_SPACES = " \t", " \t\r\f\v"
_TRUTH = {"true": 1, "false": 0}
_LIMITS: Mapping[type[pl.DataType], int] = {pl.Int8: 2**7, pl.Int64: 2**63}


def rescued_rows(stretch: bytes, columns: Sequence[str], first_row: int, reading: Reading) -> pl.DataFrame:
    """Lines of a stretch as text, then typed column by column, and text by text where that fails.

    Args:
        stretch: whole lines.
        columns: names, as the header has them.
        first_row: number of the first line.
        reading: layout, separator, and which words stand for a missing cell.

    Returns:
        What `csv_day.parse_day` describes, but times and text columns as they are written.
    """
    lines = stretch.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")
    lines = [line.removesuffix("\r") for line in lines]
    regular = _regular(lines, len(columns), reading.separator)
    texts = _texts_of_regular(lines, regular, columns, reading)
    if texts is None:
        texts, regular = pl.DataFrame(schema=_text_schema(columns)), []
    others = sorted({number for number, line in enumerate(lines) if line} - set(regular))
    irregular, notes = _texts_of_irregular(lines, others, columns, reading.separator)
    texts = pl.concat([texts, irregular]).sort(ROW_COLUMN)
    return typed_rows(texts, columns, first_row, reading, notes)


def typed_rows(
    texts: pl.DataFrame,
    columns: Sequence[str],
    first_row: int,
    reading: Reading,
    notes: Mapping[int, Mapping[str, str]],
) -> pl.DataFrame:
    """Rows of text with their numbers as numbers; a text that is none is null then and kept in `rescued`.

    Args:
        texts: the columns as text, and `source_row` from 0.
        columns: names of the columns.
        first_row: number of row 0.
        reading: the layout, and which words stand for a missing cell.
        notes: by `source_row`, texts that stand for cells that are null already.
    """
    typed, misfits = _typed_texts(texts, columns, reading)
    rescued: list[str | None] = [None] * texts.height
    if notes or misfits:
        for place, row in enumerate(texts[ROW_COLUMN].to_list()):
            if note := {**notes.get(row, {}), **misfits.get(place, {})}:
                rescued[place] = note_of(note)
    return typed.select(
        *columns,
        (pl.col(ROW_COLUMN) + first_row).cast(pl.Int32),
        pl.Series(RESCUED_COLUMN, rescued, dtype=pl.String),
    )


def as_whole_numbers(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Rows of a day with columns of text as Int64; a text that is no whole number is null then and kept in `rescued`.

    Args:
        frame: rows of a day, with `rescued`.
        columns: columns of text, in which missing cells are null already.
    """
    for name in columns:
        places = frame[name].is_not_null().arg_true()
        values, fits = _whole_values(frame[name].gather(places), pl.Int64, Reading())
        numbers = pl.repeat(None, frame.height, dtype=pl.Int64, eager=True).scatter(places, values)
        frame = with_notes(frame, name, places.filter(~fits)).with_columns(numbers.alias(name))
    return frame


def _regular(lines: Sequence[str], width: int, separator: str) -> list[int]:
    """Numbers of the lines that Polars reads as RFC 4180 has it: of so many fields, with quotes around whole ones."""
    field = f'([^"{separator}]*|("[^"]*")+)'
    texts = pl.Series([line if line and is_text(line) else None for line in lines], dtype=pl.String)
    separators = texts.str.count_matches(separator, literal=True)
    quoted = texts.str.contains(f'(^|[{separator}])"([^"]|"")*[{separator}]').arg_true()
    outside = texts.gather(quoted).str.replace_all('"[^"]*"', "").str.count_matches(separator, literal=True)
    regular = (
        (separators.scatter(quoted, outside) == width - 1)
        & texts.str.contains(f"^{field}([{separator}]{field})*$")
        & ~texts.str.contains("\r", literal=True)  # Polars drops it at the end of a cell,
        & ~texts.str.starts_with("\ufeff")  # and a byte order mark at the beginning of what it reads.
    )
    return regular.arg_true().to_list()


def _text_schema(columns: Sequence[str]) -> dict[str, type[pl.DataType]]:
    return {**dict.fromkeys(columns, pl.String), ROW_COLUMN: pl.Int64}


def _texts_of_regular(
    lines: Sequence[str], regular: Sequence[int], columns: Sequence[str], reading: Reading
) -> pl.DataFrame | None:
    """Cells of regular lines as text with the line number (from 0), or None if Polars does not agree about them."""
    if not regular:
        return None
    stretch = "\n".join(lines[number] for number in regular)
    quote = '"' if '"' in stretch else None
    try:
        texts = pl.read_csv(
            stretch.encode(),
            has_header=False,
            schema=dict.fromkeys(columns, pl.String),
            separator=reading.separator,
            quote_char=quote,
            null_values=reading.spellings,
        )
    except pl.exceptions.PolarsError:
        return None
    if texts.height != len(regular):
        return None
    if quote is not None:
        texts = texts.with_columns(pl.when(pl.all() != "").then(pl.all()))
    return texts.with_columns(pl.Series(ROW_COLUMN, regular, dtype=pl.Int64))


def _texts_of_irregular(
    lines: Sequence[str], chosen: Sequence[int], columns: Sequence[str], separator: str
) -> tuple[pl.DataFrame, dict[int, dict[str, str]]]:
    """Cells of other lines as text, and per line number the texts that stand for null cells."""
    cells: list[list[str | int | None]] = []
    notes: dict[int, dict[str, str]] = {}
    for row in chosen:
        fields = fields_of(lines[row], len(columns), separator)
        if fields is None:
            notes[row] = {"line": printable_bytes(lines[row])}
            fields = [""] * len(columns)
        spoilt = {
            name: printable_bytes(field) for name, field in zip(columns, fields, strict=True) if not is_text(field)
        }
        if spoilt:
            notes[row] = spoilt
        cells.append([*(field if field and is_text(field) else None for field in fields), row])
    return pl.DataFrame(cells, schema=_text_schema(columns), orient="row"), notes


def fields_of(text: str, width: int, separator: str) -> list[str] | None:
    """Fields of a line if it has `width` of them, with quotes read as quotes or else as plain characters."""
    try:
        fields = next(csv.reader([text], delimiter=separator))
        if len(fields) == width:
            return fields
    except csv.Error:
        pass
    fields = text.split(separator)
    return fields if len(fields) == width else None


def is_text(text: str) -> bool:
    """Whether all bytes of a text were UTF-8."""
    return text.isascii() or _SURROGATE.search(text) is None


def printable_bytes(text: str) -> str:
    r"""A text whose bytes that were not UTF-8 stand as `\xNN`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, which JSON may write as an escape
        return text.encode("utf-8", "backslashreplace").decode()


def _typed_texts(
    texts: pl.DataFrame, columns: Sequence[str], reading: Reading
) -> tuple[pl.DataFrame, dict[int, dict[str, str]]]:
    """Columns of numbers in their own types, and by row place the texts that fit no value and are null now."""
    types = {
        name: kind
        for name in columns
        if name not in reading.layout.time.column and (kind := reading.layout.type_of(name)).is_numeric()
    }
    decimals = [name for name, kind in types.items() if kind.is_float()] if reading.decimal_mark == "," else []
    points = texts.with_columns(pl.col(decimals).str.replace(",", ".", literal=True)) if decimals else texts
    typed = points.with_columns(
        (pl.col(name).str.strip_suffix(".0") if kind.is_integer() else pl.col(name)).cast(kind, strict=False)
        for name, kind in types.items()
    )
    typed = typed.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name, kind in types.items() if kind.is_float()
    )
    misfits: dict[int, dict[str, str]] = {}
    for name in [name for name in types if typed[name].null_count() > texts[name].null_count()]:
        places = (typed[name].is_null() & texts[name].is_not_null()).arg_true()
        unread = points[name].gather(places)
        is_whole = types[name].is_integer()
        values, fits = _whole_values(unread, types[name], reading) if is_whole else _float_values(unread, reading)
        typed.replace_column(typed.get_column_index(name), typed[name].scatter(places, values))
        unfit = places.filter(~fits)
        for place, text in zip(unfit, texts[name].gather(unfit), strict=True):
            misfits.setdefault(place, {})[name] = text
    return typed, misfits


def _float_values(texts: pl.Series, reading: Reading) -> tuple[pl.Series, pl.Series]:
    """The numbers that texts stand for, null where there is none, and whether a text is a number or a missing cell."""
    stripped = texts.str.strip_chars(_ALL_SPACES)
    values = stripped.str.strip_prefix("+").cast(pl.Float64, strict=False).set(~stripped.str.contains(_DECIMAL), None)
    values = values.set(~values.is_finite().fill_null(value=False), None)
    empty = [text for text in distinct(texts.filter(values.is_null())) if _is_empty(text, texts.name, reading)]
    return values, values.is_not_null() | texts.is_in(empty)


def _is_empty(text: str, column: str, reading: Reading) -> bool:
    stripped = text.strip(_SPACES)
    return not stripped or reading.is_missing(stripped, column)


def _whole_values(texts: pl.Series, kind: type[pl.DataType], reading: Reading) -> tuple[pl.Series, pl.Series]:
    """As `_float_values`, of whole numbers: without loss, however many digits they have."""
    doubles = texts.cast(pl.Float64, strict=False)
    whole = texts.str.contains(_SHORT_SCIENTIFIC) & (doubles.abs() < EXACT_DOUBLES) & (doubles == doubles.floor())
    values = doubles.set(~whole.fill_null(value=False), None).cast(kind, strict=False)
    rest = values.is_null()
    meanings = {text: _value(text, texts.name, kind, reading) for text in distinct(texts.filter(rest))}
    numbers = {text: value for text, value in meanings.items() if isinstance(value, int)}
    if numbers:
        read = texts.filter(rest).replace_strict(numbers, default=None, return_dtype=kind)
        values = values.scatter(rest.arg_true(), read)
    return values, ~texts.is_in([text for text, value in meanings.items() if value == _MISFIT])


_MISFIT = "misfit"


def _value(text: str, column: str, kind: type[pl.DataType], reading: Reading) -> int | str | None:
    """The whole number that a text stands for without loss; None for a missing cell, else `_MISFIT`."""
    if _is_empty(text, column, reading):
        return None
    stripped = text.strip(_ALL_SPACES)
    if kind == pl.Int8 and stripped.lower() in _TRUTH:
        return _TRUTH[stripped.lower()]
    if not _NUMBER.fullmatch(stripped):
        return _MISFIT
    value = Fraction(stripped)
    limit = _LIMITS[kind]
    return value.numerator if value.denominator == 1 and -limit <= value < limit else _MISFIT
