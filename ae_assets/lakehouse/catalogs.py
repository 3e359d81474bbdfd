"""Opening the Iceberg catalog: the embedded SQLite one in the home folder, or the one that the settings name."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.utils.config import Config
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse.failures import PATIENCE_SECONDS, explained, is_full, retrying
from ae_assets.lakehouse.moved import refuse_a_moved_home
from ae_assets.lakehouse.servers import AWAY, with_patience

CATALOG_NAME = "ae_assets"
_SQLITE_WAIT_SECONDS = 60
_SQLITE_RACE_SECONDS = 2.0
_SQLITE_REFUSALS = (OperationalError, sqlite3.OperationalError, OSError)
_RACE_SECONDS = 5.0
_PASSING_STATES = ("starting up", "shutting down", "recovery mode", "too many", "terminating connection")
"""Of a PostgreSQL server; what else it refuses, such as a password, it refuses for good."""


def catalog_properties(
    home: Path | None, properties: Mapping[str, str], file_properties: Mapping[str, str]
) -> dict[str, str]:
    """Settings of the catalog, as `Lakehouse.open` says; raises LakehouseError where nothing names one."""
    configuration = Config()
    # pyiceberg reads PYICEBERG_CATALOG__AE_ASSETS__URI as catalog "ae-assets", a file may spell "ae_assets".
    configured = {
        **(configuration.get_catalog_config(CATALOG_NAME.replace("_", "-")) or {}),
        **(configuration.get_catalog_config(CATALOG_NAME) or {}),
    }
    merged = {**file_properties, **{key: str(value) for key, value in configured.items()}, **properties}
    if {"uri", "type", "py-catalog-impl"} & merged.keys():
        return merged
    if home is None:
        raise LakehouseError(
            "No catalog is configured: give a home folder for the embedded one, or set "
            "PYICEBERG_CATALOG__AE_ASSETS__URI (and __WAREHOUSE) to a catalog of yours."
        )
    home = home.absolute()
    # Written by SQLAlchemy, which would take a % or ? of the path for its own.
    uri = URL.create("sqlite", database=str(home / "catalog.db")).render_as_string()
    return {"type": "sql", "uri": uri, "warehouse": str(home / "warehouse"), **merged}


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
    settings = with_patience(properties)
    database = sqlite_file(settings)
    if database is None:
        return _open_server(settings)
    uri = make_url(settings["uri"]).update_query_dict({"timeout": str(_SQLITE_WAIT_SECONDS)})
    settings["uri"] = uri.render_as_string(hide_password=False)

    def open_it() -> Catalog:
        _prepare(database)
        refuse_a_moved_home(database, properties.get("warehouse", ""))
        return load_catalog(CATALOG_NAME, **settings)

    try:
        return retrying(_patience_with_sqlite)(open_it)
    except _SQLITE_REFUSALS as refusal:
        raise LakehouseError(explained(f"opening the catalog {database}", refusal)) from refusal


def _patience_with_sqlite(refusal: BaseException) -> float:
    """Several processes may make the same new database: each but one finds it busy or its tables there already."""
    return _SQLITE_RACE_SECONDS if isinstance(refusal, _SQLITE_REFUSALS) and not is_full(refusal) else 0.0


def _open_server(settings: Mapping[str, str]) -> Catalog:
    try:
        return retrying(_patience)(load_catalog, CATALOG_NAME, **settings)
    except Exception as refusal:
        address = _without_password(settings.get("uri", settings.get("type", "")))
        raise LakehouseError(
            f"The Iceberg catalog at {address} cannot be opened: {refusal}. Check its address, that its server runs and"
            " that this machine reaches it; then run it again."
        ) from refusal


def _patience(refusal: BaseException) -> float:
    """For how many seconds a server that refuses so is asked again; 0 where waiting does not help."""
    if isinstance(refusal, IntegrityError | ProgrammingError):
        return _RACE_SECONDS  # of several processes that make the tables of a new catalog, all but one find them there
    if isinstance(refusal, OperationalError):
        words = str(refusal.orig)
        away = "FATAL" not in words or any(state in words for state in _PASSING_STATES)
        return PATIENCE_SECONDS if away else 0.0
    return PATIENCE_SECONDS if isinstance(refusal, AWAY) else 0.0


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
        return make_url(uri).set(query={}).render_as_string(hide_password=True)
    except ArgumentError:
        return uri.rsplit("@", maxsplit=1)[-1]
