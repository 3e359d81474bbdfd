"""Pages of paragraphs and tables, as Markdown for the UI and as plain text for the terminal, and shares in words."""

from collections.abc import Sequence
from textwrap import fill
from typing import TypeAlias

import polars as pl

from ae_assets.evaluation.intervals import Rate
from ae_assets.reports.tables import MISSING, markdown_table

TERMINAL_WIDTH = 80

Part: TypeAlias = str | tuple[str, pl.DataFrame]
"""A paragraph, or a table below its heading. A table without a row is left out."""


def page_markdown(parts: Sequence[Part]) -> str:
    """The parts below each other as Markdown."""
    return "\n\n".join(
        part if isinstance(part, str) else f"{part[0]}\n\n{markdown_table(part[1])}" for part in _with_rows(parts)
    )


def page_text(parts: Sequence[Part]) -> str:
    """The parts below each other for the terminal."""
    return "\n\n".join(
        part if isinstance(part, str) else f"{_folded(part[0])}:\n\n{plain_table(part[1])}"
        for part in _with_rows(parts)
    )


def _folded(text: str) -> str:
    return fill(text, TERMINAL_WIDTH - 1, break_long_words=False, break_on_hyphens=False)


def _with_rows(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if isinstance(part, str) or not part[1].is_empty()]


def plain_table(frame: pl.DataFrame, width: int = TERMINAL_WIDTH) -> str:
    """A frame as aligned columns of text; columns that do not fit the width go below, beside the first one again."""
    columns = [[name, *map(_plain, frame[name])] for name in frame.columns]
    for column in columns:
        column.insert(1, "-" * max(map(len, column)))
    widths = [len(column[1]) for column in columns]
    blocks: list[list[int]] = []
    for place in range(1, len(columns)):
        if not blocks or widths[0] + sum(2 + widths[taken] for taken in [*blocks[-1], place]) > width:
            blocks.append([])
        blocks[-1].append(place)
    return "\n\n".join(_lines([columns[place] for place in [0, *block]]) for block in blocks or [[]])


def _lines(columns: Sequence[Sequence[str]]) -> str:
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(cell.ljust(len(column[1])) for cell, column in zip(line, columns, strict=True)).rstrip()
        for line in lines
    )


def _plain(value: object) -> str:
    if value is None:
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def percent(value: float | None) -> str:
    """A share in percent, with more digits below 10%; unknown where it is None."""
    if value is None:
        return MISSING
    if value in {0.0, 1.0}:
        return f"{value:.0%}"
    return f"{value:.1%}" if value >= 0.1 else f"{value:.2%}"


def with_interval(rate: Rate) -> str:
    """A share in percent and its interval."""
    return MISSING if rate.value is None else f"{percent(rate.value)} [{percent(rate.low)}, {percent(rate.high)}]"
