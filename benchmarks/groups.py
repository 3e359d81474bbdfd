"""One network for each group: all at once beside a loop of ``fit``, and a thousand groups in one fit.

The loop fits some of the groups one after the other, each as it would be alone; its time for all is so many times that.
``python -m benchmarks.groups 1000 5000`` fits so many groups of so many rows.
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from ae_assets.detectors import TrainingData, Windows, fit, load_detector
from ae_assets.detectors.groups import by_group, split
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.settings import TABLE
from ae_assets.progress import Progress
from benchmarks.row import Row, table

FEATURES, CAUSES = 20, 4
LOOPED = 4
"""Groups that the loop fits."""

NETWORK = DenseAutoencoderConfig(units=(32, 16, 8, 16, 32), epochs=20, per="cohort")


def fleet(groups: int, rows: int, entities: int = 20, seed: int = 0) -> TrainingData:
    """Records of groups that follow causes of their own, devices one after the other; a tenth is held out by device."""
    random, count = np.random.default_rng(seed), groups * rows
    values = np.empty((count, FEATURES), np.float32)
    for number in range(groups):
        mixed = random.normal(size=(CAUSES, FEATURES)) / np.sqrt(CAUSES)
        values[number * rows : (number + 1) * rows] = random.normal(size=(rows, CAUSES)) @ mixed + random.normal(
            size=FEATURES
        )
    values += 0.1 * random.standard_normal(values.shape, np.float32)
    values[random.random(values.shape, np.float32) < 0.1] = np.nan
    group, entity = np.repeat(np.arange(groups), rows), np.arange(count) // (rows // entities)
    names = pl.DataFrame({"group": group, "entity": entity})
    keys = names.select(
        entity=pl.format("E{}", "entity"), cohort=pl.format("group {}", pl.col("group").cast(pl.String).str.zfill(5))
    )
    places = np.arange(count)
    windows = Windows(
        values, tuple(f"feature_{number}" for number in range(FEATURES)), places, np.ones(count, np.int32), keys
    )
    return TrainingData(windows, np.zeros(count, np.bool_), entity % 10 == 9)


def run(groups: int = 40, rows: int = 5_000) -> list[Row]:
    """Measures a loop of fits and all at once, of 40 groups."""
    data = fleet(groups, rows)
    parts = [split(data.take(places)) for _, places in by_group(data.windows, NETWORK.per)]
    alone = NETWORK.model_copy(update={"per": TABLE})
    looped = _measured(lambda: [fit(alone, part).history.kept_loss for part in parts[:LOOPED]])
    at_once = at_once_of(data)
    share, fitted = groups / LOOPED, at_once.answer
    own = [fitted.detector(group).history.kept_loss for group in fitted.own[:LOOPED]]
    apart = max(abs(one / other - 1) for one, other in zip(own, looped.answer, strict=True))
    of_processor = looped.processor * share / at_once.processor
    times = looped.wall * share / at_once.wall
    note = f"{groups} groups of {rows:,} rows; losses differ by at most {apart:.0e}; {of_processor:.3g} x by processor"
    return [
        Row("groups, loop of fit", looped.wall * share, "s", note=f"{share:g} times {LOOPED} groups"),
        Row("groups, at once", at_once.wall, "s", note="with the detector of all, and the units of scores"),
        Row("groups, at once against the loop", times, "x", "at least 10", times >= 10, note),
    ]


def many(groups: int, rows: int) -> list[Row]:
    """Measures one fit of so many groups, its memory, its files and scoring."""
    data = fleet(groups, rows)
    before = _peak()
    fitting = at_once_of(data)
    fitted, count = fitting.answer, groups * rows
    rates = f"{count / fitting.wall:,.0f} rows/s, {fitting.processor:.0f} s of the processor"
    peak = _peak() - before
    with TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        loading = _measured(lambda: load_detector(Path(folder)))
        day = data.windows.take(np.arange(0, count, 20))
        first = _measured(lambda: loading.answer.score(day))
        again = _measured(lambda: loading.answer.score(day))
    return [
        Row("many groups, one fit", fitting.wall, "s", note=f"{groups:,} groups of {rows:,} rows; {rates}"),
        Row(
            "many groups, memory of the fit",
            peak / 2**20,
            "MiB",
            note=f"beside {data.windows.values.nbytes / 2**20:,.0f} MiB of rows",
        ),
        Row("many groups, files", size / 2**20, "MiB", note=f"{len(files)} files, found in {loading.wall:.2g} s"),
        Row(
            "many groups, scoring",
            len(day) / again.wall,
            "rows/s",
            note=f"{len(day):,} rows; the first time {first.wall:.2g} s",
        ),
    ]


@dataclass(frozen=True)
class _Measured:
    answer: Any
    wall: float
    processor: float


def _measured(work: Callable[[], Any]) -> _Measured:
    wall, processor = time.perf_counter(), time.process_time()
    answer = work()
    return _Measured(answer, time.perf_counter() - wall, time.process_time() - processor)


def at_once_of(data: TrainingData) -> _Measured:
    """A fit of all groups, which says how far it is."""
    return _measured(lambda: fit(NETWORK, data, _shown))


def _shown(progress: Progress) -> None:
    if progress.unit == "groups" and progress.done % 50 == 0:
        print(f"{progress.done} of {progress.total} groups, {progress.seconds:.0f} s", file=sys.stderr)


def _peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(table(many(*map(int, sys.argv[1:])) if sys.argv[1:] else run()))
