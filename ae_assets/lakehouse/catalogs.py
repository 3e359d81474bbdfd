"""Opening the Iceberg catalog: the embedded SQLite one in the home folder, or the one that the settings name."""

import random
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.utils.config import Config
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError

from ae_assets.errors import LakehouseError

CATALOG_NAME = "ae_assets"
_SQLITE_WAIT_SECONDS = 60
_OPEN_ATTEMPTS = 20


def catalog_properties(home: Path | None, properties: Mapping[str, str]) -> dict[str, str]:
    """Settings of the catalog: given properties over pyiceberg's own configuration over the embedded default.

    Args:
        home: folder of the embedded default; None leaves it out.
        properties: settings such as ``uri``, ``type``, ``warehouse``, ``s3.endpoint``.

    Raises:
        LakehouseError: nothing names a catalog.
    """
    configuration = Config()
    # pyiceberg reads PYICEBERG_CATALOG__AE_ASSETS__URI as catalog "ae-assets", a file may spell "ae_assets".
    configured = {
        **(configuration.get_catalog_config(CATALOG_NAME.replace("_", "-")) or {}),
        **(configuration.get_catalog_config(CATALOG_NAME) or {}),
    }
    merged = {**{key: str(value) for key, value in configured.items()}, **properties}
    if {"uri", "type", "py-catalog-impl"} & merged.keys():
        return merged
    if home is None:
        raise LakehouseError(
            "No catalog is configured: give a home folder for the embedded one, or set "
            "PYICEBERG_CATALOG__AE_ASSETS__URI (and __WAREHOUSE) to a catalog of yours."
        )
    home = home.absolute()
    return {"type": "sql", "uri": f"sqlite:///{home / 'catalog.db'}", "warehouse": str(home / "warehouse"), **merged}


def sqlite_file(properties: Mapping[str, str]) -> Path | None:
    """The database file of a SQLite catalog, None for every other catalog."""
    uri = properties.get("uri", "")
    if not uri.startswith("sqlite"):
        return None
    database = make_url(uri).database
    return Path(database) if database and database != ":memory:" else None


def open_catalog(properties: Mapping[str, str]) -> Catalog:
    """Opens the catalog; makes the database file of a SQLite catalog where it is missing.

    Raises:
        LakehouseError: the catalog refuses; the message names its address.
    """
    database = sqlite_file(properties)
    if database is None:
        return _open_server(properties)
    uri = make_url(properties["uri"]).update_query_dict({"timeout": str(_SQLITE_WAIT_SECONDS)})
    settings = {**properties, "uri": uri.render_as_string(hide_password=False)}
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            _prepare(database)
            return load_catalog(CATALOG_NAME, **settings)
        except (OperationalError, sqlite3.OperationalError, OSError) as refusal:
            # Several processes may make the same new database: each but one finds it busy or its tables there already.
            if attempt == _OPEN_ATTEMPTS - 1:
                raise LakehouseError(f"The catalog {database} cannot be opened: {refusal}") from refusal
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - spreads processes, keeps no secret
    raise AssertionError("unreachable")


def _open_server(properties: Mapping[str, str]) -> Catalog:
    address = _without_password(properties.get("uri", properties.get("type", "")))
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            return load_catalog(CATALOG_NAME, **properties)
        except Exception as refusal:
            # Of several processes that make the tables of a new SQL catalog, each but one finds them there already.
            is_race = isinstance(refusal, IntegrityError | ProgrammingError)
            if not is_race or attempt == _OPEN_ATTEMPTS - 1:
                raise LakehouseError(f"The Iceberg catalog at {address} cannot be opened: {refusal}") from refusal
        time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - spreads processes, keeps no secret
    raise AssertionError("unreachable")


def _prepare(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(database, timeout=_SQLITE_WAIT_SECONDS)
    try:
        # With a write-ahead log readers and the one writer do not wait for each other.
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _without_password(uri: str) -> str:
    try:
        return make_url(uri).render_as_string(hide_password=True)
    except ArgumentError:
        return uri.rsplit("@", maxsplit=1)[-1]
