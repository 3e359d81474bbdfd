"""``consume`` and ``produce``: a topic of Kafka into the home, and periods of a source into a topic."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from threading import Event

from ae_assets.chain.stream import consume, produce
from ae_assets.cli.export_source import as_text
from ae_assets.cli.instance import Chain
from ae_assets.errors import ConfigError
from ae_assets.progress import Progress, publish
from ae_assets.sources.kafka import Topic, TopicSource


def consumed(chain: Chain, group: str, *, until_end: bool) -> Iterator[str]:
    """Lands records until the topic ends or the process is asked to stop, and says what became of them.

    Raises:
        ConfigError: the table's source is no topic.
        SourceError: no broker answers, or there is no such topic.
    """
    source = chain.source()
    if not isinstance(source, TopicSource):
        raise ConfigError(f"{chain.definition.table} is read from {source.location}, expected kafka://HOST:PORT/TOPIC")
    with _stop_on_signals() as stopped:
        space = replace(chain.space, progress=publish)
        landed = consume(space, source.topic, group=group, until_end=until_end, stopped=stopped.is_set)
    periods = chain.definition.periods
    yield f"{landed.rows:,} records landed in {len(landed.periods):,} {periods.plural}"
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
    sent = produce(chain.source(), lambda rows: as_text(rows, reading), reading.layout.entity, periods, topic)
    rows, done, began = 0, 0, time.monotonic()
    for _, count in sent:
        rows, done = rows + count, done + 1
        publish(Progress("produce", done, len(periods), definition.periods.plural, rows, time.monotonic() - began))
    absent = f"; the source lacks {len(periods) - done:,} of the {len(periods):,}" if done < len(periods) else ""
    return f"{topic.location}: {rows:,} records of {done:,} {definition.periods.plural}{absent}"


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
