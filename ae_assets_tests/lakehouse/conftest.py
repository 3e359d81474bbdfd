"""A fresh lakehouse per test, and frames of one day."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.lakehouse import Lakehouse

FIRST = date(2013, 4, 10)


def day_after(number: int) -> date:
    return FIRST + timedelta(days=number)


def frame_of(day: date, rows: int = 3, value: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": pl.repeat(day, rows, dtype=pl.Date, eager=True),
            "entity": pl.Series([f"S{number}" for number in range(rows)], dtype=pl.String),
            "value": pl.repeat(value, rows, dtype=pl.Int64, eager=True),
        }
    )


@pytest.fixture(autouse=True)
def no_configuration_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("PYICEBERG_HOME", raising=False)


@pytest.fixture
def lakehouse(tmp_path: Path) -> Iterator[Lakehouse]:
    opened = Lakehouse.open(tmp_path / "home")
    yield opened
    opened.close()
