"""A topic of Kafka, ``kafka://HOST[:PORT],.../TOPIC?...``: where it is, who may read it, and what its records are.

Records are JSON objects of one record of a device each. The chain lands them in a table of the lakehouse
(`chain.stream`), which is what a source at such a location reads: a topic forgets, and has no periods.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field

from ae_assets.errors import ConfigError, SourceError
from ae_assets.schemas.columns import stored_name
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN, Layout
from ae_assets.schemas.reading import Reading
from ae_assets.sources.addresses import ServerSettings, address_of
from ae_assets.sources.dates import with_times
from ae_assets.sources.iceberg import IcebergSource
from ae_assets.sources.printable import printable, quoted, without_secrets
from ae_assets.sources.source import SourceDay

if TYPE_CHECKING:
    from pyiceberg.table import FileScanTask, Table

ENVIRONMENT = "AE_ASSETS_KAFKA_"
"""How the variables begin that hold USERNAME, PASSWORD and CA, which is a file."""

MOST_RECORD_BYTES = 2**20
PART, OFFSET = "topic_partition", "topic_offset"
_EXPECTED = "kafka://HOST[:PORT],.../TOPIC, e.g. kafka://10.0.0.1:9092/levels?security=sasl_ssl"
PORT = 9092
_TOPIC = re.compile(r"[\w.-]{1,249}", re.ASCII)


class KafkaSettings(ServerSettings):
    """What a location says behind its question mark."""

    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    partitions: int = Field(6, ge=1, le=10_000)
    replicas: int = Field(1, ge=1, le=100)


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
            "log_level": 3,  # errors; what passes by itself is tried again and is no news
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
        value: its bytes; None where it has none.
    """

    part: int
    offset: int
    written: int
    value: bytes | None


def decoded(records: Sequence[TopicRecord], reading: Reading) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records as rows, and those that are none.

    Args:
        records: of a topic.
        reading: the contract; of a record the fields are taken that it names, as texts just as they are written.

    Returns:
        ``topic_partition, topic_offset``, the time of the contract and its other columns as text; and
        ``topic_partition, topic_offset, written_at, reason, value`` of those that are no JSON object, or whose time
        cannot be read.
    """
    layout = reading.layout
    columns = _columns_of(layout)
    rows, reasons = [], []
    for record in records:
        found = _fields(record.value, layout)
        reasons.append(found if isinstance(found, str) else None)
        rows.append({} if isinstance(found, str) else found)
    schema = dict.fromkeys(columns, pl.String)
    texts = pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, schema=schema)
    places = pl.DataFrame(
        {PART: [one.part for one in records], OFFSET: [one.offset for one in records], "reason": reasons},
        schema={PART: pl.Int32, OFFSET: pl.Int64, "reason": pl.String},
    )
    frame = texts.with_columns(
        pl.lit(None, pl.String).alias(RESCUED_COLUMN), pl.int_range(1, pl.len() + 1).alias(ROW_COLUMN)
    )
    timed = with_times(frame, layout.time).drop(RESCUED_COLUMN, ROW_COLUMN)
    time = layout.time.name
    written = [texts[name] for name in layout.time.column]
    unread = [
        None
        if moment is not None
        else f"the time is {quoted(' '.join(str(text) for text in parts))}, expected"
        f" {' or '.join(layout.time.format) or 'a date, the year first'}"
        for moment, *parts in zip(timed[time], *written, strict=True)
    ]
    places = places.with_columns(pl.coalesce("reason", pl.Series(unread, dtype=pl.String)).alias("reason"))
    whole = places["reason"].is_null()
    kept = places.drop("reason").hstack(timed.select(time, *(name for name in columns if name != time))).filter(whole)
    values = pl.Series("value", [one.value for one in records], dtype=pl.Binary)
    sent = pl.Series("written_at", [one.written for one in records], dtype=pl.Int64).cast(pl.Datetime("ms"))
    letters = places.hstack([sent.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), values]).filter(~whole)
    return kept, letters


def encoded(rows: pl.DataFrame) -> list[bytes]:
    """Rows of text as the JSON objects that `decoded` reads; cells that are null are left out."""
    return [
        json.dumps({name: cell for name, cell in row.items() if cell is not None}, ensure_ascii=False).encode()
        for row in rows.iter_rows(named=True)
    ]


def _columns_of(layout: Layout) -> list[str]:
    """The columns of the contract."""
    marks = () if layout.abnormal is None else layout.abnormal.columns
    return list(dict.fromkeys((*layout.required, *marks, *layout.values)))


def _fields(value: bytes | None, layout: Layout) -> dict[str, str] | str:
    """The fields of a record that the contract names, as text; or why it is none."""
    if value is None:
        return "it has no value"
    if len(value) > MOST_RECORD_BYTES:
        return f"it has {len(value):,} bytes, expected at most {MOST_RECORD_BYTES:,}"
    try:
        found = json.loads(value, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as problem:  # ValueError: also what is no UTF-8
        return printable(f"it is no JSON ({type(problem).__name__}: {problem})")[:300]
    if not isinstance(found, dict):
        return f"it is a JSON {type(found).__name__}, expected an object"
    fields = {}
    for name, cell in found.items():
        known = layout.spelled(stored_name(name))
        if not layout.knows(known.lower()) or cell is None:
            continue
        if isinstance(cell, dict | list):
            return f"{quoted(name)} holds a JSON {type(cell).__name__}, expected a number, a text or true or false"
        fields[known] = cell if isinstance(cell, str) else str(cell).lower()
    return fields


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
        super().__init__(location, reading, memory, self._landed_table)

    def _look(self) -> tuple[dict[Any, SourceDay], list[str]]:
        if self._landed is not None and self._landed() is None:
            return {}, [f"{self.location}: nothing of it was landed yet; `ae-assets consume TABLE` lands it"]
        return super()._look()

    def _fingerprint(self, parts: "Sequence[tuple[FileScanTask, int]]") -> str:
        """Records are never changed or taken away, so that their number tells a period; files are put together."""
        return f"records-{sum(count for _, count in parts)}"

    def _landed_table(self) -> "Table":
        table = None if self._landed is None else self._landed()
        if table is None:
            raise SourceError(
                f"{self.location}: the home that it is landed in is not known here; run the table's assets."
            )
        return table
