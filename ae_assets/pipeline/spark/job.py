"""What spark-submit, EMR and Databricks run: one step of the chain, with this process as the driver of Spark.

What to do comes by Dagster Pipes, and so goes back what became of it. Secrets come from this process's environment.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from dagster_pipes import (
    PipesCliArgsParamsLoader,
    PipesContextLoader,
    PipesDbfsContextLoader,
    PipesDbfsMessageWriter,
    PipesDefaultContextLoader,
    PipesDefaultMessageWriter,
    PipesMappingParamsLoader,
    PipesMessageWriter,
    PipesParamsLoader,
    PipesS3ContextLoader,
    PipesS3MessageWriter,
    open_dagster_pipes,
)

from ae_assets.chain import Workspace
from ae_assets.engines.spark.engine import SparkEngine
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.pipeline.s3 import s3_of_environment
from ae_assets.pipeline.spark.steps import STEPS, Step, as_json

_WRITE_SECONDS = 2


def main(
    environment: Mapping[str, str] = os.environ,
    steps: Mapping[str, Step] = STEPS,
    engine_of: Callable[[Workspace], SparkEngine] | None = None,
) -> None:
    """Runs the step that Dagster asked for, and reports each period of it, or its error.

    Raises:
        Exception: whatever the step raised, after Dagster was told.
    """
    with open_dagster_pipes(**_channels(environment)) as pipes, tempfile.TemporaryDirectory() as scratch:
        asked = pipes.extras
        table = WatchedTable.model_validate(asked["table"])
        lakehouse = LakehouseResource(
            home=asked["home"] or scratch,
            catalog=asked["catalog"],
            s3=s3_of_environment(),
            models_location=asked["models"],
        )
        space = lakehouse.workspace(table, lambda progress: pipes.log.info(progress.in_words))
        days = [table.periods.parse(key) for key in asked["days"]]
        try:
            facts = list(steps[asked["step"]](space, days, (engine_of or engine_here)(space)))
        except Exception as error:
            pipes.report_custom_message({"error": type(error).__name__, "words": str(error)})
            raise
        pipes.report_custom_message({"facts": [as_json(of_day, table.periods) for of_day in facts]})


def engine_here(space: Workspace) -> SparkEngine:
    """The session of this driver, with the catalog of the tables."""
    from ae_assets.engines.spark.catalog import catalog_settings
    from ae_assets.lakehouse.catalogs import CATALOG_NAME

    session = _session()
    session.sparkContext.setLogLevel("ERROR")
    return SparkEngine.on(session, CATALOG_NAME, catalog_settings(CATALOG_NAME, space.tables.catalog))


def _session() -> Any:
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def _channels(environment: Mapping[str, str]) -> dict[str, Any]:
    """How this process hears from Dagster and answers it: by S3, Databricks' files or files of this machine."""
    by_arguments = PipesCliArgsParamsLoader()  # type: ignore[no-untyped-call]
    params = by_arguments if by_arguments.is_dagster_pipes_process() else PipesMappingParamsLoader(environment)
    if "DATABRICKS_RUNTIME_VERSION" in environment:
        _session()  # of which Pipes asks where the cluster logs
        return _channel(params, PipesDbfsContextLoader(), PipesDbfsMessageWriter(interval=_WRITE_SECONDS))
    if "bucket" in params.load_context_params():
        import boto3

        client = boto3.client("s3")
        return _channel(params, PipesS3ContextLoader(client), PipesS3MessageWriter(client, interval=_WRITE_SECONDS))
    return _channel(params, PipesDefaultContextLoader(), PipesDefaultMessageWriter())


def _channel(params: PipesParamsLoader, context: PipesContextLoader, writer: PipesMessageWriter[Any]) -> dict[str, Any]:
    return {"params_loader": params, "context_loader": context, "message_writer": writer}


if __name__ == "__main__":
    main()
