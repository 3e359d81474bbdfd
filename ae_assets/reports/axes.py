"""Axes as people read them: percentages, scores, plain numbers on a logarithmic axis, days. Nothing is drawn here."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ae_assets.reports.bins import ScoreScale
from ae_assets.schemas.periods import DAILY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

LONGEST_NAME = 28
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_POWERS = 8


def percent_axis(axes: "Axes", which: Literal["x", "y"], whole: float = 100.0) -> None:
    """Ticks in percent.

    Args:
        axes: to change.
        which: its axis.
        whole: the value that is 100%.
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value / whole:g}%"))
    axis.set_minor_formatter(NullFormatter())


def plain_log_axis(axes: "Axes", which: Literal["x", "y"], low: float, high: float) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, in plain numbers; fewer where the axis is long."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    powers = powers[:: -(-len(powers) // MOST_POWERS)]
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    axis.set_major_locator(FixedLocator([0.0, *ticks] if axis.get_scale() == "asinh" else ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def score_axis(axes: "Axes", edges: Floats, scale: ScoreScale) -> None:
    """The horizontal axis of a histogram of scores, from the first bin to the last."""
    linear, linear_near_zero = scale.kind == "linear", scale.kind == "asinh"
    if not linear:
        axes.set_xscale(scale.kind, **({"linear_width": scale.width} if linear_near_zero else {}))
        plain_log_axis(axes, "x", max(edges[0], scale.width / 2 if linear_near_zero else 0), edges[-1])
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("anomaly score" + ("" if linear else " (log scale)"))


def day_axis(axes: "Axes") -> None:
    """The horizontal axis in days, with the month and year where they change."""
    from matplotlib import dates

    # matplotlib.dates is not annotated.
    locator = cast("Any", dates.AutoDateLocator)(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(cast("Any", dates.ConciseDateFormatter)(locator))


def places_of(days: Sequence[date]) -> Floats:
    """Days, or other periods, as matplotlib places them on an axis by their beginning: days since 1970-01-01."""
    return np.array([(DAILY.start(day) - _EPOCH) / DAILY.step for day in days], dtype=np.float64)


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """A name that fits beside an axis: the middle is left out, since model names differ at both ends.

    The dollar sign is escaped, which would start a formula.
    """
    half = (longest - 1) // 2
    short = name if len(name) <= longest else f"{name[: longest - 1 - half]}…{name[-half:]}"
    return " ".join(short.split()).replace("$", r"\$")
