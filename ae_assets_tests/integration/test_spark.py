"""What Spark makes is what the local engine makes row by row, on each catalog that Spark is given, and after faults."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster_aws.s3 import S3Resource
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace, anomalies_on_spark
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.anomalies_on_spark import find_anomalies_on_spark
from ae_assets.chain.anomaly_day import AnomalyDay
from ae_assets.chain.champion import load_champion
from ae_assets.chain.features import build_features
from ae_assets.chain.features_on_spark import build_features_on_spark
from ae_assets.chain.raw import load_raw
from ae_assets.chain.raw_on_spark import load_raw_on_spark
from ae_assets.chain.workspace import ANOMALIES, FEATURES, QUARANTINE, RAW, FailedPeriod
from ae_assets.engines.spark.catalog import catalog_settings
from ae_assets.engines.spark.engine import SparkEngine, collect
from ae_assets.engines.spark.session import session_settings, spark_session
from ae_assets.errors import ConfigError, EngineError, LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets.lakehouse.catalogs import CATALOG_NAME
from ae_assets.lakehouse.writer import DayWriter, WrittenFile
from ae_assets.model import model
from ae_assets.pipeline.s3 import ClientMaker
from ae_assets.schemas.periods import HOURLY
from ae_assets.sources import open_source
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.faulty_fleet import ASKED, DAYS, DETECTORS, JUDGED, judged_fleet, opened
from ae_assets_tests.chain.gauges import gauges, numbered, write_period
from ae_assets_tests.chain.ledgers import hold_what_raw_says
from ae_assets_tests.chain.tables import storage_of, watched_table, write_day
from ae_assets_tests.conftest import REPOSITORY
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.seaweed import KEY, SECRET
from ae_assets_tests.integration.spark_faults import DyingEngine
from ae_assets_tests.pipeline.runs import failure_of, instance_in, materialise

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # py4j leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

APART = Path(sys.prefix) / "spark"
"""Where `./dev test` installs the extra, since pandera takes half as long again where it finds pandas."""


@pytest.fixture(scope="module", autouse=True)
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A small Spark on this machine; the tests are skipped where something of it is missing."""
    folder = tmp_path_factory.mktemp("spark")
    small = {
        "spark.master": "local[2,3]",
        "spark.driver.memory": "1g",
        "spark.local.dir": folder,
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",  # most of what runs does so once
    }
    (folder / "spark.conf").write_text("".join(f"{key} {value}\n" for key, value in small.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(APART)
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (REPOSITORY, APART, os.environ.get("PYTHONPATH", "")))))
        patch.setenv("AE_ASSETS_SPARK_CONF", str(folder / "spark.conf"))
        try:
            session_settings()
        except ConfigError as reason:
            pytest.skip(str(reason))
        yield


@pytest.fixture(scope="module")
def session(spark: None) -> Iterator[Any]:
    with spark_session(session_settings()) as started:
        yield started


TABLES = (FEATURES, QUARANTINE, ANOMALIES)
NETWORK, SERIES = DETECTORS


def stored(space: Workspace) -> dict[str, pl.DataFrame]:
    days = space.days_with_rows(RAW)
    return {asset: space.read(asset, days[0], days[-1]) for asset in TABLES}


def files(space: Workspace, days: Sequence[date], assets: Sequence[str] = TABLES) -> dict[tuple[str, date], str]:
    """The files of each of the days."""
    versions = {asset: space.day_versions(asset) for asset in assets}
    return {(asset, day): files for asset in assets for day, files in versions[asset].items() if day in days}


def engine_of(session: Any, space: Workspace, rows_in_block: int = 60) -> SparkEngine:
    settings = catalog_settings(CATALOG_NAME, space.tables.catalog)
    return replace(SparkEngine.on(session.newSession(), CATALOG_NAME, settings), rows_in_block=rows_in_block)


def facts(days: Iterable[AnomalyDay | FailedPeriod]) -> list[dict[str, Any]]:
    """What is said of days, their rows as plain values."""
    return [
        {name: value.to_dicts() if isinstance(value, pl.DataFrame) else value for name, value in vars(day).items()}
        for day in days
    ]


def made_by_both(space: Workspace, days: Sequence[date], engine: SparkEngine) -> dict[str, pl.DataFrame]:
    """The rows of a table whose anomalies, features and quarantine both engines made, and made alike."""
    champion = load_champion(space)
    local = facts(find_anomalies(space, champion, days))
    rows, written = stored(space), files(space, days)
    assert facts(find_anomalies_on_spark(space, champion, days, engine)) == local
    assert_frame_equal(stored(space)[ANOMALIES], rows[ANOMALIES], check_exact=True)
    features = build_features(space, days)
    by_local = stored(space)
    assert build_features_on_spark(space, days, engine) == features
    for asset, frame in stored(space).items():
        assert_frame_equal(frame, by_local[asset], check_exact=True)
    made = files(space, days)
    assert set(made.values()).isdisjoint(written.values()), "every day is written again"
    return rows


def whenever_loaded(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows without the time at which they were read, which the records of quarantine name too."""
    records = pl.col("^record$").str.replace('"loaded_at":"[^"]*"', "")
    return rows.drop("loaded_at", strict=False).with_columns(records)


@pytest.mark.parametrize(
    ("driver", "assets"),
    [("in-process", (RAW, FEATURES, QUARANTINE)), ("spark-submit", (FEATURES, QUARANTINE, ANOMALIES))],
)
def test_a_run_by_spark_writes_what_a_run_by_the_local_engine_writes(
    driver: str, assets: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", driver)
    space = judged_fleet(tmp_path, NETWORK)
    runs = []
    for engine in ("local", "spark"):
        table = space.table.model_copy(update={"engine": engine})
        result = materialise(table, tmp_path / "home", assets, (ASKED[0], ASKED[-1]))
        assert "1 of 11 days failed" in failure_of(result), "the one that is set aside as a whole is held back"
        said = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
        rows = {asset: whenever_loaded(space.read(asset, DAYS[0], DAYS[-1])) for asset in assets}
        runs.append((rows, files(space, ASKED, assets), [(one.asset_key, one.partition, one.metadata) for one in said]))
    (rows, local_files, local), (rows_of_spark, spark_files, by_spark) = runs
    for asset, expected in rows.items():
        assert expected.height > 10
        assert_frame_equal(rows_of_spark[asset], expected, check_exact=True)
    assert local_files.keys() == spark_files.keys()
    assert set(local_files.values()).isdisjoint(spark_files.values()), "every day is written again"
    assert by_spark == local, "and the days are told alike"


def test_a_submitted_driver_fails_the_step_in_its_words_and_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "secret-never-in-an-argument"  # noqa: S105 - the tables lie on the disk
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", "spark-submit")
    monkeypatch.setenv("PYICEBERG_CATALOG__AE_ASSETS__S3__SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    submit = tmp_path / "spark" / "bin" / "spark-submit"
    submit.parent.mkdir(parents=True)
    submit.write_text(
        f'#!/bin/sh\n{{ echo "$@"; cat "$2"; }} >{tmp_path}/shown\n'
        f'SPARK_HOME={APART}/pyspark exec {APART}/pyspark/bin/spark-submit "$@"\n'
    )
    submit.chmod(0o755)
    table = watched_table(str(tmp_path), engine="spark")  # of which no raw row was loaded
    with instance_in(tmp_path) as instance:
        result = materialise(table, tmp_path / "home", (FEATURES, QUARANTINE), (ASKED[0],) * 2, instance=instance)
    assert "LakehouseError: " in failure_of(result)
    assert "fleet.raw" in failure_of(result)
    shown = (tmp_path / "shown").read_text()
    assert "spark.master local[2,3]" in shown
    kept = b"".join(path.read_bytes() for path in (tmp_path / "dagster").rglob("*") if path.is_file())
    assert secret not in shown + failure_of(result) + "".join(capfd.readouterr()) + kept.decode(errors="replace")


@pytest.mark.parametrize(("catalog", "how"), [("PostgreSQL", NETWORK), ("REST", SERIES)], indirect=["catalog"])
def test_on_a_server_too(
    session: Any, catalog: dict[str, str], how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (model, anomalies_on_spark):  # workers show more, of which the highest of the day stay
        monkeypatch.setattr(module, "MOST_SHOWN", 5)
    space = judged_fleet(tmp_path, how, Lakehouse.open(None, catalog))
    rows = made_by_both(space, JUDGED, engine_of(session, space))
    assert all(frame.height > 10 for frame in rows.values())
    space.tables.close()


def test_of_a_table_with_several_records_an_hour(session: Any, tmp_path: Path) -> None:
    hours = numbered(HOURLY, 0, 71)
    budget = {"policy": "alarm_budget", "alarms_a_day": 1, "share_of_days": 0.5}
    space = storage_of(gauges(tmp_path / "source", HOURLY, threshold=budget), tmp_path / "home")
    for hour in hours:
        write_period(tmp_path / "source", HOURLY, hour)
    steps.fill(space, hours)
    steps.fit(space, hours[0], hours[23])
    steps.judge(space, hours[54:58])
    rows = made_by_both(space, hours[58:], engine_of(session, space, rows_in_block=200))[ANOMALIES]
    assert rows.height > rows.select("day", "entity").n_unique()
    assert 0 < rows["is_anomaly"].sum() < rows.height


def write_faulty_files(folder: Path) -> list[date]:
    """Files of days with what readers have to bear; the days of them, one of which has none."""
    days = DAYS[:9]
    for number, day in enumerate(days):
        write_day(folder, day, [(f"D{drive}", 0, drive + number) for drive in range(4)])
    lines = {day: (folder / f"{day}.csv").read_bytes().splitlines() for day in days}
    odd = [
        b"",
        b'%s,"D9",M1,1,0,"7,5",1,1,0',
        b'%s,"D8\n,M1,1,0,2,1,1,0',
        b"%s,D7,\xff\xfe,1,0,x,1e2,1.0,0",
        b"too,few",
    ]
    more = [line % str(days[1]).encode() if b"%s" in line else line for line in odd]
    widened = [
        line + (b",smart_241_raw" if not number else b",%d" % number) for number, line in enumerate(lines[days[3]])
    ]
    as_text = [
        line + (b",Smart_241_RAW" if not number else b",t%d" % number) for number, line in enumerate(lines[days[4]])
    ]
    changed = {
        days[1]: b"\xef\xbb\xbf" + b"\r\n".join([*lines[days[1]], *more, b""]),
        days[2]: b"\n".join(lines[days[2]])[:-20],
        days[3]: b"\n".join([*widened, b""]),
        days[4]: b"\n".join([*as_text, b""]),
        days[5]: lines[days[5]][0] + b"\n",
        days[6]: b"\n".join([*lines[days[6]], *lines[days[6]], b""]),
    }
    for day, content in changed.items():
        (folder / f"{day}.csv").write_bytes(content)
    (folder / f"{days[7]}.csv").unlink()
    return days


@pytest.mark.parametrize("place", ["folder", "S3"])
def test_raw_of_faulty_files_is_that_of_the_local_engine(
    session: Any, bucket: Bucket, place: str, tmp_path: Path
) -> None:
    days = write_faulty_files(tmp_path / "source")
    location = str(tmp_path / "source")
    if place == "S3":
        for path in (tmp_path / "source").iterdir():
            bucket.put(f"raw/{path.name}", path.read_bytes())
        location = f"s3://{bucket.name}/raw"
    table = watched_table(location)
    spaces = [storage_of(table, tmp_path / engine) for engine in ("local", "spark")]
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client = ClientMaker(S3Resource(endpoint_url=bucket.server.endpoint, **keys))
    loaded = [
        list(load_raw(spaces[0], open_source(location, table.reading, None, client), days)),
        list(
            load_raw_on_spark(
                spaces[1], open_source(location, table.reading, None, client), days, engine_of(session, spaces[1])
            )
        ),
    ]
    assert loaded[1] == loaded[0]
    assert [day.day for day in loaded[0] if isinstance(day, FailedPeriod)] == [days[2], days[6]]
    local, by_spark = (whenever_loaded(space.read(RAW, days[0], days[-1])) for space in spaces)
    assert_frame_equal(by_spark, local, check_exact=True)
    assert local["rescued"].count() == 9, "of the odd lines, and texts in what was a column of numbers"
    hold_what_raw_says(spaces[1], days)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a fleet with anomalies by the local engine, which tests of faults make again."""
    folder = tmp_path_factory.mktemp("fleet")
    space = judged_fleet(folder, NETWORK)
    list(find_anomalies(space, load_champion(space), JUDGED))
    return folder


def test_killed_workers_leave_nothing_half_and_their_blocks_are_made_again(
    session: Any, fleet: Path, tmp_path: Path
) -> None:
    space = opened(fleet, NETWORK)
    rows, written = stored(space)[ANOMALIES], files(space, JUDGED)
    engine = DyingEngine(**vars(engine_of(session, space)), marks=tmp_path)
    failed = {
        day.day
        for day in find_anomalies_on_spark(space, load_champion(space), JUDGED, engine)
        if not isinstance(day, AnomalyDay)
    }
    killed = [mark for mark in tmp_path.iterdir() if mark.name.isdigit()]
    assert len(killed) == 4, "of what finds the day that fails, cuts, judgements, files"
    assert_frame_equal(stored(space)[ANOMALIES], rows, check_exact=True)
    made = files(space, JUDGED)
    assert {key for key in made if made[key] != written[key]} == {
        (ANOMALIES, day) for day in rows["day"].unique() if day in JUDGED and day not in failed
    }
    on_disk = {path.stem for path in (fleet / "home").rglob("anomalies/data/**/*.parquet")}
    named = {name for key, names in (made | written).items() if key[0] == ANOMALIES for name in names.split("+")}
    assert on_disk - named, "the file of the killed worker is there, and no commit names it"


def test_another_run_that_commits_the_same_day_meanwhile(
    session: Any, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = opened(fleet, NETWORK)
    rows, take, seen = stored(space)[ANOMALIES], DayWriter.take, []

    def overtaken(writer: DayWriter, day: date, new: Sequence[WrittenFile]) -> None:
        take(writer, day, new)
        if not seen:
            with space.writer(ANOMALIES) as other:
                other.write(day, rows.filter(pl.col("day") == day)[:1])
            seen.append(space.read(ANOMALIES, day, day).height)

    monkeypatch.setattr(DayWriter, "take", overtaken)
    list(find_anomalies_on_spark(space, load_champion(space), JUDGED, engine_of(session, space)))
    assert seen == [1], "a reader sees what the other run has committed"
    assert_frame_equal(stored(space)[ANOMALIES], rows, check_exact=True)


def test_a_lost_executor_is_borne_and_a_lost_driver_leaves_every_day_as_it_was(session: Any, fleet: Path) -> None:
    space = opened(fleet, NETWORK)
    rows, before = stored(space)[ANOMALIES], files(space, DAYS)
    conf = fleet / "cluster.conf"
    conf.write_text(
        Path(os.environ["AE_ASSETS_SPARK_CONF"]).read_text().replace("local[2,3]", "local-cluster[2,1,1024]")
    )
    home = fleet / "spark"  # where executors work, which is not to be the package
    home.mkdir()
    for path in (APART / "pyspark").iterdir():
        home.joinpath(path.name).symlink_to(path)
    environment = {**os.environ, "AE_ASSETS_SPARK_CONF": str(conf), "SPARK_HOME": str(home)}
    command = [sys.executable, "-m", "ae_assets_tests.integration.spark_faults", str(fleet), NETWORK, *map(str, JUDGED)]
    lost = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=600)
    assert lost.returncode == -signal.SIGKILL, lost.stderr
    assert (fleet / "marks" / "0").exists(), "an executor was lost"
    assert files(space, DAYS) == before
    assert_frame_equal(stored(space)[ANOMALIES], rows, check_exact=True)
    list(find_anomalies_on_spark(space, load_champion(space), JUDGED, engine_of(session, space)))
    assert files(space, DAYS) != before
    assert_frame_equal(stored(space)[ANOMALIES], rows, check_exact=True)


def test_what_fails_on_a_worker_is_said_in_its_words(session: Any) -> None:
    engine = SparkEngine(session, CATALOG_NAME)

    def fail(rows: pl.DataFrame) -> pl.DataFrame:
        raise LakehouseError(f"no room for {rows.height} rows")

    blocks = engine.map_blocks(engine.blocks(session.range(7), 1, "id"), fail, {"id": pl.Int64()})
    with pytest.raises(EngineError, match=r"failed counting: .*LakehouseError: no room for 7 rows"):
        rows_of(blocks, engine)


def rows_of(blocks: Any, engine: SparkEngine) -> pl.DataFrame:
    with engine.doing("counting"):
        return collect(blocks)
