"""A deployment at work: the services of compose.yaml as real processes, a day through them, and a code server lost."""

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.deploy.compose_file import SECRETS
from ae_assets_tests.deploy.stack import Stack, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUN_SECONDS = 400  # of a machine that others keep busy; seconds where it is free
FIRST = date(2013, 4, 10)
DAILY = ("raw", "features", "quarantine")
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUNS = """
query($filter: RunsFilter) {
  runsOrError(filter: $filter) { ... on Runs { results { runId status rootRunId tags { key value } } } }
}
"""
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack")) as services:
        yield services


def asked(stack: Stack, query: str, **variables: Any) -> dict[str, Any]:
    """The answer of the webserver's GraphQL."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{stack.ui}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
        said = json.loads(answer.read())
    assert "errors" not in said, said["errors"]
    data: dict[str, Any] = said["data"]
    return data


def launched(stack: Stack, tags: dict[str, str]) -> str:
    """The id of a run of the daily assets up to the features."""
    selector = {
        "repositoryLocationName": "ae_assets",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": ["drive_stats", name]} for name in DAILY],
    }
    params = {
        "selector": selector,
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    started = asked(stack, LAUNCH, params=params)["launchRun"]
    assert started["__typename"] == "LaunchRunSuccess", started
    run: str = started["run"]["runId"]
    return run


def family(stack: Stack, run: str) -> list[dict[str, Any]]:
    """The run and its retries, oldest first."""
    results = asked(stack, RUNS, filter={})["runsOrError"]["results"]
    return [one for one in reversed(results) if run in {one["runId"], one["rootRunId"]}]


def reached(stack: Stack, run: str, wanted: str, number: int = 0) -> dict[str, Any]:
    """Waits until a run, or the retry of that number, has a status."""
    deadline = time.monotonic() + RUN_SECONDS
    runs: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        runs = family(stack, run)
        if len(runs) > number and runs[number]["status"] == wanted:
            return runs[number]
        ended = len(runs) > number and runs[number]["status"] in {"SUCCESS", "FAILURE", "CANCELED"}
        assert not ended, f"{runs}\n{stack.log('code')[-4000:]}\n{stack.log('daemon')[-4000:]}"
        time.sleep(0.1)
    raise AssertionError(f"no {wanted} within {RUN_SECONDS} s: {runs}\n{stack.log('daemon')[-4000:]}")


def rows(stack: Stack, table: str) -> dict[date, int]:
    """Rows of a table by day, read with the settings of the services."""
    prefix = "PYICEBERG_CATALOG__AE_ASSETS__"
    environment = stack.environment("code")
    properties = {
        name.removeprefix(prefix).lower().replace("__", ".").replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    properties |= {
        "s3.access-key-id": environment["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": environment["AWS_SECRET_ACCESS_KEY"],
    }
    lakehouse = Lakehouse.open(None, properties)
    try:
        return dict(lakehouse.day_rows(table))
    finally:
        lakehouse.close()


def test_a_day_goes_from_the_webserver_over_the_queue_to_the_tables(stack: Stack) -> None:
    run = launched(stack, {"dagster/partition": str(FIRST)})

    reached(stack, run, "SUCCESS")

    assert rows(stack, "drive_stats.raw") == {FIRST: 60}
    assert rows(stack, "drive_stats.features") == {FIRST: 60}


def test_every_daemon_that_is_needed_runs(stack: Stack) -> None:
    def unwell() -> list[str]:
        statuses = asked(stack, DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return [status["daemonType"] for status in statuses if status["required"] and not status["healthy"]]

    statuses = asked(stack, DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    required = {status["daemonType"] for status in statuses if status["required"]}
    assert required >= {"SENSOR", "SCHEDULER", "BACKFILL", "QUEUED_RUN_COORDINATOR", "MONITORING", "FRESHNESS_DAEMON"}
    deadline = time.monotonic() + 60
    while unwell() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert unwell() == []


def test_preparing_again_changes_nothing_and_the_pools_have_their_limits(stack: Stack) -> None:
    before = rows(stack, "drive_stats.raw")

    stack.start("prepare")

    assert rows(stack, "drive_stats.raw") == before
    limits = asked(stack, "{ instance { concurrencyLimits { concurrencyKey slotCount } } }")["instance"]
    assert {one["concurrencyKey"]: one["slotCount"] for one in limits["concurrencyLimits"]} == {
        "lakehouse_writes": 4,
        "accelerator": 1,
    }


def test_a_run_that_is_lost_with_its_code_server_fails_and_is_run_again(stack: Stack) -> None:
    days = [FIRST + timedelta(days=number) for number in range(10)]
    ends = {"dagster/asset_partition_range_start": str(days[0]), "dagster/asset_partition_range_end": str(days[-1])}
    run = launched(stack, ends)
    reached(stack, run, "STARTED")

    stack.kill("code")
    stack.start("code")

    reached(stack, run, "FAILURE")
    reached(stack, run, "SUCCESS", number=1)
    assert list(rows(stack, "drive_stats.features")) == days


def test_no_service_logs_a_secret(stack: Stack) -> None:
    logs = {path.name: path.read_text() for path in stack.folder.glob("*.log")}
    secrets = [value for name, value in SECRETS.items() if name != "S3_ACCESS_KEY"]

    assert {"code.log", "webserver.log", "daemon.log", "prepare.log", "storage.log"} <= logs.keys()
    assert [(name, secret) for name, text in logs.items() for secret in secrets if secret in text] == []
