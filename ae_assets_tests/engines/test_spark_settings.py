"""What Spark is given, without starting it: the catalog, the jars, the settings of a file."""

import hashlib
from pathlib import Path

import pytest

from ae_assets.engines.spark import jars
from ae_assets.engines.spark.catalog import catalog_settings
from ae_assets.engines.spark.engine import cause_of
from ae_assets.engines.spark.session import _settings_in_file
from ae_assets.errors import ConfigError

S3 = {
    "s3.endpoint": "http://127.0.0.1:9000",
    "s3.access-key-id": "key",
    "s3.secret-access-key": "secret",
    "s3.region": "eu-central-1",
}
S3_IN_SPARK = {
    **{key: value for key, value in S3.items() if key != "s3.region"},
    "client.region": "eu-central-1",
    "s3.path-style-access": "true",
}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (
            {"type": "sql", "uri": "sqlite:////home/of/catalog.db", "warehouse": "/home/of/warehouse"},
            {"uri": "jdbc:sqlite:/home/of/catalog.db", "warehouse": "file:///home/of/warehouse"},
        ),
        (
            {"uri": "postgresql+psycopg2://me:p%40ss@db:5433/ice", "warehouse": "s3://drives/wh", **S3},
            {
                "uri": "jdbc:postgresql://db:5433/ice",
                "jdbc.user": "me",
                "jdbc.password": "p@ss",
                "warehouse": "s3://drives/wh",
                **S3_IN_SPARK,
            },
        ),
        (
            {"type": "rest", "uri": "http://rest:8181", "warehouse": "lake", "credential": "a:b", **S3},
            {"type": "rest", "uri": "http://rest:8181", "warehouse": "lake", "credential": "a:b", **S3_IN_SPARK},
        ),
        ({"type": "glue", "glue.region": "eu-west-1", "warehouse": "s3://wh"}, {"client.region": "eu-west-1"}),
    ],
)
def test_the_catalog_is_the_one_of_pyiceberg(properties: dict[str, str], expected: dict[str, str]) -> None:
    settings = catalog_settings("ae_assets", properties)
    assert settings.pop("spark.sql.catalog.ae_assets") == "org.apache.iceberg.spark.SparkCatalog"
    named = {key.removeprefix("spark.sql.catalog.ae_assets."): value for key, value in settings.items()}
    assert named.items() >= expected.items()
    assert named["cache-enabled"] == "false"
    assert ("catalog-impl" in named) == (properties.get("type") != "rest")


@pytest.mark.parametrize("uri", ["thrift://hive:9083", "mysql://db/ice"])
def test_a_catalog_that_spark_is_not_given_is_named(uri: str) -> None:
    with pytest.raises(ConfigError):
        catalog_settings("ae_assets", {"uri": uri})


def test_jars_are_those_that_were_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned, folder = tmp_path / "pinned", tmp_path / "jars"
    pinned.mkdir()
    (pinned / "jars.sha256").write_text(f"{hashlib.sha256(b'tested').hexdigest()}  one.jar\n")
    monkeypatch.setattr(jars, "_PINNED", pinned)
    monkeypatch.setenv("AE_ASSETS_SPARK_JARS", str(folder))
    with pytest.raises(ConfigError, match=r"one\.jar.*ae-assets spark-jars"):
        jars.jar_set().require()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no mvn on PATH"):
        jars.jar_set().fetched()
    folder.mkdir()
    (folder / "one.jar").write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"one\.jar .* is not what was tested"):
        jars.jar_set().fetched()
    (folder / "one.jar").write_bytes(b"tested")
    assert jars.jar_set().fetched() == [folder / "one.jar"]


def test_a_file_of_settings_is_read_as_spark_reads_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "spark.conf"
    file.write_text("# of the cluster\nspark.master  yarn\nspark.driver.extraJavaOptions -Dx=y -Dz\n\nspark.a=1\n")
    monkeypatch.setenv("AE_ASSETS_SPARK_CONF", str(file))
    assert _settings_in_file() == {"spark.master": "yarn", "spark.driver.extraJavaOptions": "-Dx=y -Dz", "spark.a": "1"}
    file.write_text("spark.master\n")
    with pytest.raises(ConfigError, match=r"no value for spark\.master"):
        _settings_in_file()


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("Job aborted\norg.apache.spark.SparkException: lost\n\tat x", "org.apache.spark.SparkException: lost"),
        (
            "It was thrown\n  File x\nae_assets.errors.LakehouseError: no room\n\n\tat org.apache.spark.api.Runner",
            "ae_assets.errors.LakehouseError: no room",
        ),
        ("[TABLE_OR_VIEW_NOT_FOUND] no table", "[TABLE_OR_VIEW_NOT_FOUND] no table"),
    ],
)
def test_the_cause_of_an_error_is_its_line_that_says_why(message: str, cause: str) -> None:
    assert cause_of(message) == cause
