"""A broker of Kafka on loopback ports of its own, from its jars."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ae_assets.cli.local_servers.java import JavaServer, free_ports, jar_set, java

JARS = jar_set("Kafka")
_ONE_NODE = (
    *("offsets.topic.num.partitions", "offsets.topic.replication.factor", "transaction.state.log.num.partitions"),
    *("transaction.state.log.replication.factor", "transaction.state.log.min.isr"),
    *("share.coordinator.state.topic.num.partitions", "share.coordinator.state.topic.replication.factor"),
    "share.coordinator.state.topic.min.isr",
)


@contextmanager
def running(
    home: Path, secured: Mapping[str, int] | None = None, more: Mapping[str, object] | None = None
) -> Iterator[JavaServer]:
    """Starts a broker in a folder and kills it at the end.

    Args:
        home: the folder.
        secured: further listeners, by their protocol, such as ``SASL_SSL``, and at which port of loopback.
        more: what these need, and other properties.
    """
    client, controller = free_ports(2)
    jars = os.pathsep.join(map(str, JARS.fetched()))
    listeners = [f"{name}://127.0.0.1:{port}" for name, port in {"PLAINTEXT": client, **(secured or {})}.items()]
    properties: Mapping[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{controller}"]),
        "advertised.listeners": ",".join(listeners),
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": ",".join(
            ["CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", *(f"{name}:{name}" for name in secured or {})]
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": home / "data",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "broker.session.timeout.ms": 1000,  # else a restart after a kill waits for the dead broker's session
        "broker.heartbeat.interval.ms": 200,
        **dict.fromkeys(_ONE_NODE, 1),
        **(more or {}),
    }
    settings = home / "server.properties"
    settings.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    small = [java(), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars]
    storage = [*small, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(settings)]
    subprocess.run(storage, check=True, capture_output=True)  # noqa: S603 - the command of this package
    broker = JavaServer("Kafka", client, home, [*small, "kafka.Kafka", str(settings)])
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
