"""What the terminal shows: progress while a run works, plain tables after it."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bars, TextColumn, TimeElapsedColumn
from rich.table import Table

from ae_assets.progress import Progress, listening

SECONDS_BETWEEN_LINES = 10.0

console = Console(highlight=False)


@contextmanager
def shown_progress() -> Iterator[None]:
    """Draws a bar for each stage of work; where the output is no terminal, prints a line now and then instead."""
    if not console.is_terminal:
        with listening(_Lines()):
            yield
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
        console=console,
    )
    with bars, listening(_Bars(bars)):
        yield


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks: dict[str, object] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in self.tasks:
            self.tasks[progress.stage] = self.bars.add_task(
                progress.stage, total=progress.total, unit=progress.unit, rate=""
            )
        self.bars.update(self.tasks[progress.stage], completed=progress.done, total=progress.total, rate=rate(progress))


class _Lines:
    def __init__(self) -> None:
        self.printed: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        due = now - self.printed.get(progress.stage, now - SECONDS_BETWEEN_LINES) >= SECONDS_BETWEEN_LINES
        if due or progress.done == progress.total:
            self.printed[progress.stage] = now
            print(
                f"{progress.stage}: {progress.done} of {progress.total} {progress.unit}, {rate(progress)}",
                file=sys.stdout,
                flush=True,
            )


def rate(progress: Progress) -> str:
    """Rows and units per second, in words."""
    if progress.seconds <= 0:
        return ""
    words = f"{progress.rows / progress.seconds:,.0f} rows/s, {progress.done / progress.seconds:,.1f} {progress.unit}/s"
    return f"{words} {progress.note}".rstrip()


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Prints a plain table that fits the terminal; ``right`` names the columns to align right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
