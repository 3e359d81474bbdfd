"""A broker of Kafka on loopback ports of its own, from its jars."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ae_assets.jars import JarSet
from ae_assets_tests.integration.seaweed import free_ports

START_SECONDS = 300
JARS = JarSet(
    "Kafka",
    Path(__file__).parent / "jars" / "kafka",
    Path(os.environ.get("AE_ASSETS_KAFKA_JARS") or Path(sys.prefix) / "share" / "ae_assets" / "kafka-jars"),
    "./dev test --rest",
    "AE_ASSETS_KAFKA_JARS",
)
_ONE_NODE = (
    *("offsets.topic.num.partitions", "offsets.topic.replication.factor", "transaction.state.log.num.partitions"),
    *("transaction.state.log.replication.factor", "transaction.state.log.min.isr"),
    *("share.coordinator.state.topic.num.partitions", "share.coordinator.state.topic.replication.factor"),
    "share.coordinator.state.topic.min.isr",
)


@dataclass
class Kafka:
    """A broker that is its own controller.

    Attributes:
        port: that clients connect to.
        home: folder of its data.
    """

    port: int
    home: Path
    command: list[str]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Starts it and waits until clients can connect."""
        began = time.monotonic()
        with (self.home / "kafka.log").open("wb") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, cwd=self.home)
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                said = (self.home / "kafka.log").read_text(errors="replace")[-3000:]
                self.kill()
                raise RuntimeError(f"Kafka did not start:\n{said}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it at once, as a machine does that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def location(self, topic: str, settings: str = "") -> str:
        return f"kafka://127.0.0.1:{self.port}/{topic}{settings}"

    def _answers(self) -> bool:
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def running(home: Path) -> Iterator[Kafka]:
    """Starts a broker in a folder and kills it at the end."""
    client, controller = free_ports(2)
    jars = os.pathsep.join(map(str, JARS.fetched()))
    properties: Mapping[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": home / "data",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "broker.session.timeout.ms": 1000,  # else a restart after a kill waits for the dead broker's session
        "broker.heartbeat.interval.ms": 200,
        **dict.fromkeys(_ONE_NODE, 1),
    }
    settings = home / "server.properties"
    settings.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    java = shutil.which("java")
    if java is None:
        raise RuntimeError("there is no java on PATH; on Debian: apt install openjdk-17-jre-headless")
    small = [java, "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars]
    storage = [*small, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(settings)]
    subprocess.run(storage, check=True, capture_output=True)
    broker = Kafka(client, home, [*small, "kafka.Kafka", str(settings)])
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
