"""What the rows of a daily file have to be, told by Python's csv module and a few lines of arithmetic."""

import csv
import json
import re
from datetime import date
from decimal import Decimal

import polars as pl

from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN

_NUMBER = re.compile(r"[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(
    r"([0-9]{4})([-/.]?)([0-9]{2})\2([0-9]{2})"
    r"([ T][0-9]{2}:?[0-9]{2}(:?[0-9]{2}([.,][0-9]{1,9})?)?(Z|[+]00:?00| UTC)?)?"
)
_MISSING = {"null", "\\n", "na", "n/a", "nan", "none"}


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
    forms = set()
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
            if kind == pl.Date and cell is not None:
                forms.add(_form(field))
    assert len(forms) <= 1, "the dates of a file are read in one form"


def _check_cell(kind: pl.DataType, name: str, field: str, cell: object, kept: str | None) -> None:
    said = (name, field, cell, kept)
    number = kind in (pl.Int64, pl.Int8)
    stripped = field.strip(" \t") if number else field
    if not stripped or stripped.lower() in _MISSING:
        assert (cell, kept) == (None, None), said
        return
    if number:
        assert cell == _whole_number(field, name), said
    elif kind == pl.Date:
        assert cell is None or cell == _day(field), said
        assert cell is not None or _form(field) != ("-", False), said
    else:
        assert cell == (field if _is_text(field) else None), said
    assert kept == (_kept(field) if cell is None else None), said


def _whole_number(field: str, name: str) -> int | None:
    text = field.strip(" \t\r\f\v")
    if name == "failure" and text.lower() in ("true", "false"):
        return int(text.lower() == "true")
    if not _NUMBER.fullmatch(text):
        return None
    _, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    if exponent < 0 and any(digits[exponent:]):
        return None
    if len(digits) + exponent > 20 and any(digits):
        return None
    value = int(Decimal(text))
    largest = 2**7 if name == "failure" else 2**63
    return value if -largest <= value < largest else None


def _form(field: str) -> tuple[str, bool] | None:
    match = _DATE.fullmatch(field)
    return (match[2], match[5] is not None) if match and _day(field) else None


def _day(field: str) -> date | None:
    match = _DATE.fullmatch(field)
    try:
        return date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


def _is_text(field: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in field)


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
