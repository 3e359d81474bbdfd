"""Clients of librdkafka: how one is made, what it says goes wrong, and whether a broker answers."""

import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from ae_assets.errors import ConfigError, SourceError
from ae_assets.sources.kafka import ENVIRONMENT, Topic
from ae_assets.sources.printable import printable

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.admin._metadata import TopicMetadata

PATIENCE_SECONDS = 60.0
_ASK_SECONDS, _SAY_SECONDS = 1.0, 60.0
_LOGGER = logging.getLogger(__name__)

_Client = TypeVar("_Client")


class Complaints:
    """What a client says goes wrong, since it goes on trying; it is logged once a minute.

    Attributes:
        latest: the newest one.
        lasting: one that does not pass by itself: a wrong password, a certificate that is not trusted.
    """

    def __init__(self, topic: Topic) -> None:
        self._location = topic.location
        self._said = float("-inf")
        self.latest: KafkaError | None = None
        self.lasting: KafkaError | None = None

    def hear(self, problem: "KafkaError") -> None:
        """Takes in an error of the client."""
        from confluent_kafka import KafkaError

        if self.latest is None or problem.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            self.latest = problem  # that all are down says less than why one is
        # A broker that goes down amid a handshake is no wrong certificate.
        of_tls = problem.code() == KafkaError._SSL and "Disconnected" not in problem.str()  # noqa: SLF001
        if of_tls or problem.fatal() or problem.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001
            self.lasting = problem
        if time.monotonic() - self._said > _SAY_SECONDS:
            self._said = time.monotonic()
            _LOGGER.warning("%s: %s; it is tried again", self._location, printable(problem.str()))


def made(kind: type[_Client], topic: Topic, complaints: Complaints, settings: dict[str, Any] | None = None) -> _Client:
    """A client of a kind, which tells its complaints.

    Raises:
        ConfigError: the extra is not installed, or a setting cannot be, such as an authority that is no PEM file.
    """
    told = {**topic.client, **(settings or {}), "error_cb": complaints.hear}
    from confluent_kafka import KafkaException

    try:
        return kind(told)  # type: ignore[call-arg]
    except KafkaException as problem:
        raise ConfigError(
            f"{topic.location}: {problem.args[0].str()}; check security=, mechanism= and {ENVIRONMENT}CA"
        ) from None


def described(client: "Consumer | Producer | AdminClient", topic: Topic, complaints: Complaints) -> "TopicMetadata":
    """What a broker says of a topic.

    Raises:
        SourceError: none answers for a minute, or one refuses for good.
    """
    from confluent_kafka import KafkaException

    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return client.list_topics(topic.name, timeout=_ASK_SECONDS).topics[topic.name]
        except KafkaException as problem:
            client.poll(0)  # by which it tells its complaints
            if complaints.lasting is not None or time.monotonic() > until:
                said = complaints.lasting or complaints.latest or problem.args[0]
                raise SourceError(
                    f"{topic.location}: no broker answers ({printable(said.str())}); check the hosts, security=,"
                    f" mechanism=, {ENVIRONMENT}USERNAME, {ENVIRONMENT}PASSWORD and {ENVIRONMENT}CA"
                ) from problem
