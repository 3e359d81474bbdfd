"""Features and quarantine on Spark are those of the local engine row by row, on each catalog that Spark is given."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.features import FeatureDay, build_features
from ae_assets.chain.features_on_spark import build_features_on_spark
from ae_assets.chain.workspace import FEATURES, QUARANTINE
from ae_assets.engines.spark.catalog import catalog_settings
from ae_assets.engines.spark.engine import SparkEngine, collect
from ae_assets.engines.spark.session import session_settings, spark_session
from ae_assets.errors import ConfigError, EngineError, LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets.lakehouse.catalogs import CATALOG_NAME
from ae_assets_tests.chain.faulty_fleet import ASKED, DAYS, faulty_fleet
from ae_assets_tests.chain.tables import watched_table
from ae_assets_tests.conftest import REPOSITORY
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
        "spark.master": "local[2]",
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


def stored(space: Workspace) -> dict[str, pl.DataFrame]:
    return {asset: space.read(asset, DAYS[0], DAYS[-1]) for asset in (FEATURES, QUARANTINE)}


def files(space: Workspace) -> set[str]:
    return {version for asset in (FEATURES, QUARANTINE) for version in space.day_versions(asset).values()}


@pytest.mark.parametrize("driver", ["in-process", "spark-submit"])
def test_a_run_by_spark_writes_what_a_run_by_the_local_engine_writes(
    driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", driver)
    space = faulty_fleet(tmp_path)
    runs = []
    for engine in ("local", "spark"):
        table = space.table.model_copy(update={"engine": engine})
        result = materialise(table, tmp_path / "home", (FEATURES, QUARANTINE), (ASKED[0], ASKED[-1]))
        assert "1 of 11 days failed" in failure_of(result), "the one that is set aside as a whole is held back"
        said = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
        runs.append((stored(space), files(space), [(one.asset_key, one.partition, one.metadata) for one in said]))
    (rows, local_files, local), (rows_of_spark, spark_files, by_spark) = runs
    for asset, expected in rows.items():
        assert expected.height > 10
        assert rows_of_spark[asset].equals(expected)
    assert local_files.isdisjoint(spark_files), "every day is written again"
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
    assert "spark.master local[2]" in shown
    kept = b"".join(path.read_bytes() for path in (tmp_path / "dagster").rglob("*") if path.is_file())
    assert secret not in shown + failure_of(result) + "".join(capfd.readouterr()) + kept.decode(errors="replace")


@pytest.mark.parametrize("catalog", ["PostgreSQL", "REST"], indirect=True)
def test_on_a_server_too(session: Any, catalog: dict[str, str], tmp_path: Path) -> None:
    space = faulty_fleet(tmp_path, Lakehouse.open(None, catalog))
    local = build_features(space, ASKED)
    assert all(isinstance(day, FeatureDay) for day in local)
    rows, written = stored(space), files(space)
    engine = SparkEngine.on(session.newSession(), CATALOG_NAME, catalog_settings(CATALOG_NAME, space.tables.catalog))
    assert build_features_on_spark(space, ASKED, replace(engine, rows_in_block=150)) == local
    for asset, frame in stored(space).items():
        assert frame.equals(rows[asset])
    assert files(space).isdisjoint(written)
    space.tables.close()


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
