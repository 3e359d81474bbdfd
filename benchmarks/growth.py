"""How the cost of a run grows with rows a day, days of a range and cores, and what Spark's workers gain.

Exponents and what a row more costs have 95% intervals; docs/growth.md plans by them. `python -m benchmarks growth`
writes the table and the figure `build/growth.png`; days held are `history`'s, and processor seconds tell more than the
clock where others use the machine too.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy import stats

from benchmarks.chain import FIRST, train
from benchmarks.row import Row

DRIVES = (25_000, 50_000, 100_000, 200_000)
DAYS = (1, 2, 4, 8)
DRIVES_OF_A_DAY = 10_000
OF_WORKERS = 50_000
OF_A_DAY = "rows a day"
COSTS = {"processor": "processor s", "memory": "bytes", "written": "bytes"}
FIGURE = Path(__file__).resolve().parents[1] / "build" / "growth.png"

Measured = dict[str, float]


@dataclass(frozen=True)
class Slope:
    """A slope with the ends of its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, sizes: ArrayLike, costs: ArrayLike) -> "Slope":
        """Of costs over sizes, three of them at least."""
        fitted = stats.linregress(sizes, costs)
        half = stats.t.ppf(0.975, np.size(sizes) - 2) * fitted.stderr
        return cls(float(fitted.slope), float(fitted.slope - half), float(fitted.slope + half))

    @classmethod
    def of_logarithms(cls, sizes: ArrayLike, costs: ArrayLike) -> "Slope":
        """The exponent by which costs grow."""
        return cls.of(np.log(sizes), np.log(costs))


def run() -> list[Row]:
    """All curves; those of Spark where it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        models = train(home / "trained")
        by_rows = {n: _measured(home, models, _source(home, n, 1), 1) for n in DRIVES}
        days = _source(home, DRIVES_OF_A_DAY, max(DAYS))
        by_days = {n: _measured(home, models, days, n) for n in DAYS}
        of_cores = {n: _measured(home, models, _source(home, OF_WORKERS, 1), 1, cores=n) for n in (1, 2)}
        of_spark = {}
        if find_spec("pyspark") is not None:
            of_spark = {n: _measured(home, models, _source(home, OF_WORKERS, 1), 1, workers=n) for n in (1, 2)}
    curves = {OF_A_DAY: by_rows, "days of a range": by_days}
    draw(curves, FIGURE)
    single = {f"{n} core, {OF_WORKERS:,} rows": cost for n, cost in of_cores.items()}
    single |= {f"Spark, {n} worker, {OF_WORKERS:,} rows, to features": cost for n, cost in of_spark.items()}
    return [*(row for name, curve in curves.items() for row in _rows(name, curve)), *_single(single)]


def _rows(name: str, curve: Mapping[int, Measured]) -> list[Row]:
    """Of each cost the exponent, and what one row more adds beside what every run costs."""
    found = []
    rows = np.array(list(curve), dtype=float) * (1 if name == OF_A_DAY else DRIVES_OF_A_DAY)
    for cost, unit in COSTS.items():
        values = [measured[cost] for measured in curve.values()]
        exponent, added = Slope.of_logarithms(rows, values), Slope.of(rows, values)
        told = ", ".join(f"{size:,}: {_short(value)}" for size, value in zip(curve, values, strict=True))
        note = f"{exponent.low:.2f} to {exponent.high:.2f}; {unit} {told}"
        found.append(Row(f"{name}, exponent of {cost}", exponent.value, "", note=note))
        of_million = f"{_short(1e6 * added.low)} to {_short(1e6 * added.high)}"
        found.append(Row(f"{name}, {cost} of a million rows more", 1e6 * added.value, unit, note=of_million))
    commits = {int(measured["commits"]) for measured in curve.values()}
    return [*found, Row(f"{name}, commits of a run", max(commits), "", note=f"{len(commits)} different")]


def _single(runs: Mapping[str, Measured]) -> list[Row]:
    return [
        Row(name, cost["processor"], "processor s", note=f"{cost['wall']:.1f} s by the clock; Java's are not counted")
        for name, cost in runs.items()
    ]


def draw(curves: Mapping[str, Mapping[int, Measured]], path: Path) -> None:
    """Draws processor seconds, memory and bytes written over each size, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, cost in zip(axes, ("processor", "memory", "written"), strict=True):
        for name, curve in curves.items():
            rows = [size * (1 if name == OF_A_DAY else DRIVES_OF_A_DAY) for size in curve]
            ax.loglog(rows, [measured[cost] for measured in curve.values()], "o-", label=name)
        ax.set(title=cost, xlabel="rows", ylabel=COSTS[cost])
    axes[2].legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _source(home: Path, drives: int, days: int) -> Path:
    """A folder of CSV files, a day each, of a simulated fleet."""
    from ae_assets.sources import open_source

    folder = home / f"source_{drives}_{days}"
    if not folder.exists():
        source = open_source(f"simulated://?drives={drives}&days={days}&seed=7&start={FIRST}")
        folder.mkdir()
        for day, fingerprint in source.days().items():
            frame: pl.DataFrame = source.read(fingerprint).drop("source_row", "rescued")
            frame.write_csv(folder / f"{day}.csv")
    return folder


def _measured(home: Path, models: Path, source: Path, days: int, cores: int = 0, workers: int = 0) -> Measured:
    """One run in a fresh home and process, on so many cores, or with so many workers of Spark."""
    here = home / "run"
    shutil.copytree(models, here / "models")
    last: date = FIRST + timedelta(days=days - 1)
    command = [sys.executable, "-m", "benchmarks.growth_run", str(FIRST), str(last)]
    environment = {**os.environ, "AE_ASSETS_HOME": str(here), "DRIVE_STATS_LOCATION": str(source)}
    if cores:
        command = ["taskset", "-c", f"0-{cores - 1}", *command]
        environment |= {"POLARS_MAX_THREADS": str(cores)}
    if workers:
        (home / "spark.conf").write_text(f"spark.master local[{workers}]\n")
        environment |= {"AE_ASSETS_SPARK_CONF": str(home / "spark.conf")}
        command.append("spark")
    ran = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(here)
    measured: Measured = json.loads(ran.stdout.splitlines()[-1])
    return measured


def _short(value: float) -> str:
    return f"{value:,.1f}" if value < 10_000 else f"{value / 1e6:,.0f}M"
