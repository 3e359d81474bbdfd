"""Runs a benchmark in a process of its own: memory peaks and imports of one do not reach another."""

import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from benchmarks.row import Row


def measure(name: str) -> list[Row]:
    """Rows of one benchmark, run in a fresh process; its exception is raised here."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(rows_of, name).result()


def rows_of(name: str) -> list[Row]:
    """Runs a benchmark module in this process."""
    rows: list[Row] = importlib.import_module(f"benchmarks.{name}").run()
    return rows
