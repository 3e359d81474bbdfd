"""A topic of Kafka landed in the lakehouse: each record once, as a row of its period or as a dead letter.

Up to which offset a table goes is a property of the table, set by the commit that brings the rows. A consumer that was
killed goes on where the tables stand; of two that hold the same partition for a moment only one brings its rows in. The
broker is told the offsets as well, for those who watch its lag, and never asked for them.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.chain.workspace import DEAD_LETTERS, STREAM, Workspace
from ae_assets.errors import SourceError
from ae_assets.lakehouse.appending import Step
from ae_assets.progress import Progress
from ae_assets.schemas.records import PERIOD
from ae_assets.sources.kafka import OFFSET, PART, Topic, TopicRecord, decoded
from ae_assets.sources.kafka_client import PATIENCE_SECONDS, Complaints, described, made
from ae_assets.sources.printable import printable

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, TopicPartition

BATCH_ROWS, BATCH_SECONDS = 50_000, 10.0
"""What is landed by one commit: so many records, or as many as came in so long."""
BATCH_BYTES = 128 * 2**20
"""After which a batch is landed, too, so that it fits in memory."""
_LOOK_SECONDS = 5.0


@dataclass
class Landed:
    """What became of records.

    Attributes:
        rows: records that are rows of periods now.
        letters: records that are dead letters now.
        periods: those that have new rows.
        latest: those that the latest batch brought rows of.
        commits: how often some were landed.
        delays: of the latest batches, seconds from when its newest and its oldest record was sent to the commit.
        lag: records that the topic held when it was last asked and that are not landed.
        expired: offsets that the broker had forgotten before they were read; their records are lost.
    """

    rows: int = 0
    letters: int = 0
    periods: set[date] = field(default_factory=set)
    latest: set[date] = field(default_factory=set)
    commits: int = 0
    delays: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=1_000))
    lag: int = 0
    expired: int = 0


class StreamTable:
    """The tables of a topic in a lakehouse."""

    def __init__(self, space: Workspace, topic: Topic) -> None:
        self._space = space
        self._topic = topic

    def require_schemas(self) -> None:
        """Raises ConfigError where the schemas of the records cannot be read."""
        self._topic.records(self._space.table.reading)

    def positions(self) -> dict[int, int]:
        """By partition, the first offset that is not landed; dead letters are committed before the rows beside them."""
        return self._of(STREAM)

    def land(
        self, records: Sequence[TopicRecord], start: Mapping[int, int], end: Mapping[int, int], landed: Landed
    ) -> bool:
        """Makes rows and dead letters of records; those that a table has already it is not given again.

        Args:
            records: in the order of their offsets in each partition.
            start: by partition, the offset from which on they were read.
            end: by partition, the offset up to which they were read, also past what is no record (aborted ones).
            landed: is told what became of them.

        Returns:
            whether the tables stand where the records end, or further; not so where other consumers write them too.
        """
        reading, periods = self._space.table.reading, self._space.table.periods
        rows, letters = decoded(records, reading, self._topic.records(reading))
        moments = {STREAM: reading.layout.time.name, DEAD_LETTERS: "written_at"}
        places = {asset: self._of(asset) for asset in (DEAD_LETTERS, STREAM)}
        if any(places[STREAM].get(part, 0) < start[part] for part in end):
            return False  # somebody took rows away, or another table stands there
        for asset, frame in ((DEAD_LETTERS, letters), (STREAM, rows)):
            after = {part: places[asset].get(part, 0) for part in end}
            if all(after[part] >= end[part] for part in end) or (asset == DEAD_LETTERS and frame.is_empty()):
                continue
            is_new = pl.col(OFFSET) >= pl.col(PART).replace_strict(after, default=0, return_dtype=pl.Int64)
            arrived = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")).alias("arrived_at")
            new = frame.filter(is_new).with_columns(periods.of_times(pl.col(moments[asset])).alias(PERIOD), arrived)
            frames = {day: part for (day,), part in new.partition_by(PERIOD, as_dict=True).items()}
            step = Step(
                {self._name(part): place for part, place in after.items()},
                {self._name(part): max(end[part], place) for part, place in after.items()},
            )
            if not self._space.tables.append(
                self._space.name(asset), frames or {periods.of(datetime.now(UTC)): new}, periods, step
            ):
                return False
            if asset == STREAM:
                landed.rows += new.height
                landed.latest = set(frames)
                landed.periods |= landed.latest
            else:
                landed.letters += new.height
        if records:
            now, sent = time.time(), [record.written / 1_000 for record in records]
            landed.delays.append((now - max(sent), now - min(sent)))
        return True

    def _of(self, asset: str) -> dict[int, int]:
        held = self._space.tables.positions(self._space.name(asset))
        beginning = f"{self._topic.name}/"
        return {int(part.removeprefix(beginning)): place for part, place in held.items() if part.startswith(beginning)}

    def _name(self, part: int) -> str:
        return f"{self._topic.name}/{part}"


def consume(
    space: Workspace,
    topic: Topic,
    *,
    group: str,
    until_end: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    batch_rows: int = BATCH_ROWS,
    batch_seconds: float = BATCH_SECONDS,
    seen: Callable[[Landed], None] = lambda _: None,
) -> Landed:
    """Lands the records of a topic: what is there now, or for as long as it is not stopped, beside others of a group.

    Args:
        space: whose stream it is.
        topic: where the records are.
        group: of the consumers that share the topic's partitions.
        until_end: lands what the topic holds now, of all partitions and beside no others, and ends.
        stopped: asked between batches and while none comes.
        batch_rows: records of a commit.
        batch_seconds: after which what came is landed, however little.
        seen: is told after each batch, also of none, what has become of all so far.

    Raises:
        SourceError: the topic is not there, or no broker answers for a minute.
    """
    reader = _Reader(space, topic, group)
    with reader.opened(all_parts=until_end):
        ends = reader.ends() if until_end else {}
        began = time.monotonic()
        while not stopped():
            records = reader.batch(batch_rows, batch_seconds, ends, stopped)
            if reader.land(records):
                told = reader.landed
                handled = told.rows + told.letters
                note = f"{told.letters:,} dead letters" if told.letters else ""
                seconds = time.monotonic() - began
                space.progress(Progress("consume", handled, handled + told.lag, "records", handled, seconds, note))
            seen(reader.landed)
            if until_end and reader.is_at(ends):
                break
    return reader.landed


class _Reader:
    """A consumer of a topic and the places where it stands."""

    def __init__(self, space: Workspace, topic: Topic, group: str) -> None:
        from confluent_kafka import Consumer

        self.landed = Landed()
        self._topic = topic
        self._table = StreamTable(space, topic)
        self._table.require_schemas()
        self._places: dict[int, int] = {}
        self._changed_hands = False
        self._complaints = Complaints(topic)
        self._consumer: Consumer = made(
            Consumer,
            topic,
            self._complaints,
            {
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 65_536,
                "fetch.message.max.bytes": 65_536,  # of hostile batches a thousand times that, all at once
                "session.timeout.ms": 10_000,  # after which others take over the partitions of one that was killed
                "max.poll.interval.ms": 600_000,  # a commit that others refuse takes minutes
            },
        )

    def opened(self, *, all_parts: bool) -> "_Reader":
        try:
            parts = described(self._consumer, self._topic, self._complaints).partitions
        except SourceError:
            self._consumer.close()
            raise
        if not parts:
            self._consumer.close()
            raise SourceError(f"{self._topic.location}: there is no such topic")
        if all_parts:
            self._read_from_where_the_tables_stand(parts)
        else:
            self._consumer.subscribe([self._topic.name], on_assign=self._given)
        return self

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def ends(self, *, asked: bool = True) -> dict[int, int]:
        """By partition, the offset after the last record: as the broker says now, or as it said with the last ones."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            return {
                part: self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic.name, part), PATIENCE_SECONDS, cached=not asked
                )[1]
                for part in self._places
            }
        except KafkaException as problem:
            raise SourceError(f"{self._topic.location}: no broker answers ({problem})") from problem

    def lag(self, *, asked: bool) -> int:
        return sum(max(end - self._places[part], 0) for part, end in self.ends(asked=asked).items())

    def is_at(self, ends: Mapping[int, int]) -> bool:
        return all(self._places.get(part, 0) >= end for part, end in ends.items())

    def batch(
        self, most: int, seconds: float, ends: Mapping[int, int], stopped: Callable[[], bool]
    ) -> list[TopicRecord]:
        """The records that come next; the places where they end are those where this reader stands then."""
        records: list[TopicRecord] = []
        size, until = 0, time.monotonic() + seconds
        while len(records) < most and size < BATCH_BYTES and time.monotonic() < until and not stopped():
            messages = self._consumer.consume(min(most - len(records), 1_000), 0.2)
            if self._changed_hands:
                # What was read is not landed, and some of the messages may be of before: all of it is read again.
                self._read_from_where_the_tables_stand(list(self._places))
                records.clear()
                size = 0
                continue
            taken = self._taken(messages)
            records += taken
            size += sum(len(one.value or b"") for one in taken)
            if ends and self.is_at(ends):
                break
        if self._complaints.lasting is not None and not records:
            raise SourceError(f"{self._topic.location}: {printable(self._complaints.lasting.str())}")
        return records

    def _taken(self, messages: "Sequence[Message]") -> list[TopicRecord]:
        """The records among what the client gives."""
        from confluent_kafka import KafkaError

        at_the_end, broken = KafkaError._PARTITION_EOF, (KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG)  # noqa: SLF001 - public names
        records, unread = list[TopicRecord](), set[int]()
        for message in messages:
            part, offset, problem = message.partition() or 0, message.offset() or 0, message.error()
            if problem is not None and problem.code() not in (at_the_end, *broken):
                raise SourceError(f"{self._topic.location}: {problem}")
            if part not in self._places or part in unread:
                continue
            if problem is None:
                if offset >= self._places[part]:
                    records.append(TopicRecord.of(part, offset, message.timestamp()[1], message.value()))
                    self._places[part] = offset + 1
            elif problem.code() == at_the_end:
                self._places[part] = max(self._places[part], offset)  # what was aborted before the end is no record
            else:
                records.append(self._passed(part, problem))
                unread.add(part)
        return records

    def _passed(self, part: int, problem: "KafkaError") -> TopicRecord:
        """The next record of a partition, which the client cannot unpack; it would be asked for again for ever."""
        from confluent_kafka import TopicPartition

        place = self._places[part]
        self._places[part] = place + 1
        self._consumer.seek(TopicPartition(self._topic.name, part, place + 1))
        return TopicRecord(
            part, place, int(time.time() * 1_000), None, f"it cannot be read ({printable(problem.str())})"
        )

    def land(self, records: Sequence[TopicRecord]) -> bool:
        """Lands records; where another consumer was quicker, goes on where the tables stand."""
        from confluent_kafka import TopicPartition

        places = {part: place for part, place in self._places.items() if place > self._stand[part]}
        if not places:
            return False
        if not self._table.land(records, {part: self._stand[part] for part in places}, places, self.landed):
            self._read_from_where_the_tables_stand(list(self._places))
            return False
        self._stand |= places
        self.landed.commits += 1
        self.landed.lag = self.lag(asked=False)  # the broker may be away, which is no reason to stop
        offsets = [TopicPartition(self._topic.name, part, place) for part, place in places.items()]
        self._consumer.commit(offsets=offsets, asynchronous=True)
        return True

    def _given(self, _: object, parts: "Sequence[TopicPartition]") -> None:
        """Takes over the partitions that the group gives to this reader, in place of those that it had."""
        self._read_from_where_the_tables_stand([one.partition for one in parts])
        self._changed_hands = True

    def _read_from_where_the_tables_stand(self, parts: Iterable[int]) -> None:
        from confluent_kafka import OFFSET_BEGINNING, TopicPartition

        held = self._table.positions()
        self._places = {part: held.get(part, 0) for part in parts}
        self._stand, self._changed_hands = dict(self._places), False
        self.landed.expired += sum(max(self._first(part) - place, 0) for part, place in self._places.items() if place)
        self._consumer.assign(
            [TopicPartition(self._topic.name, part, place or OFFSET_BEGINNING) for part, place in self._places.items()]
        )

    def _first(self, part: int) -> int:
        """The first offset that the broker still has; 0 where it does not answer soon."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            return self._consumer.get_watermark_offsets(TopicPartition(self._topic.name, part), _LOOK_SECONDS)[0]
        except KafkaException:
            return 0


def waiting(space: Workspace, topic: Topic) -> int:
    """Records that a topic holds and that are not landed; some of them may be no records, such as aborted ones.

    Raises:
        SourceError: the topic is not there, or no broker answers for a minute.
    """
    reader = _Reader(space, topic, f"ae_assets-{space.table.table}")
    with reader.opened(all_parts=True):
        return reader.lag(asked=True)
