"""What a daily run costs with 10, 100 and 1,000 days held, and what it reads of each table.

Each home holds the days before the same day, filled by one run; then the next days are run one by one, each in a
process of its own and each with the maintenance of the night after it.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.chain import train
from benchmarks.row import Row

DRIVES = 1_000
HELD = (10, 100, 1_000)
RUNS = 3
FIRST = date(2013, 4, 10)
LARGEST_RATIO = 1.2
LOCATION = f"simulated://?drives={DRIVES}&days={HELD[-1] + RUNS}&seed=7&start={FIRST}"


@dataclass(frozen=True)
class DailyRun:
    """What one daily run took.

    Attributes:
        seconds: processor time of raw to anomalies with all checks.
        wall_seconds: how long that took.
        maintenance_seconds: processor time of the maintenance after it.
        reads: by table `files`, `most_reads_of_a_file`, `columns` and `bytes`.
    """

    seconds: float
    wall_seconds: float
    maintenance_seconds: float
    reads: Mapping[str, Mapping[str, int]]


def run() -> list[Row]:
    """Fills the homes, runs the days that follow, and compares."""
    with tempfile.TemporaryDirectory() as folder:
        models = train(Path(folder) / "trained")
        homes = {held: _filled(Path(folder) / str(held), models, held) for held in HELD}
        days = [FIRST + timedelta(days=HELD[-1] + number) for number in range(RUNS)]
        runs: dict[int, list[DailyRun]] = {held: [] for held in HELD}
        for day in days:
            for held, home in homes.items():
                runs[held].append(_daily_run(home, day))
    return [*_costs(runs), *_reads(runs)]


def _costs(runs: Mapping[int, list[DailyRun]]) -> Iterator[Row]:
    nights: dict[int, float] = {}
    for held, of_home in runs.items():
        seconds, maintenance, wall = (
            statistics.median(getattr(one, name) for one in of_home)
            for name in ("seconds", "maintenance_seconds", "wall_seconds")
        )
        nights[held] = seconds + maintenance
        note = f"{DRIVES:,} drives, {wall:.1f} s; {maintenance:.2f} CPU s of maintenance after it"
        yield Row(f"daily run, {held:,} days held", seconds, "CPU s", note=note)
    few, many = HELD[0], HELD[-1]
    ratio = nights[many] / nights[few]
    yield Row(
        f"daily run and maintenance, {many:,} days held against {few}",
        ratio,
        "x",
        f"at most {LARGEST_RATIO}",
        ratio <= LARGEST_RATIO,
        f"processor time, median of {RUNS} days, raw to anomalies with all checks, start-up not counted",
    )


def _reads(runs: Mapping[int, list[DailyRun]]) -> Iterator[Row]:
    few, many = runs[HELD[0]][-1].reads, runs[HELD[-1]][-1].reads
    for table, read in many.items():
        before = few.get(table, {"files": 0, "bytes": 0})
        yield Row(
            f"daily run reads of {table}",
            read["bytes"] / 2**20,
            "MiB",
            note=f"{read['files']} files of at most {read['columns']} columns, none more than "
            f"{read['most_reads_of_a_file']} times; with {HELD[0]} days held {before['files']} files, "
            f"{before['bytes'] / 2**20:.3g} MiB",
        )


def _filled(home: Path, models: Path, held: int) -> Path:
    """A home that holds so many days before the first one that is run daily."""
    home.mkdir()
    shutil.copytree(models, home / "models")
    last = FIRST + timedelta(days=HELD[-1] - 1)
    _run_in(home, "benchmarks.chain_run", str(last - timedelta(days=held - 1)), str(last))
    return home


def _daily_run(home: Path, day: date) -> DailyRun:
    return DailyRun(**_run_in(home, "benchmarks.history_run", str(day)))


def _run_in(home: Path, module: str, *arguments: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "AE_ASSETS_HOME": str(home), "DRIVE_STATS_LOCATION": LOCATION},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return figures
