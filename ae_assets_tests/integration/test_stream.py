"""A topic of a real broker is landed once and whole, whatever is killed meanwhile, and read as a source."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dagster as dg
import polars as pl
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ae_assets.chain.features import build_features
from ae_assets.chain.maintenance import maintain
from ae_assets.chain.raw import RawDay, load_raw
from ae_assets.chain.sending import produce
from ae_assets.chain.stream import Landed, _Reader, consume
from ae_assets.chain.workspace import DEAD_LETTERS, FEATURES, QUARANTINE, RAW, STREAM, Workspace
from ae_assets.cli import stream as cli_stream
from ae_assets.cli.export_source import as_text
from ae_assets.cli.instance import Chain, Loaded
from ae_assets.cli.local_servers.java import JavaServer
from ae_assets.cli.stream import consumed
from ae_assets.errors import SourceError
from ae_assets.lakehouse.tables import Lakehouse
from ae_assets.model.definition import MaintenanceSection, WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.sources import Source, open_source
from ae_assets.sources.kafka import OFFSET, PART, Topic
from ae_assets_tests.chain.tables import storage_of
from ae_assets_tests.conftest import REPOSITORY
from ae_assets_tests.pipeline.runs import PipelineAlone, instance_in

START = datetime(2024, 4, 15, tzinfo=UTC)
COLUMNS: dict[str, Any] = {
    "time": {"column": "at", "format": ["%Y-%m-%d %H:%M:%S", "%Q"], "cadence": "6h"},
    "entity": "site",
    "values": {"level": {}, "quality": {"type": "text"}},
}
_NUMBERS = count()


def opened(topic: Topic, home: Path, columns: dict[str, Any] = COLUMNS) -> Workspace:
    return storage_of(table_at(topic.location, columns), home)


def table_at(location: str, columns: dict[str, Any] = COLUMNS) -> WatchedTable:
    yaml = {
        "table": "levels",
        "source": {"location": location, "columns": columns},
        "features": {"attributes": {"level": {"kind": "gauge", "meaning": "level"}}},
    }
    return parse_table(yaml, "defs.yaml")


class Case:
    """A topic of the test's own, and a home."""

    def __init__(self, kafka: JavaServer, home: Path, partitions: int = 3, settings: str = "") -> None:
        self.kafka = kafka
        self.name = f"levels-{next(_NUMBERS)}"
        self.topic = Topic.of(kafka.location(self.name, settings))
        admin = AdminClient(self.topic.client)
        admin.create_topics([NewTopic(self.name, partitions, 1)])[self.name].result(60)
        self.home = home
        self.space = opened(self.topic, home)
        self.producer = Producer({**self.topic.client, "enable.idempotence": True})

    @property
    def source(self) -> Source:
        reading = self.space.table.reading
        return open_source(self.topic.location, reading, landed=lambda: self.space.tables.iceberg("levels.stream"))

    def send(self, values: Sequence[dict[str, Any] | bytes | None]) -> None:
        for value in values:
            key = value["site"] if isinstance(value, dict) else None
            self.producer.produce(self.name, json.dumps(value) if isinstance(value, dict) else value, key)
            self.producer.poll(0)
        assert self.producer.flush(60) == 0

    def consume(self, **settings: Any) -> Landed:
        return consume(self.space, self.topic, group="tests", until_end=True, batch_seconds=1.0, **settings)

    def stored(self, asset: str = STREAM) -> pl.DataFrame:
        if not self.space.exists(asset):
            return pl.DataFrame()
        return self.space.read(asset, START.date() - timedelta(days=400), datetime.now(UTC).date())


@pytest.fixture
def case(kafka: JavaServer, tmp_path: Path) -> Case:
    return Case(kafka, tmp_path / "home")


def records(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {"site": f"s{number % 7}", "at": f"{START + timedelta(minutes=number):%Y-%m-%d %H:%M:%S}", "level": number / 4}
        for number in range(first, last)
    ]


def whole(case: Case, sent: Sequence[dict[str, Any]]) -> bool:
    """Whether each record that was sent is a row, once."""
    rows = case.stored()
    assert rows.select(PART, OFFSET).is_unique().all()
    held = sorted(rows.select("site", "level").rows())
    return held == sorted((one["site"], str(one["level"])) for one in sent)


def test_records_become_rows_of_their_periods_and_what_is_none_a_dead_letter_with_the_reason(case: Case) -> None:
    late = {"site": "s1", "at": "1713139200000", "level": 1, "quality": "zürich", "more": "is not of the contract"}
    odd = {"site": "s2", "at": "2024-04-15 06:00:00", "level": "1,5", "quality": None}
    poison: list[Any] = [
        *(b"\xff\xfe", b"{", b"[1]", b'"text"', b"[" * 100_000, None, b'{"site": "s1", "level": 1}'),
        *(b'{"site": "s1", "at": "yesterday"}', b'{"site": "s1", "at": "2024-04-15 06:00:00", "level": [1, 2]}'),
        b'{"site": "s1", "at": "2024-04-15 06:00:00", "quality": "' + b"x" * 2**20 + b'"}',
    ]
    case.producer = Producer({**case.topic.client, "message.max.bytes": 2**21})
    assert case.consume().rows == 0
    assert case.source.days() == {}
    case.send([*records(0, 3_000), late, odd, *poison[:-1]])
    landed = case.consume()
    assert (landed.rows, landed.letters) == (3_002, len(poison) - 1)
    assert sorted(day.day for day in landed.periods) == [15, 16, 17]
    letters = case.stored(DEAD_LETTERS)
    assert sorted(letters["value"].to_list(), key=repr) == sorted(poison[:-1], key=repr)
    said = letters["reason"].str.to_lowercase().to_list()
    for part in (
        "no value",
        "no json",
        "a json list",
        "a json str",
        "'level' holds a list",
        "time is 'yesterday'",
    ):
        assert any(part in reason for reason in said), part
    source = case.source
    days = source.days()
    frame = pl.concat([source.read(listed) for listed in days.values()])
    assert frame.columns == ["at", "site", "level", "quality", "source_row", "rescued"]
    assert frame.height == 3_002
    assert frame.filter(quality="zürich").select("site", "at", "level").rows() == [("s1", START, 1.0)]
    assert frame.filter(pl.col("rescued").is_not_null()).select("site", "level", "rescued").rows() == [
        ("s2", None, '{"level": "1,5"}')
    ]


def test_late_records_load_their_period_again_and_no_other(case: Case) -> None:
    case.send(records(0, 3_000))
    case.consume()
    days = case.source.days()
    loaded = list(load_raw(case.space, case.source, sorted(days)))
    assert sum(day.rows for day in loaded if isinstance(day, RawDay)) == 3_000
    case.send([{"site": "late", "at": "2024-04-16 00:00:00", "level": 1}])
    assert case.consume().rows == 1
    after = case.source.days()
    assert [day.day for day in after if after[day] != days[day]] == [16]
    assert len(list(load_raw(case.space, case.source, sorted(after)))) == 3
    assert case.space.read(RAW, START.date(), START.date() + timedelta(days=3)).height == 3_001


CONSUMER = """
import sys
from pathlib import Path
from ae_assets.chain.stream import consume
from ae_assets.sources.kafka import Topic
from ae_assets_tests.integration.test_stream import opened
topic = Topic.of(sys.argv[1])
print("begin", flush=True)
consume(opened(topic, Path(sys.argv[2])), topic, group="killed", batch_rows=200, batch_seconds=0.5)
"""


def consumer(case: Case) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CONSUMER, case.topic.location, str(case.home)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    return process


def rows_landed(case: Case) -> int:
    return sum(case.space.tables.positions("levels.stream").values())


def wait_for(case: Case, rows: int, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while rows_landed(case) < rows:
        assert time.monotonic() < until, rows_landed(case)
        time.sleep(0.1)


def test_consumers_that_are_killed_and_share_partitions_land_each_record_once(case: Case) -> None:
    sent = records(0, 6_000)
    case.send(sent[:2_000])
    running = [consumer(case), consumer(case)]
    try:
        wait_for(case, 400)
        running[0].kill()
        case.send(sent[2_000:4_000])
        wait_for(case, 1_500)
        running.append(consumer(case))
        running[1].kill()
        case.send(sent[4_000:])
        wait_for(case, 3_000)
    finally:
        for process in running:
            process.kill()
            process.communicate()
    case.consume()
    assert whole(case, sent)


def test_a_broker_that_is_killed_half_way_costs_time_and_no_record(case: Case, kafka: JavaServer) -> None:
    sent = records(0, 4_000)
    case.send(sent[:2_000])
    done, landed = Event(), []

    def consuming() -> None:
        settings = {"group": "away", "stopped": done.is_set, "batch_rows": 300, "batch_seconds": 0.3}
        landed.append(consume(case.space, case.topic, **settings))

    thread = Thread(target=consuming)
    thread.start()
    try:
        wait_for(case, 300)
        kafka.kill()
        kafka.start()
        case.send(sent[2_000:])
        wait_for(case, 4_000)
    finally:
        done.set()
        thread.join(120)
    assert landed[0].rows == 4_000
    assert whole(case, sent)


def test_what_was_read_before_partitions_change_hands_is_landed_once(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = records(0, 3_000)
    case.send(sent)
    readers, done = list[_Reader](), Event()
    made = _Reader.__init__

    def remembered(self: _Reader, *given: Any) -> None:
        made(self, *given)
        readers.append(self)

    monkeypatch.setattr(_Reader, "__init__", remembered)

    def consuming() -> None:
        consume(case.space, case.topic, group="shared", stopped=done.is_set, batch_seconds=15.0)

    threads = [Thread(target=consuming) for _ in range(2)]
    try:
        threads[0].start()
        until = time.monotonic() + 60
        while not readers or sum(readers[0]._places.values()) < 3_000:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert rows_landed(case) == 0, "all is read and nothing landed"
        threads[1].start()
        while len(readers) < 2 or not readers[1]._places:
            assert time.monotonic() < until
            time.sleep(0.05)
        wait_for(case, 3_000)
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
    assert whole(case, sent)


def test_what_was_landed_before_a_commit_that_failed_is_not_landed_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.send([*records(0, 500), b"{"])
    appended = Lakehouse.append
    with monkeypatch.context() as patch:

        def killed(self: Lakehouse, table: str, *given: Any) -> bool:
            if table.endswith(STREAM):
                raise KeyboardInterrupt
            return appended(self, table, *given)

        patch.setattr(Lakehouse, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            case.consume()
    assert case.stored(DEAD_LETTERS).height == 1
    landed = case.consume(batch_rows=100)
    assert (landed.rows, landed.letters) == (500, 0)
    assert case.stored(DEAD_LETTERS).height == 1
    assert whole(case, records(0, 500))


def test_a_source_that_is_sent_comes_back_equal_and_an_aborted_period_is_no_record(
    case: Case, kafka: JavaServer
) -> None:
    files = case.home / "files"
    files.mkdir(parents=True)
    lines = [f"{one['at']},{one['site']},{one['level']}" for one in records(0, 2_000)]
    for day in (15, 16):
        of_day = [line for line in lines if line.startswith(f"2024-04-{day}")]
        (files / f"2024-04-{day}.csv").write_text("\n".join(["at,site,level", *of_day]) + "\n")
    reading = case.space.table.reading
    source = open_source(str(files), reading)
    topic = Topic.of(kafka.location(f"{case.name}-made", "?partitions=2"))
    texts = lambda rows: as_text(rows, reading)  # noqa: E731
    days = sorted(source.days())
    sent = produce(source, reading, texts, days, topic)
    assert next(sent) == (days[0], 1_440)
    del sent  # the second day is never sent
    aborted = Producer({**topic.client, "transactional.id": "another"})
    aborted.init_transactions(60)
    aborted.begin_transaction()
    aborted.produce(topic.name, b'{"site": "never", "at": "2024-04-15 00:00:00"}')
    aborted.flush(60)
    aborted.abort_transaction(60)
    assert consume(case.space, topic, group="x", until_end=True, batch_seconds=1.0).rows == 1_440
    list(produce(source, reading, texts, days[1:], topic))
    assert consume(case.space, topic, group="x", until_end=True, batch_seconds=1.0).rows == 560
    landed = open_source(topic.location, reading, landed=lambda: case.space.tables.iceberg("levels.stream"))
    for day in days:
        frames = [one.read(one.days()[day]).sort("at", "site") for one in (source, landed)]
        same = ["at", "site", "level"]
        assert frames[0].select(same).equals(frames[1].select(same))


PRODUCER = """
import os, signal, sys, time
from pathlib import Path
from ae_assets.chain.sending import produce
from ae_assets.cli.export_source import as_text
from ae_assets.sources import open_source
from ae_assets.sources.kafka import JsonObjects, Topic
from ae_assets_tests.integration.test_stream import opened
topic = Topic.of(sys.argv[1])
reading = opened(topic, Path(sys.argv[2]) / "home").table.reading
source = open_source(sys.argv[2] + "/files", reading)
encoded = JsonObjects.encoded

def killed_half_way(self, rows, texts):
    values = encoded(self, rows, texts)
    yield from values[: len(values) // 2]
    time.sleep(1)  # these are with the broker now
    os.kill(os.getpid(), signal.SIGKILL)

for day, rows in produce(source, reading, lambda rows: as_text(rows, reading), sorted(source.days()), topic):
    JsonObjects.encoded = killed_half_way
"""


def test_a_producer_that_is_killed_half_way_and_run_again_leaves_each_row_once(case: Case, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for day in (15, 16):
        lines = [
            f"2024-04-{day} {minute // 60:02}:{minute % 60:02}:00,s{minute % 7},{minute / 4}" for minute in range(1_000)
        ]
        (tmp_path / "files" / f"2024-04-{day}.csv").write_text("\n".join(["at,site,level", *lines]) + "\n")
    command = [sys.executable, "-c", PRODUCER, case.topic.location, str(tmp_path)]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL
    assert case.consume().rows == 1_000, "the first period, and nothing of the second"
    reading = case.space.table.reading
    source = open_source(str(tmp_path / "files"), reading)
    again = produce(source, reading, lambda rows: as_text(rows, reading), sorted(source.days()), case.topic)
    assert [rows for _, rows in again] == [1_000, 1_000]
    case.send([{"site": "s0", "at": "2024-04-15 00:00:00", "level": -1}])  # another record of a row that was sent
    landed = case.consume()
    assert (landed.rows, landed.letters, case.stored().height) == (2_001, 0, 3_001)
    days = sorted(case.source.days())
    loaded = [day for day in load_raw(case.space, case.source, days) if isinstance(day, RawDay)]
    assert [(day.rows, day.repeated) for day in loaded] == [(1_001, 1_000), (1_000, 0)]
    build_features(case.space, days)
    raw, features, aside = (case.stored(asset) for asset in (RAW, FEATURES, QUARANTINE))
    assert (raw.height, features.height, aside.height) == (2_001, 2_000, 1)
    assert "-1.0" in str(aside.row(0)), "the record that came first stays"
    key = ["at", "site", "level"]
    expected = pl.concat([source.read(one) for one in source.days().values()]).select(key)
    assert raw.filter(pl.col("level") >= 0).select(key).sort(key).equals(expected.sort(key))


def test_columns_that_come_go_and_change_mid_topic_cost_no_record(case: Case) -> None:
    at = [f"2024-04-15 {hour:02}:00:00" for hour in range(7)]
    case.send(
        [
            {"site": "a", "at": at[0], "level": 1, "quality": "good"},
            {"site": "a", "at": at[1], "level": 2, "quality": "good", "added": {"deep": [1]}},
            {"site": "a", "at": at[2], "quality": "removed"},
            {"site": "a", "at": at[3], "height": 4, "quality": "renamed"},
            {"site": "a", "at": at[4], "level": "five", "quality": 5},
            {"site": "a", "at": at[5], "level": True, "quality": False},
            {"site": "a", "at": at[6], "level": {"value": 7}},
        ]
    )
    landed = case.consume()
    assert (landed.rows, landed.letters) == (6, 1)
    case.space = opened(case.topic, case.home, COLUMNS | {"values": {"height": {}, "level": {}}})
    case.send([{"site": "a", "at": "2024-04-15 08:00:00", "level": "nine", "height": 9}])
    assert case.consume().rows == 1
    [day] = case.source.days().values()
    rows = case.source.read(day).sort("at")
    assert rows["level"].to_list() == [1, 2, None, None, None, None, None]
    assert rows["height"].to_list() == [None] * 6 + [9]
    assert rows["rescued"].drop_nulls().to_list() == [f'{{"level": "{text}"}}' for text in ("five", "true", "nine")]


def test_records_in_avro_are_landed_by_the_schema_of_each(kafka: JavaServer, tmp_path: Path) -> None:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (tmp_path / "files").mkdir()
    settings = f"?format=avro&schemas={schemas}&partitions=2"
    case = Case(kafka, tmp_path / "home", settings=settings)
    sent = {}
    for day, columns in ((15, COLUMNS), (16, COLUMNS | {"values": {"speed": {"type": "int"}, "level": {}}})):
        header = "at,site,level,speed" if day == 16 else "at,site,level,quality"
        lines = [f"2024-04-{day} {hour:02}:00:00,s{hour % 3},{hour / 8},{hour}" for hour in range(24)]
        lines.append(f'2024-04-{day} 05:30:00,s1,"1,5",7')
        (tmp_path / "files" / f"2024-04-{day}.csv").write_text("\n".join([header, *lines]) + "\n")
        reading = opened(case.topic, case.home, columns).table.reading
        source = open_source(str(tmp_path / "files"), reading)
        listed = [one for one in source.days() if one.day == day]
        assert [n for _, n in produce(source, reading, lambda rows: as_text(rows, reading), listed, case.topic)] == [25]  # noqa: B023
        sent[day] = source.read(source.days()[listed[0]])
    assert len(list(schemas.iterdir())) == 2
    strange = b"\xc3\x01" + bytes(8) + b"x"
    case.send([strange, b"{}", None])
    landed = case.consume()
    assert (landed.rows, landed.letters) == (50, 3)
    assert any("fingerprint 0000000000000000" in reason for reason in case.stored(DEAD_LETTERS)["reason"])
    rows = {day.day: case.source.read(one).sort("at") for day, one in case.source.days().items()}
    same = ["at", "site", "level", "rescued"]
    for day, frame in sent.items():
        assert rows[day].select(same).equals(frame.sort("at").select(same))
    assert rows[15]["quality"].to_list() == sent[15].sort("at")["quality"].to_list()


def test_runs_of_the_sensor_land_what_the_topic_holds_and_the_chain_takes_it_up(case: Case) -> None:
    case.send([*records(0, 1_000), b"{"])
    table = case.space.table
    definitions = PipelineAlone(table).build_defs(None)
    lakehouse = {"lakehouse": LakehouseResource(home=str(case.home))}
    repository = dg.Definitions.merge(definitions, dg.Definitions(resources=lakehouse)).get_repository_def()
    sensor, job = repository.get_sensor_def("levels_consume"), repository.get_job("levels_consume")
    with instance_in(case.home.parent) as instance:

        def looked() -> dg.SensorResult | dg.SkipReason:
            with dg.build_sensor_context(instance=instance, repository_def=repository, resources=lakehouse) as context:
                return sensor(context)  # type: ignore[return-value]

        asked = looked()
        assert isinstance(asked, dg.SensorResult)
        assert asked.run_requests is not None
        assert [request.tags["ae_assets/records"] for request in asked.run_requests] == ["1001"]
        result = job.execute_in_process(instance=instance)
        metadata = result.get_asset_materialization_events()[0].step_materialization_data.materialization.metadata
        told = {name: metadata[name].value for name in ("Rows", "Dead letters", "Lag")}
        assert told == {"Rows": 1_000, "Dead letters": 1, "Lag": 0}
        assert isinstance(looked(), dg.SkipReason)
    fingerprints = {day: one.fingerprint for day, one in case.source.days().items()}
    case.space.tables.maintain("levels.stream")
    assert {day: one.fingerprint for day, one in case.source.days().items()} == fingerprints


def test_periods_past_their_retention_go_once_raw_has_them_and_come_back_by_no_late_record(case: Case) -> None:
    retention = {"retention_days": {"stream": 1, "dead_letters": 1}, "keep_snapshots": 1}
    settings = {"maintenance": MaintenanceSection.model_validate(retention)}
    case.space = storage_of(case.space.table.model_copy(update=settings), case.home)
    case.send([*records(0, 4_000), b"{"])  # of three days
    case.consume()
    days = sorted(case.source.days())

    def maintained() -> tuple[int, int]:
        did = maintain(case.space).tables[STREAM]
        return did.days_past_retention, did.rows_past_retention

    assert maintained() == (0, 0), "raw has none of them"
    list(load_raw(case.space, case.source, days[:1]))
    case.send([{"site": "late", "at": "2024-04-15 00:00:00", "level": 1}])
    case.consume()
    assert maintained() == (0, 0), "raw lacks a record of the first"
    list(load_raw(case.space, case.source, days))
    assert maintained() == (2, 2 * 1_440 + 1)
    assert maintained() == (0, 0)
    assert case.stored().height == 4_000 - 2 * 1_440
    assert case.stored(DEAD_LETTERS).height == 1, "it is of today"
    case.send([{"site": "later", "at": "2024-04-15 00:00:00", "level": 1}, *records(4_000, 5_000)])
    assert case.consume().rows == 1_001
    source = case.source
    assert sorted(source.days()) == [days[2], days[2] + timedelta(days=1)]
    assert any("1 records of 2024-04-15" in stray for stray in source.strays())
    list(load_raw(case.space, source, [days[0], *sorted(source.days())]))
    assert case.stored(RAW).height == 5_001
    assert maintained() == (1, 1_440)
    assert case.stored().height == 681, "the late record stays beside those of the newest day"


def test_what_a_process_lands_is_seen_at_the_asset_of_the_stream(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AE_ASSETS_HOME", str(case.home))
    case.send([*records(0, 2_000), b"{"])
    resources = dg.Definitions(resources={"lakehouse": LakehouseResource(home=str(case.home))})
    definitions = dg.Definitions.merge(PipelineAlone(case.space.table).build_defs(None), resources)
    asset = dg.AssetKey(["levels", STREAM])

    def told(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
        events = instance.fetch_materializations(asset, limit=10).records
        found = [event.asset_materialization for event in events]
        return [{name: value.value for name, value in one.metadata.items()} for one in found if one is not None]

    with instance_in(case.home.parent) as instance:
        chain = Chain(case.home, instance, Loaded(definitions, case.space.table))
        said = list(consumed(chain, "process", None, until_end=True))
        assert said[0] == "2,000 records landed in 2 days"
        assert [(one["Rows"], one["Dead letters"], one["Periods"]) for one in told(instance)] == [
            (2_000, 1, "2024-04-15, 2024-04-16")
        ]
        monkeypatch.setattr(cli_stream, "REPORT_SECONDS", 0.0)
        case.send(records(2_000, 2_010))
        list(consumed(chain, "process", None, until_end=True))
        list(consumed(chain, "process", None, until_end=True))
        assert next((one["Rows"], one["Periods"]) for one in told(instance)) == (10, "2024-04-16")
        assert len(told(instance)) == 2, "nothing new is no news"


def test_records_that_expired_before_they_were_read_are_counted(kafka: JavaServer, tmp_path: Path) -> None:
    case = Case(kafka, tmp_path / "home", partitions=1)
    case.send(records(0, 100))
    assert case.consume().expired == 0
    case.send(records(100, 300))
    admin = AdminClient(case.topic.client)
    for deleted in admin.delete_records([TopicPartition(case.name, 0, 150)]).values():
        deleted.result(60)
    landed = case.consume()
    assert (landed.rows, landed.expired) == (150, 50)
    assert case.consume().expired == 0


BOMBED = """
import sys
from pathlib import Path
from ae_assets.chain.stream import consume
from ae_assets.sources.kafka import Topic
from ae_assets_tests.integration.test_stream import opened
topic = Topic.of(sys.argv[1])
space = opened(topic, Path(sys.argv[2]))

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024

before = peak()
landed = consume(space, topic, group="bombed", until_end=True, batch_seconds=1.0)
print(landed.rows, landed.letters, peak() - before)
"""


def test_records_that_unpack_to_far_more_cost_bounded_memory_and_are_dead_letters(
    kafka: JavaServer, tmp_path: Path
) -> None:
    case = Case(kafka, tmp_path / "home", partitions=2)
    sent = records(0, 400)
    for codec in ("zstd", "gzip", "lz4"):
        settings = {"message.max.bytes": 10**9, "queue.buffering.max.kbytes": 10**6, "compression.type": codec}
        case.producer = Producer({**case.topic.client, **settings})
        case.send(sent[:200] if codec == "zstd" else [])
        case.producer.produce(case.name, bytes(101_000_000), "s1")  # kilobytes on the way
        assert case.producer.flush(60) == 0
    case.send(sent[200:])
    command = [sys.executable, "-c", BOMBED, case.topic.location, str(case.home)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300)
    rows, letters, megabytes = map(int, done.stdout.split())
    assert (rows, letters) == (400, 3)
    assert megabytes < 600
    assert whole(case, sent)
    assert case.consume().rows == 0
    said = case.stored(DEAD_LETTERS)
    assert said["value"].bin.size().max() <= 2**20
    assert sorted(reason[:9] for reason in said["reason"]) == ["it cannot", "it has 10", "it has 10"]


@pytest.mark.parametrize("group", ["a'; DROP TABLE levels; --", "../../etc", "$(id)", "grüße\n"])
def test_the_name_of_a_group_is_only_a_name(case: Case, group: str) -> None:
    case.send(records(0, 10))
    done = Event()

    def seen(landed: Landed) -> None:
        if landed.rows:
            done.set()

    assert consume(case.space, case.topic, group=group, stopped=done.is_set, batch_seconds=0.3, seen=seen).rows == 10
    assert whole(case, records(0, 10))


def test_servers_of_the_demo_listen_on_this_machine_alone(kafka: JavaServer, cassandra: JavaServer) -> None:
    for server in (kafka, cassandra):
        with socket.socket() as one:
            one.settimeout(5)
            assert one.connect_ex(("127.0.0.2", server.port)) != 0, "what listens everywhere answers there, too"


def test_a_topic_that_is_not_there_is_named(case: Case, kafka: JavaServer) -> None:
    with pytest.raises(SourceError, match="no such topic"):
        consume(case.space, Topic.of(kafka.location("nothing")), group="x", until_end=True)
