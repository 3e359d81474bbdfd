"""A range run over real days with a trained model and one modern day of 300,000 drives, as Dagster runs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.row import Row

PUBLISHED = Path(os.environ.get("AE_ASSETS_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
YEAR_2013 = PUBLISHED / "drive_stats" / "data_2013.zip"
FIRST, LAST = date(2013, 4, 10), date(2013, 8, 19)
SHORT_FIRST = date(2013, 7, 18)
MODERN = "simulated://?drives=300000&days=2&seed=7"
GIB = 2**30


@dataclass(frozen=True)
class Measured:
    """One timed run in a process of its own."""

    seconds: float
    rows: int
    peak_bytes: int


def run() -> list[Row]:
    """Range runs of 33 and 132 days, and a modern day."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        models = train(home / "trained")
        return [*_range_runs(home, models), *_modern_day(home, models)]


def _range_runs(home: Path, models: Path) -> list[Row]:
    location, source = (
        (str(YEAR_2013), "2013 drive stats") if YEAR_2013.exists() else (SIMULATED_2013, "simulated fleet")
    )
    short = _timed(home / "short", models, location, SHORT_FIRST, LAST)
    whole = _timed(home / "whole", models, location, FIRST, LAST)
    rate = whole.rows / whole.seconds
    growth = whole.peak_bytes / short.peak_bytes
    days = (LAST - FIRST).days + 1
    return [
        Row(
            "range run",
            rate,
            "drive-days/s",
            "at least 15,000",
            rate >= 15_000,
            f"{source}, {days} days, {whole.rows:,} rows, {whole.seconds:.0f} s",
        ),
        Row(
            "range run, peak memory",
            whole.peak_bytes / GIB,
            "GiB",
            "under 3",
            whole.peak_bytes < 3 * GIB,
            f"{days} days",
        ),
        Row(
            "range run, memory of 132 days against 33",
            growth,
            "x",
            "at most 1.15",
            growth <= 1.15,
            "peak memory of the two runs, which end on the same days",
        ),
    ]


SIMULATED_2013 = "simulated://?drives=22700&days=132&seed=7&start=2013-04-10"


def modern_source(home: Path) -> tuple[Path, date]:
    """A folder with the file of a modern day, and the day."""
    from ae_assets.sources import open_source

    source = open_source(MODERN)
    day = max(source.days())
    folder = home / "modern_source"
    folder.mkdir()
    source.read(source.days()[day]).drop("source_row", "rescued").write_csv(folder / f"{day}.csv")
    return folder, day


def _modern_day(home: Path, models: Path) -> list[Row]:
    folder, day = modern_source(home)
    size = (folder / f"{day}.csv").stat().st_size
    measured = _timed(home / "modern", models, str(folder), day, day)
    note = f"{measured.rows:,} drives, {size / 1e6:.0f} MB of CSV"
    return [
        Row("modern day, raw to anomalies", measured.seconds, "s", "at most 20", measured.seconds <= 20, note),
        Row(
            "modern day, peak memory", measured.peak_bytes / GIB, "GiB", "under 3", measured.peak_bytes < 3 * GIB, note
        ),
    ]


def train(home: Path) -> Path:
    """A model trained on a small simulated fleet: its speed in use does not depend on what it was trained on."""
    last = FIRST + timedelta(days=59)
    trained = FIRST + timedelta(days=29)
    subprocess.run(
        [
            *(sys.executable, "-m", "ae_assets.cli", "run", "drive_stats"),
            *("--start", str(FIRST), "--end", str(last), "--train-start", str(FIRST), "--train-end", str(trained)),
        ],
        env={
            **os.environ,
            "AE_ASSETS_HOME": str(home),
            "DRIVE_STATS_LOCATION": "simulated://?drives=400&days=60&seed=7",
        },
        check=True,
        stdout=sys.stderr,
    )
    return home / "models"


def measured_stages(home: Path, models: Path, location: str, first: date, last: date) -> list[Row]:
    """The stages of such a run, as `benchmarks.stages` says."""
    return [Row(**row) for row in _run(home, models, location, first, last, "--stages")]


def _timed(home: Path, models: Path, location: str, first: date, last: date) -> Measured:
    """One Dagster run of raw, features, quarantine and anomalies in a fresh home, in a fresh process."""
    return Measured(**_run(home, models, location, first, last))


def _run(home: Path, models: Path, location: str, first: date, last: date, *flags: str) -> Any:
    home.mkdir()
    shutil.copytree(models, home / "models")
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.chain_run", str(first), str(last), *flags],
        env={**os.environ, "AE_ASSETS_HOME": str(home), "DRIVE_STATS_LOCATION": location},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    shutil.rmtree(home)
    return json.loads(result.stdout.splitlines()[-1])
