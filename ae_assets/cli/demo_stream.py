"""``demo --stream``: channels in Cassandra, sent through Kafka, landed and scored, with servers of its own."""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.chain.anomaly_day import stored_day
from ae_assets.chain.sending import produce
from ae_assets.chain.stream import consume
from ae_assets.chain.workspace import ANOMALIES, RAW
from ae_assets.cli.chain_run import open_ui_hint, run_chain
from ae_assets.cli.export_source import as_text
from ae_assets.cli.instance import open_chain
from ae_assets.cli.local_servers import cassandra, kafka
from ae_assets.cli.screen import say, say_lines, text_width
from ae_assets.cli.stream import Reports
from ae_assets.errors import ConfigError
from ae_assets.progress import publish
from ae_assets.reports.alarms_text import day_text
from ae_assets.schemas.records import PERIOD
from ae_assets.sources import Source, open_source
from ae_assets.sources.kafka import Topic

if TYPE_CHECKING:
    from ae_assets.model.definition import WatchedTable

TABLE, VARIABLE = "flow_channels", "FLOW_CHANNELS_LOCATION"
INVENTED = "simulated://?entities=3&days=40&seed=7"


def run_stream_demo() -> int:
    """Writes invented channels into Cassandra, sends them through Kafka, lands, scores, and shows the alarms.

    Returns:
        The exit code.

    Raises:
        ConfigError: the home is in use, or a client, Java or a jar is missing; it says how to get it.
    """
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        say("starting Cassandra and Kafka on loopback ports")
        store = stack.enter_context(cassandra.running(folders[0]))
        broker = stack.enter_context(kafka.running(folders[1]))
        os.environ[VARIABLE] = broker.location(TABLE)
        chain = stack.enter_context(open_chain(TABLE))
        table = chain.definition
        if chain.space.days_of(RAW):
            raise ConfigError(f"the demo wants a fresh home and {chain.home} holds {TABLE} already")
        invented = open_source(INVENTED, table.reading)
        rows = fill(store.port, table, invented)
        stored = open_source(store.location("telemetry.flow_channels", "?consistency=ONE"), table.reading)
        say(f"Cassandra, telemetry.flow_channels: {rows:,} records of {len(stored.days())} days")
        topic = Topic.of(table.source.location)
        days = sorted(stored.days())
        sent = sum(
            count
            for _, count in produce(stored, table.reading, lambda frame: as_text(frame, table.reading), days, topic)
        )
        say(f"Kafka, {topic.name}: {sent:,} records sent")
        reports = Reports(chain)
        space = replace(chain.space, progress=publish)
        landed = consume(space, topic, group="demo", until_end=True, seen=reports.see)
        reports.tell()
        say(f"landed: {landed.rows:,} records in {len(landed.periods)} days, {landed.letters} dead letters")
        code = run_chain(chain, (days[0], days[-1]), None, retrain=False)
        if (day := latest_alarm(chain.space.read(ANOMALIES, days[0], days[-1], [PERIOD, "is_anomaly"]))) is not None:
            say("\nThe latest alarms:", style="bold")
            say_lines(day_text(stored_day(chain.space, day), text_width()))
        say("\nOpen the UI on the same home; the servers of the demo are gone then:")
        say(f"  {open_ui_hint(chain)}", folded=False)
    return code


def fill(port: int, table: "WatchedTable", source: Source) -> int:
    """Writes all rows of a source into a new table of a Cassandra on this machine."""
    from cassandra.cluster import Cluster
    from cassandra.concurrent import execute_concurrent_with_args

    layout = table.layout
    names = [layout.entity, layout.time.name, *layout.values]
    cluster = Cluster(["127.0.0.1"], port=port)
    try:
        session = cluster.connect()
        session.execute(
            "CREATE KEYSPACE telemetry WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        values = ", ".join(f"{name} double" for name in layout.values)
        key = f"{layout.entity} text, {layout.time.name} timestamp, {values}"
        session.execute(
            f"CREATE TABLE telemetry.{table.table} ({key}, PRIMARY KEY ({layout.entity}, {layout.time.name}))"
        )
        marks = ", ".join("?" * len(names))
        written = f"telemetry.{table.table} ({', '.join(names)})"
        statement = session.prepare(f"INSERT INTO {written} VALUES ({marks})")  # noqa: S608 - names of this package's YAML
        rows = 0
        for day in source.days().values():
            frame = source.read(day).select(names)
            execute_concurrent_with_args(session, statement, frame.rows(), concurrency=200)
            rows += frame.height
        return rows
    finally:
        cluster.shutdown()


def latest_alarm(anomalies: pl.DataFrame) -> date | None:
    """The last day with an alarm."""
    days: list[date] = anomalies.filter(pl.col("is_anomaly").fill_null(value=False))[PERIOD].to_list()
    return max(days, default=None)
