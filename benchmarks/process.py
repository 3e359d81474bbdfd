"""Runs a benchmark in a process of its own: memory peaks and imports of one do not reach another."""

import importlib
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor

from benchmarks.row import Row


def measure(name: str, platform: str | None = None) -> list[Row]:
    """Rows of one benchmark, run in a fresh process on a platform of JAX; its exception is raised here."""
    with _process(platform) as process:
        return process.submit(rows_of, name).result()


def accelerator() -> str | None:
    """The platform of JAX that it takes of its own accord, if that is no CPU."""
    with _process(None) as process:
        platform = process.submit(platform_of_jax).result()
    return None if platform == "cpu" else platform


def platform_of_jax() -> str:
    """Asks JAX in this process."""
    return str(importlib.import_module("jax").default_backend())


def _process(platform: str | None) -> ProcessPoolExecutor:
    named = {} if platform is None else {"JAX_PLATFORMS": platform}
    spawned = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=1, mp_context=spawned, initializer=_set, initargs=(named,))


def _set(variables: Mapping[str, str]) -> None:
    os.environ.update(variables)


def rows_of(name: str) -> list[Row]:
    """Runs a benchmark module in this process."""
    rows: list[Row] = importlib.import_module(f"benchmarks.{name}").run()
    return rows
