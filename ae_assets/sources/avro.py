"""Records in Avro: the schema of a contract, those of a folder, and how a record names the one that it was written by.

A record begins with ``C3 01`` and the CRC-64-AVRO fingerprint of its schema (Avro 1.12, "Single object encoding"), or
with ``00`` and four bytes of a number, as the serializers of Confluent write it; ``NUMBER.avsc`` in the folder is that
schema.
"""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ae_assets.errors import ConfigError, SourceError
from ae_assets.schemas.columns import RESERVED_COLUMNS, stored_name
from ae_assets.schemas.layouts.layout import Layout
from ae_assets.sources.printable import printable, quoted

CURRENT = "current.avsc"
"""In a folder of schemas, the one that records are written by and resolved to."""

_SINGLE_OBJECT, _NUMBERED = b"\xc3\x01", b"\x00"
_ENDING = ".avsc"
_IS_NUMBER = re.compile(r"\d{1,9}", re.ASCII).fullmatch
_MOST_SCHEMA_BYTES = 2**20
_NUMBERS = {"int", "long", "float", "double"}
_TIMES = {"date", "timestamp-millis", "timestamp-micros"}

_Schema = dict[str, Any]


@dataclass(frozen=True)
class Schemas:
    """The schemas by which records are written and read.

    Attributes:
        current: records are written by it.
        resolved: records of other schemas are resolved to it, with its defaults and aliases; None: each is taken as its
            own schema has it, and the contract takes the fields that it names.
        by_mark: those by which records may have been written, by the first bytes of these.
        names: columns of the contract, by what Avro can call them.
        place: the folder or file that they are of; empty: there is none.
    """

    current: _Schema
    resolved: _Schema | None
    by_mark: Mapping[bytes, _Schema]
    names: Mapping[str, str]
    place: str

    @classmethod
    def of(cls, place: str | None, layout: Layout) -> "Schemas":
        """The schema of a contract, and those of a file or of a folder.

        Args:
            place: a file with one schema, or a folder of ``*.avsc``: ``current.avsc``, ``NUMBER.avsc``, and others of
                any name; None: the contract's schema alone.
            layout: the contract.

        Raises:
            ConfigError: fastavro is not installed, or a file cannot be read, is no schema of records, or one that holds
                itself.
        """
        try:
            import fastavro  # noqa: F401
        except ImportError:
            raise ConfigError("format=avro needs the extra kafka: pip install 'ae-assets[kafka]'") from None
        own = _parsed(schema_of(layout), "the contract")
        files: list[Path] = []
        if place is not None:
            at = Path(place)
            try:
                files = sorted(at.glob(f"*{_ENDING}")) if at.is_dir() else [at]
                read = {file: _parsed(_json_of(file), str(file)) for file in files}
            except OSError as problem:
                raise ConfigError(
                    f"schemas={printable(place)}: expected a folder of .avsc files, or one ({problem.strerror})"
                ) from None
        else:
            read = {}
        told = next((one for file, one in read.items() if file.name == CURRENT or not Path(place or "").is_dir()), None)
        marks = {_mark_of(one): one for one in (own, *read.values())}
        marks |= {_NUMBERED + int(file.stem).to_bytes(4): one for file, one in read.items() if _IS_NUMBER(file.stem)}
        return cls(told or own, told, marks, _avro_names(layout), place or "")

    def remember(self) -> None:
        """Puts the current schema into the folder, so that records of it can be read when the contract is another.

        Raises:
            ConfigError: it cannot be written.
        """
        folder = Path(self.place)
        if not self.place or not folder.is_dir():
            return
        mark = _mark_of(self.current)
        file = folder / f"{mark[len(_SINGLE_OBJECT) :].hex()}{_ENDING}"
        if file.exists() or self.resolved is not None:
            return
        try:
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(_plain(self.current), indent=2) + "\n")
            partial.replace(file)
        except OSError as problem:
            raise ConfigError(
                f"schemas={printable(self.place)}: {file.name} cannot be written ({problem.strerror})"
            ) from None

    def fields(self, value: bytes) -> Mapping[str, Any] | str:
        """The fields of a record, by the columns of the contract where Avro calls them otherwise; or why it is none."""
        from fastavro import schemaless_reader
        from fastavro.read import SchemaResolutionError

        length = 10 if value.startswith(_SINGLE_OBJECT) else 5 if value.startswith(_NUMBERED) else 0
        if not length or len(value) < length:
            return (
                f"it begins with {value[:10].hex(' ') or 'nothing'}, expected c3 01 and a fingerprint, or 00 and the"
                " number of a schema"
            )
        schema = self.by_mark.get(value[:length])
        if schema is None:
            named = (
                f"the fingerprint {value[2:length].hex()}"
                if length == 10
                else f"the number {int.from_bytes(value[1:length])}"
            )
            return f"its schema has {named}, which no file of schemas={printable(self.place)} has"
        body = io.BytesIO(value[length:])
        try:
            read: Any = schemaless_reader(body, schema, self.resolved)
        except (ArithmeticError, EOFError, LookupError, SchemaResolutionError, TypeError, ValueError) as problem:
            return printable(f"it is no record of its schema ({type(problem).__name__}: {problem})")[:300]
        if rest := len(value) - length - body.tell():
            return f"{rest:,} bytes follow the record of its schema"
        return {self.names.get(name, name): cell for name, cell in read.items()}

    def encoded(self, rows: pl.DataFrame, texts: pl.DataFrame) -> list[bytes]:
        """Rows as records of the current schema.

        Args:
            rows: as a source gives them.
            texts: the same as texts, for cells that are none of the schema's types, such as rescued ones.

        Raises:
            SourceError: the schema lacks a column, or has no type for one of its cells.
        """
        from fastavro import schemaless_writer

        named = {stored_name(self.names.get(one["name"], one["name"])): one for one in self.current["fields"]}
        own = {stored_name(name): name for name in RESERVED_COLUMNS}
        if lacking := [name for name in self.names.values() if name in rows.columns and name not in named]:
            raise SourceError(
                f"{self.place}: the schema lacks {', '.join(map(quoted, lacking))}; add what is null or text"
            )
        columns = {
            one["name"]: _cells(rows[name], texts[own.get(name, name)], one)
            for name, one in named.items()
            if name in rows.columns
        }
        mark, records = _mark_of(self.current), []
        for cells in zip(*columns.values(), strict=True):
            buffer = io.BytesIO(mark)
            buffer.seek(len(mark))
            record = dict(zip(columns, cells, strict=True))
            try:
                schemaless_writer(buffer, self.current, record)
            except (ArithmeticError, LookupError, TypeError, ValueError) as problem:
                raise SourceError(
                    f"{self.place or 'the schema of the contract'}: a row cannot be written by it"
                    f" ({type(problem).__name__}: {printable(str(problem))[:300]})"
                ) from None
            records.append(buffer.getvalue())
        return records


def schema_of(layout: Layout) -> _Schema:
    """The schema of a contract: each column may be null, and a text where a cell is none of its type.

    Raises:
        ConfigError: two columns have one name in Avro.
    """
    time = layout.time
    types: dict[type[pl.DataType], str] = {pl.Int64: "long", pl.Int8: "long", pl.Float64: "double"}

    def type_of(name: str) -> list[Any]:
        if name == time.name:
            kind: Any = (
                {"type": "long", "logicalType": "timestamp-micros"}
                if time.has_time_of_day
                else {"type": "int", "logicalType": "date"}
            )
        else:
            kind = "string" if name == layout.entity else types.get(layout.type_of(name), "string")
        return ["null", kind] if kind == "string" else ["null", kind, "string"]

    fields = [{"name": name, "type": type_of(column), "default": None} for name, column in _avro_names(layout).items()]
    return {"type": "record", "name": "Record", "namespace": "ae_assets", "fields": fields}


def _avro_names(layout: Layout) -> dict[str, str]:
    """The columns of a contract, by what Avro calls them, which has letters, digits and underscores alone."""
    names: dict[str, str] = {}
    for column in dict.fromkeys(layout.contract_columns):
        name = re.sub(r"\W|^(?=\d)", "_", column, flags=re.ASCII)
        if name in names:
            raise ConfigError(f"{quoted(column)} and {quoted(names[name])} are both {name} in Avro; rename one of them")
        names[name] = column
    return names


def _mark_of(schema: _Schema) -> bytes:
    """What a record of a schema begins with."""
    from fastavro.schema import fingerprint, to_parsing_canonical_form

    return _SINGLE_OBJECT + bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _json_of(file: Path) -> Any:
    if file.stat().st_size > _MOST_SCHEMA_BYTES:
        raise ConfigError(f"{printable(str(file))}: expected a schema of at most {_MOST_SCHEMA_BYTES:,} bytes")
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{printable(str(file))}: it is no JSON ({type(problem).__name__})") from None


def _parsed(schema: Any, place: str) -> _Schema:
    """A schema that is one of records, and whose records are read in bounded depth and time."""
    from fastavro.schema import SchemaParseException, UnknownType, parse_schema

    try:
        parsed = parse_schema(schema)
        _takes_bytes(parsed, {}, ())
    except (
        SchemaParseException,
        UnknownType,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as problem:
        raise ConfigError(
            f"{printable(place)}: it is no schema that can be read ({printable(str(problem))[:300]})"
        ) from None
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise ConfigError(f"{printable(place)}: expected the schema of a record")
    return parsed


def _takes_bytes(schema: Any, named: dict[str, bool], within: tuple[str, ...]) -> bool:
    """Whether each value takes a byte at least.

    Raises:
        ValueError: a type holds itself, so that a record could nest without end, which fastavro reads until the process
            ends; or an array has items of no bytes, of which a record of a few bytes could have any number.
    """
    if isinstance(schema, list):
        for branch in schema:
            _takes_bytes(branch, named, within)
        return True
    if isinstance(schema, str):
        if schema in within:
            raise ValueError(f"the type {schema} holds itself")
        return named.get(schema, schema != "null")
    kind, name = schema["type"], schema.get("name", "")
    if kind in ("record", "error"):
        parts = [_takes_bytes(one["type"], named, (*within, name)) for one in schema["fields"]]
        named[name] = any(parts)
    elif kind == "fixed":
        named[name] = schema["size"] > 0
    elif kind in ("array", "map"):
        of_items = _takes_bytes(schema.get("items", schema.get("values")), named, within)
        if kind == "array" and not of_items:
            raise ValueError("the items of an array take no bytes")
    elif kind != "enum":
        return _takes_bytes(kind, named, within)
    return named.get(name, True)


def _plain(schema: _Schema) -> _Schema:
    """Without what fastavro keeps in a schema that it has parsed."""
    return {key: value for key, value in schema.items() if not key.startswith("__")}


def _cells(typed: pl.Series, texts: pl.Series, field: _Schema) -> list[Any]:
    """The cells of a column as its field has them: typed where it has such a type, else as text."""
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    words = {kind if isinstance(kind, str) else kind.get("logicalType", kind["type"]) for kind in kinds}
    if typed.dtype.is_temporal():
        fits = bool(words & _TIMES)
        if typed.dtype == pl.Date and "date" not in words:
            typed = typed.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    else:
        fits = typed.dtype.is_numeric() and bool(words & _NUMBERS)
    if not fits:
        return texts.to_list()
    if typed.dtype.is_float() and not words & {"float", "double"}:
        whole = typed.cast(pl.Int64, strict=False)
        typed = whole.set(whole != typed, None)  # what has decimals stays as text
    return [text if cell is None else cell for cell, text in zip(typed, texts, strict=True)]
