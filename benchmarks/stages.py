"""Where the time of a range run and of a modern day goes: wall and processor seconds of each stage, each in its turn.

``python -m benchmarks.stages [FIRST LAST LOCATION]`` prints them beside the machine's limits of the same run; without a
range it is the modern day. A stage's seconds are without those of the stages inside it, so that they add up.
"""

import functools
import importlib
import inspect
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.row import Row, table

STAGES = {
    "raw: read and parse files": ("ae_assets.sources.day_files:ListingSource.read",),
    "raw: ledger and lives": ("ae_assets.chain.raw:catch_up",),
    "write Parquet": ("ae_assets.lakehouse.writer:DayWriter.write",),
    "commit": ("ae_assets.lakehouse.writer:DayWriter._commit", "ae_assets.lakehouse.access:TableAccess.replace_days"),
    "read Parquet": ("ae_assets.lakehouse.files:read_files", "ae_assets.lakehouse.tables:read_files"),
    "features: validation": ("ae_assets.model.preparation:validate_day", "ae_assets.model.preparation:valid_rows"),
    "features: the features": ("ae_assets.model.preparation:Preparation.features",),
    "anomalies: load the model": ("ae_assets.chain.champion:load_champion",),
    "anomalies: windows": ("ae_assets.model.scoring:windows_of",),
    "anomalies: scores": ("ae_assets.model.scoring:Scorer.push",),
    "anomalies: cut, episodes, reasons": ("ae_assets.model.model:Model.judge",),
    "anomalies: the day in words": (
        "ae_assets.chain.anomaly_day:AnomalyDay.of",
        "ae_assets.pipeline.metadata:anomalies_day",
        "ae_assets.pipeline.metadata:anomalies_days",
    ),
    "checks of raw, features, anomalies": (
        "ae_assets.pipeline.checks:raw_checks",
        "ae_assets.pipeline.checks:features_checks",
        "ae_assets.pipeline.checks:anomalies_checks",
        "ae_assets.pipeline.checks:episode_checks",
    ),
    "checks of rates and drift": ("ae_assets.chain.rates:judge_rates",),
}
REST = "Dagster and the rest"


class Clock:
    """Wall and processor seconds of stages that may lie in each other, of one thread and all that work for it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._open: list[str] = []
        self._last = self._now()

    def enter(self, stage: str) -> None:
        """What follows is of this stage."""
        self._add()
        self._open.append(stage)

    def leave(self) -> None:
        """What follows is of the stage around it."""
        self._add()
        self._open.pop()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def _add(self) -> None:
        now = self._now()
        if self._open:
            sums = self.seconds.setdefault(self._open[-1], [0.0, 0.0])
            for place, (before, after) in enumerate(zip(self._last, now, strict=True)):
                sums[place] += after - before
        self._last = now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def watch(clock: Clock) -> None:
    """Makes the functions of the stages tell the clock when they begin and end."""
    for stage, places in STAGES.items():
        for place in places:
            module, _, path = place.partition(":")
            *owners, name = path.split(".")
            owner: Any = importlib.import_module(module)
            for part in owners:
                owner = getattr(owner, part)
            if (given := inspect.getattr_static(owner, name, None)) is not None:
                is_of_class = isinstance(given, classmethod)
                timed = _timed(clock, stage, given.__func__ if is_of_class else given)
                setattr(owner, name, classmethod(timed) if is_of_class else timed)


def _timed(clock: Clock, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        if inspect.isgeneratorfunction(function):
            return _timed_steps(clock, stage, function(*arguments, **named))
        with clock.stage(stage):
            return function(*arguments, **named)

    return timed


def _timed_steps(clock: Clock, stage: str, steps: Iterator[Any]) -> Iterator[Any]:
    while True:
        with clock.stage(stage):
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


def rows_of(clock: Clock, drive_days: int) -> list[Row]:
    """A row for each stage, the longest first, and their sum."""
    total = sum(wall for wall, _ in clock.seconds.values())
    return [
        *(
            Row(stage, wall, "s", note=f"{processor:.2f} s of processor time, {wall / total:.0%}")
            for stage, (wall, processor) in sorted(clock.seconds.items(), key=lambda item: -item[1][0])
        ),
        Row(
            "all",
            total,
            "s",
            note=f"{sum(processor for _, processor in clock.seconds.values()):.2f} s of processor time, "
            f"{drive_days / total:,.0f} drive-days a second",
        ),
    ]


def main() -> int:
    from benchmarks.chain import measured_stages, modern_source, train

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        models = train(home / "trained")
        if len(sys.argv) > 1:
            first, last = (date.fromisoformat(text) for text in sys.argv[1:3])
            location = sys.argv[3]
            limits: list[Row] = []
        else:
            source, first = modern_source(home)
            last, location, limits = first, str(source), machine.of_files(source / f"{first}.csv")
        rows = measured_stages(home / "run", models, location, first, last)
        print(table([*machine.run(), *limits, *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
