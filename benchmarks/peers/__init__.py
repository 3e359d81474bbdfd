"""A day of a modern fleet, and detection on real days, beside what people would use instead.

Peers run in an environment of their own below ``build/``, made of ``requirements.txt``; all take turns on one file.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from benchmarks.chain import GIB, MODERN, YEAR_2013, train
from benchmarks.row import Row

HERE = Path(__file__).parent
ENVIRONMENT = Path(os.environ.get("AE_ASSETS_PEERS", HERE.parents[1] / "build" / "peers"))
STACKS = HERE / "stacks"
PEERS = ("documents", "torch_autoencoder", "pyod_autoencoder")
TRAINED_ON = "simulated://?drives=400&days=60&seed=7&start=2013-04-10"
TRAINING_ROWS = 60_000
FIT, JUDGED = (date(2013, 4, 10), date(2013, 6, 15)), (date(2013, 7, 16), date(2013, 8, 19))
"""Split A2 of docs/results.md."""

_QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads of OpenMP that wait sleep: on shared cores they would take the time of those that work."""


@dataclass(frozen=True)
class Cost:
    """What a command took, with all processes that it started.

    Attributes:
        wall: seconds.
        processor: seconds.
        peak: bytes resident, pages that processes share counted for each.
        said: the JSON of the last line it printed.
    """

    wall: float
    processor: float
    peak: int
    said: dict[str, Any]


def run() -> list[Row]:
    """Ours and each peer on the modern day, then their detection on real days."""
    python = environment()
    with tempfile.TemporaryDirectory() as folder:
        return [*_modern_day(python, Path(folder)), *_detection(python, Path(folder))]


def environment() -> Path:
    """The Python of the peers, installed where it is missing: 6 GB."""
    python = ENVIRONMENT / "bin" / "python"
    made_from = ENVIRONMENT / ".installed"
    wanted = (HERE / "requirements.txt").read_text()
    if not made_from.exists() or made_from.read_text() != wanted:
        uv: list[str | Path] = [sys.executable, "-m", "uv"] if shutil.which("uv") is None else ["uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, ENVIRONMENT], check=True)
        install: list[str | Path] = [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "-r",
            HERE / "requirements.txt",
        ]
        subprocess.run(install, check=True)
        made_from.write_text(wanted)
    return python


def cost_of(command: Sequence[str | Path], **variables: str) -> Cost:
    """Runs a command to its end and watches its processes.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began = time.monotonic()
    peak, used = 0, dict[int, float]()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        variables = {**os.environ, **_QUIET, **variables}
        process = psutil.Popen([str(word) for word in command], env=variables, stdout=output)
        while process.poll() is None:
            resident = 0
            for one in (process, *process.children(recursive=True)):
                try:
                    resident += one.memory_info().rss
                    used[one.pid] = sum(one.cpu_times()[:2])
                except psutil.Error:
                    continue
            peak = max(peak, resident)
            time.sleep(0.05)
        wall = time.monotonic() - began
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        output.seek(0)
        return Cost(wall, sum(used.values()), peak, json.loads(output.read().splitlines()[-1]))


def peer_of(python: Path, peer: str, *words: str | Path) -> Cost:
    """One command of a peer."""
    return cost_of([python, STACKS / f"{peer}.py", *words])


def _modern_day(python: Path, folder: Path) -> list[Row]:
    from ae_assets.sources import open_source

    modern, small = open_source(MODERN), open_source(TRAINED_ON)
    day = max(modern.days())
    (folder / "source").mkdir()
    rows = folder / "source" / f"{day}.csv"
    modern.read(modern.days()[day]).drop("source_row", "rescued").write_csv(rows)
    days = [small.read(fingerprint) for _, fingerprint in sorted(small.days().items())[:30]]
    pl.concat(days, how="diagonal").drop("source_row", "rescued").write_csv(folder / "small.csv")
    models = train(folder / "trained")
    for peer in PEERS:
        peer_of(python, peer, "fit", folder / "small.csv", folder / peer)
    costs: dict[str, list[Cost]] = {}
    for turn in range(2):
        for peer in PEERS:
            shutil.copytree(models, folder / f"{turn}{peer}" / "models")
            ours = cost_of(
                [sys.executable, "-m", "benchmarks.chain_run", str(day), str(day)],
                AE_ASSETS_HOME=str(folder / f"{turn}{peer}"),
                DRIVE_STATS_LOCATION=str(folder / "source"),
            )
            costs.setdefault("ours", []).append(ours)
            score: list[str | Path] = [
                python,
                STACKS / f"{peer}.py",
                "score",
                folder / peer,
                rows,
                folder / "scores.parquet",
            ]
            costs.setdefault(peer, []).append(cost_of(score))
    best = {name: min(of_one, key=lambda cost: cost.processor) for name, of_one in costs.items()}
    return [row for name, cost in best.items() for row in _rows(name, cost, best["ours"])]


def _rows(name: str, cost: Cost, ours: Cost) -> list[Row]:
    times = f"{cost.processor / ours.processor:.1f} times ours; {cost.wall:.0f} s by the clock of this run"
    memory = f"{cost.peak / ours.peak:.1f} times ours"
    note = "raw to anomalies, stored" if name == "ours" else "CSV to scores in a file"
    return [
        Row(f"modern day, {name}", cost.processor, "processor s", note=f"{note}, start-up included; {times}"),
        Row(f"modern day, {name}, peak memory", cost.peak / GIB, "GiB", note=memory),
    ]


def _detection(python: Path, folder: Path) -> list[Row]:
    """Detection at a false alarm rate of 0.1% of split A2, of detectors that learn from its healthy rows."""
    if not YEAR_2013.exists():
        return []
    from ae_assets.chain.lives import lives_in
    from ae_assets.chain.rolling import fitted_detectors, training_of
    from ae_assets.cli.instance import load_table
    from ae_assets.evaluation.protocol import Protocol
    from ae_assets.evaluation.rolling import Origin, judge_split
    from ae_assets.model.baselines import compared_detectors
    from ae_assets.sources import open_source
    from benchmarks.feature_file import write
    from benchmarks.feature_frame import storage_over
    from benchmarks.rolling_origin import KEYS, scored

    table, source = load_table("drive_stats")[1], open_source(str(YEAR_2013))
    features = Path(os.environ.get("AE_ASSETS_FEATURES_2013", folder / "features.parquet"))
    if not features.exists():
        write(table, source, features, FIT[0], date.max)  # whose failures after the judged days are known
    space = storage_over(pl.scan_parquet(features), table)
    (ours,) = (one for one in compared_detectors(table, comparisons=False, baselines=False))
    ((_, fitted),) = fitted_detectors(space, [ours], training_of(space, Origin(FIT, JUDGED)))
    scores, _ = scored(space, {ours.name: fitted}, JUDGED)  # type: ignore[dict-item]
    by_detector = {ours.name: scores.select(*KEYS, score=pl.col(ours.name))}
    for name, (first, last) in {"fit": FIT, "judged": JUDGED}.items():
        frames = [_raw(source, day, fingerprint) for day, fingerprint in source.days().items() if first <= day <= last]
        frame = pl.concat(frames)
        if name == "fit":
            failed = frame.filter(pl.col("failure") == 1)["serial_number"].unique()
            frame = frame.filter(~pl.col("serial_number").is_in(failed.implode())).sample(TRAINING_ROWS, seed=0)
        frame.write_parquet(folder / f"{name}.parquet")
    rows = []
    for peer in PEERS:
        shutil.rmtree(folder / peer, ignore_errors=True)
        fit = peer_of(python, peer, "fit", folder / "fit.parquet", folder / peer)
        peer_of(python, peer, "score", folder / peer, folder / "judged.parquet", folder / "s.parquet")
        found = pl.read_parquet(folder / "s.parquet").select(
            day=pl.col("date").str.to_date(), entity="serial_number", score=pl.col("score").cast(pl.Float64)
        )
        found = found.unique(["day", "entity"], keep="first")
        by_detector[peer] = scores.select(KEYS).join(found, ["day", "entity"], "left", maintain_order="left")
        rows.append(Row(f"fit, {peer}", fit.processor, "processor s", note=f"{TRAINING_ROWS:,} healthy rows of 2013"))
    protocol = Protocol(*JUDGED, table.horizon_days, table.checks.window_days)
    split = judge_split("A2", FIT, by_detector, lives_in(space), protocol, reference=ours.name)
    for name, by_rate in split.comparison.detection.items():
        rate = by_rate[0.001]
        note = f"{rate.count} of {rate.total} failed drives, {100 * rate.low:.1f} to {100 * rate.high:.1f}"
        rows.append(Row(f"detection at FAR 0.1%, {name}", 100 * (rate.value or 0.0), "%", note=note))
    return rows


def _raw(source: Any, day: date, fingerprint: Any) -> pl.DataFrame:
    raw: pl.DataFrame = source.read(fingerprint)
    named = [f"smart_{attribute}_raw" for attribute in (1, 5, 9, 194, 197)]
    return raw.select(pl.lit(day.isoformat()).alias("date"), "serial_number", "failure", pl.col(named).cast(pl.Float64))
