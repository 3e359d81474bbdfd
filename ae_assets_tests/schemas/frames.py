"""Small frames of raw drive stats, as a reader returns them."""

from collections.abc import Mapping
from datetime import date

import polars as pl

DAY = date(2024, 5, 17)

TYPES: dict[str, pl.DataType] = {
    "date": pl.Date(),
    "serial_number": pl.String(),
    "model": pl.String(),
    "capacity_bytes": pl.Int64(),
    "failure": pl.Int8(),
    "smart_5_raw": pl.Int64(),
    "smart_9_raw": pl.Int64(),
    "smart_194_raw": pl.Int64(),
    "smart_9_normalized": pl.Int64(),
    "pod_id": pl.String(),
    "source_row": pl.Int32(),
    "rescued": pl.String(),
}


def raw_rows(*changes: Mapping[str, object], day: date = DAY) -> pl.DataFrame:
    """One plausible row per argument, changed as it says; rows are numbered as in a file."""
    rows = [
        {
            "date": day,
            "serial_number": f"ZA{number:04}",
            "model": "ST12000NM0008",
            "capacity_bytes": 12_000_138_625_024,
            "failure": 0,
            "smart_5_raw": 0,
            "smart_9_raw": 20_000 + number,
            "smart_194_raw": 31,
            "smart_9_normalized": 77,
            "pod_id": "18",
            "source_row": number + 1,
            "rescued": None,
            **change,
        }
        for number, change in enumerate(changes)
    ]
    return pl.DataFrame(rows, schema=TYPES)
