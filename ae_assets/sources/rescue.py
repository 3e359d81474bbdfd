"""The slow way from bytes of a daily CSV file to rows: line by line and cell by cell, keeping what cannot be typed.

`csv_day` decides which stretches of a file need it.
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ae_assets.sources.layout import RESCUED_COLUMN, ROW_COLUMN, column_type, iso_date

_COMMA, _QUOTE, _LINE_FEED, _CARRIAGE_RETURN, _MARK = b',"\n\r\xef'
_INTEGER = re.compile(r"\s*([+-]?\d{1,19})(?:\.0*)?\s*", re.ASCII)
_TRUTH = {"true": 1, "false": 0}
_LIMITS = {pl.Int8: 2**7, pl.Int64: 2**63}


def rescued_rows(stretch: bytes, columns: Sequence[str], first_row: int) -> pl.DataFrame:
    """Lines of a stretch as text, then typed column by column, and cell by cell where that fails.

    Args:
        stretch: whole lines.
        columns: names, as the header has them.
        first_row: number of the first line.

    Returns:
        What `csv_day.parse_day` describes.
    """
    lines = _lines(stretch, len(columns))
    regular = _texts_of_regular(stretch, lines, columns)
    if regular is None:
        regular, others = pl.DataFrame(schema=_text_schema(columns)), ~lines.blank
    else:
        others = ~lines.blank & ~lines.regular
    irregular, notes = _texts_of_irregular(stretch, lines, np.flatnonzero(others), columns)
    texts = pl.concat([regular, irregular]).sort(ROW_COLUMN)
    typed, misfits = _typed_texts(texts, columns)
    rescued: list[str | None] = [None] * texts.height
    if notes or misfits:
        for place, row in enumerate(texts[ROW_COLUMN].to_list()):
            if note := {**notes.get(row, {}), **misfits.get(place, {})}:
                rescued[place] = json.dumps(note, ensure_ascii=False)
    return typed.select(
        *columns,
        (pl.col(ROW_COLUMN) + first_row).cast(pl.Int32),
        pl.Series(RESCUED_COLUMN, rescued, dtype=pl.String),
    )


@dataclass(frozen=True)
class _Lines:
    """Where the lines of a stretch lie; `regular` ones can be left to Polars, the others are looked at one by one."""

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    blank: npt.NDArray[np.bool_]
    regular: npt.NDArray[np.bool_]


def _lines(stretch: bytes, width: int) -> _Lines:
    values = np.frombuffer(stretch, dtype=np.uint8)
    feeds = np.flatnonzero(values == _LINE_FEED)
    start = np.concatenate([[0], feeds + 1])
    end = np.concatenate([feeds, [len(values)]])
    if stretch.endswith(b"\n"):
        start, end = start[:-1], end[:-1]
    end = end - ((end > start) & (values[np.maximum(end - 1, 0)] == _CARRIAGE_RETURN))
    commas = np.flatnonzero(values == _COMMA)
    quotes = np.flatnonzero(values == _QUOTE)
    if len(quotes):
        well_quoted, separators = _quoting(values, start, end, commas, quotes)
    else:
        well_quoted = np.ones(len(start), dtype=bool)
        separators = np.searchsorted(commas, end) - np.searchsorted(commas, start)
    blank = end == start
    regular = ~blank & well_quoted & (separators == width - 1) & _readable(stretch, start, end)
    return _Lines(start, end, blank, regular & ~_changed_by_polars(values, start, end))


def _changed_by_polars(
    values: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Per line: whether it may begin with a byte order mark or has a carriage return in it; Polars drops both."""
    returns = np.flatnonzero(values == _CARRIAGE_RETURN)
    marked: npt.NDArray[np.bool_] = values[np.minimum(start, len(values) - 1)] == _MARK
    return marked | (np.searchsorted(returns, end) > np.searchsorted(returns, start))


def _quoting(
    values: npt.NDArray[np.uint8],
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    commas: npt.NDArray[np.int64],
    quotes: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Per line: whether its quotes stand where RFC 4180 wants them, and its number of commas outside quotes."""
    odd_so_far = np.logical_xor.accumulate(values == _QUOTE)
    odd_before = np.where(start > 0, odd_so_far[np.maximum(start - 1, 0)], False)
    line = _line_of(quotes, start)
    opens = odd_so_far[quotes] != odd_before[line]
    before = values[np.maximum(quotes - 1, 0)]
    after = values[np.minimum(quotes + 1, len(values) - 1)]
    good_open = (quotes == start[line]) | (before == _COMMA) | (before == _QUOTE)
    good_close = (quotes + 1 == end[line]) | (after == _COMMA) | (after == _QUOTE)
    bad = np.bincount(line[~np.where(opens, good_open, good_close)], minlength=len(start)) > 0
    odd = np.bincount(line, minlength=len(start)) % 2 == 1
    comma_line = _line_of(commas, start)
    outside = odd_so_far[commas] == odd_before[comma_line]
    return ~(bad | odd), np.bincount(comma_line[outside], minlength=len(start))


def _line_of(places: npt.NDArray[np.int64], start: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The line that each of the ascending places lies in."""
    first = np.searchsorted(places, start)
    return np.repeat(np.arange(len(start)), np.diff(first, append=len(places)))


def _readable(stretch: bytes, start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Per line: whether its bytes are UTF-8."""
    readable = np.ones(len(start), dtype=bool)
    try:
        stretch.decode("utf-8")
    except UnicodeDecodeError:
        beyond_ascii = np.flatnonzero(np.frombuffer(stretch, dtype=np.int8) < 0)
        for line in np.unique(np.searchsorted(start, beyond_ascii, side="right") - 1):
            try:
                stretch[start[line] : end[line]].decode("utf-8")
            except UnicodeDecodeError:
                readable[line] = False
    return readable


def _text_schema(columns: Sequence[str]) -> dict[str, type[pl.DataType]]:
    return {**dict.fromkeys(columns, pl.String), ROW_COLUMN: pl.Int64}


def _texts_of_regular(stretch: bytes, lines: _Lines, columns: Sequence[str]) -> pl.DataFrame | None:
    """Cells of the regular lines as text with the line number (from 0), or None if Polars does not agree about them."""
    chosen = np.flatnonzero(lines.regular)
    if not len(chosen):
        return pl.DataFrame(schema=_text_schema(columns))
    if len(chosen) < len(lines.start):
        stretch = b"\n".join(stretch[lines.start[line] : lines.end[line]] for line in chosen)
    quote = '"' if b'"' in stretch else None
    try:
        texts = pl.read_csv(stretch, has_header=False, schema=dict.fromkeys(columns, pl.String), quote_char=quote)
    except pl.exceptions.PolarsError:
        return None
    if texts.height != len(chosen):
        return None
    if quote is not None:
        texts = texts.with_columns(pl.when(pl.all() != "").then(pl.all()))
    return texts.with_columns(pl.Series(ROW_COLUMN, chosen, dtype=pl.Int64))


def _texts_of_irregular(
    stretch: bytes, lines: _Lines, chosen: npt.NDArray[np.int64], columns: Sequence[str]
) -> tuple[pl.DataFrame, dict[int, dict[str, str]]]:
    """Cells of other lines as text, and per line number the texts that stand for null cells."""
    rows: list[list[str | int | None]] = []
    notes: dict[int, dict[str, str]] = {}
    for line in (int(line) for line in chosen):
        text = stretch[lines.start[line] : lines.end[line]].decode("utf-8", "surrogateescape")
        fields = _fields(text, len(columns))
        if fields is None:
            notes[line] = {"line": _printable(text)}
            fields = [""] * len(columns)
        spoilt = {name: _printable(field) for name, field in zip(columns, fields, strict=True) if not _is_text(field)}
        if spoilt:
            notes[line] = spoilt
        rows.append([*(field if field and _is_text(field) else None for field in fields), line])
    return pl.DataFrame(rows, schema=_text_schema(columns), orient="row"), notes


def _fields(text: str, width: int) -> list[str] | None:
    """Fields of a line if it has `width` of them, with quotes read as quotes or else as plain signs."""
    try:
        fields = next(csv.reader([text]))
        if len(fields) == width:
            return fields
    except csv.Error:
        pass
    fields = text.split(",")
    return fields if len(fields) == width else None


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _typed_texts(texts: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, dict[int, dict[str, str]]]:
    """Columns of texts in their own types, and by row place the texts that fit no value and are null now."""
    types = {name: column_type(name) for name in columns}
    numbers = [pl.col(name) for name, kind in types.items() if kind in _LIMITS]
    texts = texts.with_columns(pl.when(text.str.strip_chars(" \t") != "").then(text) for text in numbers)
    typed = texts.with_columns(
        *(
            iso_date(name) if kind == pl.Date else pl.col(name).str.strip_suffix(".0").cast(kind, strict=False)
            for name, kind in types.items()
            if kind != pl.String
        )
    )
    misfits: dict[int, dict[str, str]] = {}
    lost = (typed.null_count() - texts.null_count()).row(0, named=True)
    for name in (name for name in columns if lost[name]):
        places = (typed[name].is_null() & texts[name].is_not_null()).arg_true()
        found: dict[int, int] = {}
        for place, text in zip(places.to_list(), texts[name].gather(places).to_list(), strict=True):
            value = None if types[name] == pl.Date else _integer(text, name)
            if value is None:
                misfits.setdefault(place, {})[name] = text
            else:
                found[place] = value
        if found:
            typed.replace_column(typed.get_column_index(name), typed[name].scatter(list(found), list(found.values())))
    return typed, misfits


def _integer(text: str, column: str) -> int | None:
    """The integer that a text stands for without loss, or None."""
    if column == "failure" and text.strip().lower() in _TRUTH:
        return _TRUTH[text.strip().lower()]
    match = _INTEGER.fullmatch(text)
    limit = _LIMITS[pl.Int8 if column == "failure" else pl.Int64]
    value = int(match[1]) if match else limit
    return value if -limit <= value < limit else None
