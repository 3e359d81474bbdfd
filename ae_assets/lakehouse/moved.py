"""Notices an embedded home that lies elsewhere than when its tables were written: Iceberg names files by full paths."""

import contextlib
import sqlite3
from pathlib import Path

from ae_assets.errors import LakehouseError


def refuse_a_moved_home(database: Path, warehouse: str) -> None:
    """Looks where the tables of the embedded catalog lie.

    Without this a moved home would be missing its files, and a copied one would be written into the original.

    Args:
        database: the catalog.
        warehouse: where it makes new tables; another place than the embedded default is not looked at.

    Raises:
        LakehouseError: a table lies outside the home.
    """
    home = database.parent
    if Path(warehouse) != home / "warehouse":
        return
    # A link from the former place to this one makes the full paths right, so they are followed.
    warehouse_folder = (home / "warehouse").resolve()
    for location in _metadata_files(database):
        path = Path(location.removeprefix("file://"))
        if not path.resolve().is_relative_to(warehouse_folder):
            former = path.parents[3].parent  # former / warehouse / namespace / table / metadata / file
            raise LakehouseError(_what_to_do(home, former, database.name))


def _what_to_do(home: Path, former: Path, database: str) -> str:
    if (former / database).exists():
        return (
            f"{home} is a copy of the home {former}: its tables name their files there by full path, so this one would "
            f"change the original. Set AE_ASSETS_HOME to {former}, or to a new folder, and fill that one."
        )
    return (
        f"The home {home} was {former} when its tables were written, and they name their files by full path. Move it "
        f"back, or link the former place to it: mkdir -p {former.parent} && ln -s {home} {former}"
    )


def _metadata_files(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        table = connection.execute("select name from sqlite_master where name = 'iceberg_tables'").fetchone()
        if table is None:
            return []
        rows = connection.execute("select metadata_location from iceberg_tables").fetchall()
    return [location for (location,) in rows if location]
