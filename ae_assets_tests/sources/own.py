"""A source of one's own, as the docs describe it: three days of two drives."""

from datetime import date, timedelta

import polars as pl

from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.schemas.reading import Reading
from ae_assets.sources.source import SourceDay

FIRST = date(2024, 1, 1)
COLUMNS = ("date", "serial_number", "model", "capacity_bytes", "failure", "smart_5_raw")


class Store:
    """Days of a store that this package knows nothing of."""

    simulated = False

    def __init__(self, location: str, reading: Reading) -> None:
        """Opens nothing."""
        self.location = location
        self.reading = reading

    def span(self) -> tuple[date, date] | None:
        """The days, which need no server."""
        return FIRST, FIRST + timedelta(days=2)

    def days(self) -> dict[date, SourceDay]:
        """Three days."""
        days = [FIRST + timedelta(days=number) for number in range(3)]
        return {day: SourceDay(day, f"v1-{day}", f"{self.location}/{day}", 100) for day in days}

    def strays(self) -> list[str]:
        """None."""
        return []

    def read(self, day: SourceDay) -> pl.DataFrame:
        """Two drives."""
        number = (day.day - FIRST).days
        rows = [(day.day, f"D{n}", "ST", 4_000_787_030_016, 0, n * number, n + 1, None) for n in range(2)]
        return pl.DataFrame(rows, schema=DRIVE_STATS.day_schema(COLUMNS), orient="row")
