"""Starts a step on a driver elsewhere, by the Pipes client of the cluster, and hears what became of its periods."""

import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from dagster import PipesSubprocessClient, PipesTempFileMessageReader

from ae_assets import errors
from ae_assets.chain import Workspace
from ae_assets.engines.spark.session import cluster_settings, session_settings
from ae_assets.errors import AeAssetsError, ConfigError, EngineError
from ae_assets.lakehouse.catalogs import CATALOG_NAME, sqlite_file
from ae_assets.pipeline.interrupts import stop_if_interrupted
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.pipeline.spark import job
from ae_assets.pipeline.spark.driver import SparkDriver
from ae_assets.pipeline.spark.steps import of_json

_SECRET = re.compile("secret|password|token|credential|access.?key", re.IGNORECASE)
_KEPT_BY_THE_CLUSTER = ("{{secrets/", "EMR.secret@")
"""How a value begins that the cluster itself replaces by a secret."""

_POLL_SECONDS = 2


def run_elsewhere(
    context: dg.AssetExecutionContext,
    lakehouse: LakehouseResource,
    space: Workspace,
    driver: SparkDriver,
    step: str,
    days: Sequence[date],
) -> list[Any]:
    """Runs a step over periods with the driver of Spark elsewhere; gives what the step gives in this process.

    Raises:
        ConfigError: something that the driver needs is missing, or a setting holds a secret that others would see.
        EngineError: the job ended without saying what became of the periods.
        AeAssetsError: what the step raised, in its own words.
    """
    open_settings, secrets = _parted(space.tables.catalog)
    here = driver.driver == "spark-submit"
    if not here and sqlite_file(space.tables.catalog) is not None:
        raise ConfigError(
            f"the catalog is a file of this machine, and a driver on {driver.driver} cannot reach it; configure "
            "PostgreSQL, REST or Glue, or run the driver in-process or by spark-submit"
        )
    extras = {
        "step": step,
        "days": [space.table.periods.key(day) for day in days],
        "table": space.table.model_dump(mode="json"),
        "home": lakehouse.home if here else "",
        "catalog": open_settings,
        "models": lakehouse.models_named,
    }
    heard: list[Any] = []
    try:
        _LAUNCHES[driver.driver](driver, secrets, heard, {"context": context, "extras": extras})
    except AeAssetsError:
        raise
    except Exception as error:
        raise _of_job(heard, space) or EngineError(
            f"the driver on {driver.driver} failed: {error}. Its log says why, and docs/spark.md what messages mean"
        ) from error
    stop_if_interrupted()
    if (raised := _of_job(heard, space)) is not None:
        raise raised
    facts = [of_day for message in heard for of_day in message.get("facts", ())]
    if not facts:
        raise EngineError(
            f"the driver on {driver.driver} ended and did not say what became of the {space.table.periods.plural}; is "
            "its script job.py of this package, in this version?"
        )
    return [of_json(of_day, space.table.periods) for of_day in facts]


def _of_job(heard: Sequence[Any], space: Workspace) -> AeAssetsError | None:
    """The error that the job told of."""
    for message in heard:
        if "error" in message:
            kind = getattr(errors, message["error"], None)
            if kind is not None:
                return kind(message["words"])  # type: ignore[no-any-return]
            return EngineError(f"the driver of {space.table.table} failed: {message['error']}: {message['words']}")
    return None


def _parted(settings: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Settings that others may see, and those that hold secrets."""
    secrets = {key: value for key, value in settings.items() if _is_secret(key, value)}
    return {key: value for key, value in settings.items() if key not in secrets}, secrets


def _is_secret(key: str, value: str) -> bool:
    if value.startswith(_KEPT_BY_THE_CLUSTER):
        return False
    return bool(_SECRET.search(key)) or ("://" in value and urlsplit(value).password is not None)


def _hearing(reader: type[Any], heard: list[Any]) -> type[Any]:
    """A reader of Pipes that keeps what the job told, also where the client raises an error of its own."""

    class Hearing(reader):  # type: ignore[misc]
        @contextmanager
        def read_messages(self, handler: Any) -> Iterator[Any]:
            try:
                with super().read_messages(handler) as params:
                    yield params
            finally:
                heard.extend(handler.get_custom_messages())

    return Hearing


def _spark_submit(_: SparkDriver, secrets: Mapping[str, str], heard: list[Any], run: Mapping[str, Any]) -> None:
    settings = session_settings()
    if settings.get("spark.submit.deployMode", "client") != "client":
        raise ConfigError(
            "spark.submit.deployMode: the driver is a process of this machine, by client, received "
            f"{settings['spark.submit.deployMode']!r}; leave it out"
        )
    home = os.environ.get("SPARK_HOME") or str(Path(find_spec("pyspark").origin).parent)  # type: ignore[union-attr,arg-type]
    prefix = f"PYICEBERG_CATALOG__{CATALOG_NAME}__".upper()
    environment = {prefix + _variable(key): value for key, value in secrets.items()}
    client = PipesSubprocessClient(env=environment, message_reader=_hearing(PipesTempFileMessageReader, heard)())
    with tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8") as file:  # which nobody else may read
        file.writelines(f"{key} {value}\n" for key, value in settings.items())
        file.flush()
        command = [str(Path(home) / "bin" / "spark-submit"), "--properties-file", file.name, job.__file__]
        client.run(command=command, **run)


def _variable(key: str) -> str:
    """As pyiceberg spells a setting in the environment."""
    return key.upper().replace(".", "__").replace("-", "_")


def _settings_in_request() -> dict[str, str]:
    """Settings of Spark that go to a cluster in its request.

    Raises:
        ConfigError: one holds a secret.
    """
    settings, secrets = _parted(cluster_settings())
    if secrets:
        raise ConfigError(
            f"{', '.join(secrets)} holds a secret, and whoever sees the cluster's jobs would see it; use a role, or "
            f"the cluster's own store: a value that begins with {' or '.join(_KEPT_BY_THE_CLUSTER)}"
        )
    return settings


def _arguments() -> list[str]:
    return [word for key, value in _settings_in_request().items() for word in ("--conf", f"{key}={value}")]


def _on_s3(driver: SparkDriver, heard: list[Any]) -> dict[str, Any]:
    """How a step and a job on EMR talk; what is asked for holds the whole definition of the table."""
    import boto3
    from dagster_aws.pipes import PipesS3ContextInjector, PipesS3MessageReader

    client = boto3.client("s3")
    reader = _hearing(PipesS3MessageReader, heard)(
        bucket=driver.bucket, client=client, interval=_POLL_SECONDS, include_stdio_in_messages=True
    )
    return {
        "context_injector": PipesS3ContextInjector(bucket=driver.bucket, client=client),
        "message_reader": reader,
    }


def _emr(driver: SparkDriver, _: Mapping[str, str], heard: list[Any], run: Mapping[str, Any]) -> None:
    from dagster_aws.pipes import PipesEMRClient

    submit = ["spark-submit", "--deploy-mode", "cluster", *_arguments(), driver.script]
    step = {
        "Name": "ae_assets",
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": submit},
    }
    request = {"Name": "ae_assets", "Instances": {}, **deepcopy(driver.request), "Steps": [step]}
    request["Instances"]["KeepJobFlowAliveWhenNoSteps"] = False
    PipesEMRClient(client=_patient_emr(), **_on_s3(driver, heard)).run(run_job_flow_params=request, **run)


def _patient_emr() -> Any:
    """A client whose waiters bear with clusters of 12 hours, and with jobs that end before they look at a cluster."""
    import boto3

    client = boto3.client("emr")
    waiter_of = client.get_waiter

    def ended(_: str) -> Any:
        waiter = waiter_of("cluster_terminated")
        waiter.config.max_attempts = 12 * 3600 // waiter.config.delay
        return waiter

    client.get_waiter = ended
    return client


def _emr_serverless(driver: SparkDriver, _: Mapping[str, str], heard: list[Any], run: Mapping[str, Any]) -> None:
    import boto3
    from dagster_aws.pipes import PipesEMRServerlessClient

    submit = {"entryPoint": driver.script, "sparkSubmitParameters": shlex.join(_arguments())}
    client = PipesEMRServerlessClient(client=boto3.client("emr-serverless"), **_on_s3(driver, heard))
    request = {"name": "ae_assets", **deepcopy(driver.request), "jobDriver": {"sparkSubmit": submit}}
    client.run(start_job_run_params=request, **run)


def _emr_on_eks(driver: SparkDriver, _: Mapping[str, str], heard: list[Any], run: Mapping[str, Any]) -> None:
    import boto3
    from dagster_aws.pipes import PipesEMRContainersClient

    submit = {"entryPoint": driver.script, "sparkSubmitParameters": shlex.join(_arguments())}
    client = PipesEMRContainersClient(client=boto3.client("emr-containers"), **_on_s3(driver, heard))
    request = {"name": "ae_assets", **deepcopy(driver.request), "jobDriver": {"sparkSubmitJobDriver": submit}}
    client.run(start_job_run_params=request, **run)


def _databricks(driver: SparkDriver, _: Mapping[str, str], heard: list[Any], run: Mapping[str, Any]) -> None:
    if find_spec("dagster_databricks") is None:
        raise ConfigError("driver: databricks needs the extra databricks: pip install 'ae-assets[spark,databricks]'")
    from dagster_databricks.pipes import PipesDatabricksClient, PipesDbfsMessageReader
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import SubmitTask

    workspace = WorkspaceClient()
    reader = _hearing(PipesDbfsMessageReader, heard)(client=workspace, interval=_POLL_SECONDS)
    task = {"task_key": "ae_assets", **deepcopy(driver.request), "spark_python_task": {"python_file": driver.script}}
    if "new_cluster" in task:
        cluster = task["new_cluster"]
        cluster["spark_conf"] = {**_settings_in_request(), **cluster.get("spark_conf", {})}
    client = PipesDatabricksClient(client=workspace, message_reader=reader)
    client.run(task=SubmitTask.from_dict(task), submit_args={"run_name": "ae_assets"}, **run)


_Launch = Callable[[SparkDriver, Mapping[str, str], list[Any], Mapping[str, Any]], None]
_LAUNCHES: dict[str, _Launch] = {
    "spark-submit": _spark_submit,
    "emr": _emr,
    "emr-serverless": _emr_serverless,
    "emr-on-eks": _emr_on_eks,
    "databricks": _databricks,
}
