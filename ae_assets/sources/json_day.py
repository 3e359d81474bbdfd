"""Bytes of a file of JSON lines -> a typed frame with every line of it.

Cells are taken as the text that stands there, so that numbers are read as those of CSV, without loss. Polars' own
reader makes nulls of values that do not fit, without a word.
"""

import json
from collections.abc import Sequence

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.sources.columnar import conformed
from ae_assets.sources.csv_day import BYTE_ORDER_MARK, refuse_too_many_rows, stretches
from ae_assets.sources.header import MAX_COLUMNS, acceptable_names
from ae_assets.sources.printable import quoted
from ae_assets.sources.rescue import is_text, printable_bytes

Cells = dict[str, str | None]


def parse_json_lines(data: bytes, origin: str, reading: Reading) -> pl.DataFrame:
    """Rows of one file of JSON lines, see `csv_day.parse_day`: a line is an object of names and plain values.

    A line that is no object is a row whose cells are null, with the line in `rescued`. A name that a line lacks is an
    empty cell.

    Args:
        data: the whole file.
        origin: printable place of the file, named in errors.
        reading: layout and missing cells.

    Raises:
        SourceError: the file is empty, ends within a line, has unacceptable names, no line of it is an object, or it is
            larger than a day can be.
    """
    if not data:
        raise SourceError(
            f"{origin}: the file is empty (0 bytes). Expected a JSON object in each line: fetch it again."
        )
    _refuse_a_cut_file(data, origin)
    names: dict[str, None] = {}
    frames: list[pl.DataFrame] = []
    notes: dict[int, dict[str, str]] = {}
    row_count = 0
    for stretch in stretches(data, len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0, origin):
        lines = stretch.removesuffix(b"\n").split(b"\n")
        rows: list[tuple[int, Cells]] = []
        for row, line in enumerate(lines, start=row_count + 1):
            if line.strip():
                cells, note = _cells(line)
                rows.append((row, cells))
                names.update(dict.fromkeys(cells))
                if note:
                    notes[row] = note
        row_count += len(lines)
        if len(names) > MAX_COLUMNS:
            acceptable_names(list(names), origin, reading.layout, "the file")  # refuses them
        refuse_too_many_rows(row_count, max(len(names), 1), origin)
        frames.append(_frame(rows, list(names)))
    if not names and notes:
        raise SourceError(
            f"{origin}: none of its lines is a JSON object; the first is {quoted(next(iter(notes.values()))['line'])}."
        )
    none_at_all = (*reading.layout.required, *reading.layout.values)
    columns = acceptable_names(list(names) or none_at_all, origin, reading.layout, "the file")
    texts = pl.concat([_frame([], list(names)), *frames], how="diagonal")
    if not names:
        texts = pl.DataFrame(schema={**dict.fromkeys(columns, pl.String), ROW_COLUMN: pl.Int64})
    renamed = texts.rename(dict(zip(names, columns, strict=False)))
    spelled = {row: {reading.layout.spelled(name): text for name, text in note.items()} for row, note in notes.items()}
    return conformed(renamed, columns, origin, reading, spelled)


def text_columns(data: bytes) -> pl.DataFrame:
    """The columns of JSON lines as text, without a contract; lines that are no objects are left out."""
    rows = [(row, cells) for row, line in enumerate(data.split(b"\n"), 1) if (cells := _cells(line)[0])]
    return _frame(rows, list(dict.fromkeys(name for _, cells in rows for name in cells))).drop(ROW_COLUMN)


def _frame(rows: Sequence[tuple[int, Cells]], names: Sequence[str]) -> pl.DataFrame:
    columns = {name: pl.Series([cells.get(name) for _, cells in rows], dtype=pl.String) for name in names}
    return pl.DataFrame({**columns, ROW_COLUMN: pl.Series([row for row, _ in rows], dtype=pl.Int64)})


def _cells(line: bytes) -> tuple[Cells, dict[str, str]]:
    """The cells of a line as text, and the texts that could not be cells."""
    text = line.decode("utf-8", "surrogateescape")
    try:
        values = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(map(is_text, values)):
        return {}, {"line": printable_bytes(text.removesuffix("\r"))}
    return cells_of(values)


def cells_of(values: object) -> tuple[Cells, dict[str, str]]:
    """The cells of a JSON value, whose numbers are texts, as text, and the texts that could not be cells."""
    if not isinstance(values, dict) or not all(map(is_text, values)):
        return {}, {"line": printable_bytes(json.dumps(values, ensure_ascii=False))}
    cells = {name: _as_text(value) for name, value in values.items()}
    unfit = {name: cell for name, cell in cells.items() if cell is not None and not is_text(cell)}
    return {**cells, **dict.fromkeys(unfit)}, {name: printable_bytes(cell) for name, cell in unfit.items()}


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


def _refuse_a_cut_file(data: bytes, origin: str) -> None:
    if data.endswith(b"\n"):
        return
    last = data[data.rfind(b"\n") + 1 :]
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        raise SourceError(
            f"{origin}: the file ends within a line: its {len(data):,} bytes end with {quoted(str(last[-60:])[2:-1])}."
            " It was cut off: fetch it again."
        ) from None
