"""A table of one's own by hours, days or weeks: three gauges, with several records in a period."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.schemas.durations import written
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods

START = date(2024, 4, 15)
"""A Monday."""
GAUGES = ("north", "south", "west")
CADENCE = {HOURLY: timedelta(minutes=15), DAILY: timedelta(hours=1), WEEKLY: timedelta(hours=12)}
SPANS = {HOURLY: ["1h", "6h"], DAILY: ["6h", "2d"], WEEKLY: ["1d", "28d"]}


def gauges(folder: Path, periods: Periods, **more: Any) -> WatchedTable:
    """The table, with its files in a folder."""
    return parse_table(attributes_of(folder, periods, **more), "defs.yaml")


def attributes_of(folder: Path, periods: Periods, **more: Any) -> dict[str, Any]:
    """The attributes of its YAML."""
    return {
        "table": "gauges",
        "partitions": periods.partitions,
        "start": START.isoformat(),
        "source": {
            "location": str(folder),
            "columns": {
                "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": written(CADENCE[periods])},
                "entity": "gauge",
                "values": {"level": {"unit": "m"}, "flow": {"unit": "m3/s"}},
            },
        },
        "features": {
            "spans": SPANS[periods],
            "attributes": {name: {"kind": "gauge", "meaning": name} for name in ("level", "flow")},
        },
        "training": {"horizon_days": 1, "days": 1, "max_rows": 5000},
        "detector": {"type": "pca"},
        "threshold": {"policy": "percentile", "percentile": 99},
        "calibration": {"embargo_days": 1, "days": 1},
        "checks": {"window_days": 1},
        **more,
    }


def numbered(periods: Periods, first: int, last: int) -> list[date]:
    """Some periods, counted from the one that begins with the table."""
    begin = periods.of(START)
    return periods.range(periods.shifted(begin, first), periods.shifted(begin, last))


def write_period(folder: Path, periods: Periods, period: date, level: float = 2.0) -> Path:
    """Writes the records of a period to its file."""
    start = periods.start(period)
    times = [start + step * CADENCE[periods] for step in range(periods.step // CADENCE[periods])]
    noise = np.random.default_rng(int(start.timestamp()))
    rows = [
        f"{time:%Y-%m-%d %H:%M},{gauge},{level + noise.normal(number, 0.1):.3f},{noise.normal(3 + number, 0.1):.3f}"
        for time in times
        for number, gauge in enumerate(GAUGES)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{start:%Y-%m-%dT%H}.csv" if isinstance(period, datetime) else folder / f"{period}.csv"
    path.write_text("\n".join(["at,gauge,level,flow", *rows, ""]))
    return path


def last_hour(day: date) -> datetime:
    """Of a day."""
    return datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
