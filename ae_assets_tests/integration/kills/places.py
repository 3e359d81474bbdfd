"""The three kinds of places that are written to: a home, and two catalogs whose files are on S3."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from ae_assets_tests.integration.kills.work import Place, write_sources
from ae_assets_tests.integration.postgres import Postgres
from ae_assets_tests.integration.seaweed import KEY, SECRET, Seaweed

SQLITE, POSTGRES, REST = "SQLite + local", "PostgreSQL + S3", "REST + S3"
TABLE_ASSETS = ("raw", "features", "anomalies", "maintenance")
"""On REST the models lie in the home, so their assets are those of SQLite."""


def places(folder: Path, postgres: Postgres, seaweed: Seaweed) -> dict[str, Callable[[], Place]]:
    """Makers of empty places, by kind."""
    sources, numbers = write_sources(folder / "sources"), count()
    files = {
        "s3.endpoint": seaweed.endpoint,
        "s3.access-key-id": KEY,
        "s3.secret-access-key": SECRET,
        "s3.region": "us-east-1",
    }

    def local() -> Place:
        return Place(SQLITE, folder / f"home_{next(numbers)}", sources)

    def on_postgres() -> Place:
        database = postgres.new_database()
        settings = {"type": "sql", "uri": postgres.url(database), "warehouse": f"s3://warehouse/{database}", **files}
        models = f"s3://warehouse/models-of-{database}?scheme=http"
        return replace(local(), name=POSTGRES, catalog=settings, models=models, environment=seaweed.environment())

    def on_rest() -> Place:
        settings = {
            "type": "rest",
            "uri": f"http://127.0.0.1:{seaweed.iceberg_port}",
            "warehouse": "s3://lake",
            "credential": f"{KEY}:{SECRET}",
            "oauth2-server-uri": f"http://127.0.0.1:{seaweed.iceberg_port}/v1/oauth/tokens",
            **files,
        }
        table = f"killed_{next(numbers)}"
        return replace(local(), name=REST, catalog=settings, environment=seaweed.environment(), table=table)

    return {SQLITE: local, POSTGRES: on_postgres, REST: on_rest}
