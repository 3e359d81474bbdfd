"""A table of a real Cassandra as a source: its periods, their fingerprints, kills half way, TLS and passwords."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
from cassandra.cluster import Cluster, NoHostAvailable, Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import ConstantReconnectionPolicy
from cassandra.util import uuid_from_time

from ae_assets.chain.raw import RawDay, load_raw
from ae_assets.chain.workspace import RAW
from ae_assets.cli.export_source import export_source
from ae_assets.cli.local_servers.cassandra import running
from ae_assets.cli.local_servers.java import JavaServer
from ae_assets.errors import SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.model.parse import parse_table
from ae_assets.schemas.periods import DAILY, PERIODS, Periods
from ae_assets.sources import Source, open_source
from ae_assets.sources.cassandra import CassandraSource
from ae_assets.sources.ranges import Patience, TransientError
from ae_assets_tests.chain.tables import storage_of

COLUMNS: dict[str, Any] = {
    "time": {"column": "at", "format": "%Y-%m-%d %H:%M:%S", "cadence": "6h"},
    "entity": "site",
    "values": {"level": {"missing": -9999}, "quality": {"type": "text"}, "count": {"type": "int"}},
}
START = datetime(2024, 4, 15, tzinfo=UTC)
SETTINGS = "?consistency=ONE"
BY_SITE = "site text, at timestamp, level double, quality text, count int, nobody blob, PRIMARY KEY (site, at)"
_NUMBERS = count()


@pytest.fixture(scope="module")
def session(cassandra: JavaServer) -> Iterator[Session]:
    cluster = Cluster(["127.0.0.1"], port=cassandra.port, reconnection_policy=ConstantReconnectionPolicy(0.2, None))
    connected = cluster.connect()
    connected.execute(
        "CREATE KEYSPACE telemetry WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    yield connected
    cluster.shutdown()


def made(session: Session, columns: str = BY_SITE) -> str:
    """The name of a new table."""
    name = f"telemetry.levels{next(_NUMBERS)}"
    session.execute(f"CREATE TABLE {name} ({columns})")
    return name


def insert(session: Session, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    statement = session.prepare(f"INSERT INTO {table} (site, at, level, quality, count) VALUES (?, ?, ?, ?, ?)")
    execute_concurrent_with_args(session, statement, rows)


def series(first: datetime, steps: int, step: timedelta = timedelta(hours=6)) -> list[tuple[Any, ...]]:
    return [
        (site, first + number * step, number / 4, "ok", number)
        for number in range(steps)
        for site in ("a", "b", "Zürich")
    ]


def source_of(
    cassandra: JavaServer,
    table: str,
    settings: str = SETTINGS,
    memory: Path | None = None,
    columns: Mapping[str, Any] | None = None,
    periods: Periods = DAILY,
) -> Source:
    section = SourceSection.model_validate({"location": "x", "columns": {**COLUMNS, **(columns or {})}})
    return open_source(cassandra.location(table, settings), replace(section.reading, periods=periods), memory)


@pytest.mark.parametrize(("partitions", "periods"), [("hourly", 12), ("daily", 3), ("weekly", 1)])
@pytest.mark.parametrize("settings", [SETTINGS, f"{SETTINGS}&page_rows=2&ranges=3"])
def test_each_row_is_of_one_period_by_whatever_pages_and_ranges_it_comes(
    cassandra: JavaServer, session: Session, partitions: str, periods: int, settings: str
) -> None:
    table, rows = made(session), series(START, 12)
    insert(session, table, rows)
    source = source_of(cassandra, table, settings, periods=PERIODS[partitions])
    days = source.days()
    assert list(days) == sorted({PERIODS[partitions].of(row[1]) for row in rows})
    assert len(days) == periods
    for day, listed in days.items():
        frame = source.read(listed)
        assert set(map(PERIODS[partitions].of, frame["at"])) == {day}
        assert frame["source_row"].to_list() == list(range(1, frame.height + 1))
        assert frame["rescued"].null_count() == frame.height
        assert "nobody" not in frame.columns
    read = [tuple(row[name] for name in ("site", "at", "level", "quality", "count")) for row in named_rows(source)]
    assert sorted(read) == sorted(rows)
    assert source.strays() == []


def named_rows(source: Source) -> list[dict[str, Any]]:
    return [row for day in source.days().values() for row in source.read(day).to_dicts()]


def test_only_periods_that_changed_have_another_fingerprint(cassandra: JavaServer, session: Session) -> None:
    table = made(session)
    insert(session, table, series(START, 12))
    source = source_of(cassandra, table)
    prints = [{day: listed.fingerprint for day, listed in source.days().items()}]
    changes = [
        f"INSERT INTO {table} (site, at, level) VALUES ('late', '2024-04-16 05:00:00+0000', 1)",
        f"UPDATE {table} SET level = 7 WHERE site = 'a' AND at = '2024-04-15 00:00:00+0000'",
        f"DELETE FROM {table} WHERE site = 'b' AND at = '2024-04-17 06:00:00+0000'",
        f"UPDATE {table} SET quality = 'bad' WHERE site = 'b' AND at = '2024-04-17 00:00:00+0000'",
    ]
    for change in changes:
        session.execute(change)
        prints.append({day: listed.fingerprint for day, listed in source.days().items()})
    changed = [[day.day for day in after if after[day] != before[day]] for before, after in pairwise(prints)]
    assert changed == [[16], [15], [17], [17]]


@pytest.mark.parametrize(
    ("columns", "time"),
    [
        ("site text, day date, at timestamp, level double, PRIMARY KEY ((site, day), at)", None),
        ("site text, at timeuuid, level double, PRIMARY KEY (site, at)", None),
        ('site text, "At" timestamp, level float, PRIMARY KEY ((site, "At"))', None),
        ("site text, at date, level double, PRIMARY KEY (site, at)", {"column": "at"}),
    ],
    ids=["a bucket of a day", "timeuuid", "the time in the partition key, written large", "date"],
)
def test_the_time_may_stand_anywhere_in_the_primary_key(
    cassandra: JavaServer, session: Session, columns: str, time: dict[str, str] | None
) -> None:
    table = made(session, columns)
    moments = [START + timedelta(hours=hours) for hours in (0, 23, 24, 47.5, 71.99)]
    given: dict[str, list[Any]] = {"timeuuid": [uuid_from_time(at.timestamp()) for at in moments]}
    at = '"At"' if "At" in columns else "at"
    days = "day, " if "day date" in columns else ""
    for moment, value in zip(moments, given.get("timeuuid" if "timeuuid" in columns else "", moments), strict=True):
        marks = [moment.date()] if days else []
        held = [value.date() if "at date" in columns else value]
        places = ", ".join(["%s"] * (3 + len(marks)))
        session.execute(f"INSERT INTO {table} (site, {days}{at}, level) VALUES ({places})", ("a", *marks, *held, 0.5))
    values = {"values": {"level": {}}, **({} if time is None else {"time": time})}
    source = source_of(cassandra, table, columns=values)
    counts = {day.day: source.read(listed).height for day, listed in source.days().items()}
    assert counts == ({15: 1, 16: 1, 17: 1} if "at date" in columns else {15: 2, 16: 2, 17: 1})
    if "At" in columns:
        with pytest.raises(SourceError):
            source_of(cassandra, table, columns={**values, "values": {"levle": {}}}).days()


def test_values_of_all_types_are_read_and_what_fits_no_number_is_rescued(
    cassandra: JavaServer, session: Session
) -> None:
    table = made(
        session,
        "site uuid, at timestamp, whole varint, exact decimal, open boolean, said ascii, "
        "small tinyint, PRIMARY KEY (site, at)",
    )
    site = "7f2c0000-0000-4000-8000-000000000001"
    session.execute(
        f"INSERT INTO {table} (site, at, whole, exact, open, said, small) "
        f"VALUES ({site}, '2024-04-15', {10**30}, 2.50, true, '12,5', -3)"
    )
    session.execute(f"INSERT INTO {table} (site, at, whole) VALUES ({site}, '2024-04-15 06:00:00+0000', 12)")
    values = {"whole": {"type": "int"}, "exact": {}, "open": {"type": "text"}, "said": {}, "small": {"type": "int"}}
    source = source_of(cassandra, table, columns={"values": values})
    first, second = named_rows(source)
    assert (first["site"], first["exact"], first["open"], first["small"]) == (site, 2.5, "true", -3)
    assert (first["whole"], first["said"]) == (None, None)
    assert '"said": "12,5"' in first["rescued"]
    assert str(10**30) in first["rescued"]
    assert (second["whole"], second["exact"], second["rescued"]) == (12, None, None)


def test_settled_periods_are_looked_at_once(cassandra: JavaServer, session: Session, tmp_path: Path) -> None:
    table = made(session)
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    insert(session, table, series(START, 4) + series(today - timedelta(hours=12), 3))

    def listed() -> dict[date, str]:
        source = source_of(cassandra, table, f"{SETTINGS}&settled=30d", tmp_path)
        return {day: one.fingerprint for day, one in source.days().items()}

    before = listed()
    insert(session, table, [("late", START, 1.0, "ok", 1), ("late", today, 1.0, "ok", 1)])
    after = listed()
    assert after[START.date()] == before[START.date()]
    assert after[today.date()] != before[today.date()]
    assert source_of(cassandra, table).days()[START.date()].fingerprint != before[START.date()]


def test_a_server_that_is_killed_half_way_costs_time_and_no_row(
    cassandra: JavaServer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, rows = made(session), series(START, 200, timedelta(minutes=6))
    insert(session, table, rows)
    session.execute(f"SELECT count(*) FROM {table}")
    asked = count()
    restarts: list[Thread] = []
    pages = CassandraSource._asked

    def killed_at_the_fortieth_page(self: CassandraSource, ask: Any) -> Any:
        if next(asked) == 40:
            cassandra.kill()
            restarts.append(Thread(target=cassandra.start))
            restarts[0].start()
        return pages(self, ask)

    source = source_of(cassandra, table, f"{SETTINGS}&page_rows=5&ranges=4&timeout=5s&attempts=12")
    listed = source.days()[START.date()]
    monkeypatch.setattr(CassandraSource, "_asked", killed_at_the_fortieth_page)
    frame = source.read(listed)
    restarts[0].join()
    Patience(20).ask("the session of the tests", lambda: connected_again(session), "the server")
    assert frame.height == len(rows)
    assert sorted(frame.select("site", "at").rows()) == sorted(row[:2] for row in rows)


def connected_again(session: Session) -> None:
    try:
        session.execute("SELECT key FROM system.local")
    except NoHostAvailable as problem:
        raise TransientError(str(problem)) from problem


def test_rows_that_are_gone_since_the_listing_are_no_smaller_day(cassandra: JavaServer, session: Session) -> None:
    table = made(session)
    insert(session, table, series(START, 4))
    source = source_of(cassandra, table)
    listed = source.days()[START.date()]
    session.execute(f"DELETE FROM {table} WHERE site = 'a'")
    with pytest.raises(SourceError, match=r"had 12 rows when it was listed, and 8 were read"):
        source.read(listed)
    assert source.read(source.days()[START.date()]).height == 8


def test_the_chain_takes_up_what_changed_and_nothing_else(
    cassandra: JavaServer, session: Session, tmp_path: Path
) -> None:
    name = made(session)
    insert(session, name, series(START, 12))
    yaml = {
        "table": "levels",
        "source": {"location": cassandra.location(name, SETTINGS), "columns": COLUMNS},
        "features": {"attributes": {"level": {"kind": "gauge", "meaning": "level"}}},
    }
    definition = parse_table(yaml, "levels.yaml")
    source, space = open_source(definition.source.location, definition.reading), storage_of(definition, tmp_path)
    loaded = list(load_raw(space, source, sorted(source.days())))
    assert [day.rows for day in loaded if isinstance(day, RawDay)] == [12, 12, 12]
    insert(session, name, [("c", START, 1.0, "ok", 1)])
    assert len(list(load_raw(space, source, sorted(source.days())))) == 3
    assert space.read(RAW, START.date(), START.date() + timedelta(days=2)).height == 37


def test_periods_are_written_to_files_that_read_back_to_the_same_rows(
    cassandra: JavaServer, session: Session, tmp_path: Path
) -> None:
    table = made(session, BY_SITE.replace("level double", "level text"))
    rows = [
        (*row[:2], "1,5" if row[4] == 3 else str(row[2]), 'of "note", or\nmore', row[4]) for row in series(START, 12)
    ]
    insert(session, table, rows)
    source = source_of(cassandra, table)
    days = [START.date() + timedelta(days=number) for number in range(5)]
    reading = SourceSection.model_validate({"location": "x", "columns": COLUMNS}).reading
    assert export_source(source, reading, days, tmp_path) == (36, 3)
    assert [file.name for file in sorted(tmp_path.iterdir())] == [f"{day}.csv" for day in days[:3]]
    of_files = open_source(str(tmp_path), reading)
    for day in days[:3]:
        original, copy = (one.read(one.days()[day]) for one in (source, of_files))
        one_line = pl.col("quality").str.replace("\n", " ", literal=True)
        expected = original.with_columns(pl.col("source_row").cast(pl.Int32), one_line)
        assert copy.select(original.columns).equals(expected)
    assert [row["rescued"] for row in named_rows(of_files) if row["rescued"]] == ['{"level": "1,5"}'] * 3


@pytest.mark.parametrize(
    ("columns", "table", "said"),
    [
        ("site text, at text, level double, PRIMARY KEY (site, at)", None, "is of the type text, expected a timestamp"),
        ("site text, at timestamp, level double, PRIMARY KEY (site)", None, "not in the primary key"),
        ("site text, at timestamp, level list<double>, PRIMARY KEY (site, at)", None, r"level \(list<double>\)"),
        ("name text, at timestamp, level double, PRIMARY KEY (name, at)", None, "site"),
        (BY_SITE, "telemetry.none", "there is no such table; in the keyspace telemetry: levels"),
        (BY_SITE, "nowhere.none", "no table that this user may see"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_what_is_expected(
    cassandra: JavaServer, session: Session, columns: str, table: str | None, said: str
) -> None:
    name = made(session, columns)
    with pytest.raises(SourceError, match=said):
        source_of(cassandra, table or name, columns={"values": {"level": {}}}).days()


def test_names_of_columns_are_only_names(cassandra: JavaServer, session: Session) -> None:
    odd = 'a"b; DROP TABLE telemetry.x; --'
    quoted = odd.replace('"', '""')
    table = made(session, f'site text, at timestamp, "{quoted}" double, PRIMARY KEY (site, at)')
    session.execute(f'INSERT INTO {table} (site, at, "{quoted}") VALUES (%s, %s, 1.5)', ("a", START))
    source = source_of(cassandra, table, columns={"values": {odd: {}}})
    [day] = source.days().values()
    assert source.read(day)[odd].to_list() == [1.5]


def test_passwords_and_certificates_are_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    user = "cassandra"  # the first one of each new server, with this password
    key, certificate = (tmp_path / name for name in ("key.pem", "certificate.pem"))
    openssl = shutil.which("openssl")
    assert openssl is not None
    subject = ["-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1"]
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", key, "-out", certificate]
    subprocess.run([openssl, *new, *subject], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    monkeypatch.setenv("JVM_EXTRA_OPTS", "")
    settings = f"""
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
client_encryption_options:
  enabled: true
  optional: false
  keystore: {both}
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
"""
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server", settings) as server:
        monkeypatch.setenv("AE_ASSETS_CASSANDRA_USERNAME", user)
        monkeypatch.setenv("AE_ASSETS_CASSANDRA_PASSWORD", user)
        monkeypatch.setenv("AE_ASSETS_CASSANDRA_CA", str(certificate))
        there = "there is no such table"
        assert there in refusal(server, "?tls=on")
        monkeypatch.setenv("AE_ASSETS_CASSANDRA_PASSWORD", "hunter2")
        wrong = refusal(server, "?tls=on")
        assert "AE_ASSETS_CASSANDRA_PASSWORD" in wrong
        assert there not in wrong
        assert "hunter2" not in wrong
        monkeypatch.delenv("AE_ASSETS_CASSANDRA_USERNAME")
        assert there not in refusal(server, "?tls=on")
        monkeypatch.setenv("AE_ASSETS_CASSANDRA_USERNAME", user)
        monkeypatch.setenv("AE_ASSETS_CASSANDRA_PASSWORD", user)
        monkeypatch.delenv("AE_ASSETS_CASSANDRA_CA")
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(server, "?tls=on&timeout=5s&attempts=1")
        assert there not in refusal(server, "?timeout=2s&attempts=1")
    assert "hunter2" not in "".join(capfd.readouterr()) + caplog.text


def refusal(server: JavaServer, settings: str) -> str:
    with pytest.raises(SourceError) as refused:
        source_of(server, "nowhere.levels", settings).days()
    return str(refused.value)
