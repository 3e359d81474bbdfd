"""How Spark finds the catalog that pyiceberg is configured with: the same settings under Iceberg's names for Java."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import make_url

from ae_assets.errors import ConfigError

_JDBC = "org.apache.iceberg.jdbc.JdbcCatalog"
_GLUE = "org.apache.iceberg.aws.glue.GlueCatalog"
_FILES = "org.apache.iceberg.io.ResolvingFileIO"
_NAMES_OF_FILES = ("s3.endpoint", "s3.access-key-id", "s3.secret-access-key", "s3.session-token")


def catalog_settings(name: str, properties: Mapping[str, str]) -> dict[str, str]:
    """Settings of a Spark session by which it has the catalog.

    Args:
        name: of the catalog, in both: catalogs in databases keep it in their rows.
        properties: pyiceberg's settings.

    Raises:
        ConfigError: Spark has no such catalog.
    """
    settings = {
        # Spark would go on with a table as it was before another process wrote to it.
        "cache-enabled": "false",
        "io-impl": _FILES,
        **_of_files(properties),
        **_of_kind(properties),
    }
    if "warehouse" in properties:
        warehouse = properties["warehouse"]
        settings["warehouse"] = Path(warehouse).as_uri() if warehouse.startswith("/") else warehouse
    prefix = f"spark.sql.catalog.{name}"
    return {
        prefix: "org.apache.iceberg.spark.SparkCatalog",
        **{f"{prefix}.{key}": value for key, value in settings.items()},
    }


def _of_kind(properties: Mapping[str, str]) -> dict[str, str]:
    uri = properties.get("uri", "")
    kind = properties.get("type") or uri.partition(":")[0]
    if kind == "sql" or kind.partition("+")[0] in {"sqlite", "postgresql"}:
        return {"catalog-impl": _JDBC, **_of_database(uri)}
    if kind == "glue":
        named = {"glue.id": "glue.id", "glue.endpoint": "glue.endpoint", "glue.region": "client.region"}
        return {"catalog-impl": _GLUE, **{java: properties[own] for own, java in named.items() if own in properties}}
    if kind in {"rest", "http", "https"}:
        # Of a REST catalog both call everything by the same name.
        own = {key: value for key, value in properties.items() if not key.startswith("s3.") and key != "warehouse"}
        return {**own, "type": "rest"}
    raise ConfigError(
        f"Spark is given catalogs of the types sql (SQLite, PostgreSQL), rest and glue, received {kind!r}; use one of "
        "them, or engine: local"
    )


def _of_database(uri: str) -> dict[str, str]:
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        return {"uri": f"jdbc:sqlite:{url.database}"}
    if url.get_backend_name() != "postgresql":
        raise ConfigError(f"Spark has a driver for SQLite and PostgreSQL, received {url.render_as_string()}")
    port = "" if url.port is None else f":{url.port}"
    access = {"jdbc.user": url.username, "jdbc.password": url.password}
    return {
        "uri": f"jdbc:postgresql://{url.host or 'localhost'}{port}/{url.database}",
        **{key: value for key, value in access.items() if value is not None},
    }


def _of_files(properties: Mapping[str, str]) -> dict[str, str]:
    files = {key: properties[key] for key in _NAMES_OF_FILES if key in properties}
    if "s3.region" in properties:
        files["client.region"] = properties["s3.region"]
    virtual = properties.get("s3.force-virtual-addressing", "false").lower() == "true"
    if "s3.endpoint" in files and not virtual:
        files["s3.path-style-access"] = "true"  # as PyArrow addresses a server of one's own
    return files
