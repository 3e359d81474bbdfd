"""Stations that record every six hours, with the qualifier of whoever looked at the values later."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from ae_assets.chain import Workspace
from ae_assets.chain.raw import load_raw
from ae_assets.model.parse import parse_table
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import storage_of

CADENCE = timedelta(hours=6)

Row = tuple[str, int, str | None]
"""Station, number of the record within the day, qualifier."""


def attributes(
    location: Path, label: Any, cadence: str = "6h", days_per_file: str = "one", **more: Any
) -> dict[str, Any]:
    """The attributes of the table's YAML."""
    return {
        "table": "stations",
        "source": {
            "location": str(location),
            "days_per_file": days_per_file,
            "columns": {
                "time": {"column": "datetime", "format": "%Y-%m-%d %H:%M:%S", "cadence": cadence},
                "entity": "station",
                **({} if label is None else {"label": label}),
                "values": {"stage": {"type": "float"}},
            },
        },
        "features": {"attributes": {"stage": {"kind": "gauge", "meaning": "level"}}},
        **more,
    }


def space_in(folder: Path, label: Any, **more: Any) -> Workspace:
    """The table's storage below a folder, whose source is the folder ``source``."""
    table = parse_table(attributes(folder / "source", label, **more), "defs.yaml")
    return storage_of(table, folder / "home")


def taken_at(day: date, number: int) -> datetime:
    """When the record of a number within a day was taken."""
    return datetime.combine(day, datetime.min.time()) + number * CADENCE


def write_day(folder: Path, day: date, rows: Sequence[Row]) -> None:
    """Writes the file of a day."""
    (folder / "source").mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        [(f"{taken_at(day, number):%Y-%m-%d %H:%M:%S}", station, 51.5, mark) for station, number, mark in rows],
        {"datetime": pl.String, "station": pl.String, "stage": pl.Float64, "qual": pl.String},
        orient="row",
    ).write_csv(folder / "source" / f"{day}.csv", null_value="NULL")


def load(space: Workspace, *days: date) -> None:
    """Loads days from the source into raw."""
    list(load_raw(space, open_source(space.table.source.location, space.table.reading), days))
