"""dagster-aws's S3Resource is what configures S3: source, sensor, tables and models, without any variable."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from ae_assets.errors import ConfigError, SourceError
from ae_assets.pipeline.assets import build_assets
from ae_assets.pipeline.component import partitions_of
from ae_assets.pipeline.resources import LakehouseResource, lakehouse_of_environment
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import FIRST, watched_table, write_day
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.seaweed import KEY, SECRET, Seaweed
from ae_assets_tests.pipeline.runs import PipelineAlone

DAYS = [FIRST + timedelta(days=number) for number in range(3)]


@pytest.fixture
def days(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket of days that nothing in the environment leads to."""
    for day in DAYS:
        bucket.put(f"raw/{day}.csv", write_day(tmp_path, day, [("D1", 0, 1), ("D2", 0, 2)]).read_bytes())
    for name in bucket.server.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("SECRET_OF_THE_BUCKET", SECRET)
    return bucket


def resource_of(server: Seaweed, **more: Any) -> S3Resource:
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": dg.EnvVar("SECRET_OF_THE_BUCKET")}
    return S3Resource(endpoint_url=server.endpoint, region_name="us-east-1", **{**keys, **more})


def definitions(bucket: Bucket, home: Path) -> dg.Definitions:
    table = watched_table(f"s3://{bucket.name}/raw", end="2013-12-31")
    catalog = {"type": "sql", "uri": f"sqlite:///{home / 'catalog.db'}", "warehouse": f"s3://{bucket.name}/warehouse"}
    s3 = resource_of(bucket.server)
    lakehouse = LakehouseResource(
        home=str(home), s3=s3, catalog=catalog, models_location=f"s3://{bucket.name}/models?scheme=http"
    )
    return dg.Definitions.merge(
        PipelineAlone(table).build_defs(None),  # type: ignore[arg-type]
        dg.Definitions(resources={"s3": s3, "lakehouse": lakehouse}, executor=dg.in_process_executor),
    )


def test_a_run_reads_and_writes_what_the_resource_names(days: Bucket, tmp_path: Path) -> None:
    found = definitions(days, tmp_path / "home")
    result = found.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[dg.AssetKey(["fleet", name]) for name in ("raw", "features", "quarantine")],
        tags={
            "dagster/asset_partition_range_start": str(DAYS[0]),
            "dagster/asset_partition_range_end": str(DAYS[-1]),
        },
    )
    assert result.success
    listed = days.client.list_objects_v2(Bucket=days.name, Prefix="warehouse/")["Contents"]
    assert {key["Key"].split("/")[2] for key in listed} >= {"raw", "features", "ledger", "lives"}
    assert not list((tmp_path / "home").rglob("*.parquet"))


def test_the_sensor_lists_what_the_resource_names(days: Bucket, tmp_path: Path) -> None:
    found = definitions(days, tmp_path / "home")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance, definitions=found, sensor_name="fleet_landing", resources=found.resources
        ) as context,
    ):
        result = found.resolve_sensor_def("fleet_landing").evaluate_tick(context)
    assert {request.partition_key for request in result.run_requests or []} == {str(day) for day in DAYS}


def test_models_are_kept_where_the_resource_leads(days: Bucket, tmp_path: Path) -> None:
    s3 = resource_of(days.server, aws_secret_access_key=SECRET)
    lakehouse = LakehouseResource(home=str(tmp_path), s3=s3, models_location=f"s3://{days.name}/models?scheme=http")
    lakehouse.models.new_version("fleet", lambda folder: (folder / "model.json").write_text("{}"), {"card": 1})
    assert days.client.list_objects_v2(Bucket=days.name, Prefix="models/fleet/")["KeyCount"] == 2


def test_without_the_resource_nothing_is_reached(days: Bucket) -> None:
    with pytest.raises(SourceError):
        open_source(f"s3://{days.name}/raw").days()


@pytest.mark.parametrize(
    ("more", "problem"),
    [({"use_unsigned_session": True}, "403"), ({"aws_access_key_id": "nobody"}, "403")],
    ids=["unsigned", "another key"],
)
def test_a_session_that_may_not_list_is_refused_by_the_server(days: Bucket, more: dict[str, Any], problem: str) -> None:
    s3 = resource_of(days.server, **{"aws_secret_access_key": SECRET, **more})
    lakehouse = LakehouseResource(home="nowhere", s3=s3)
    with pytest.raises(SourceError, match=problem):
        lakehouse.source_of(watched_table(f"s3://{days.name}/raw")).days()


def test_an_unsigned_session_needs_no_credentials(days: Bucket) -> None:
    arn = f"arn:aws:s3:::{days.name}"
    reading = {"Effect": "Allow", "Principal": "*", "Action": ["s3:ListBucket", "s3:GetObject"]}
    policy = {"Version": "2012-10-17", "Statement": [{**reading, "Resource": [arn, f"{arn}/*"]}]}
    days.client.put_bucket_policy(Bucket=days.name, Policy=json.dumps(policy))
    unsigned = S3Resource(endpoint_url=days.server.endpoint, region_name="us-east-1", use_unsigned_session=True)
    lakehouse = LakehouseResource(home="nowhere", s3=unsigned)
    source = lakehouse.source_of(watched_table(f"s3://{days.name}/raw"))
    assert list(source.days()) == DAYS
    assert source.read(source.days()[DAYS[0]]).height == 2


def test_the_environment_describes_the_resource(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path))
    assert lakehouse_of_environment().s3 is None
    monkeypatch.setenv("AE_ASSETS_S3_REGION_NAME", "eu-central-1")
    monkeypatch.setenv("AE_ASSETS_S3_USE_UNSIGNED_SESSION", "true")
    s3 = lakehouse_of_environment().s3
    assert isinstance(s3, S3Resource)
    assert (s3.region_name, s3.use_unsigned_session, s3.endpoint_url) == ("eu-central-1", True, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("REGION", "eu-central-1"), ("USE_SSL", "perhaps"), ("AWS_SECRET_ACCESS_KEY", "secret-that-the-ui-would-show")],
)
def test_a_variable_that_describes_nothing_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"AE_ASSETS_S3_{name}", value)
    with pytest.raises(ConfigError, match=f"AE_ASSETS_S3_{name}") as raised:
        lakehouse_of_environment()
    assert "secret" not in str(raised.value)


def test_other_settings_of_the_tables_stand_over_the_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    from ae_assets.lakehouse.catalogs import catalog_properties
    from ae_assets.pipeline.s3 import file_properties

    s3 = S3Resource(region_name="eu-central-1", endpoint_url="http://source", use_unsigned_session=True)
    monkeypatch.setenv("PYICEBERG_CATALOG__AE_ASSETS__S3__ENDPOINT", "http://lake")
    merged = catalog_properties(Path("home"), {}, file_properties(s3))
    assert (merged["s3.endpoint"], merged["s3.region"]) == ("http://lake", "eu-central-1")
    assert "s3.anonymous" not in merged, "tables are written, so their session is signed"


def test_assets_of_a_table_need_no_s3_resource() -> None:
    table = watched_table()
    keys = {key for asset in build_assets(table, partitions_of(table)) for key in asset.required_resource_keys}
    assert "s3" not in keys
