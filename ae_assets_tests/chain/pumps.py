"""A table of one's own: forty invented pumps, one of which wears out, as their owner's files might write them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

PUMPS, DAYS, FIRST = 40, 50, date(2024, 3, 1)
WORN = "pump 07"
WORN_FROM = 42
"""The day, counted from the first, from which the worn pump shakes more each day."""


def records() -> pl.DataFrame:
    """`pump, kind, date, pressure, vibration, hours, broken` of every pump on every day."""
    random = np.random.default_rng(11)
    days, pumps = np.repeat(np.arange(DAYS), PUMPS), np.tile(np.arange(PUMPS), DAYS)
    wear = np.where((pumps == 7) & (days >= WORN_FROM), (days - WORN_FROM + 1) * 1.5, 0.0)
    return pl.DataFrame(
        {
            "pump": [f"pump {number:02}" for number in pumps],
            "kind": np.where(pumps % 2 == 0, "A 1", "B").tolist(),
            "date": [FIRST + timedelta(days=int(day)) for day in days],
            "pressure": np.round(6 + 0.2 * random.standard_normal(len(days)), 3),
            "vibration": np.round(1.5 + 0.1 * random.standard_normal(len(days)) + wear, 3),
            "hours": 1_000 + 24 * days + pumps,
            "broken": (pumps == 7) & (days == DAYS - 1),
        }
    )


COLUMNS: dict[str, Any] = {
    "time": {"column": "Datum", "format": "%d.%m.%Y"},
    "entity": "Pumpe",
    "cohort": "Bauart",
    "values": {
        "Druck (bar)": {"type": "float", "unit": "bar", "at_least": 0, "at_most": 16},
        "Schwingung": {"type": "float", "rules": ["not_negative"], "missing": -9999},
        "Stunden": {"type": "int", "at_least": 0},
        "Ort": {"type": "text"},
    },
}


def attributes(location: Path, source: dict[str, Any], names: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """The attributes of the table's YAML; `names` are the columns of pressure, vibration and hours."""
    pressure, vibration, hours = names
    return {
        "table": "pumps",
        "start": FIRST.isoformat(),
        "source": {"location": str(location), **source},
        "features": {
            "spans": [1, 7],
            "attributes": {
                pressure: {"kind": "gauge", "meaning": "pressure"},
                vibration: {"kind": "gauge", "meaning": "vibration"},
                hours: {"kind": "age", "meaning": "hours of use"},
            },
        },
        "training": {"horizon_days": 5, "days": 20, "max_rows": 5000},
        "detector": {"type": "pca"},
        "threshold": {"policy": "percentile", "percentile": 99},
        "calibration": {"embargo_days": 2, "days": 8},
        "checks": {"window_days": 10},
        **more,
    }


LABELLED: dict[str, Any] = {
    "time": "date",
    "entity": "pump",
    "label": "broken",
    "values": {"pressure": {"unit": "bar"}, "vibration": {}, "hours": {"type": "int"}},
}


def write_parquet(path: Path) -> None:
    """One file for all days, which knows the pump that broke."""
    path.parent.mkdir()
    records().write_parquet(path)


def write_csv(folder: Path) -> None:
    """A file for each day, with semicolons, days first, -9999 for what a pump did not say, and no labels."""
    folder.mkdir()
    rows = records().select(
        pl.col("date").dt.strftime("%d.%m.%Y").alias("Datum"),
        pl.col("pump").alias("Pumpe"),
        pl.col("kind").alias("Bauart"),
        pl.col("pressure").alias("Druck (bar)"),
        pl.when(pl.int_range(pl.len()) % 97 != 5).then("vibration").otherwise(-9999.0).alias("Schwingung"),
        pl.col("hours").alias("Stunden"),
        pl.lit("Halle 2").alias("Ort"),
        "date",
    )
    for (day,), part in rows.partition_by("date", as_dict=True, include_key=False).items():
        part.write_csv(folder / f"{day}.csv", separator=";")
