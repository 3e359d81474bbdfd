"""Records in Avro: by the schema of the contract and by others, and what is none."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.errors import ConfigError, SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.reading import Reading
from ae_assets.sources.avro import Schemas, _mark_of, schema_of
from ae_assets.sources.kafka import OFFSET, Topic, TopicRecord, decoded

COLUMNS: dict[str, Any] = {
    "time": {"column": "at", "format": "%Y-%m-%d %H:%M:%S", "time_zone": "Europe/Berlin"},
    "entity": "site",
    "values": {"level": {}, "n": {"type": "int"}, "Flow [l/s]": {}, "note": {"type": "text"}},
}
AT = datetime(2024, 4, 15, 6, tzinfo=UTC)


def reading(**changes: Any) -> Reading:
    return SourceSection.model_validate({"location": "x", "columns": COLUMNS | changes}).reading


READING = reading()
SCHEMAS = Schemas.of(None, READING.layout)


def rows_of(values: list[bytes], schemas: Schemas = SCHEMAS, by: Reading = READING) -> tuple[pl.DataFrame, list[str]]:
    rows, letters = decoded([TopicRecord(0, n, 1_713_139_200_000, one) for n, one in enumerate(values)], by, schemas)
    assert sorted([*rows[OFFSET], *letters[OFFSET]]) == list(range(len(values)))
    return rows, letters["reason"].to_list()


def written(schema: dict[str, Any], record: dict[str, Any], mark: bytes | None = None) -> bytes:
    parsed = fastavro.parse_schema(schema)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, parsed, record)
    return (_mark_of(parsed) if mark is None else mark) + buffer.getvalue()


def schema(*fields: tuple[str, Any], **defaults: Any) -> dict[str, Any]:
    made = [{"name": n, "type": kind, **({"default": defaults[n]} if n in defaults else {})} for n, kind in fields]
    return {"type": "record", "name": "Level", "fields": made}


AT_MILLIS = ("at", {"type": "long", "logicalType": "timestamp-millis"})
SITE = ("site", "string")
OLD = schema(AT_MILLIS, SITE, ("level", "float"))


def test_the_fingerprint_is_that_of_the_specification() -> None:
    empty = fastavro.parse_schema({"type": "record", "name": "Empty", "fields": []})
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0xC15D213AA4D7A795 if value & 1 else 0)
        table.append(value)
    expected = 0xC15D213AA4D7A795
    for byte in b'{"name":"Empty","type":"record","fields":[]}':
        expected = (expected >> 8) ^ table[(expected ^ byte) & 0xFF]
    assert _mark_of(empty) == b"\xc3\x01" + expected.to_bytes(8, "little")


def test_rows_come_back_by_the_schema_of_the_contract_also_where_a_cell_is_none_of_its_type() -> None:
    rows = pl.DataFrame(
        {
            "at": pl.Series([AT, AT, None], dtype=pl.Datetime("us", "UTC")),
            "site": ["a", "b", "c"],
            "level": [0.1, None, None],
            "n": [2**62, None, None],
            "Flow [l/s]": [1e300, -0.5, None],
            "note": ["zürich", None, ""],
        }
    )
    texts = pl.DataFrame(
        {
            "at": ["2024-04-15 08:00:00", "2024-04-15 08:00:00", "yesterday"],
            "site": ["a", "b", "c"],
            "level": ["0.1", "1,5", None],
            "n": [str(2**62), "9" * 30, None],
            "Flow [l/s]": ["1e300", "-0.5", None],
            "note": ["zürich", None, ""],
        }
    )
    read, reasons = rows_of(SCHEMAS.encoded(rows, texts))
    assert read.drop("topic_partition", "topic_offset").rows() == [
        (AT, "a", "0.1", str(2**62), "1e+300", "zürich"),
        (AT, "b", "1,5", "9" * 30, "-0.5", None),
    ]
    assert reasons == ["the time is 'yesterday', expected %Y-%m-%d %H:%M:%S"]


def test_records_of_other_schemas_are_taken_by_name_and_those_of_unknown_ones_say_which(tmp_path: Path) -> None:
    new = schema(
        AT_MILLIS, SITE, ("level", "string"), ("n", ["null", "int"]), ("more", {"type": "array", "items": "int"})
    )
    (tmp_path / "old.avsc").write_text(json.dumps(OLD))
    (tmp_path / "7.avsc").write_text(json.dumps(new))
    schemas = Schemas.of(str(tmp_path), READING.layout)
    numbered = written(new, {"at": AT, "site": "b", "level": "1,5", "n": 3, "more": [1, 2]}, b"\0\0\0\0\7")
    of_old = written(OLD, {"at": AT, "site": "a", "level": 0.5})
    strange = written(schema(AT_MILLIS, SITE), {"at": AT, "site": "a"})
    read, reasons = rows_of([of_old, numbered, strange, b"\0\0\0\0\x08x"], schemas)
    assert read.select("at", "site", "level", "n").rows() == [(AT, "a", "0.5", None), (AT, "b", "1,5", "3")]
    assert [strange[2:10].hex() in reasons[0], "the number 8" in reasons[1]] == [True, True]


def test_records_are_resolved_to_the_current_schema_with_its_defaults_aliases_and_wider_types(tmp_path: Path) -> None:
    current = schema(AT_MILLIS, SITE, ("level", "double"), ("n", "int"), n=42)
    current["fields"][2]["aliases"] = ["height"]
    renamed = schema(AT_MILLIS, SITE, ("height", "int"), ("gone", "string"))
    narrowed = schema(AT_MILLIS, SITE, ("level", "string"))
    for name, one in {"current": current, "1": renamed, "2": narrowed}.items():
        (tmp_path / f"{name}.avsc").write_text(json.dumps(one))
    schemas = Schemas.of(str(tmp_path), READING.layout)
    values = [
        written(current, {"at": AT, "site": "a", "level": 0.5, "n": 1}),
        written(renamed, {"at": AT, "site": "b", "height": 3, "gone": "x"}),
        written(narrowed, {"at": AT, "site": "c", "level": "1"}),
    ]
    read, reasons = rows_of(values, schemas)
    assert read.select("site", "level", "n").rows() == [("a", "0.5", "1"), ("b", "3.0", "42")]
    assert "SchemaResolutionError" in reasons[0]


def test_a_contract_that_changes_reads_what_was_written_before_by_the_schema_that_is_remembered(tmp_path: Path) -> None:
    before = Schemas.of(str(tmp_path), READING.layout)
    before.remember()
    rows = pl.DataFrame({"at": [AT], "site": ["a"], "level": [1.5], "n": [1]})
    value = before.encoded(rows, rows.cast(pl.String))
    later = reading(values={"level": {"type": "text"}, "speed": {}})
    read, reasons = rows_of(value, Schemas.of(None, later.layout), later)
    assert "fingerprint" in reasons[0]
    read, reasons = rows_of(value, Schemas.of(str(tmp_path), later.layout), later)
    assert reasons == []
    assert read.select("site", "level", "speed").rows() == [("a", "1.5", None)]


def test_numbers_have_the_decimal_mark_of_the_contract() -> None:
    german = SourceSection.model_validate(
        {"location": "x", "columns": COLUMNS, "decimal_mark": ",", "separator": ";"}
    ).reading
    own = schema(
        ("at", {"type": "int", "logicalType": "date"}), SITE, ("level", "double"),
        ("n", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}),
    )  # fmt: skip
    schemas = Schemas.of(None, german.layout)
    schemas = Schemas(schemas.current, None, {_mark_of(fastavro.parse_schema(own)): fastavro.parse_schema(own)}, {}, "")
    read, _ = rows_of(
        [written(own, {"at": date(2024, 4, 15), "site": "a", "level": 1.5, "n": Decimal("2.5")})], schemas, german
    )
    midnight = datetime(2024, 4, 14, 22, tzinfo=UTC)  # of the clock of the contract
    assert read.select("at", "level", "n").rows() == [(midnight, "1,5", "2,5")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('"string"', "schema of a record"),
        ('{"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]}', "holds itself"),
        (json.dumps(schema(("n", {"type": "array", "items": "null"}))), "no bytes"),
        (json.dumps(schema(("n", "Unknown"))), "no schema"),
    ],
)
def test_a_file_that_is_no_schema_is_named_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "1.avsc").write_text(text)
    with pytest.raises(ConfigError, match=rf"1\.avsc.*{reason}"):
        Schemas.of(str(tmp_path), READING.layout)


def test_schemas_that_are_not_there_are_named() -> None:
    with pytest.raises(ConfigError, match=r"schemas=nowhere: expected a folder"):
        Topic.of("kafka://h/levels?format=avro&schemas=nowhere").records(READING)


def test_columns_that_are_one_in_avro_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'a-b' and 'a b' are both a_b"):
        schema_of(reading(values={"a b": {}, "a-b": {}}).layout)


def test_a_schema_that_lacks_a_column_or_a_type_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    rows = pl.DataFrame({"at": [AT], "site": ["a"], "level": [1.5]})
    texts = rows.cast(pl.String)
    file = tmp_path / "level.avsc"
    file.write_text(json.dumps(schema(AT_MILLIS, SITE)))
    with pytest.raises(SourceError, match=r"lacks 'level'"):
        Schemas.of(str(file), READING.layout).encoded(rows, texts)
    file.write_text(json.dumps(schema(AT_MILLIS, SITE, ("level", "long"))))
    with pytest.raises(SourceError, match=r"cannot be written"):
        Schemas.of(str(file), READING.layout).encoded(rows, texts)
    file.write_text(json.dumps(OLD))
    assert rows_of(Schemas.of(str(file), READING.layout).encoded(rows, texts))[1] != []
    assert rows_of(
        Schemas.of(str(file), READING.layout).encoded(rows, texts), Schemas.of(str(file), READING.layout)
    )[0]["level"].to_list() == ["1.5"]  # fmt: skip


ONE = pl.DataFrame({"at": [AT], "site": ["a"], "level": [1.5]})
[WHOLE] = SCHEMAS.encoded(ONE, ONE.cast(pl.String))


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40).map(lambda body: WHOLE[:10] + body),
            st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end]),
            st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)).map(
                lambda change: WHOLE[: change[0]] + bytes([change[1]]) + WHOLE[change[0] + 1 :]
            ),
            st.binary(max_size=20),
        )
    )
)
def test_each_record_is_a_row_or_a_dead_letter(values: list[bytes]) -> None:
    rows_of(values)


HUGE, NEGATIVE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x01"
"""Lengths as Avro writes them: four billion billion, and -1."""


@pytest.mark.parametrize(
    "kind",
    [
        *("string", "bytes", "long", "double", "boolean"),
        {"type": "array", "items": "int"},
        {"type": "map", "values": {"type": "array", "items": "string"}},
        {"type": "enum", "name": "One", "symbols": ["a"]},
        {"type": "long", "logicalType": "timestamp-micros"},
        {"type": "int", "logicalType": "date"},
        {"type": "string", "logicalType": "uuid"},
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    ],
    ids=str,
)
def test_lengths_and_values_made_to_harm_are_dead_letters_or_cells(kind: Any, tmp_path: Path) -> None:
    own = schema(SITE, ("level", kind))
    (tmp_path / "own.avsc").write_text(json.dumps(own))
    schemas = Schemas.of(str(tmp_path), READING.layout)
    mark = _mark_of(fastavro.parse_schema(own)) + b"\x02a"
    hostile = (
        HUGE,
        NEGATIVE,
        NEGATIVE + HUGE,
        HUGE + HUGE,
        b"\xff" * 20,
        b"",
        b"\x04\xff\xfe",
        b"\x00\x00\xf8\x7f" * 2,
    )
    rows_of([mark + one for one in hostile], schemas)
