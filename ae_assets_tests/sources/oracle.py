"""What the rows of a daily file have to be, told by Python's csv module and a few lines of arithmetic."""

import csv
import json
import re
from datetime import date

import polars as pl

from ae_assets.sources.layout import RESCUED_COLUMN, ROW_COLUMN

_PLAIN_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_INTEGER = re.compile(r"\s*([+-]?\d+)(\.0*)?\s*", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def check_rows(data: bytes, frame: pl.DataFrame) -> None:
    """Fails unless every line after the header is a row whose cells say what the line says, or keep its text."""
    *columns, row_column, rescued_column = frame.columns
    assert (row_column, rescued_column) == (ROW_COLUMN, RESCUED_COLUMN)
    lines = {
        number: line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        for number, line in enumerate(data.split(b"\n")[1:], start=1)
        if line.removesuffix(b"\r")
    }
    assert frame[ROW_COLUMN].to_list() == list(lines)
    for text, row in zip(lines.values(), frame.iter_rows(), strict=True):
        note = json.loads(row[-1]) if row[-1] is not None else {}
        assert row[-1] is None or note, "an empty note"
        fields = _fields(text, len(columns))
        if fields is None:
            assert note == {"line": _kept(text)}, (text, note)
            assert set(row[:-2]) == {None}, (text, row)
            continue
        assert set(note) <= set(columns), (text, note)
        for name, kind, field, cell in zip(columns, frame.dtypes, fields, row, strict=False):
            _check_cell(kind, name, field, cell, note.get(name))


def _check_cell(kind: pl.DataType, name: str, field: str, cell: object, kept: str | None) -> None:
    said = (name, field, cell, kept)
    if cell is None:
        empty = not (field.strip(" \t") if kind in (pl.Int64, pl.Int8) else field)
        assert kept == (None if empty else _kept(field)), said
        assert not (_PLAIN_INTEGER.fullmatch(field) and kind == pl.Int64), said
        assert not (kind == pl.String and field and field.isascii()), said
        return
    assert kept is None, said
    if kind == pl.String:
        assert cell == field, said
    elif kind == pl.Date:
        assert _DATE.fullmatch(field), said
        assert cell == date.fromisoformat(field), said
    elif name == "failure" and field.strip().lower() in ("true", "false"):
        assert cell == (field.strip().lower() == "true"), said
    else:
        match = _INTEGER.fullmatch(field)
        assert match, said
        assert cell == int(match[1]), said


def _fields(text: str, width: int) -> list[str] | None:
    try:
        fields = next(csv.reader([text]))
    except csv.Error:
        fields = []
    if len(fields) != width:
        fields = text.split(",")
    return fields if len(fields) == width else None


def _kept(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
