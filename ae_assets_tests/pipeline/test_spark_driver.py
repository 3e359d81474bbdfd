"""Where the driver of Spark runs, as the environment says, and what steps and drivers tell each other."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ae_assets.chain.anomalies_on_spark import JudgedDay
from ae_assets.chain.features import FeatureDay
from ae_assets.chain.raw import RawDay
from ae_assets.chain.set_aside import BrokenRule, GoneCohort
from ae_assets.chain.workspace import FEATURES, FailedPeriod
from ae_assets.errors import AeAssetsError, ConfigError, EngineError, LakehouseError
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.pipeline.spark import launch
from ae_assets.pipeline.spark.driver import SparkDriver, driver_of_environment
from ae_assets.pipeline.spark.steps import as_json, of_json
from ae_assets.schemas.periods import DAILY, HOURLY, Periods
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table

EMR = {"driver": "emr", "script": "s3://b/job.py", "bucket": "b", "request": {"ReleaseLabel": "emr-8.0.0"}}
DATABRICKS = {"driver": "databricks", "script": "dbfs:/job.py", "request": {"existing_cluster_id": "1"}}


@pytest.mark.parametrize("settings", [EMR, DATABRICKS])
def test_a_cluster_is_described_by_a_file(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", str(tmp_path / "driver.yaml"))
    (tmp_path / "driver.yaml").write_text(yaml.safe_dump(settings))
    assert driver_of_environment().model_dump(exclude_unset=True) == settings


def test_without_a_cluster_the_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AE_ASSETS_SPARK_DRIVER", raising=False)
    assert driver_of_environment().driver == "in-process"
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", "spark-submit")
    assert driver_of_environment().driver == "spark-submit"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({**EMR, "driver": "emr-on-eks", "bucket": None}, "bucket: Input should be a valid string"),
        ({key: value for key, value in EMR.items() if key != "bucket"}, "bucket is missing"),
        ({**DATABRICKS, "bucket": "b"}, "bucket is not among them"),
        ({"driver": "spark-submit", "script": "job.py"}, "takes nothing more; script is not among them"),
        ({**DATABRICKS, "request": {"libraries": []}}, "new_cluster or its existing_cluster_id"),
        ({**EMR, "request": {"Configurations": [{"Classification": "spark-defaults"}]}}, "AE_ASSETS_SPARK_CONF"),
        ({"driver": "yarn"}, "driver: Input should be 'in-process'"),
        ("- a list", "valid dictionary"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    settings: Any, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", str(tmp_path / "driver.yaml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        driver_of_environment()
    (tmp_path / "driver.yaml").write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match=says):
        driver_of_environment()


@pytest.mark.parametrize(
    ("periods", "day"), [(DAILY, date(2013, 4, 10)), (HOURLY, datetime(2013, 4, 10, 5, tzinfo=UTC))]
)
def test_what_became_of_a_period_comes_back_as_it_was(periods: Periods, day: date) -> None:
    rule, gone = BrokenRule("a", 3, "b", None, "c"), GoneCohort("M1", 2, True)
    for facts in (
        RawDay(day, "loaded", 7, 1, "a file", "its fingerprint", 300),
        FeatureDay(day, 7, (rule,), (gone,), frozenset({"x"})),
        JudgedDay(day, 7),
        FailedPeriod(day, FEATURES, "why", None),
    ):
        assert of_json(json.loads(json.dumps(as_json(facts, periods))), periods) == facts


PASSWORD = "password-of-the-catalog"  # noqa: S105 - no catalog asks for it
CATALOG = {"type": "sql", "uri": f"postgresql+psycopg2://me:{PASSWORD}@db/ice", "s3.secret-access-key": PASSWORD}


def run(folder: Path, cluster: Callable[[list[Any], dict[str, Any]], None], catalog: dict[str, str]) -> list[Any]:
    def of_driver(driver: Any, secrets: dict[str, str], heard: list[Any], run: dict[str, Any]) -> None:
        assert secrets.keys() == {key for key, value in catalog.items() if PASSWORD in value}
        assert PASSWORD not in json.dumps(run["extras"])
        cluster(heard, run["extras"])

    space = storage_of(watched_table(str(folder)), folder)
    lakehouse = LakehouseResource(home=str(folder), catalog=catalog)
    space = replace(space, tables=lakehouse.tables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(launch._LAUNCHES, "emr", of_driver)
        emr = SparkDriver.model_validate(EMR)
        return launch.run_elsewhere(None, lakehouse, space, emr, FEATURES, [FIRST])  # type: ignore[arg-type]


def test_what_a_driver_tells_is_what_the_step_gives(tmp_path: Path) -> None:
    made = FeatureDay(FIRST, 7, (), (), frozenset())

    def tell(heard: list[Any], extras: dict[str, Any]) -> None:
        assert extras["days"] == [FIRST.isoformat()]
        heard.append({"facts": [as_json(made, DAILY)]})

    assert run(tmp_path, tell, CATALOG) == [made]


@pytest.mark.parametrize(
    ("message", "raised", "says"),
    [
        ({"error": "LakehouseError", "words": "no room"}, LakehouseError, "^no room$"),
        ({"error": "MemoryError", "words": "heap"}, EngineError, "MemoryError: heap"),
        ({}, EngineError, "the cluster is gone"),
    ],
)
def test_what_a_driver_raised_is_raised_by_the_step(
    message: dict[str, str], raised: type[AeAssetsError], says: str, tmp_path: Path
) -> None:
    def fail(heard: list[Any], extras: dict[str, Any]) -> None:
        heard.append(message)
        raise RuntimeError("the cluster is gone")

    with pytest.raises(raised, match=says):
        run(tmp_path, fail, CATALOG)


def test_a_driver_that_tells_nothing_has_failed(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="did not say what became of the days"):
        run(tmp_path, lambda heard, extras: None, CATALOG)


def test_a_cluster_cannot_reach_a_catalog_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a file of this machine"):
        run(tmp_path, lambda heard, extras: None, {})
