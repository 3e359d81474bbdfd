"""Which engine a step uses, and the session of Spark, which dagster-pyspark makes and which ends with the step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from ae_assets.chain import Workspace
from ae_assets.chain.workspace import ANOMALIES, FEATURES, RAW
from ae_assets.detectors.settings import TABLE
from ae_assets.pipeline.resources import LakehouseResource

if TYPE_CHECKING:
    from ae_assets.chain.anomaly_day import AnomalyDay
    from ae_assets.chain.champion import Champion
    from ae_assets.chain.features import FeatureDay
    from ae_assets.chain.raw import RawDay
    from ae_assets.chain.workspace import FailedPeriod
    from ae_assets.detectors.per_group import FitOwn
    from ae_assets.engines.spark.engine import SparkEngine
    from ae_assets.pipeline.spark.steps import Step
    from ae_assets.sources import Source


def load_raw(step: "EngineStep", source: "Source", days: Sequence[date]) -> "Iterator[RawDay | FailedPeriod]":
    """Raw rows of the days, by an engine.

    Raises:
        SourceError: the source cannot be listed.
        ConfigError: Spark is asked for, and something that it needs is not there.
        EngineError: Spark failed.
    """
    if step.engine == "spark":
        from ae_assets.chain.raw_on_spark import load_raw_on_spark

        yield from step.on_spark(RAW, days, lambda space, days, spark: load_raw_on_spark(space, source, days, spark))
        return
    from ae_assets.chain.raw import load_raw as on_this_machine

    yield from on_this_machine(step.space, source, days)


def build_features(step: "EngineStep", days: Sequence[date]) -> "list[FeatureDay | FailedPeriod]":
    """Features and quarantine of the days, by an engine; raises what `load_raw` raises."""
    if step.engine == "spark":
        from ae_assets.chain.features_on_spark import build_features_on_spark

        return step.on_spark(FEATURES, days, build_features_on_spark)
    from ae_assets.chain.features import build_features as on_this_machine

    return on_this_machine(step.space, days)


def find_anomalies(
    step: "EngineStep", champion: "Champion", days: Sequence[date]
) -> "Iterator[AnomalyDay | FailedPeriod]":
    """Anomalies of the days, by an engine; raises what `load_raw` raises, or that the mute list is malformed."""
    if step.engine == "spark":
        from ae_assets.chain.anomalies_on_spark import as_stored, judge_on_spark

        judged = step.on_spark(ANOMALIES, days, lambda space, days, spark: judge_on_spark(space, champion, days, spark))
        yield from as_stored(step.space, champion, judged)
        return
    from ae_assets.chain.anomalies import find_anomalies as on_this_machine

    yield from on_this_machine(step.space, champion, days)


@dataclass(frozen=True)
class EngineStep:
    """A step of a run, with the engine that it is to use."""

    context: dg.AssetExecutionContext
    lakehouse: LakehouseResource
    space: Workspace
    engine: Literal["local", "spark"]

    def on_spark(self, step: str, days: Sequence[date], here: "Step") -> list[Any]:
        """What a step gives on Spark, whose driver is this process or where the environment says."""
        from ae_assets.pipeline.spark.driver import driver_of_environment

        if (driver := driver_of_environment()).driver != "in-process":
            from ae_assets.pipeline.spark.launch import run_elsewhere

            return run_elsewhere(self.context, self.lakehouse, self.space, driver, step, days)
        with spark_engine(self.space) as spark:
            return list(here(self.space, days, spark))


@contextmanager
def fitting_of_groups(space: Workspace) -> "Iterator[FitOwn | None]":
    """What fits the detectors of groups: Spark where the table asks for it and the driver is this process.

    None: this process.

    Raises:
        ConfigError: something that Spark needs is not there.
    """
    from ae_assets.pipeline.spark.driver import driver_of_environment

    table = space.table
    if table.engine != "spark" or table.detector.per == TABLE or driver_of_environment().driver != "in-process":
        yield None
        return
    from ae_assets.chain.groups_on_spark import fit_on_spark

    with spark_engine(space) as spark:
        yield partial(fit_on_spark, spark)


@contextmanager
def spark_engine(space: Workspace) -> "Iterator[SparkEngine]":
    """Spark with the catalog of the tables; its Java process is stopped at the end.

    Raises:
        ConfigError: the extra, Java or a jar is missing, or Spark has no such catalog.
    """
    from ae_assets.engines.spark.catalog import catalog_settings
    from ae_assets.engines.spark.engine import SparkEngine
    from ae_assets.engines.spark.session import quiet_start, session_settings, stop
    from ae_assets.lakehouse.catalogs import CATALOG_NAME

    catalog, settings = catalog_settings(CATALOG_NAME, space.tables.catalog), session_settings()
    from dagster_pyspark import LazyPySparkResource

    with quiet_start():
        session = LazyPySparkResource(spark_config=settings).spark_session
    try:
        yield SparkEngine.on(session, CATALOG_NAME, catalog)
    finally:
        stop(session)
