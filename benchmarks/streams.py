"""Streams: listing and reading a table of Cassandra, landing a topic of Kafka, and how long a record waits."""

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import numpy as np
import polars as pl

from ae_assets.chain.sending import make_topic
from ae_assets.chain.stream import Landed, consume
from ae_assets.chain.workspace import Workspace
from ae_assets.cli.demo_stream import fill
from ae_assets.cli.local_servers import cassandra, kafka
from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.sources import open_source
from ae_assets.sources.kafka import Topic
from benchmarks.row import Row

RECORDS = 200_000
STEADY_RATE, STEADY_SECONDS = 500, 30
CHANNELS = "simulated://?entities=10&days=20&seed=7"


def run() -> list[Row]:
    """Measures on servers of its own, on loopback ports, in temporary folders."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        return [*_of_cassandra(Path(one)), *_of_kafka(Path(other))]


def _table(location: str) -> WatchedTable:
    return parse_table(
        {
            "table": "channels",
            "source": {
                "location": location,
                "columns": {
                    "time": {"column": "measured_at", "format": "%Y-%m-%dT%H:%M:%S%.f%z", "cadence": "5m"},
                    "entity": "channel",
                    "values": {"flow": {}, "velocity": {}, "level": {}},
                },
            },
            "features": {"attributes": {"flow": {"kind": "gauge", "meaning": "flow"}}},
        },
        "benchmark",
    )


def _of_cassandra(home: Path) -> Iterator[Row]:
    with cassandra.running(home) as server:
        table = _table(server.location("telemetry.channels", "?consistency=ONE"))
        rows = fill(server.port, table, open_source(CHANNELS, table.reading))
        source = open_source(table.source.location, table.reading)
        source.days()
        began = time.perf_counter()
        days = source.days()
        listed = time.perf_counter() - began
        began = time.perf_counter()
        read = sum(source.read(day).height for day in days.values())
        seconds = time.perf_counter() - began
    on = f"{rows:,} rows of 10 devices in {len(days)} days, one node on this machine"
    yield Row("listing a table of Cassandra", rows / listed, "rows/s", note=on)
    yield Row("reading it by days", read / seconds, "rows/s", "all rows", read == rows, on)


def _of_kafka(home: Path) -> Iterator[Row]:
    with kafka.running(home) as broker:
        topic = Topic.of(broker.location("channels"))
        tables = Lakehouse.open(home / "lakehouse")
        space = Workspace(_table(topic.location), tables, ModelStore.open(home / "lakehouse", None))
        make_topic(topic)
        sent = time.perf_counter()
        _send(topic, 0, RECORDS)
        sent = time.perf_counter() - sent
        began = time.perf_counter()
        landed = consume(space, topic, group="bench", until_end=True)
        seconds = time.perf_counter() - began
        on = f"{RECORDS:,} records of three values as JSON, one broker on this machine"
        yield Row("sending to a topic", RECORDS / sent, "records/s", note=on)
        yield Row("landing a topic", RECORDS / seconds, "records/s", "all records", landed.rows == RECORDS, on)
        yield from _of_avro(Topic.of(broker.location("avro", "?format=avro")), home / "avro")
        yield from _delays(space, topic)


def _of_avro(topic: Topic, home: Path) -> Iterator[Row]:
    """The same records by the schema of the contract."""
    from confluent_kafka import Producer

    space = Workspace(_table(topic.location), Lakehouse.open(home), ModelStore.open(home, None))
    number, start = pl.col("number"), datetime(2024, 4, 15, tzinfo=UTC)
    rows = pl.DataFrame({"number": range(RECORDS)}).select(
        (number % 10).cast(pl.String).alias("channel"),
        (pl.lit(start) + pl.duration(minutes=5 * (number // 10))).alias("measured_at"),
        *((number % 97 / share).alias(name) for name, share in (("flow", 8), ("velocity", 16), ("level", 24))),
    )
    began = time.perf_counter()
    values = topic.records(space.table.reading).encoded(rows, rows.cast(pl.String))
    encoded = time.perf_counter() - began
    make_topic(topic)
    producer = Producer({**topic.client, "enable.idempotence": True, "compression.type": "zstd", "linger.ms": 5})
    for channel, value in zip(rows["channel"], values, strict=True):
        producer.produce(topic.name, value, channel)
        producer.poll(0)
        if len(producer) > 50_000:
            producer.flush()
    producer.flush()
    began = time.perf_counter()
    landed = consume(space, topic, group="bench", until_end=True)
    seconds = time.perf_counter() - began
    on = f"{RECORDS:,} records of three values in Avro, {len(values[0])} bytes each"
    yield Row("writing records in Avro", RECORDS / encoded, "records/s", note=on)
    yield Row("landing a topic in Avro", RECORDS / seconds, "records/s", "all records", landed.rows == RECORDS, on)


def _delays(space: Workspace, topic: Topic) -> Iterator[Row]:
    """Of each batch the delay of its newest and its oldest record, while records come steadily."""
    done, ended = Event(), list[Landed]()

    def consuming() -> None:
        ended.append(consume(space, topic, group="bench", stopped=done.is_set, batch_seconds=1.0))

    thread = Thread(target=consuming)
    thread.start()
    for second in range(STEADY_SECONDS):
        until = time.monotonic() + 1
        _send(topic, RECORDS + second * STEADY_RATE, STEADY_RATE)
        time.sleep(max(until - time.monotonic(), 0))
    time.sleep(5)
    done.set()
    thread.join()
    newest, oldest = (np.array([delay[place] for delay in ended[0].delays]) for place in (0, 1))
    on = f"{STEADY_RATE} records a second for {STEADY_SECONDS} s, batches of a second, {len(newest)} commits"
    for share in (50, 99):
        yield Row(f"delay of the oldest record, p{share}", float(np.percentile(oldest, share)), "s", note=on)
    yield Row("delay of the newest record, p50", float(np.percentile(newest, 50)), "s", note=on)


def _send(topic: Topic, first: int, count: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({**topic.client, "enable.idempotence": True, "compression.type": "zstd", "linger.ms": 5})
    start = datetime(2024, 4, 15, tzinfo=UTC)
    for number in range(first, first + count):
        channel = f"c{number % 10}"
        record = {
            "channel": channel,
            "measured_at": f"{start + timedelta(minutes=5 * (number // 10)):%Y-%m-%dT%H:%M:%S+0000}",
            "flow": number / 7,
            "velocity": 1.5,
            "level": number % 1000,
        }
        while True:
            try:
                producer.produce(topic.name, json.dumps(record), channel)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)
