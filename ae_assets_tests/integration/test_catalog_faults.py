"""The catalog's own server goes away, is busy, is silent or loses its answer while days are written."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.integration.faults import Fault, Proxy, answer, proxy_to, reset_after, silent_for
from ae_assets_tests.integration.postgres import Postgres
from ae_assets_tests.integration.seaweed import KEY, SECRET, Seaweed
from ae_assets_tests.lakehouse.conftest import day_after, frame_of


def write(lakehouse: Lakehouse, value: int, days: int = 3) -> None:
    with lakehouse.writer("t.raw", commit_rows=3) as writer:
        for number in range(days):
            writer.write(day_after(number), frame_of(day_after(number), value=value))


def values(lakehouse: Lakehouse) -> list[int]:
    return lakehouse.read("t.raw", day_after(0), day_after(9))["value"].to_list()


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("ae_assets.lakehouse.catalogs.PATIENCE_SECONDS", seconds)
    monkeypatch.setattr("ae_assets.lakehouse.access._LOAD_SECONDS", seconds)


@pytest.fixture
def on_postgres(postgres: Postgres, tmp_path: object) -> Iterator[dict[str, str]]:
    """A catalog in PostgreSQL with files on this machine; the server runs again afterwards, whatever a test did."""
    yield {"type": "sql", "uri": postgres.url(postgres.new_database()), "warehouse": f"{tmp_path}/warehouse"}
    if not postgres.running:
        postgres.start()


@pytest.mark.slow
def test_a_postgresql_that_restarts_during_writes_is_waited_for(
    postgres: Postgres, on_postgres: dict[str, str]
) -> None:
    lakehouse = Lakehouse.open(None, on_postgres)
    write(lakehouse, 0)

    def restart() -> None:
        for _ in range(3):
            time.sleep(0.4)
            postgres.stop()
            time.sleep(0.6)
            postgres.start()

    written = 0
    restarting = threading.Thread(target=restart)
    restarting.start()
    while restarting.is_alive():
        written += 1
        write(lakehouse, written)
    restarting.join()
    assert values(lakehouse) == [written] * 9
    assert len(lakehouse._access.get("t.raw").snapshots()) == 3 * (written + 1), "each commit came through once"
    lakehouse.close()


def test_a_postgresql_that_starts_later_is_waited_for_and_one_that_does_not_is_named(
    postgres: Postgres, on_postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.stop()
    secret = {**on_postgres, "uri": on_postgres["uri"].replace("postgres@", "postgres:hidden@")}
    lakehouse = Lakehouse.open(None, secret)

    def start() -> None:
        time.sleep(1)
        postgres.start()

    with meanwhile(start):
        write(lakehouse, 1)
    assert values(lakehouse) == [1] * 9
    lakehouse.close()
    postgres.stop()
    patience(monkeypatch, 0.3)
    with pytest.raises(LakehouseError, match=r"(?s)cannot be opened.*Check its address") as away:
        lakehouse.exists("t.raw")
    assert "hidden" not in str(away.value)


def test_a_database_that_is_not_there_is_not_waited_for(
    on_postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, 600)
    began = time.monotonic()
    with pytest.raises(LakehouseError, match="does not exist"):
        Lakehouse.open(None, {**on_postgres, "uri": f"{on_postgres['uri']}_missing"}).exists("t.raw")
    assert time.monotonic() - began < 300


def test_a_postgresql_that_accepts_and_says_nothing_is_given_up(
    on_postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"postgresql+psycopg2://postgres@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2"
        with pytest.raises(LakehouseError, match="timeout expired"):
            Lakehouse.open(None, {**on_postgres, "uri": uri}).exists("t.raw")


@pytest.fixture(scope="module")
def rest_proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with proxy_to(seaweed.iceberg_port) as opened:
        yield opened


@pytest.fixture
def on_rest(aws: Seaweed, rest_proxy: Proxy) -> Iterator[dict[str, str]]:
    """The REST catalog behind the proxy."""
    settings = {
        "type": "rest",
        "uri": rest_proxy.endpoint,
        "warehouse": "s3://lake",
        "credential": f"{KEY}:{SECRET}",
        "oauth2-server-uri": f"{rest_proxy.endpoint}/v1/oauth/tokens",
        "s3.endpoint": aws.endpoint,
        "s3.access-key-id": KEY,
        "s3.secret-access-key": SECRET,
        "s3.region": "us-east-1",
    }
    yield settings
    rest_proxy.faults.clear()
    rest_proxy.rule = lambda _method, _path: None
    from pyiceberg.catalog import load_catalog

    load_catalog("ae_assets", **settings).drop_table(("t", "raw"))


def now_and_then(fault: Fault, wanted: Callable[[str, str], bool]) -> Callable[[str, str], Fault | None]:
    """Breaks one in three of the wanted requests."""
    chance = random.Random(2)  # noqa: S311 - no secret
    return lambda method, path: fault if wanted(method, path) and chance.random() < 1 / 3 else None


@pytest.mark.parametrize(
    "fault", [answer(503), answer(500), answer(429), reset_after(0)], ids=["503", "500", "429", "reset"]
)
def test_a_rest_catalog_that_fails_now_and_then_is_asked_again(
    on_rest: dict[str, str], rest_proxy: Proxy, fault: Fault
) -> None:
    rest_proxy.rule = now_and_then(fault, lambda _method, _path: True)
    lakehouse = Lakehouse.open(None, on_rest)
    write(lakehouse, 1)
    write(lakehouse, 2)
    rest_proxy.rule = lambda _method, _path: None
    assert values(lakehouse) == [2] * 9
    assert len(lakehouse._access.get("t.raw").snapshots()) == 6, "a commit whose answer was lost is not made twice"
    lakehouse.close()


def test_a_silent_rest_catalog_is_given_up_and_asked_again(
    on_rest: dict[str, str], rest_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ae_assets.lakehouse.rest._SECONDS", (1, 1))
    lakehouse = Lakehouse.open(None, on_rest)
    write(lakehouse, 1)
    rest_proxy.rule = now_and_then(silent_for(600), lambda method, path: method == "POST" and path.endswith("/raw"))
    write(lakehouse, 2)
    rest_proxy.rule = lambda _method, _path: None
    assert values(lakehouse) == [2] * 9
    lakehouse.close()


def test_a_rest_catalog_that_stays_away_is_named_and_a_rerun_completes(
    on_rest: dict[str, str], rest_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lakehouse = Lakehouse.open(None, on_rest)
    write(lakehouse, 1)
    patience(monkeypatch, 0.3)
    rest_proxy.rule = lambda _method, _path: answer(503)
    with pytest.raises(LakehouseError, match=r"Gave up opening t\.raw .* when the catalog's server answers") as away:
        write(lakehouse, 2)
    assert SECRET not in str(away.value)
    with pytest.raises(LakehouseError, match="cannot be opened"):
        Lakehouse.open(None, on_rest).exists("t.raw")
    rest_proxy.rule = lambda _method, _path: None
    assert values(lakehouse) == [1] * 9
    write(lakehouse, 2)
    assert values(lakehouse) == [2] * 9
    lakehouse.close()
