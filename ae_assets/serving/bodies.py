"""Bodies of requests into raw rows: bounded bytes, then JSON or Arrow, then the columns that the contract reads."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import polars as pl
import pyarrow as pa

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import ROW_COLUMN
from ae_assets.schemas.raw import RawContract
from ae_assets.schemas.reading import Reading
from ae_assets.serving.arrow_messages import is_compressed
from ae_assets.serving.refusals import Refusal
from ae_assets.serving.settings import Settings
from ae_assets.sources.columnar import conformed
from ae_assets.sources.header import MAX_COLUMNS
from ae_assets.sources.json_day import cells_of
from ae_assets.sources.printable import quoted

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
LONGEST_CELL = 1_000
"""Characters of a text: longer ones are no name of a device, and a dictionary of Arrow repeats one without end."""
_FEW = 1_000
"""Brackets in texts, and of what is around the rows."""
_PLAIN = (
    *(pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null, pa.types.is_date),
    *(pa.types.is_timestamp, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
)


@dataclass(frozen=True)
class Rows:
    """What a body holds.

    Attributes:
        raw: its rows in the columns that the contract reads, with ``source_row`` from 1.
        ignored: names of further columns.
    """

    raw: pl.DataFrame
    ignored: tuple[str, ...]


class Inflated:
    """A body that comes in parts, unpacked as it comes and never beyond what it may hold."""

    def __init__(self, encoding: str, settings: Settings) -> None:
        """Takes the content encoding; raises Refusal where it is another one than gzip."""
        if encoding not in {"", "identity", "gzip"}:
            raise Refusal(415, "the Content-Encoding is not known, expected gzip or none")
        self._packed = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        self._settings = settings
        self._received = 0
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        """Takes the next bytes; raises Refusal where they are too many, or no gzip."""
        self._received += len(part)
        if self._received > self._settings.body_bytes:
            raise too_large("the body", self._settings.body_bytes)
        if self._packed is None:
            self._keep(part)
            return
        try:
            while part:
                self._keep(self._packed.decompress(part, self._settings.unpacked_bytes - self.size + 1))
                part = self._packed.unconsumed_tail
                if self._packed.eof and (part or self._packed.unused_data):
                    raise Refusal(422, "the body goes on after its gzip ends; send one member")
        except zlib.error:
            raise Refusal(422, "the body is no gzip, as its Content-Encoding says") from None

    def whole(self) -> bytes:
        """All of it; raises Refusal where it ends too early."""
        if self._packed is not None and not self._packed.eof:
            raise Refusal(422, "the gzip of the body was cut off")
        return b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self._settings.unpacked_bytes:
            raise too_large("the unpacked body", self._settings.unpacked_bytes)
        self._parts.append(part)


def too_large(what: str, most: int, unit: str = "bytes") -> Refusal:
    return Refusal(413, f"{what} has more than {most:,} {unit}; send it in parts")


def rows_of(body: bytes, kind: str, reading: Reading, contract: RawContract, settings: Settings) -> Rows:
    """The rows of a body.

    Args:
        body: its bytes.
        kind: `JSON` or `ARROW`.
        reading: how the table's source writes cells.
        contract: which columns are read.
        settings: how much it may hold.

    Raises:
        Refusal: the body cannot be read as a whole, or holds too much. What is wrong with a row is for the contract.
    """
    frame, notes = _of_json(body, settings) if kind == JSON else (_of_arrow(body, settings), {})
    layout = reading.layout
    spelled = {name: layout.spelled(name) for name in frame.columns if name != ROW_COLUMN}
    read = {name: other for name, other in spelled.items() if _is_read(other, contract)}
    ignored = tuple(name[:100] for name in spelled if name not in read)
    if len(set(read.values())) < len(read):
        raise Refusal(422, "a column is named more than once: upper and lower case are the same")
    if layout.entity_name is not None and layout.entity not in read.values():
        frame, read = (
            frame.with_columns(pl.lit(layout.entity_name).alias(layout.entity)),
            {**read, layout.entity: layout.entity},
        )
    named = [name for name in (*layout.time.column, layout.entity, layout.cohort) if name is not None]
    if missing := [name for name in named if name not in read.values()]:
        raise Refusal(422, f"no row has the columns {', '.join(missing)}; expected {', '.join(named)} and readings")
    columns = [*dict.fromkeys(read.values())]
    chosen = frame.select(*(pl.col(name).alias(other) for name, other in read.items()), ROW_COLUMN)
    texts = [name for name, dtype in chosen.schema.items() if dtype in (pl.String, pl.Categorical)]
    if (
        texts
        and (chosen.select(pl.max_horizontal(pl.col(texts).cast(pl.String).str.len_chars().max())).item() or 0)
        > LONGEST_CELL
    ):
        raise too_large("a cell", LONGEST_CELL, "characters")
    try:
        raw = conformed(chosen, columns, "the body", reading, notes)
    except SourceError as error:
        raise Refusal(422, str(error)) from None
    absent = {name: dtype for name, dtype in contract.columns.items() if name not in raw.columns}
    return Rows(raw.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in absent.items()), ignored)


def _is_read(name: str, contract: RawContract) -> bool:
    return name.lower() not in contract.layout.reserved and (contract.reads(name) or name in contract.groups)


def _of_json(body: bytes, settings: Settings) -> tuple[pl.DataFrame, Mapping[int, Mapping[str, str]]]:
    """Its cells as text, so that no digit is lost, and by row what could not be a cell."""
    # Python is not asked for other things while it reads JSON, so what it would make of it is counted before.
    if body.count(b"{") + body.count(b"[") > 2 * settings.rows + _FEW or body.count(b",") > settings.cells:
        raise too_large("the JSON", settings.cells, "cells, or lists and objects beside its rows")
    try:
        # A number of a million digits is a text here, and never becomes one.
        content = json.loads(body, parse_int=str, parse_float=str, parse_constant=str)
    except RecursionError:
        raise Refusal(422, 'the JSON is nested too deeply, expected {"rows": [{"COLUMN": VALUE, ...}, ...]}') from None
    except ValueError:
        raise Refusal(422, 'the body is no JSON, expected {"rows": [{"COLUMN": VALUE, ...}, ...]}') from None
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise Refusal(422, 'the JSON has no list "rows", expected {"rows": [{"COLUMN": VALUE, ...}, ...]}')
    _refuse_too_many(len(rows), settings)
    plain = None if b"\\u" in body or b"\xed" in body else _plain(rows)  # without halves of characters
    if plain is not None:
        return plain, {}
    cells: list[Mapping[str, str | None]] = []
    notes: dict[int, Mapping[str, str]] = {}
    names: dict[str, None] = {}
    for number, row in enumerate(rows, 1):
        fields, note = cells_of(row)
        cells.append(fields)
        names.update(dict.fromkeys(fields))
        if note:
            notes[number] = note
        if len(names) > MAX_COLUMNS:
            raise too_large("the rows", MAX_COLUMNS, "columns")
    return _framed({name: [row.get(name) for row in cells] for name in names}, len(cells)), notes


def _plain(rows: Sequence[Any]) -> pl.DataFrame | None:
    """Rows whose cells are all texts, numbers or empty, as nearly all are; None where one is something else."""
    if not all(type(row) is dict for row in rows):
        return None
    names = dict.fromkeys(chain.from_iterable(rows))
    if len(names) > MAX_COLUMNS:
        raise too_large("the rows", MAX_COLUMNS, "columns")
    columns = {name: [row.get(name) for row in rows] for name in names}
    if not all({*map(type, values)} <= {str, type(None)} for values in columns.values()):
        return None
    frame = _framed(columns, len(rows))
    return frame.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))


def _framed(columns: Mapping[str, Sequence[str | None]], height: int) -> pl.DataFrame:
    texts = {name: pl.Series(values, dtype=pl.String) for name, values in columns.items() if name != ROW_COLUMN}
    return pl.DataFrame({**texts, ROW_COLUMN: pl.int_range(1, height + 1, dtype=pl.Int64, eager=True)})


def _of_arrow(body: bytes, settings: Settings) -> pl.DataFrame:
    try:
        buffer = pa.py_buffer(body)
        _refuse_compressed(buffer)
        stream = pa.ipc.open_stream(buffer)
        _refuse_odd_columns(stream.schema)
        parts, rows = [], 0
        for batch in stream:
            rows += batch.num_rows
            _refuse_too_many(rows, settings)
            batch.validate(full=True)
            parts.append(batch)
        table = pa.Table.from_batches(parts, stream.schema)
        _refuse_too_many(rows, settings)
        names = [str(name) for name in stream.schema.names]
        # Without the stream's own metadata, which Polars would read.
        frame: pl.DataFrame = pl.DataFrame(pa.Table.from_arrays(table.columns, names))
    except Refusal:
        raise
    except (
        pa.ArrowException,
        pl.exceptions.PolarsError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
    ) as error:
        raise Refusal(422, f"the body is no stream of Arrow IPC that can be read ({type(error).__name__})") from None
    return frame.select(pl.exclude(ROW_COLUMN)).with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW_COLUMN)
    )


def _refuse_compressed(buffer: Any) -> None:
    if is_compressed(buffer):
        raise Refusal(415, "the buffers of the Arrow stream are compressed; write it without, and gzip the body")


def _refuse_odd_columns(schema: Any) -> None:
    if len(schema.names) > MAX_COLUMNS:
        raise too_large("the stream", MAX_COLUMNS, "columns")
    if len(set(schema.names)) < len(schema.names):
        raise Refusal(422, "a column is named more than once")
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type if pa.types.is_integer(kind.index_type) else None
        if kind is None or isinstance(kind, pa.BaseExtensionType) or not any(is_of(kind) for is_of in _PLAIN):
            name = quoted(field.name[:100])
            raise Refusal(422, f"the column {name} is of a type of Arrow that is no number, text or time")


def _refuse_too_many(rows: int, settings: Settings) -> None:
    if not rows:
        raise Refusal(422, "there are no rows")
    if rows > settings.rows:
        raise too_large("the request", settings.rows, "rows")
