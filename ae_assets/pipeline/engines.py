"""Which engine a step uses, and the session of Spark, which dagster-pyspark makes and which ends with the step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Literal

import dagster as dg

from ae_assets.chain import Workspace
from ae_assets.chain.workspace import FEATURES
from ae_assets.detectors.settings import TABLE
from ae_assets.pipeline.resources import LakehouseResource

if TYPE_CHECKING:
    from ae_assets.chain.features import FeatureDay
    from ae_assets.chain.workspace import FailedPeriod
    from ae_assets.detectors.per_group import FitOwn
    from ae_assets.engines.spark.engine import SparkEngine


def build_features(
    context: dg.AssetExecutionContext,
    lakehouse: LakehouseResource,
    space: Workspace,
    days: Sequence[date],
    engine: Literal["local", "spark"],
) -> "list[FeatureDay | FailedPeriod]":
    """Features and quarantine of the days, by an engine.

    Raises:
        ConfigError: Spark is asked for, and something that it needs is not there.
        EngineError: Spark failed.
    """
    if engine == "spark":
        from ae_assets.pipeline.spark.driver import driver_of_environment

        if (driver := driver_of_environment()).driver != "in-process":
            from ae_assets.pipeline.spark.launch import run_elsewhere

            return run_elsewhere(context, lakehouse, space, driver, FEATURES, days)
        from ae_assets.chain.features_on_spark import build_features_on_spark

        with spark_engine(space) as spark:
            return build_features_on_spark(space, days, spark)
    from ae_assets.chain.features import build_features as on_this_machine

    return on_this_machine(space, days)


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
