"""Machines whose series do not run side by side: an own file each, labels as Numenta writes them."""

from pathlib import Path
from typing import Any


def attributes(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "table": "machines",
        "source": {
            "location": str(folder / "in"),
            "days_per_file": "many",
            "columns": {
                "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": "1h"},
                "entity": {"file_name": r"^(.+)\.csv$"},
                "values": {"load": {}},
            },
        },
        "target": {"file": str(folder / "labels.json")},
        "features": {
            "spans": ["1h", "4d"],
            "attributes": {"load": {"kind": "gauge", "meaning": "load", "transforms": ["level", "growth", "excess"]}},
        },
        "training": {"days": 1, "counted_from": "entity"},
        "calibration": {"embargo_days": 0, "days": 1},
        "detector": {"type": "excess_rule", "features": ["load_excess"]},
        "threshold": {"policy": "percentile", "percentile": 99},
        "checks": {"window_days": 1, "volume_low": 0.01, "volume_high": 100},
        **more,
    }
