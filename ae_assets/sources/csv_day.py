"""Bytes of one daily CSV file -> a typed frame with every line of the file in it; not where the bytes come from.

Clean stretches of a file take the fast path: one typed Polars parse, accepted only if the number of separators shows
that each line has its full number of fields. A stretch with anything odd in it takes the rescue path, which looks at
lines and cells one by one and keeps the original text of whatever cannot be typed.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ae_assets.errors import SourceError
from ae_assets.sources.layout import RESCUED_COLUMN, ROW_COLUMN, column_type, day_schema, header_columns

STRETCH_BYTES = 16 * 2**20
"""Lines are parsed in stretches of about this size, so that one bad line slows 16 MiB down, not the day."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_COMMA, _QUOTE, _LINE_FEED, _CARRIAGE_RETURN = (ord(sign) for sign in ',"\n\r')
_INTEGER = re.compile(r"\s*([+-]?\d{1,19})(?:\.0*)?\s*", re.ASCII)
_TRUTH = {"true": 1, "false": 0}
_LIMITS = {pl.Int8: 2**7, pl.Int64: 2**63}


def parse_day(data: bytes, origin: str) -> pl.DataFrame:
    r"""Rows of one daily file in the official layout.

    A field never spans lines: a quote that is opened and not closed spoils its own line only. Blank lines are no rows
    but count as lines. LF and CRLF line ends, a UTF-8 byte order mark and quoted fields are understood.

    Args:
        data: the whole file.
        origin: printable place of the file, named in errors.

    Returns:
        One row per line that is not blank, in file order: the file's columns in file order, typed by
        `layout.column_type` (integers may be written `24.0`, failure also `False`/`True`), then `source_row` (Int32,
        1-based line after the header) and `rescued` (String): null for a clean row; JSON `{column: original text}` for
        cells that are null because they could not be typed; JSON `{"line": text}` for a line with a wrong number of
        fields, whose cells are all null. Bytes that are not UTF-8 stand in `rescued` as `\xNN`.

    Raises:
        SourceError: the file is empty or its header is not acceptable.
    """
    if not data:
        raise SourceError(f"{origin}: the file is empty (0 bytes). Expected at least a header line: fetch it again.")
    start = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
    line_end = data.find(b"\n", start)
    header = data[start : line_end if line_end >= 0 else len(data)].removesuffix(b"\r")
    columns = header_columns(header, origin, complete=line_end >= 0)
    if line_end < 0:
        return pl.DataFrame(schema=day_schema(columns))
    frames = []
    first_row = 1
    for stretch in _stretches(data, line_end + 1):
        lines = stretch.count(b"\n") + (not stretch.endswith(b"\n"))
        parsed = _typed_at_once(stretch, columns, lines)
        frames.append(_rescued(stretch, columns, first_row) if parsed is None else _with_rows(parsed, first_row))
        first_row += lines
    return pl.concat(frames) if frames else pl.DataFrame(schema=day_schema(columns))


def _stretches(data: bytes, start: int) -> Iterator[bytes]:
    while start < len(data):
        end = len(data)
        if end - start > STRETCH_BYTES:
            end = data.find(b"\n", start + STRETCH_BYTES) + 1 or len(data)
        yield data[start:end]
        start = end


def _typed_at_once(stretch: bytes, columns: Sequence[str], lines: int) -> pl.DataFrame | None:
    """The fast path, or None where it cannot vouch for each line and cell.

    Polars refuses a line that is too long and pads one that is too short without a word; the right number of
    separators in all, in lines none of which is too long, leaves no room for a short one.
    """
    if b'"' in stretch or _count(stretch, _COMMA) != lines * (len(columns) - 1):
        return None
    schema = {name: pl.String if name == "date" else column_type(name) for name in columns}
    try:
        frame = pl.read_csv(stretch, has_header=False, schema=schema, quote_char=None)
        if frame.height != lines:
            return None
        # Polars guesses the order of day and month by the first date it sees, hence dates are read as text.
        return frame.with_columns(pl.col("date").str.to_date("%Y-%m-%d", strict=True))
    except pl.exceptions.PolarsError:
        return None


def _with_rows(frame: pl.DataFrame, first_row: int) -> pl.DataFrame:
    return frame.with_columns(
        pl.int_range(first_row, first_row + frame.height, dtype=pl.Int32).alias(ROW_COLUMN),
        pl.lit(None, dtype=pl.String).alias(RESCUED_COLUMN),
    )


def _count(data: bytes, sign: int) -> int:
    values = np.frombuffer(data, dtype=np.uint8)
    step = 2**20
    return sum(int(np.count_nonzero(values[at : at + step] == sign)) for at in range(0, len(values), step))


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
    return _Lines(start, end, blank, ~blank & well_quoted & (separators == width - 1) & _readable(stretch, start, end))


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


def _rescued(stretch: bytes, columns: Sequence[str], first_row: int) -> pl.DataFrame:
    """The rescue path: lines of a stretch as text, then typed column by column, and cell by cell where that fails."""
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
    typed = texts.with_columns(
        *(
            pl.col(name).str.to_date("%Y-%m-%d", strict=False)
            if kind == pl.Date
            else pl.col(name).str.strip_suffix(".0").cast(kind, strict=False)
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
