"""Servers for the integration tests: one of each for the whole session, stopped at its end."""

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ae_assets.cli.local_servers import cassandra as local_cassandra
from ae_assets.cli.local_servers import kafka as local_kafka
from ae_assets.cli.local_servers.java import JavaServer
from ae_assets.errors import ConfigError
from ae_assets.jars import JarSet
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.integration.postgres import Postgres
from ae_assets_tests.integration.postgres import running as running_postgres
from ae_assets_tests.integration.seaweed import KEY, SECRET, Seaweed, running

_NUMBERS = count()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def aws(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Seaweed:
    """The server with this process's AWS chain pointing at it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in seaweed.environment().items():
        monkeypatch.setenv(name, value)
    return seaweed


@pytest.fixture
def bucket(aws: Seaweed) -> "Bucket":
    """A bucket of the test's own."""
    return Bucket(aws, f"raw-{next(_NUMBERS)}")


class Bucket:
    def __init__(self, server: Seaweed, name: str) -> None:
        self.server = server
        self.name = name
        self.client = server.client()
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaServer]:
    fetch_or_skip(local_cassandra.JARS)
    with local_cassandra.running(tmp_path_factory.mktemp("cassandra")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaServer]:
    fetch_or_skip(local_kafka.JARS)
    with local_kafka.running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


def fetch_or_skip(jars: JarSet) -> None:
    """Skips the test where the jars are not there and cannot be fetched."""
    try:
        jars.fetched()
    except ConfigError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def glue() -> Iterator[str]:
    """The address of a stand-in for Glue; it loses concurrent commits, so those are tested on the others."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["PostgreSQL", "REST", "Glue"])
def catalog(request: pytest.FixtureRequest, aws: Seaweed) -> Iterator[dict[str, str]]:
    """The settings of an empty catalog whose files are on S3."""
    files = {
        "s3.endpoint": aws.endpoint,
        "s3.access-key-id": KEY,
        "s3.secret-access-key": SECRET,
        "s3.region": "us-east-1",
    }
    if request.param == "PostgreSQL":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.new_database()
        yield {"type": "sql", "uri": server.url(database), "warehouse": f"s3://warehouse/{database}", **files}
        return
    if request.param == "Glue":
        settings = {
            "type": "glue",
            "glue.endpoint": request.getfixturevalue("glue"),
            "glue.access-key-id": KEY,
            "glue.secret-access-key": SECRET,
            "glue.region": "us-east-1",
            "warehouse": f"s3://warehouse/glue-{next(_NUMBERS)}",
            **files,
        }
    else:
        settings = {
            "type": "rest",
            "uri": f"http://127.0.0.1:{aws.iceberg_port}",
            "warehouse": "s3://lake",
            "credential": f"{KEY}:{SECRET}",
            "oauth2-server-uri": f"http://127.0.0.1:{aws.iceberg_port}/v1/oauth/tokens",
            **files,
        }
    yield settings
    from pyiceberg.catalog import load_catalog

    opened = load_catalog("ae_assets", **settings)
    for namespace in opened.list_namespaces():
        for table in opened.list_tables(namespace):
            opened.drop_table(table)


@pytest.fixture
def remote_lakehouse(catalog: dict[str, str]) -> Iterator[Lakehouse]:
    opened = Lakehouse.open(None, catalog)
    yield opened
    opened.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts servers is among the long tests."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
