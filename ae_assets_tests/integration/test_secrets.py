"""Secrets that the settings hold are in no log, event, table, figure or error, whatever goes wrong."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ae_assets_tests.chain.tables import FIRST, SIMULATED, watched_table
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.postgres import Postgres
from ae_assets_tests.integration.seaweed import KEY, SECRET, Seaweed
from ae_assets_tests.pipeline.runs import failure_of, materialise

PASSWORD = "password-never-in-a-log"  # noqa: S105 - the database of the tests takes any
NOTHING_LISTENS = "127.0.0.1:9"


def s3(endpoint: str, secret: str = SECRET) -> dict[str, str]:
    return {
        "s3.endpoint": endpoint,
        "s3.access-key-id": KEY,
        "s3.secret-access-key": secret,
        "s3.region": "us-east-1",
    }


def sql(postgres: Postgres, warehouse: str, port: int | None = None) -> dict[str, str]:
    database = postgres.new_database()
    uri = f"postgresql+psycopg2://postgres:{PASSWORD}@127.0.0.1:{port or postgres.port}/{database}"
    return {"type": "sql", "uri": uri, "warehouse": warehouse}


def rest(address: str, secret: str = SECRET) -> dict[str, str]:
    return {
        "type": "rest",
        "uri": address,
        "warehouse": "s3://lake",
        "credential": f"{KEY}:{secret}",
        "oauth2-server-uri": f"{address}/v1/oauth/tokens",
    }


CASES = {
    "all is well": lambda weed, pg, wrong: {**sql(pg, "s3://warehouse/secrets"), **s3(weed.endpoint)},
    "the database is away": lambda weed, pg, wrong: {**sql(pg, "s3://warehouse/secrets", 9), **s3(weed.endpoint)},
    "the key is wrong": lambda weed, pg, wrong: {**sql(pg, "s3://warehouse/secrets"), **s3(weed.endpoint, wrong)},
    "the REST catalog is away": lambda weed, pg, wrong: {**rest(f"http://{NOTHING_LISTENS}"), **s3(weed.endpoint)},
    "the REST credential is wrong": lambda weed, pg, wrong: {
        **rest(f"http://127.0.0.1:{weed.iceberg_port}", wrong),
        **s3(weed.endpoint),
    },
}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


def everything_kept(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("case", CASES)
def test_no_secret_is_kept_or_shown(
    case: str,
    aws: Seaweed,
    postgres: Postgres,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wrong = "another-secret-never-in-a-log"
    settings = CASES[case](aws, postgres, wrong)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name, value in settings.items():
        key = name.upper().replace(".", "__").replace("-", "_")
        monkeypatch.setenv(f"PYICEBERG_CATALOG__AE_ASSETS__{key}", value)
    result = _raw(watched_table(SIMULATED), tmp_path, instance)
    assert result.success == (case == "all is well"), failure_of(result)
    said = "".join(capfd.readouterr())
    kept = everything_kept(tmp_path)
    assert b"fleet__raw" in kept, "the event log is among what is looked at"
    for secret in (PASSWORD, SECRET, wrong):
        assert secret not in said
        assert secret not in failure_of(result)
        assert secret.encode() not in kept


def test_a_source_that_refuses_its_key_says_so_without_it(
    bucket: Bucket, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    bucket.put("fleet/2013-04-10.csv", b"date,serial_number\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    result = _raw(watched_table(f"s3://{bucket.name}/fleet"), tmp_path, instance)
    assert not result.success
    assert bucket.name in failure_of(result)
    said = "".join(capfd.readouterr())
    assert PASSWORD not in said + failure_of(result)
    assert PASSWORD.encode() not in everything_kept(tmp_path)


def _raw(table: Any, folder: Path, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    days: tuple[date, date] = (FIRST, FIRST)
    return materialise(table, folder / "home", ["raw"], days, None, instance)
