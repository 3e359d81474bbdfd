"""What the terminal shows: sentences, progress while a run works, plain tables after it."""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from ae_assets.progress import Progress, listening

SECONDS_BETWEEN_LINES = 10.0
WIDTH_WITH_NOTES = 110
WIDTH_OF_A_PIPE = 200
"""Where nobody reads on a screen nothing is folded to one; rows of any table are shorter."""

TEXT_WIDTH = 80
"""Of text that is read, where the terminal does not say; narrower ones fold it themselves."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)


def say(text: str = "", *, style: str | None = None, folded: bool = True) -> None:
    """Prints text as it is, folded between words to the terminal; commands to copy, and all in a pipe, go unbroken."""
    console.print(text, style=style, markup=False, emoji=False, soft_wrap=not (folded and console.is_terminal))


def text_width() -> int:
    """Columns for text that is read: those of the terminal or of ``COLUMNS``, else 80."""
    return max(shutil.get_terminal_size((TEXT_WIDTH, 24)).columns, TEXT_WIDTH)


def say_lines(lines: Iterable[str]) -> None:
    """Prints lines that keep to a width of their own."""
    for line in lines:
        click.echo(line)


def say_json(record: Mapping[str, Any]) -> None:
    """Prints plain values as JSON; days are written YYYY-MM-DD."""
    click.echo(json.dumps(record, indent=2, default=str, ensure_ascii=False, allow_nan=False))


@contextmanager
def shown_progress(title: str) -> Iterator[None]:
    """Draws a bar for each stage of work; where the output is no terminal, prints a line now and then instead."""
    say(title, style="bold")
    if not console.is_terminal:
        with listening(_Lines()):
            yield
        return
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[words]}", markup=False),
        console=console,
    )
    with bars, listening(_Bars(bars)):
        yield


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in self.tasks:
            self.tasks[progress.stage] = self.bars.add_task(progress.stage, total=progress.total, count="", words="")
        self.bars.update(
            self.tasks[progress.stage],
            completed=progress.done,
            total=progress.total,
            count=f"{progress.done}/{progress.total}",
            words=f"{rate(progress)} {progress.note if console.width >= WIDTH_WITH_NOTES else ''}".rstrip(),
        )


class _Lines:
    def __init__(self) -> None:
        self.printed: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        due = now - self.printed.get(progress.stage, now - SECONDS_BETWEEN_LINES) >= SECONDS_BETWEEN_LINES
        if due or progress.done == progress.total:
            self.printed[progress.stage] = now
            done = f"{progress.stage}: {progress.done} of {progress.total} {progress.unit}"
            say(f"{done}, {rate(progress)} {progress.note}".rstrip(", "))


def rate(progress: Progress) -> str:
    """Rows and units per second, in words."""
    if progress.seconds <= 0:
        return ""
    rows, units = progress.rows / progress.seconds, progress.done / progress.seconds
    return f"{rows:,.0f} rows/s, {units:,.{1 if units >= 1 else 2}f} {progress.unit}/s"
