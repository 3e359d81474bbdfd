"""The machine's own limits, measured in the same run as the figures that are judged against them."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.row import Row

MATRIX_SIDE = 2048
COPIED_MIB = 256


def run() -> list[Row]:
    """Matrix products and memory copies per second, and how many processors this process may use."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    return [
        Row("processors", processors, "", note=f"{processor_name()}; load average {load:.1f} as the benchmarks began"),
        Row("float32 matrix product", matrix_product_rate() / 1e9, "GFLOP/s", note=f"numpy, {MATRIX_SIDE} squared"),
        Row("fsync", sync_seconds(Path(tempfile.gettempdir())) * 1000, "ms", note="a new file of 4 KiB"),
        Row("memory copy", copy_rate() / 2**30, "GiB/s", note=f"numpy, one thread, {COPIED_MIB} MiB, read and written"),
    ]


def of_files(csv: Path) -> list[Row]:
    """How fast a CSV file is read by Polars as it guesses its types, and a Parquet file of its numbers written."""
    size = csv.stat().st_size / 2**20
    frame = pl.read_csv(csv, infer_schema_length=0)
    texts = best_seconds(lambda: pl.read_csv(csv, infer_schema_length=0), 2)
    parquet = csv.with_suffix(".parquet")
    written = best_seconds(lambda: frame.write_parquet(parquet), 2)
    parquet.unlink()
    note = f"Polars, {size:.0f} MiB of CSV, all columns as text"
    return [Row("CSV parse", texts, "s", note=note), Row("Parquet write", written, "s", note="the same frame")]


def sync_seconds(folder: Path) -> float:
    """Shortest seconds until a small new file is on the disk."""

    def work() -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())

    return best_seconds(work, 20)


def matrix_product_rate(side: int = MATRIX_SIDE) -> float:
    """Best float32 operations per second of a square matrix product."""
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    product = np.empty_like(left)
    return 2 * side**3 / best_seconds(lambda: np.matmul(left, right, out=product))


def copy_rate(mebibytes: int = COPIED_MIB) -> float:
    """Best bytes per second, read plus written, of a copy too large for the caches."""
    source = np.ones(mebibytes * 2**20 // 4, dtype=np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / best_seconds(lambda: np.copyto(target, source))


def best_seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Shortest wall time of some runs, after one that is not counted: the least disturbed one."""
    work()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def processor_name() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
