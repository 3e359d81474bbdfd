"""A small watched table for tests: a simulated fleet, few attributes, a network that trains in seconds."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from ae_assets.chain import Workspace, model
from ae_assets.chain.model import TrainingRange, training_windows
from ae_assets.detectors import FittedDetector
from ae_assets.detectors.config import DetectorConfig
from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table

SIMULATED = "simulated://?drives=120&days=60&seed=3"
FIRST = date(2013, 4, 10)
LAST = FIRST + timedelta(days=59)


def attributes(location: str = SIMULATED, **more: Any) -> dict[str, Any]:
    """The attributes of a small table's YAML."""
    return {
        "table": "fleet",
        "start": "2013-04-10",
        "source": {"location": location},
        "features": {
            "spans": [1, 7],
            "attributes": {
                "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors"},
                "smart_197_raw": {"kind": "counter", "meaning": "pending sectors"},
                "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
                "smart_194_raw": {"kind": "gauge", "meaning": "temperature", "low_bits": 8},
            },
        },
        "training": {"horizon_days": 10, "days": 20, "max_rows": 5000},
        "detector": {
            "type": "dense_autoencoder",
            "units": [16, 4, 16],
            "epochs": 40,
            "batch_size": 64,
            "learning_rate": 0.005,
            "patience": 3,
        },
        "threshold": {"policy": "percentile", "percentile": 99},
        "calibration": {"embargo_days": 2, "days": 8},
        "checks": {"window_days": 10},
        **more,
    }


def watched_table(location: str = SIMULATED, **more: Any) -> WatchedTable:
    """The small table."""
    return parse_table(attributes(location, **more), "defs.yaml")


def storage_of(table: WatchedTable, home: Path) -> Workspace:
    """The table's storage in a home."""
    return Workspace(table, Lakehouse.open(home, None), ModelStore.open(home))


def write_day(folder: Path, day: date, drives: Sequence[tuple[str, int, int]], **columns: Sequence[Any]) -> Path:
    """Writes a day's file in the official layout: (serial number, failure, smart 5) of each drive."""
    frame = pl.DataFrame(
        {
            "date": [day] * len(drives),
            "serial_number": [serial for serial, _, _ in drives],
            "model": ["M1"] * len(drives),
            "capacity_bytes": [4_000_787_030_016] * len(drives),
            "failure": [failure for _, failure, _ in drives],
            "smart_5_raw": [counter for _, _, counter in drives],
            "smart_9_raw": [1000 + (day - FIRST).days * 24] * len(drives),
            "smart_194_raw": [25] * len(drives),
            "smart_197_raw": [0] * len(drives),
            **columns,
        },
        strict=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.csv"
    frame.write_csv(path)
    return path


def fit_detector(
    space: Workspace, config: DetectorConfig, training: TrainingRange
) -> tuple[FittedDetector, dict[str, int]]:
    """A detector fitted on a range, and of how many rows and devices."""
    windows = training_windows(space, training, config.window)
    return model.fit(config, windows.data, space.progress), windows.facts
