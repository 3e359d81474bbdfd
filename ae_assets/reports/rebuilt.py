"""How well detectors rebuild normal records, as people read it."""

from collections.abc import Mapping

import polars as pl

from ae_assets.evaluation.protocols.rebuilt import NEAR_ZERO, RebuiltFigures
from ae_assets.reports.axes import percent_axis, shortened
from ae_assets.reports.canvas import BLUE, MUTED, drawing
from ae_assets.reports.parts import Part, percent
from ae_assets.reports.tables import MISSING

FEATURES_DRAWN = 20
LONGEST = 200.0
"""Percent up to which errors are drawn."""


def rebuilt_parts(figures: Mapping[str, RebuiltFigures]) -> list[Part]:
    """The percentage errors of all detectors that expect readings; nothing where none does."""
    heading = (
        "How far readings of normal records lie from what a detector expects: mean absolute percentage error (MAPE), "
        f"with its interval over entities. A reading counts from {NEAR_ZERO:g} of the median size of its attribute on, "
        "since near zero a percentage says nothing. Beside it the error of expecting each attribute's median"
    )
    rows = [
        {
            "detector": name,
            "MAPE": MISSING if one.error.value is None else _with_interval(one),
            "of the median": percent(one.of_constant),
            "readings that count": percent(one.counted),
            "records": f"{one.records:,}",
        }
        for name, one in figures.items()
    ]
    return [(heading, pl.DataFrame(rows))] if rows else []


def rebuilt_headline(one: RebuiltFigures | None) -> dict[str, float | None]:
    """The percentage error by name, for plots."""
    return {} if one is None else {"Reconstruction error on normal records (MAPE)": one.error.value}


def _with_interval(one: RebuiltFigures) -> str:
    error = one.error
    return f"{percent(error.value)} [{percent(error.low)}, {percent(error.high)}]"


def rebuilt_by_feature(figures: RebuiltFigures) -> bytes:
    """The percentage error of each feature beside that of its median, the worst on top; at most twenty."""
    shown = list(figures.features.items())[:FEATURES_DRAWN]
    with drawing(1.5 + 0.3 * len(shown)) as canvas:
        axes = canvas.axes()
        places = range(len(shown))
        errors, of_median = ([min(100 * pair[part], LONGEST) for _, pair in shown] for part in (0, 1))
        axes.barh(places, errors, color=BLUE, height=0.6, label="expected by the detector")
        axes.plot(of_median, places, "D", color=MUTED, markersize=6, label="the median expected", clip_on=False)
        axes.set_yticks(places, [shortened(name) for name, _ in shown], fontsize=9)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, min(1.1 * max([*errors, *of_median, 1.0]), LONGEST))
        axes.yaxis.grid(visible=False)
        percent_axis(axes, "x")
        axes.set_xlabel(f"mean absolute percentage error on {figures.records:,} normal records")
        axes.set_title("A bar that reaches its diamond: no better than a constant", fontsize=11)
        axes.legend(fontsize=9)
    return canvas.png
