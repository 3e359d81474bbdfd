"""What EMR is asked for, by its recorded answers; messages go over S3, and the job is the one that clusters run."""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml
from dagster_pipes import PipesContext

from ae_assets.chain import Workspace
from ae_assets.chain.features import build_features
from ae_assets.chain.workspace import FEATURES, QUARANTINE
from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets.pipeline.spark import job, launch
from ae_assets_tests.chain.faulty_fleet import ASKED, faulty_fleet
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.seaweed import SECRET
from ae_assets_tests.pipeline.runs import failure_of, instance_in, materialise

pytestmark = [
    pytest.mark.parametrize("catalog", ["PostgreSQL"], indirect=True),
    # Pipes leaves what copies the output of a job to the collector; a job is a process that ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SCRIPT = "local:///opt/ae_assets/job.py"
SPARK_SECRET = "secret-of-spark"  # noqa: S105 - not one that opens anything


def by_local_engine(space: Workspace, days: Any, _: Any) -> Any:
    return build_features(space, days)


@dataclass
class Cluster:
    """Stands for EMR: keeps what it is asked for, runs the job there and then, and answers as EMR's documents say."""

    variables: Callable[[dict[str, Any]], dict[str, str]]
    answers: dict[str, Callable[["Cluster"], dict[str, Any]]]
    step: Callable[[Workspace, Any, Any], Any] | None = by_local_engine
    interrupted: bool = False
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    succeeded: bool = False

    def answer(self, model: Any, params: dict[str, Any], request_signer: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        if model.name not in self.asked and model.name in {"RunJobFlow", "StartJobRun"}:
            self.asked[model.name] = {}
            self.run(self.variables(json.loads(params["body"])))
        elif self.interrupted and model.name in {"GetJobRun", "DescribeCluster", "DescribeJobRun"}:
            self.interrupted = False
            raise dg.DagsterExecutionInterruptedError
        self.asked[model.name] = json.loads(params["body"] or "{}")
        http = type("Answer", (), {"status_code": 200, "headers": {}})()
        return http, self.answers[model.name](self)

    def run(self, variables: dict[str, str]) -> None:
        if self.step is None:
            return
        try:
            job.main(variables, {FEATURES: self.step}, lambda space: None)  # type: ignore[arg-type,return-value]
            self.succeeded = True
        except LakehouseError:
            self.succeeded = False
        finally:
            PipesContext._instance = None


def of_emr(request: dict[str, Any]) -> dict[str, str]:
    defaults = next(one for one in request["Configurations"] if one["Classification"] == "spark-defaults")
    prefix = "spark.yarn.appMasterEnv."
    return {key.removeprefix(prefix): value for key, value in defaults["Properties"].items() if key.startswith(prefix)}


def of_emr_serverless(request: dict[str, Any]) -> dict[str, str]:
    prefix = "spark.emr-serverless.driverEnv."
    words = shlex.split(request["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"])
    pairs = [word.removeprefix(prefix).partition("=") for word in words if word.startswith(prefix)]
    return {name: value for name, _, value in pairs}


def of_emr_on_eks(request: dict[str, Any]) -> dict[str, str]:
    of_job = request["configurationOverrides"]["applicationConfiguration"]
    exports = next(one for one in of_job if one["classification"] == "spark-env")["configurations"][0]
    variables: dict[str, str] = exports["properties"]
    return variables


def state(of_cluster: str, failed: str) -> Callable[[Cluster], str]:
    return lambda cluster: of_cluster if cluster.succeeded else failed


CLUSTERS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "emr": (
        {"ReleaseLabel": "emr-8.0.0", "Instances": {"InstanceCount": 3}, "JobFlowRole": "EMR_EC2_DefaultRole"},
        of_emr,
        {
            "RunJobFlow": lambda cluster: {"JobFlowId": "j-1"},
            "ListSteps": lambda cluster: {"Steps": []},
            "DescribeCluster": lambda cluster: {
                "Cluster": {"Id": "j-1", "Status": {"State": state("TERMINATED", "TERMINATED_WITH_ERRORS")(cluster)}}
            },
            "TerminateJobFlows": lambda cluster: {},
        },
    ),
    "emr-serverless": (
        {"applicationId": "00f", "executionRoleArn": "arn:aws:iam::123456789012:role/spark"},
        of_emr_serverless,
        {
            "StartJobRun": lambda cluster: {"applicationId": "00f", "jobRunId": "1", "arn": "a"},
            "GetJobRun": lambda cluster: {
                "jobRun": {"applicationId": "00f", "jobRunId": "1", "state": state("SUCCESS", "FAILED")(cluster)}
            },
            "GetDashboardForJobRun": lambda cluster: {"url": "https://dashboard"},
            "GetApplication": lambda cluster: {"application": {"type": "Spark"}},
            "CancelJobRun": lambda cluster: {},
        },
    ),
    "emr-on-eks": (
        {
            "virtualClusterId": "v1",
            "executionRoleArn": "arn:aws:iam::123456789012:role/spark",
            "releaseLabel": "emr-8.0.0",
        },
        of_emr_on_eks,
        {
            "StartJobRun": lambda cluster: {"virtualClusterId": "v1", "id": "1"},
            "DescribeJobRun": lambda cluster: {
                "jobRun": {"id": "1", "virtualClusterId": "v1", "state": state("COMPLETED", "FAILED")(cluster)}
            },
            "CancelJobRun": lambda cluster: {},
        },
    ),
}


@pytest.fixture(params=CLUSTERS)
def cluster(
    request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    asked, variables, answers = CLUSTERS[request.param]
    settings = {"driver": request.param, "script": SCRIPT, "bucket": bucket.name, "request": asked}
    (tmp_path / "driver.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("AE_ASSETS_SPARK_DRIVER", str(tmp_path / "driver.yaml"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(launch, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(job, "_WRITE_SECONDS", 0.1)
    made = Cluster(variables, answers)
    boto3.setup_default_session()
    for service in ("emr", "emr-serverless", "emr-containers"):
        boto3.DEFAULT_SESSION.events.register(f"before-call.{service}", made.answer)
    yield made
    boto3.setup_default_session()


@pytest.fixture
def space(
    catalog: dict[str, str], bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    for name, value in catalog.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__AE_ASSETS__{name.upper().replace('.', '__').replace('-', '_')}", value)
    made = faulty_fleet(tmp_path, Lakehouse.open(None, catalog))
    yield made
    made.tables.close()


def run(space: Workspace, folder: Path, engine: str = "spark") -> dg.ExecuteInProcessResult:
    table = space.table.model_copy(update={"engine": engine})
    with instance_in(folder) as instance:
        days = (ASKED[0], ASKED[-1])
        return materialise(table, folder / "home", (FEATURES, QUARANTINE), days, instance=instance)


def told(result: dg.ExecuteInProcessResult) -> list[Any]:
    events = [one.step_materialization_data.materialization for one in result.get_asset_materialization_events()]
    return [(one.asset_key, one.partition, one.metadata) for one in events]


def test_a_job_on_a_cluster_is_asked_for_without_secrets_and_told_as_one_of_this_process(
    space: Workspace, cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    (tmp_path / "spark.conf").write_text("spark.executor.memory 4g\nspark.executor.instances 8\n")
    monkeypatch.setenv("AE_ASSETS_SPARK_CONF", str(tmp_path / "spark.conf"))
    local = run(space, tmp_path, "local")
    rows = space.read(FEATURES, ASKED[0], ASKED[-1])
    elsewhere = run(space, tmp_path)
    assert failure_of(elsewhere) == failure_of(local), "a day is held back by both"
    assert told(elsewhere) == told(local)
    assert space.read(FEATURES, ASKED[0], ASKED[-1]).equals(rows)
    (request,) = (cluster.asked[name] for name in ("RunJobFlow", "StartJobRun") if name in cluster.asked)
    words = json.dumps(request)
    assert SCRIPT in words
    assert "spark.executor.memory=4g" in words
    assert "spark.sql.session.timeZone=UTC" in words
    kept = b"".join(path.read_bytes() for path in (tmp_path / "dagster").rglob("*") if path.is_file())
    for secret in (SECRET, space.tables.catalog["uri"]):
        assert secret not in words + "".join(capfd.readouterr())
        assert secret.encode() not in kept


def test_an_error_of_the_job_fails_the_step_in_its_words(space: Workspace, cluster: Cluster, tmp_path: Path) -> None:
    def fail(space: Workspace, days: Any, engine: Any) -> Any:
        raise LakehouseError("no room for the files")

    cluster.step = fail
    result = run(space, tmp_path)
    assert "LakehouseError: no room for the files" in failure_of(result)
    assert not result.get_asset_materialization_events()


def test_a_cluster_that_fails_before_the_job_is_named(space: Workspace, cluster: Cluster, tmp_path: Path) -> None:
    cluster.step = None
    result = run(space, tmp_path)
    assert "EngineError: the driver on emr" in failure_of(result)


def test_an_interrupted_step_ends_its_job(space: Workspace, cluster: Cluster, tmp_path: Path) -> None:
    cluster.interrupted = True
    assert not run(space, tmp_path).success
    assert cluster.asked.keys() & {"CancelJobRun", "TerminateJobFlows"}


@pytest.mark.parametrize("cluster", ["emr"], indirect=True)
def test_a_secret_among_the_settings_of_spark_is_refused(
    space: Workspace, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spark.conf").write_text(f"spark.hadoop.fs.s3a.secret.key {SPARK_SECRET}\n")
    monkeypatch.setenv("AE_ASSETS_SPARK_CONF", str(tmp_path / "spark.conf"))
    result = run(space, tmp_path)
    assert "spark.hadoop.fs.s3a.secret.key holds a secret" in failure_of(result)
    assert SPARK_SECRET not in failure_of(result)
    assert not cluster.asked
