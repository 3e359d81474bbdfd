"""``consume`` and ``produce``: a topic of Kafka into the home, and periods of a source into a topic."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ae_assets.chain.sending import produce
from ae_assets.chain.stream import Landed, consume
from ae_assets.chain.workspace import STREAM
from ae_assets.cli.export_source import as_text
from ae_assets.cli.instance import Chain
from ae_assets.errors import ConfigError
from ae_assets.pipeline.metadata import stream_run
from ae_assets.progress import Progress, publish
from ae_assets.sources.kafka import Topic, TopicSource

REPORT_SECONDS = 60.0
_LOGGER = logging.getLogger(__name__)
HEALTHY_SECONDS = 60.0
"""A consumer that has not looked at its topic for so long hangs; a commit may take three times as long."""


def consumed(chain: Chain, group: str, listen: str | None, *, until_end: bool) -> Iterator[str]:
    """Lands records until the topic ends or the process is asked to stop, and says what became of them.

    Args:
        chain: of the table.
        group: of consumers that share the topic.
        listen: HOST:PORT, or a port of this machine alone, where health and metrics are told; None: nowhere.
        until_end: whether it ends where the topic does.

    Raises:
        ConfigError: the table's source is no topic.
        SourceError: no broker answers, or there is no such topic.
    """
    source = chain.source()
    if not isinstance(source, TopicSource):
        raise ConfigError(f"{chain.definition.table} is read from {source.location}, expected kafka://HOST:PORT/TOPIC")
    told = Told(chain.definition.table)
    with _stop_on_signals() as stopped, _telling(told, listen):
        space = replace(chain.space, progress=publish)
        reports = Reports(chain)

        def seen(landed: Landed) -> None:
            told.see(landed)
            reports.see(landed)

        try:
            landed = consume(space, source.topic, group=group, until_end=until_end, stopped=stopped.is_set, seen=seen)
        finally:
            reports.tell()
    periods = chain.definition.periods
    yield f"{landed.rows:,} records landed in {len(landed.periods):,} {periods.plural}"
    if landed.expired:
        yield f"{landed.expired:,} offsets had expired at the broker before they were read: their records are lost here"
    if landed.letters:
        yield f"{landed.letters:,} are none; {chain.definition.table}.dead_letters has each with the reason"
    if landed.periods:
        first, last = (periods.key(bound(landed.periods)) for bound in (min, max))
        yield f"next: ae-assets run {chain.definition.table} --start {first} --end {last}"


def produced(chain: Chain, days: tuple[date, date], location: str) -> str:
    """Sends periods of the table's source to a topic, and says how many rows.

    Raises:
        ConfigError: the table's rows cannot be written as text that its YAML reads.
        SourceError: the location names no topic, no broker takes the records, or a period cannot be read.
    """
    definition, topic = chain.definition, Topic.of(location)
    reading, periods = definition.reading, definition.periods.range(*days)
    sent = produce(chain.source(), reading, lambda rows: as_text(rows, reading), periods, topic)
    rows, done, began = 0, 0, time.monotonic()
    for _, count in sent:
        rows, done = rows + count, done + 1
        publish(Progress("produce", done, len(periods), definition.periods.plural, rows, time.monotonic() - began))
    absent = f"; the source lacks {len(periods) - done:,} of the {len(periods):,}" if done < len(periods) else ""
    return f"{topic.location}: {rows:,} records of {done:,} {definition.periods.plural}{absent}"


class Reports:
    """Materialisations of the stream's asset in the instance, as of runs that land records; one a minute at most."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._told = self._latest = Landed()
        self._periods = set[date]()
        self._at = time.monotonic()

    def see(self, landed: Landed) -> None:
        """Takes in what has become of all records so far."""
        if landed.rows > self._latest.rows:
            self._periods |= landed.latest
        self._latest = replace(landed)
        if time.monotonic() - self._at > REPORT_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Reports what was landed since the report before; where the instance is away, the next one has it, too."""
        self._at = time.monotonic()
        new = {name: getattr(self._latest, name) - getattr(self._told, name) for name in ("rows", "letters", "expired")}
        if not any(new.values()):
            return
        table = self._chain.definition
        since = replace(self._latest, **new, periods=self._periods)
        event = dg.AssetMaterialization(
            dg.AssetKey([table.table, STREAM]),
            description="landed by ae-assets consume",
            metadata=stream_run(table, since),
        )
        try:
            self._chain.instance.report_runless_asset_event(event)
        except (dg.DagsterError, SQLAlchemyError, OSError) as problem:
            _LOGGER.warning("what was landed is not shown in Dagster yet (%s)", type(problem).__name__)
            return
        self._told, self._periods = self._latest, set()


class Told:
    """What a consumer says of itself while it runs: whether it goes on, and its figures in the format of Prometheus."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._landed = Landed()
        self._looked: float | None = None

    def see(self, landed: Landed) -> None:
        """Takes in what has become of all records so far."""
        self._landed, self._looked = landed, time.monotonic()

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of ``/health`` (it goes on), ``/ready`` (it has reached its topic) and ``/metrics``."""
        looked = self._looked
        if path == "/metrics":
            return 200, self._metrics()
        if path == "/ready":
            return (503, "no batch was read yet\n") if looked is None else (200, "ready\n")
        if path != "/health":
            return 404, "there are /health, /ready and /metrics\n"
        if looked is not None and time.monotonic() - looked > HEALTHY_SECONDS:
            return 503, f"the topic was not looked at for {HEALTHY_SECONDS:.0f} seconds\n"
        return 200, "going on\n"

    def _metrics(self) -> str:
        landed, delays = self._landed, sorted(newest for newest, _ in self._landed.delays)
        figures: list[tuple[str, str, str, str, float]] = [
            ("records_total", "counter", "Records that became rows, or dead letters.", 'kind="row"', landed.rows),
            ("records_total", "counter", "", 'kind="dead_letter"', landed.letters),
            ("commits_total", "counter", "Batches that were landed.", "", landed.commits),
            ("expired_total", "counter", "Offsets that expired before they were read.", "", landed.expired),
            ("lag_records", "gauge", "Records of the topic that were not landed at the last look.", "", landed.lag),
        ]
        figures += [
            (
                "delay_seconds",
                "gauge",
                "" if share != 0.5 else "From when the newest record of a batch was sent to its commit, of the latest.",
                f'quantile="{share}"',
                round(delays[min(int(share * len(delays)), len(delays) - 1)], 3),
            )
            for share in (0.5, 0.99)
            if delays
        ]
        lines = []
        for name, kind, meaning, label, value in figures:
            full = f"ae_assets_stream_{name}"
            if meaning:
                lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}"]
            labels = ",".join(filter(None, (f'table="{self._table}"', label)))
            lines.append(f"{full}{{{labels}}} {value}")
        return "\n".join(lines) + "\n"


@contextmanager
def _telling(told: Told, listen: str | None) -> Iterator[None]:
    """Answers with the pages of `told` at an address, for as long as the context lasts.

    Raises:
        ConfigError: it is none, or cannot be listened at.
    """
    if listen is None:
        yield
        return

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            status, text = told.page(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing: a probe asks every few seconds."""

    host, _, port = listen.rpartition(":")
    try:
        server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Handler)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"--listen {listen}: expected HOST:PORT that is free, e.g. 127.0.0.1:9464 ({error})"
        ) from None
    with server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


@contextmanager
def _stop_on_signals() -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set, so that what was read is landed before the end."""
    stopped = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
