"""Brokers that ask for certificates and passwords, and what is said where one is wrong: never the password."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from ae_assets.chain.sending import make_topic, produce
from ae_assets.chain.stream import Landed, consume
from ae_assets.cli.export_source import as_text
from ae_assets.cli.local_servers import kafka as local_kafka
from ae_assets.cli.local_servers.java import JavaServer, free_ports
from ae_assets.cli.stream import Told
from ae_assets.errors import ConfigError, SourceError
from ae_assets.sources import kafka_client, open_source
from ae_assets.sources.kafka import Topic
from ae_assets_tests.integration.certificates import certified
from ae_assets_tests.integration.conftest import fetch_or_skip
from ae_assets_tests.integration.test_secrets import everything_kept
from ae_assets_tests.integration.test_stream import opened, table_at
from ae_assets_tests.pipeline.runs import failure_of, instance_in, materialise

PASSWORD, WRONG = "password-never-in-a-log", "another-password-never-in-a-log"
NAME = "levels"


class Secured(NamedTuple):
    """A broker with listeners of each kind, its authority, and one that it knows nothing of."""

    broker: JavaServer
    ports: dict[str, int]
    authority: Path
    stranger: Path

    def location(self, security: str, more: str = "", host: str = "127.0.0.1") -> str:
        return f"kafka://{host}:{self.ports[security.upper()]}/{NAME}?security={security}{more}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    fetch_or_skip(local_kafka.JARS)
    folder = tmp_path_factory.mktemp("secured")
    (folder / "kafka").mkdir()
    (authority, server), (stranger, _) = certified(folder / "own"), certified(folder / "other")
    protocols = ("SASL_SSL", "SASL_PLAINTEXT", "SSL")
    ports = dict(zip(protocols, free_ports(len(protocols)), strict=True))
    modules = "org.apache.kafka.common.security"
    plain = f'{modules}.plain.PlainLoginModule required user_me="{PASSWORD}";'
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": server,
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
        **{f"listener.name.{name}.plain.sasl.jaas.config": plain for name in ("sasl_ssl", "sasl_plaintext")},
    }
    with local_kafka.running(folder / "kafka", ports, properties) as broker:
        topic = Topic.of(broker.location(NAME))
        make_topic(topic)
        admin = AdminClient(topic.client)
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion("me", scram, PASSWORD.encode())
        admin.alter_user_scram_credentials([user])["me"].result(30)
        yield Secured(broker, ports, authority, stranger)


@pytest.fixture(autouse=True)
def settings(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says; the tests change it."""
    monkeypatch.setenv("AE_ASSETS_KAFKA_CA", str(secured.authority))
    monkeypatch.setenv("AE_ASSETS_KAFKA_USERNAME", "me")
    monkeypatch.setenv("AE_ASSETS_KAFKA_PASSWORD", PASSWORD)
    monkeypatch.setattr(kafka_client, "PATIENCE_SECONDS", 1.0)


def landed(location: str, home: Path) -> Landed:
    topic = Topic.of(location)
    return consume(opened(topic, home), topic, group="secured", until_end=True, batch_seconds=1.0)


def test_records_are_sent_and_landed_by_users_with_a_password_over_tls(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "2024-04-15.csv").write_text("at,site,level\n2024-04-15 00:00:00,a,1\n")
    topic = Topic.of(secured.location("sasl_ssl"))
    reading = opened(topic, tmp_path / "home").table.reading
    source = open_source(str(tmp_path / "2024-04-15.csv"), reading)
    assert [
        n for _, n in produce(source, reading, lambda rows: as_text(rows, reading), list(source.days()), topic)
    ] == [1]
    locations = (
        secured.location("sasl_ssl"),
        secured.location("sasl_plaintext", "&mechanism=PLAIN"),
        secured.location("ssl"),
    )
    for number, location in enumerate(locations):
        told = Told("levels")
        told.see(landed(location, tmp_path / str(number)))
        assert 'kind="row"} 1' in told.page("/metrics")[1], location
        assert PASSWORD not in "".join(told.page(path)[1] for path in ("/metrics", "/health", "/ready"))
    assert PASSWORD.encode() not in everything_kept(tmp_path), "table properties and metadata are among it"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("wrong password, SCRAM", "invalid credentials"),
        ("wrong password, PLAIN", "Invalid username or password"),
        ("wrong authority", "certificate verify failed"),
        ("wrong host", "certificate verify failed"),
        ("no authority", "AE_ASSETS_KAFKA_CA"),
        ("plain text to TLS", "security="),
        ("TLS to plain text", "connecting to a PLAINTEXT broker"),
        ("nobody listens", "Connection refused"),
    ],
)
def test_what_is_wrong_is_said_soon_and_without_the_password(
    case: str,
    said: str,
    secured: Secured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if case.startswith("wrong password"):
        monkeypatch.setenv("AE_ASSETS_KAFKA_PASSWORD", WRONG)
    if case.endswith("authority"):
        authority = secured.stranger if case == "wrong authority" else tmp_path / "none.pem"
        monkeypatch.setenv("AE_ASSETS_KAFKA_CA", str(authority))
    location = {
        "wrong password, PLAIN": secured.location("sasl_ssl", "&mechanism=PLAIN"),
        "wrong host": secured.location("ssl", host="localhost"),
        "plain text to TLS": f"kafka://127.0.0.1:{secured.ports['SSL']}/{NAME}",
        "TLS to plain text": secured.broker.location(NAME, "?security=ssl"),
        "nobody listens": f"kafka://127.0.0.1:9/{NAME}?security=sasl_ssl",
    }.get(case, secured.location("sasl_ssl"))
    with pytest.raises((SourceError, ConfigError)) as refused:
        landed(location, tmp_path) if case != "wrong password, SCRAM" else make_topic(Topic.of(location))
    shown = f"{refused.value!r} {refused.value.__cause__!r}"
    assert said in shown
    assert location.partition("?")[0] in shown
    for secret in (PASSWORD, WRONG):
        assert secret not in shown
    written = "".join(capfd.readouterr()) + caplog.text
    assert len(written.splitlines()) < 10, "it is tried many times and said once"
    for secret in (PASSWORD, WRONG):
        assert secret not in written
        assert secret.encode() not in everything_kept(tmp_path)


@pytest.mark.parametrize("password", [PASSWORD, WRONG])
def test_a_run_of_the_stream_keeps_no_password(
    password: str, secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AE_ASSETS_KAFKA_PASSWORD", password)
    with instance_in(tmp_path) as instance:
        table = table_at(secured.location("sasl_ssl"))
        result = materialise(table, tmp_path / "home", ["stream"], instance=instance)
        assert result.success == (password == PASSWORD), failure_of(result)
        events = repr(instance.all_logs(result.run_id)) + failure_of(result)
    assert "levels" in events
    kept = everything_kept(tmp_path)
    assert b"levels" in kept, "the event log is among what is looked at"
    for secret in (PASSWORD, WRONG):
        assert secret not in events + "".join(capfd.readouterr())
        assert secret.encode() not in kept
