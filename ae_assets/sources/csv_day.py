"""Bytes of one daily CSV file -> a typed frame with every line of the file in it; not where the bytes come from.

Clean stretches of a file take the fast path: one typed Polars parse, accepted only if the number of separators shows
that each line has its full number of fields. A stretch with anything odd in it takes the rescue path, which looks at
lines and cells one by one and keeps the original text of whatever cannot be typed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN, Layout
from ae_assets.schemas.reading import Reading
from ae_assets.sources.dates import with_times
from ae_assets.sources.header import SEPARATORS, header_columns, is_header
from ae_assets.sources.printable import quoted
from ae_assets.sources.rescue import EXACT_DOUBLES, fields_of, rescued_rows

STRETCH_BYTES = 4 * 2**20
"""Lines are parsed in stretches of at most this size, so that one bad line slows 4 MiB down, not the day. A line that
is longer is refused, since nothing in it could be told apart within bounded memory; official ones have about 1 KiB."""

MAX_HEADER_BYTES = 2**16
"""Longest header line; the official one of 197 columns has 5 KiB."""

MAX_DAY_ROWS = 4_000_000
"""Most lines of a day; the largest official days have 0.3 million."""

MAX_DAY_CELLS = 400_000_000
"""Most lines times columns of a day, of 8 bytes each: 7 times the largest official days. Two bytes of text make one."""

MAX_RESCUED_BYTES = 512 * 2**20
"""Most text that fits no column: a file that is all of it is of another layout, and each such cell costs time."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAX_EXACT_NUMBER = 16
"""Digits and points of a number that a double holds without loss, see `_whole_numbers`."""

_IN_NUMBERS = np.isin(np.arange(256), list(b"0123456789."))


def parse_day(data: bytes, origin: str, reading: Reading | None = None) -> pl.DataFrame:
    r"""Rows of one CSV file.

    A field never spans lines: a quote that is opened and not closed spoils its own line only. Blank lines are no rows
    but count as lines. LF and CRLF line ends, a UTF-8 byte order mark and quoted fields are understood.

    Args:
        data: the whole file.
        origin: printable place of the file, named in errors.
        reading: layout, separator, which words stand for a missing cell, and whether the last line needs its line end;
            None: drive stats and the defaults.

    Returns:
        One row per line that is not blank, in file order: the file's columns in file order, those of the layout as it
        spells them, typed by `Layout.type_of` (whole numbers may be written `24.0` or `2.4E1` or with spaces around,
        and nothing but spaces is empty; a label also `False`/`True`; times as `dates` says), then `source_row`
        (Int32, 1-based line after the header) and `rescued` (String): null for a clean row; JSON
        `{column: original text}` for cells that are null because they could not be typed; JSON `{"line": text}` for a
        line with a wrong number of fields, whose cells are all null. Bytes that are not UTF-8 stand in `rescued` as
        `\xNN`.

    Raises:
        SourceError: the file is empty, ends within a line, has an unacceptable header or a second one, or it is larger
            than a day can be.
    """
    reading = reading or Reading()
    if not data:
        raise SourceError(f"{origin}: the file is empty (0 bytes). Expected at least a header line: fetch it again.")
    start = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
    line_end = data.find(b"\n", start)
    header_end = line_end if line_end >= 0 else len(data)
    if header_end - start > MAX_HEADER_BYTES:
        raise SourceError(
            f"{origin}: the first line has {header_end - start:,} bytes, more than the {MAX_HEADER_BYTES:,} a header"
            f" may have. Is this {reading.layout.file}, and do its lines end with a line feed?"
        )
    header = data[start:header_end].removesuffix(b"\r")
    columns = header_columns(header, origin, reading, complete=line_end >= 0)
    if not data.endswith(b"\n"):
        _refuse_a_cut_file(data, columns, origin, reading)
    if line_end < 0:
        return pl.DataFrame(schema=reading.layout.day_schema(columns))
    refuse_too_many_rows(data.count(b"\n", line_end + 1), len(columns), origin)
    frames: list[pl.DataFrame] = []
    first_row, rescued_bytes = 1, 0
    for stretch in stretches(data, line_end + 1, origin):
        lines = stretch.count(b"\n") + (not stretch.endswith(b"\n"))
        parsed = _typed_at_once(stretch, columns, lines, reading)
        if parsed is None:
            _refuse_a_second_header(stretch, first_row, origin, reading)
            parsed = rescued_rows(stretch, columns, first_row, reading)
            rescued_bytes += int(parsed[RESCUED_COLUMN].str.len_bytes().sum())
            if rescued_bytes > MAX_RESCUED_BYTES:
                raise SourceError(
                    f"{origin}: more than {MAX_RESCUED_BYTES:,} bytes of the first {first_row + lines - 1:,} lines fit"
                    f" none of the {len(columns)} columns of its header. Is it of another layout?"
                )
        else:
            parsed = parsed.with_columns(
                pl.int_range(first_row, first_row + parsed.height, dtype=pl.Int32).alias(ROW_COLUMN),
                pl.lit(None, dtype=pl.String).alias(RESCUED_COLUMN),
            )
        frames.append(pl.DataFrame([_dense(column) for column in parsed.iter_columns()]))
        first_row += lines
    if not frames:
        return pl.DataFrame(schema=reading.layout.day_schema(columns))
    rows = _in_one_piece(frames)
    _refuse_broken_lines_alone(rows, len(columns), origin, reading)
    return with_times(without_markers(rows, columns, reading), reading.layout.time)


def _in_one_piece(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Frames of the same columns as one, column by column: Polars would later put all of it together beside the parts.

    The list is emptied, so that what is put together of a column can be given up.
    """
    rows = pl.concat(frames)
    frames.clear()
    return pl.DataFrame([_dense(rows.drop_in_place(name)) for name in rows.columns])


def _dense(column: pl.Series) -> pl.Series:
    """The column in one piece; of nulls alone, as most attributes of a model have, it takes no memory."""
    if column.null_count() < len(column):
        return column.rechunk()
    return pl.repeat(None, len(column), dtype=column.dtype, eager=True).alias(column.name)


def _refuse_a_cut_file(data: bytes, columns: Sequence[str], origin: str, reading: Reading) -> None:
    """Raises SourceError for a file whose last line has no line end, unless it may be complete without one."""
    begin = data.rfind(b"\n") + 1
    if len(data) - begin > STRETCH_BYTES:
        return  # refused as a line that is too long
    number, last = data.count(b"\n"), data[begin:].removesuffix(b"\r")
    place = f"line {number:,} after the header" if number else "its header line"
    fields = fields_of(last.decode("utf-8", "surrogateescape"), len(columns), reading.separator)
    if fields is None:
        count = last.count(reading.separator.encode()) + 1
        raise SourceError(
            f"{origin}: the file ends within a line: of its {len(data):,} bytes the last {len(last):,} are {place},"
            f" {count} of {len(columns)} fields without a line end. It was cut off: fetch it again."
        )
    if reading.last_line_end == "required":
        raise SourceError(
            f"{origin}: the file of {len(data):,} bytes ends without a line end behind {place}, so the end of that line"
            " and rows behind it may be missing. Fetch it again; if it is complete, end it with a line feed, or set"
            " source.last_line_end: optional for a source whose writer leaves it out."
        )


def _refuse_a_second_header(stretch: bytes, first_row: int, origin: str, reading: Reading) -> None:
    """Raises SourceError where a line is a header again, as in files that were written one behind another."""
    lowered, mark = stretch.lower(), max(reading.layout.required, key=len).lower().encode()
    place = lowered.find(mark)
    while place >= 0:
        end = lowered.find(b"\n", place) + 1 or len(lowered)
        if is_header(lowered[lowered.rfind(b"\n", 0, place) + 1 : end].decode("utf-8", "replace"), reading):
            row = first_row + lowered.count(b"\n", 0, place)
            raise SourceError(
                f"{origin}: line {row:,} after the header is a header again, so several files were joined into one."
                " Expected one file for each day: take them apart."
            )
        place = lowered.find(mark, end)


def _refuse_broken_lines_alone(rows: pl.DataFrame, width: int, origin: str, reading: Reading) -> None:
    """Raises SourceError where no line has the fields of the header: nothing of the file could be watched."""
    notes = rows[RESCUED_COLUMN]
    if notes.null_count() == 0 and rows.height and notes.str.starts_with('{"line": ').all():
        raise SourceError(
            f"{origin}: none of its {rows.height:,} lines has the {width} fields of the header; the first is"
            f" {quoted(json.loads(notes[0])['line'])}. Expected fields separated by {SEPARATORS[reading.separator]},"
            " quoted where they hold one."
        )


def without_markers(frame: pl.DataFrame, columns: Sequence[str], reading: Reading) -> pl.DataFrame:
    """The rows with nulls where a text column holds a marker of a missing cell, or a number the value of one."""
    emptied, types = [], frame.schema
    for name in columns:
        if types[name] == pl.String:
            missing: list[str] | list[int] | list[float] = reading.missing_among(frame[name])
        else:
            missing = reading.floats(name) if types[name].is_float() else reading.numbers(name)
        if missing:
            emptied.append(pl.when(~pl.col(name).is_in(missing)).then(pl.col(name)).alias(name))
    return frame.with_columns(emptied)


def refuse_too_many_rows(rows: int, width: int, origin: str) -> None:
    """Raises SourceError for more rows than a file of so many columns may have."""
    most = min(MAX_DAY_ROWS, MAX_DAY_CELLS // width)
    if rows > most:
        raise SourceError(
            f"{origin}: {rows:,} lines of {width} columns are more than the {most:,} lines that a day of so many"
            " columns may have. Is this the file of a single day?"
        )


def stretches(data: bytes, start: int, origin: str) -> Iterator[bytes]:
    """Whole lines of a file, some MiB at a time. SourceError for a line that is longer."""
    while start < len(data):
        end = len(data)
        if end - start > STRETCH_BYTES:
            end = data.rfind(b"\n", start, start + STRETCH_BYTES) + 1
            if not end:
                number = data.count(b"\n", 0, start)
                raise SourceError(
                    f"{origin}: line {number:,} after the header has more than the"
                    f" {STRETCH_BYTES:,} bytes that a line may have. It is damaged: fetch it again."
                )
        yield data[start:end]
        start = end


def _typed_at_once(stretch: bytes, columns: Sequence[str], lines: int, reading: Reading) -> pl.DataFrame | None:
    """The fast path, or None where it cannot vouch for each line and cell. Dates stay text.

    Polars refuses a line that is too long and pads one that is too short without a word; the right number of
    separators in all, in lines none of which is too long, leaves no room for a short one.
    """
    if (
        b'"' in stretch
        or stretch.startswith(BYTE_ORDER_MARK)  # Polars would drop it
        or stretch.count(b"\r") != stretch.count(b"\r\n")  # so it would with one at the end of a cell
        or np.count_nonzero(np.frombuffer(stretch, np.uint8) == ord(reading.separator)) != lines * (len(columns) - 1)
    ):
        return None
    types = types_before_times(columns, reading.layout)
    for schema, missing in product((types, _with_doubles(types)), ([], reading.spellings)):
        try:
            frame = pl.read_csv(
                stretch,
                has_header=False,
                schema=schema,
                separator=reading.separator,
                quote_char=None,
                null_values=missing,
                decimal_comma=reading.decimal_mark == ",",
            )
        except pl.exceptions.PolarsError:
            continue
        if frame.height != lines or not _are_finite(frame, types):
            return None
        return frame if schema is types else _whole_numbers(frame, stretch, types)
    return None


def types_before_times(columns: Sequence[str], layout: Layout) -> dict[str, type[pl.DataType]]:
    """The types of a file's columns while times are still text."""
    return {name: pl.String if name in layout.time.column else layout.type_of(name) for name in columns}


def _are_finite(frame: pl.DataFrame, types: Mapping[str, type[pl.DataType]]) -> bool:
    """Whether all floats are numbers: NaN may be a marker of a missing cell, an infinity is no value."""
    floats = [pl.col(name).is_finite().all() for name, kind in types.items() if kind.is_float()]
    return not floats or all(frame.select(pl.all_horizontal(floats)).row(0))


def _with_doubles(types: Mapping[str, type[pl.DataType]]) -> dict[str, type[pl.DataType]]:
    return {name: pl.Float64 if kind.is_integer() else kind for name, kind in types.items()}


def _whole_numbers(frame: pl.DataFrame, stretch: bytes, types: Mapping[str, type[pl.DataType]]) -> pl.DataFrame | None:
    """Columns that were read as doubles as the whole numbers that they are, or None where one may have been rounded.

    No two numbers of at most 15 digits have the same double, and whole numbers of 16 digits have one of their own below
    2^53; a point makes 15 digits of 16 characters. Negative exponents are left to exact arithmetic, since what is next
    to nothing becomes 0.
    """
    if b"E-" in stretch or b"e-" in stretch or _longest_number(stretch) > MAX_EXACT_NUMBER:
        return None
    doubles = [name for name, kind in types.items() if kind.is_integer()]
    whole = [
        ((pl.col(name) == pl.col(name).floor()) & (pl.col(name).abs() < EXACT_DOUBLES)).all().alias(name)
        for name in doubles
        if frame[name].null_count() < frame.height
    ]
    if not all(frame.select(whole).row(0)):
        return None
    try:
        return frame.with_columns(pl.col(name).cast(types[name]) for name in doubles)
    except pl.exceptions.PolarsError:  # a failure of 300
        return None


def _longest_number(data: bytes) -> int:
    """Characters of the longest run of digits and points."""
    others = np.flatnonzero(~_IN_NUMBERS[np.frombuffer(data, dtype=np.uint8)])
    return int(np.diff(others, prepend=-1, append=len(data)).max()) - 1
