"""Bytes of one daily CSV file -> a typed frame with every line of the file in it; not where the bytes come from.

Clean stretches of a file take the fast path: one typed Polars parse, accepted only if the number of separators shows
that each line has its full number of fields. A stretch with anything odd in it takes the rescue path, which looks at
lines and cells one by one and keeps the original text of whatever cannot be typed.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ae_assets.errors import SourceError
from ae_assets.sources.layout import RESCUED_COLUMN, ROW_COLUMN, column_type, day_schema, header_columns, iso_date
from ae_assets.sources.rescue import rescued_rows

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


def parse_day(data: bytes, origin: str) -> pl.DataFrame:
    r"""Rows of one daily file in the official layout.

    A field never spans lines: a quote that is opened and not closed spoils its own line only. Blank lines are no rows
    but count as lines. LF and CRLF line ends, a UTF-8 byte order mark and quoted fields are understood.

    Args:
        data: the whole file.
        origin: printable place of the file, named in errors.

    Returns:
        One row per line that is not blank, in file order: the file's columns in file order, typed by
        `layout.column_type` (integers may be written `24.0` or with spaces around, and nothing but spaces is empty;
        failure also `False`/`True`), then `source_row` (Int32,
        1-based line after the header) and `rescued` (String): null for a clean row; JSON `{column: original text}` for
        cells that are null because they could not be typed; JSON `{"line": text}` for a line with a wrong number of
        fields, whose cells are all null. Bytes that are not UTF-8 stand in `rescued` as `\xNN`.

    Raises:
        SourceError: the file is empty, its header is not acceptable, or it is larger than a day can be.
    """
    if not data:
        raise SourceError(f"{origin}: the file is empty (0 bytes). Expected at least a header line: fetch it again.")
    start = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
    line_end = data.find(b"\n", start)
    header_end = line_end if line_end >= 0 else len(data)
    if header_end - start > MAX_HEADER_BYTES:
        raise SourceError(
            f"{origin}: the first line has {header_end - start:,} bytes, more than the {MAX_HEADER_BYTES:,} a header"
            " may have. Is this a drive-stats file, and do its lines end with a line feed?"
        )
    header = data[start:header_end].removesuffix(b"\r")
    columns = header_columns(header, origin, complete=line_end >= 0)
    if line_end < 0:
        return pl.DataFrame(schema=day_schema(columns))
    _refuse_too_many_rows(data.count(b"\n", line_end + 1), len(columns), origin)
    frames = []
    first_row, rescued_bytes = 1, 0
    for stretch in _stretches(data, line_end + 1, origin):
        lines = stretch.count(b"\n") + (not stretch.endswith(b"\n"))
        parsed = _typed_at_once(stretch, columns, lines)
        if parsed is None:
            parsed = rescued_rows(stretch, columns, first_row)
            rescued_bytes += int(parsed[RESCUED_COLUMN].str.len_bytes().sum())
            if rescued_bytes > MAX_RESCUED_BYTES:
                raise SourceError(
                    f"{origin}: more than {MAX_RESCUED_BYTES:,} bytes of the first {first_row + lines - 1:,} lines fit"
                    f" none of the {len(columns)} columns of its header. Is it of another layout?"
                )
        else:
            parsed = _with_rows(parsed, first_row)
        frames.append(parsed)
        first_row += lines
    return pl.concat(frames) if frames else pl.DataFrame(schema=day_schema(columns))


def _refuse_too_many_rows(rows: int, width: int, origin: str) -> None:
    most = min(MAX_DAY_ROWS, MAX_DAY_CELLS // width)
    if rows > most:
        raise SourceError(
            f"{origin}: {rows:,} lines of {width} columns are more than the {most:,} lines that a day of so many"
            " columns may have. Is this the file of a single day?"
        )


def _stretches(data: bytes, start: int, origin: str) -> Iterator[bytes]:
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


def _typed_at_once(stretch: bytes, columns: Sequence[str], lines: int) -> pl.DataFrame | None:
    """The fast path, or None where it cannot vouch for each line and cell.

    Polars refuses a line that is too long and pads one that is too short without a word; the right number of
    separators in all, in lines none of which is too long, leaves no room for a short one.
    """
    if (
        b'"' in stretch
        or stretch.startswith(BYTE_ORDER_MARK)  # Polars would drop it
        or stretch.count(b"\r") != stretch.count(b"\r\n")  # so it would with one at the end of a cell
        or _count(stretch, b",") != lines * (len(columns) - 1)
    ):
        return None
    schema = {name: pl.String if name == "date" else column_type(name) for name in columns}
    try:
        frame = pl.read_csv(stretch, has_header=False, schema=schema, quote_char=None)
        if frame.height != lines:
            return None
        # Polars guesses the order of day and month by the first date it sees, hence dates are read as text.
        dates = frame.select(iso_date("date")).to_series()
        return None if dates.null_count() > frame["date"].null_count() else frame.with_columns(dates)
    except pl.exceptions.PolarsError:
        return None


def _with_rows(frame: pl.DataFrame, first_row: int) -> pl.DataFrame:
    return frame.with_columns(
        pl.int_range(first_row, first_row + frame.height, dtype=pl.Int32).alias(ROW_COLUMN),
        pl.lit(None, dtype=pl.String).alias(RESCUED_COLUMN),
    )


def _count(data: bytes, sign: bytes) -> int:
    values = np.frombuffer(data, dtype=np.uint8)
    step = 2**20
    return sum(int(np.count_nonzero(values[at : at + step] == ord(sign))) for at in range(0, len(values), step))
