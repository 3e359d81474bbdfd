"""Rows of a source sent to a topic of Kafka, a transaction for each period; `stream` is what lands them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources import Source
from ae_assets.sources.avro import Schemas
from ae_assets.sources.kafka import Topic
from ae_assets.sources.kafka_client import PATIENCE_SECONDS, Complaints, described, made


def produce(
    source: Source,
    reading: Reading,
    texts_of: Callable[[pl.DataFrame], pl.DataFrame],
    days: Sequence[date],
    topic: Topic,
) -> Iterator[tuple[date, int]]:
    """Sends the rows of periods of a source to a topic, which is made where it is missing.

    Records are JSON objects or Avro, keyed by their device, so that those of one stay in order. Those of a period come
    into view together or not at all, for consumers that read what is committed.

    Args:
        source: lists and reads the periods.
        reading: the contract of its rows.
        texts_of: rows of it as the texts of a file.
        days: the periods to send; those that the source lacks are left out.
        topic: to where.

    Yields:
        each period, with its rows.

    Raises:
        SourceError: a period cannot be read or written by the schema, or no broker takes it.
        ConfigError: the schemas of the location cannot be read.
    """
    from confluent_kafka import KafkaException, Producer

    kind = topic.records(reading)
    if isinstance(kind, Schemas):
        kind.remember()
    make_topic(topic)
    listed = source.days()
    identity = f"ae_assets-{topic.name}-{source.location}"
    settings = {"transactional.id": identity, "compression.type": "zstd", "linger.ms": 20}
    producer = made(Producer, topic, Complaints(topic), settings)
    try:
        producer.init_transactions(PATIENCE_SECONDS)
        for day in days:
            if day not in listed:
                continue
            rows = source.read(listed[day])
            texts = texts_of(rows)
            values = kind.encoded(rows, texts)
            producer.begin_transaction()
            for key, value in zip(texts[reading.layout.entity], values, strict=True):
                while True:
                    try:
                        producer.produce(topic.name, value, key)
                        break
                    except BufferError:
                        producer.poll(0.1)
            producer.commit_transaction(PATIENCE_SECONDS)
            yield day, rows.height
    except KafkaException as problem:
        raise SourceError(
            f"{topic.location}: the records were not taken ({problem}); send the period again"
        ) from problem


def make_topic(topic: Topic) -> None:
    """Makes a topic where it is missing.

    Raises:
        SourceError: the broker does not make it.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    settings, complaints = topic.settings, Complaints(topic)
    admin = made(AdminClient, topic, complaints)
    described(admin, topic, complaints)
    asked = admin.create_topics([NewTopic(topic.name, settings.partitions, settings.replicas)])
    try:
        asked[topic.name].result(PATIENCE_SECONDS)
    except KafkaException as problem:
        if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise SourceError(f"{topic.location}: the topic cannot be made ({problem})") from problem
