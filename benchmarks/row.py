"""What a benchmark hands back: one figure with its unit, its target where it has one, and what it was measured on."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        name: what was measured, e.g. ``"dense scoring"``.
        value: the figure.
        unit: e.g. ``"GFLOP/s"``, ``"rows/s"``, ``"MiB"`` or ``"x"`` for a ratio.
        target: what it has to reach, e.g. ``"at least 0.8"``; empty where nothing was promised.
        met: whether it does; None where there is no target.
        note: what it was measured on, and what a reader needs to judge it.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    note: str = ""


HEADINGS = ("figure", "value", "unit", "target", "", "note")
VERDICTS = {True: "met", False: "NOT MET", None: ""}


def table(rows: Sequence[Row]) -> str:
    """Rows as a plain table, the figures aligned at the right."""
    cells = [(row.name, _figure(row.value), row.unit, row.target, VERDICTS[row.met], row.note) for row in rows]
    widths = [max(len(line[column]) for line in [HEADINGS, *cells]) for column in range(len(HEADINGS))]
    lines = [HEADINGS, tuple("-" * width for width in widths), *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _figure(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
