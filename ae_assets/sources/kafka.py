"""A topic of Kafka, ``kafka://HOST[:PORT],.../TOPIC?...``: where it is, who may read it, and what its records are.

Records are JSON objects, or Avro (`sources.avro`), of one record of a device each. The chain lands them in a table of
the lakehouse (`chain.stream`), which is what a source at such a location reads: a topic forgets, and has no periods.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field

from ae_assets.errors import ConfigError, SourceError
from ae_assets.schemas.columns import stored_name
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN, Layout
from ae_assets.schemas.periods import Periods
from ae_assets.schemas.reading import Reading
from ae_assets.sources.addresses import ServerSettings, address_of
from ae_assets.sources.avro import Schemas
from ae_assets.sources.dates import with_times
from ae_assets.sources.iceberg import IcebergSource
from ae_assets.sources.printable import printable, quoted, without_secrets
from ae_assets.sources.source import SourceDay

if TYPE_CHECKING:
    from pyiceberg.table import FileScanTask, Table

ENVIRONMENT = "AE_ASSETS_KAFKA_"
"""How the variables begin that hold USERNAME, PASSWORD and CA, which is a file."""

MOST_RECORD_BYTES = 2**20
REMOVED = "ae_assets.removed_up_to"
"""Property of the table of what was landed; see `removed_up_to`."""
PART, OFFSET = "topic_partition", "topic_offset"
_EXPECTED = "kafka://HOST[:PORT],.../TOPIC, e.g. kafka://10.0.0.1:9092/levels?security=sasl_ssl"
PORT = 9092
_TOPIC = re.compile(r"(?!\.{1,2}$)[\w.-]{1,249}", re.ASCII)


class KafkaSettings(ServerSettings):
    """What a location says behind its question mark."""

    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    partitions: int = Field(6, ge=1, le=10_000)
    replicas: int = Field(1, ge=1, le=100)
    format: Literal["json", "avro"] = "json"
    schemas: str | None = Field(None, min_length=1)


@dataclass(frozen=True)
class Topic:
    """Where a topic is.

    Attributes:
        hosts: of the brokers, as librdkafka takes them.
        name: of the topic.
        settings: how it is reached, and how it is made where it is missing.
        location: printable.
    """

    hosts: str
    name: str
    settings: KafkaSettings
    location: str

    @classmethod
    def of(cls, location: str) -> "Topic":
        """The topic of a location.

        Raises:
            SourceError: it names no topic, or a setting that is not known.
        """
        hosts, name, settings = address_of(location, _TOPIC, KafkaSettings, ENVIRONMENT, _EXPECTED)
        servers = [f"[{host}]" if ":" in host else host for host, _ in hosts]
        ports = [PORT if port is None else port for _, port in hosts]
        at = ",".join(f"{server}:{port}" for server, port in zip(servers, ports, strict=True))
        return cls(at, name, settings, without_secrets(location))

    def records(self, reading: Reading) -> "Schemas | JsonObjects":
        """What its records are, as the files of schemas are now.

        Raises:
            ConfigError: Avro is asked for and not installed, or a file is no schema.
        """
        if self.settings.format == "avro":
            return Schemas.of(self.settings.schemas, reading.layout)
        return JsonObjects()

    @property
    def client(self) -> dict[str, Any]:
        """What every client of librdkafka is told, passwords included.

        Raises:
            ConfigError: the client is not installed, or a user is asked for and none is set.
        """
        try:
            import confluent_kafka  # noqa: F401
        except ImportError:
            raise ConfigError("kafka:// needs the extra kafka: pip install 'ae-assets[kafka]'") from None
        told: dict[str, Any] = {
            "bootstrap.servers": self.hosts,
            "security.protocol": self.settings.security,
            "client.id": "ae_assets",
            "log_level": 2,  # what goes wrong is told by `kafka_client.Complaints`, not twenty times a second
        }
        if authority := os.environ.get(f"{ENVIRONMENT}CA"):
            told["ssl.ca.location"] = authority
        if self.settings.security.startswith("sasl"):
            user, password = (os.environ.get(f"{ENVIRONMENT}{name}") for name in ("USERNAME", "PASSWORD"))
            if not user or not password:
                raise ConfigError(
                    f"{self.location}: security={self.settings.security} needs {ENVIRONMENT}USERNAME and"
                    f" {ENVIRONMENT}PASSWORD"
                )
            told |= {
                "sasl.mechanism": self.settings.mechanism,
                "sasl.username": user,
                "sasl.password": password,
            }
        return told


@dataclass(frozen=True)
class TopicRecord:
    """A record of a topic.

    Attributes:
        part: number of the topic's partition.
        offset: its number in it.
        written: when it was sent, milliseconds since 1970.
        value: its bytes, of a large one the beginning; None where it has none.
        failure: why it is no record, where that is known before it is read.
    """

    part: int
    offset: int
    written: int
    value: bytes | None
    failure: str | None = None

    @classmethod
    def of(cls, part: int, offset: int, written: int, value: bytes | None) -> "TopicRecord":
        """One as it was sent: of a larger one than `MOST_RECORD_BYTES` so much is kept."""
        if value is None or len(value) <= MOST_RECORD_BYTES:
            return cls(part, offset, written, value)
        failure = f"it has {len(value):,} bytes, expected at most {MOST_RECORD_BYTES:,}, which are here"
        return cls(part, offset, written, value[:MOST_RECORD_BYTES], failure)


class JsonObjects:
    """Records that are JSON objects."""

    def fields(self, value: bytes) -> Mapping[str, Any] | str:
        """The fields of a record, numbers as they are written; or why it is none."""
        try:
            found = json.loads(
                value, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_with_each_field_once
            )
        except (ValueError, RecursionError) as problem:  # ValueError: also what is no UTF-8
            return printable(f"it is no JSON ({type(problem).__name__}: {problem})")[:300]
        return found if isinstance(found, dict) else f"it is a JSON {type(found).__name__}, expected an object"

    def encoded(self, rows: pl.DataFrame, texts: pl.DataFrame) -> list[bytes]:  # noqa: ARG002 - Avro needs the types
        """Rows as objects of texts; cells that are null are left out."""
        return [
            json.dumps({name: cell for name, cell in row.items() if cell is not None}, ensure_ascii=False).encode()
            for row in texts.iter_rows(named=True)
        ]


def decoded(
    records: Sequence[TopicRecord], reading: Reading, kind: "Schemas | JsonObjects"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records as rows, and those that are none.

    Args:
        records: of a topic.
        reading: the contract; of a record the fields are taken that it names, as texts.
        kind: what its records are.

    Returns:
        ``topic_partition, topic_offset``, the time of the contract and its other columns as text; and
        ``topic_partition, topic_offset, written_at, reason, value`` of those that are no record, or whose time cannot
        be read.
    """
    layout = reading.layout
    columns, time = layout.contract_columns, layout.time.name
    rows, reasons = [], []
    names = _Names(layout)
    for record in records:
        found = record.failure or _fields(record.value, reading, kind, names)
        reasons.append(found if isinstance(found, str) else None)
        rows.append({} if isinstance(found, str) else found)
    cells = {name: [row.get(name) for row in rows] for name in columns}
    given = {
        zone: [cell if isinstance(cell, datetime) and bool(cell.tzinfo) == bool(zone) else None for cell in cells[time]]
        for zone in (None, "UTC")
    }
    cells[time] = [cell if isinstance(cell, str) else None for cell in cells[time]]
    texts = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String))
    places = pl.DataFrame(
        {PART: [one.part for one in records], OFFSET: [one.offset for one in records], "reason": reasons},
        schema={PART: pl.Int32, OFFSET: pl.Int64, "reason": pl.String},
    )
    frame = texts.with_columns(
        pl.lit(None, pl.String).alias(RESCUED_COLUMN), pl.int_range(1, pl.len() + 1).alias(ROW_COLUMN)
    )
    times = [with_times(frame, layout.time)[time]]
    times += [
        with_times(frame.with_columns(pl.Series(time, moments, pl.Datetime("us", zone))), layout.time)[time]
        for zone, moments in given.items()
        if any(moments)
    ]
    timed = texts.with_columns(pl.select(pl.coalesce(times)).to_series().alias(time))
    unread = [
        None
        if moment is not None
        else f"the time is {quoted(str(text))}, expected {' or '.join(layout.time.format) or 'a date, the year first'}"
        for moment, text in zip(timed[time], texts[time], strict=True)
    ]
    places = places.with_columns(pl.coalesce("reason", pl.Series(unread, dtype=pl.String)).alias("reason"))
    whole = places["reason"].is_null()
    kept = places.drop("reason").hstack(timed.select(time, *(name for name in columns if name != time))).filter(whole)
    values = pl.Series("value", [one.value for one in records], dtype=pl.Binary)
    sent = pl.Series("written_at", [one.written for one in records], dtype=pl.Int64).cast(pl.Datetime("ms"))
    letters = places.hstack([sent.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), values]).filter(~whole)
    return kept, letters


def _with_each_field_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {quoted(next(name for name in names if names.count(name) > 1))} twice")
    return fields


class _Names(dict[str, str]):
    """What the layout calls the fields of records, by their names there; empty for those that it does not know."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout

    def __missing__(self, name: str) -> str:
        known = self._layout.spelled(stored_name(name))
        self[name] = known if self._layout.knows(known.lower()) else ""
        return self[name]


def _fields(
    value: bytes | None, reading: Reading, kind: "Schemas | JsonObjects", names: _Names
) -> dict[str, str | datetime] | str:
    """The fields of a record that the contract names, as text, the time also as a time; or why it is none."""
    if value is None:
        return "it has no value"
    found = kind.fields(value)
    try:
        return found if isinstance(found, str) else _of_contract(found, reading, names)
    except ValueError as problem:
        return str(problem)


def _of_contract(found: Mapping[str, Any], reading: Reading, names: _Names) -> dict[str, str | datetime]:
    """The fields that the contract names; ValueError says what is wrong with one."""
    time, fields = reading.layout.time.name, dict[str, str | datetime]()
    for name, cell in found.items():
        known = names[name]
        if not known or cell is None:
            continue
        if known in fields:
            raise ValueError(f"it has {quoted(known)} twice, in upper and lower case")
        if isinstance(cell, str) and cell.isascii():
            fields[known] = cell
        elif known == time and isinstance(cell, date):
            fields[known] = cell if isinstance(cell, datetime) else datetime.combine(cell, datetime.min.time())
        else:
            fields[known] = _text_of(name, cell, reading.decimal_mark)
    return fields


def _text_of(name: str, cell: object, decimal_mark: str) -> str:
    """A cell as a file of the table would have it; ValueError where it cannot have it."""
    if isinstance(cell, dict | list | bytes):
        kind = type(cell).__name__
        raise ValueError(f"{quoted(name)} holds a {kind}, expected a number, a text or true or false")  # noqa: TRY004 - a reason
    if isinstance(cell, float | Decimal):
        return str(cell).replace(".", decimal_mark)
    text = str(cell).lower() if isinstance(cell, bool) else str(cell)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{quoted(name)} holds {quoted(text)}, which is half a character") from None
    return text


def fingerprint_of(records: int) -> str:
    """Of a period that holds so many records: they are never changed, and taken away only all together."""
    return f"records-{records}"


def removed_up_to(properties: Mapping[str, str], periods: Periods) -> date | None:
    """The newest period that maintenance took away of what was landed, all before it included; None: it took none."""
    newest = properties.get(REMOVED)
    return None if newest is None else periods.parse(newest)


class TopicSource(IcebergSource):
    """The periods of what was landed of a topic.

    Args:
        location: ``kafka://HOST[:PORT],.../TOPIC``.
        reading: the contract.
        memory: as of `IcebergSource`.
        landed: gives the table that holds what was landed, None where nothing was; None: it is not known here.
    """

    def __init__(
        self,
        location: str,
        reading: Reading | None = None,
        memory: Path | None = None,
        landed: "Callable[[], Table | None] | None" = None,
    ) -> None:
        self.topic = Topic.of(location)
        self._landed = landed
        if reading is not None and not reading.layout.values:
            raise SourceError(f"{self.topic.location}: name the columns of its records in source.columns")
        super().__init__(location, reading, memory, self._landed_table)

    def _look(self) -> tuple[dict[Any, SourceDay], list[str]]:
        if self._landed is not None and self._landed() is None:
            return {}, [f"{self.location}: nothing of it was landed yet; `ae-assets consume TABLE` lands it"]
        listed, strays = super()._look()
        removed = removed_up_to(self._landed_table().properties, self._reading.periods)
        late = [one for period, one in listed.items() if removed is not None and period <= removed]
        if late:
            keys = [self._reading.periods.key(one.day) for one in late]
            strays.append(
                f"{self.location}: {sum(one.records or 0 for one in late):,} records of {keys[0]} to {keys[-1]} came"
                " when retention_days.stream had removed these periods; raw has these without them"
            )
        return {period: one for period, one in listed.items() if one not in late}, strays

    def _fingerprint(self, parts: "Sequence[tuple[FileScanTask, int]]") -> str:
        """The number of records tells a period; its files are put together now and then."""
        return fingerprint_of(sum(count for _, count in parts))

    _beside = (PART, OFFSET)

    def _distinct(self, frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        """Rows in the order in which they came, so that of several of a device and time the first stays.

        Those that are equal word for word are one: a period that was sent twice says nothing new.
        """
        return frame.sort(PART, OFFSET).unique(columns, keep="first", maintain_order=True)

    def _listed_period(self, period: date, parts: "Sequence[tuple[FileScanTask, int]]") -> SourceDay:
        return replace(super()._listed_period(period, parts), records=sum(count for _, count in parts))

    def _landed_table(self) -> "Table":
        table = None if self._landed is None else self._landed()
        if table is None:
            raise SourceError(
                f"{self.location}: the home that it is landed in is not known here; run the table's assets."
            )
        return table
