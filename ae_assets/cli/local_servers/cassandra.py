"""Cassandra on loopback ports of its own, from its jars."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ae_assets.cli.local_servers.java import JavaServer, free_ports, jar_set, java

JARS = jar_set("Cassandra")
_OPENED = {
    "exports": {
        "java.base": ["jdk.internal.misc", "java.lang.ref"],
        "java.management.rmi": ["com.sun.jmx.remote.internal.rmi"],
        "java.rmi": ["sun.rmi.registry", "sun.rmi.server"],
        "java.sql": ["java.sql"],
        "jdk.unsupported": ["sun.misc"],
    },
    "opens": {
        "java.base": [
            *(f"java.lang{part}" for part in ("", ".module", ".reflect")),
            *(f"jdk.internal.{part}" for part in ("loader", "ref", "reflect", "math", "module", "util.jar")),
            *("sun.nio.ch", "java.io", "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.nio"),
        ],
        "jdk.management": ["com.sun.management.internal"],
    },
}
"""Packages of Java that Cassandra's own start script opens to it."""


@contextmanager
def running(home: Path, settings: str = "") -> Iterator[JavaServer]:
    """Starts a server in a folder and kills it at the end: an orderly stop takes seconds and nobody needs its data."""
    storage, native = free_ports(2)
    jars = JARS.fetched()
    (home / "cassandra.yaml").write_text(_yaml(home, storage, native) + settings)
    (home / "logback.xml").write_text(
        '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder>'
        '<pattern>%-5level %msg%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="out"/></root>'
        "</configuration>"
    )
    flags = [
        f"--add-{what}={module}/{package}=ALL-UNNAMED"
        for what, modules in _OPENED.items()
        for module, packages in modules.items()
        for package in packages
    ]
    agent = next(jar for jar in jars if jar.name.startswith("jamm-"))
    system = {
        "cassandra.config": (home / "cassandra.yaml").as_uri(),
        "cassandra.storagedir": home,
        "cassandra-foreground": "yes",
        "logback.configurationFile": home / "logback.xml",
        "cassandra.skip_wait_for_gossip_to_settle": 0,
        "cassandra.ring_delay_ms": 1,
        "cassandra.superuser_setup_delay_ms": 0,
        "jdk.attach.allowAttachSelf": "true",
    }
    command = [
        *(java(), "-Xms128m", "-Xmx384m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *flags),
        *(f"-D{key}={value}" for key, value in system.items()),
        *(f"-javaagent:{agent}", "-cp", os.pathsep.join(map(str, (home, *jars)))),
        "org.apache.cassandra.service.CassandraDaemon",
    ]
    server = JavaServer("Cassandra", native, home, command)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _yaml(home: Path, storage: int, native: int) -> str:
    return f"""
cluster_name: local
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
commitlog_sync: periodic
commitlog_sync_period: 1000ms
commitlog_directory: {home}/commitlog
data_file_directories: [{home}/data]
saved_caches_directory: {home}/saved_caches
hints_directory: {home}/hints
cdc_raw_directory: {home}/cdc_raw
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage}"}}]
listen_address: 127.0.0.1
storage_port: {storage}
ssl_storage_port: {storage}
rpc_address: 127.0.0.1
native_transport_port: {native}
endpoint_snitch: SimpleSnitch
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
commitlog_segment_size: 8MiB
commitlog_total_space: 128MiB
auto_snapshot: false
auto_bootstrap: false
concurrent_compactors: 1
"""
