"""Where the driver of Spark runs: in the step's own process, or where the settings of AE_ASSETS_SPARK_DRIVER say."""

import os
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from ae_assets.errors import ConfigError
from ae_assets.schemas.section import Section

VARIABLE = "AE_ASSETS_SPARK_DRIVER"
"""Environment variable: ``in-process``, ``spark-submit``, or a YAML file that holds a `SparkDriver`."""

_NEEDED = {
    "emr": {"script", "bucket", "request"},
    "emr-serverless": {"script", "bucket", "request"},
    "emr-on-eks": {"script", "bucket", "request"},
    "databricks": {"script", "request"},
}
_ENVIRONMENTS_OF_EMR = {"spark-defaults", "spark-env", "yarn-env", "hadoop-env"}


class SparkDriver(Section):
    """Where the driver runs, and what the cluster is asked for."""

    driver: Literal["in-process", "spark-submit", "emr", "emr-serverless", "emr-on-eks", "databricks"] = "in-process"
    script: str = ""
    """Address of `job.py` of this package where the cluster reads it, e.g. s3://bucket/job.py or local:///opt/job.py."""
    bucket: str = ""
    """Bucket on S3 by which the step and a job on EMR talk."""
    request: dict[str, Any] = Field(default_factory=dict)
    """The cluster's own request without the job: of RunJobFlow, StartJobRun, or a task of Databricks."""

    @model_validator(mode="after")
    def _a_cluster_is_told_what_it_needs(self) -> Self:
        needed, given = _NEEDED.get(self.driver, set()), self.model_fields_set - {"driver"}
        if wrong := sorted(needed ^ given):
            expected = ", ".join(sorted(needed)) or "nothing more"
            problem = "missing" if wrong[0] in needed else "not among them"
            raise ValueError(f"driver: {self.driver} takes {expected}; {wrong[0]} is {problem}")
        if self.driver == "databricks" and not {"new_cluster", "existing_cluster_id"} & self.request.keys():
            raise ValueError("request: a task of Databricks names its new_cluster or its existing_cluster_id")
        overrides = self.request.get("configurationOverrides", {}).get("applicationConfiguration", ())
        for own in (*self.request.get("Configurations", ()), *overrides):
            name = own.get("Classification") or own.get("classification")
            if self.driver in {"emr", "emr-on-eks"} and name in _ENVIRONMENTS_OF_EMR:
                raise ValueError(
                    f"request has the classification {name}, in which Dagster tells the job where to report; give "
                    "settings of Spark in the file that AE_ASSETS_SPARK_CONF names"
                )
        return self


def driver_of_environment() -> SparkDriver:
    """The driver that the environment names; in this process where it names none.

    Raises:
        ConfigError: the file cannot be read, or a key of it is wrong.
    """
    named = os.environ.get(VARIABLE) or "in-process"
    if named in {"in-process", "spark-submit"}:
        return SparkDriver.model_validate({"driver": named})
    try:
        return SparkDriver.model_validate(yaml.safe_load(Path(named).read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(
            f"{VARIABLE}: expected in-process, spark-submit or a YAML file, received {named}, which cannot be read: "
            f"{error.strerror}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{named}, which {VARIABLE} names, is no YAML: {error}") from error
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, wrong["loc"]))
        raise ConfigError(f"{named}, which {VARIABLE} names: {key}{': ' if key else ''}{wrong['msg']}") from None
