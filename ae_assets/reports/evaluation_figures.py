"""The figures of an evaluation, each a function from plain values to PNG bytes.

What to show is decided by the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ae_assets.evaluation.drives import Drives
from ae_assets.evaluation.intervals import Rate
from ae_assets.evaluation.results import CohortResult, DetectionCurve, OperatingPoint
from ae_assets.reports.axes import percent_axis, plain_log_axis, score_axis, shortened
from ae_assets.reports.bins import bin_counts, bin_edges, scale_for, typical_score
from ae_assets.reports.canvas import BLACK, BLUE, COLOURS, DASHES, FILL, MUTED, VERMILION, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COHORTS_DRAWN = 18
ALL_COHORTS = "all"
LEGEND_COLUMNS = 3
LEAST_HEIGHT = 2.8

FARTHEST = (0.02, 50.0)
"""Multiples of a promise that are drawn; what lies beyond is drawn at the edge as an arrow."""

TEXT = "#202124"


def detection_curve(
    curves: Mapping[str, DetectionCurve], *, in_use: OperatingPoint | None = None, window_days: int = 30
) -> bytes:
    """Detection rate over false alarm rate of one or several detectors.

    The intervals of the first and of the best of the others are drawn as bands.

    Args:
        curves: by detector.
        in_use: what the first one does at its own threshold; beyond the axis it is drawn at its edge as an arrow.
        window_days: length of a healthy window, for the axis label.
    """
    begin, end, highest = rates_shown(curves, in_use)
    rows = -(-(len(curves) + (2 if in_use else 1)) // LEGEND_COLUMNS)
    with drawing(4.0 + 0.24 * rows) as canvas:
        axes = canvas.axes()
        chance = np.geomspace(1e-4, 1, 50)
        banded = banded_detectors(curves)
        for position, (name, curve) in reversed(list(enumerate(curves.items()))):
            colour, dashes = look_of(position)
            first = position == 0
            if name in banded:
                axes.fill_between(
                    curve.false_alarm_rate, curve.low, curve.high, color=colour, alpha=0.14, linewidth=0, step="post"
                )
            if first and in_use:
                rate = in_use.false_alarm.value or 0.0
                axes.plot(
                    np.clip(rate, begin, end),
                    in_use.detection.value or 0.0,
                    marker="<" if rate < begin else ">" if rate > end else "o",
                    label="in use",
                    color=colour,
                    markersize=9,
                    markeredgecolor="white",
                    zorder=3,
                    linestyle="",
                    clip_on=False,
                )
            axes.plot(
                curve.false_alarm_rate,
                curve.detection_rate,
                color=colour,
                linestyle=dashes,
                linewidth=2.6 if first else 1.8,
                drawstyle="steps-post",
                label=shortened(name),
            )
        axes.plot(chance, chance, color=MUTED, linewidth=1.2, linestyle=DASHES[4], label="chance")
        axes.set_xscale("log")
        axes.set_xlim(begin, end)
        axes.set_ylim(0, highest)
        for rate in (0.001, 0.01):
            if begin < rate < end:
                axes.axvline(rate, color=MUTED, linewidth=1, linestyle=DASHES[2], zorder=0)
        percent_axis(axes, "x", 1.0)
        percent_axis(axes, "y", 1.0)
        axes.set_xlabel(f"false alarm rate: healthy drives with an alarm within {window_days} days")
        axes.set_ylabel("failing drives detected")
        if banded:
            axes.set_title("Band: 95% interval of " + " and ".join(map(shortened, banded)), fontsize=10, color=MUTED)
        lines, names = axes.get_legend_handles_labels()
        order = [*reversed(range(len(names) - 1)), len(names) - 1]
        canvas.figure.legend(
            [lines[place] for place in order],
            [names[place] for place in order],
            loc="outside lower left",
            ncols=LEGEND_COLUMNS,
            fontsize=9,
            columnspacing=1.2,
            borderpad=0.1,
        )
    return canvas.png


def rates_shown(curves: Mapping[str, DetectionCurve], in_use: OperatingPoint | None) -> tuple[float, float, float]:
    """Least and largest false alarm rate of the axes, those of the curves, and a detection rate above all drawn."""
    if not curves:
        return 1e-4, 0.2, 1.0
    begin = min(curve.false_alarm_rate[0] for curve in curves.values())
    end = max(curve.false_alarm_rate[-1] for curve in curves.values())
    drawn = [max(curve.detection_rate) for curve in curves.values()]
    bands = [max(curves[name].high) for name in banded_detectors(curves)]
    marks = [in_use.detection.value or 0.0] if in_use else []
    return begin, end, min(1.0, float(np.ceil(10 * max(drawn + bands + marks) + 0.5)) / 10)


def banded_detectors(curves: Mapping[str, DetectionCurve]) -> tuple[str, ...]:
    """The first detector and, of the others, the one that detects most on average over the curve."""
    first, *others = curves or [""]
    if not curves:
        return ()
    best = max(others, key=lambda name: float(np.mean(curves[name].detection_rate)), default=None)
    return (first,) if best is None else (first, best)


def look_of(position: int) -> tuple[str, str | tuple[int, tuple[float, ...]]]:
    """Colour and dashes of the detector at a position: no two of the first 49 look alike."""
    colour = position % len(COLOURS)
    return COLOURS[colour], DASHES[(colour + position // len(COLOURS)) % len(DASHES)]


def lead_time_histogram(lead_days: Sequence[int], *, missed: int, horizon_days: int = 30) -> bytes:
    """How many days before failure, 1 up to the horizon, the first alarm came on each detected drive."""
    from matplotlib.ticker import MaxNLocator

    leads = np.asarray(lead_days, dtype=np.int64)
    with drawing() as canvas:
        axes = canvas.axes()
        counts = lead_time_counts(lead_days, horizon_days)
        axes.bar(np.arange(1, horizon_days + 1), counts, width=0.85, color=BLUE)
        found = f"{len(leads)} of {len(leads) + missed} failing drives detected"
        if len(leads):
            median = float(np.median(leads))
            axes.axvline(median, color=VERMILION, linewidth=1.8, linestyle=DASHES[1])
            found += f", median {median:g} days ahead"
        axes.set_title(found)
        axes.set_xlim(0.3, horizon_days + 0.7)
        axes.set_ylim(0, max(counts.max(initial=0) * 1.15, 1))
        axes.invert_xaxis()
        axes.xaxis.grid(visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_xlabel("days from first alarm to failure")
        axes.set_ylabel("drives")
    return canvas.png


def lead_time_counts(lead_days: Sequence[int], horizon_days: int) -> NDArray[np.int64]:
    """Drives by the days from first alarm to failure: 1, 2, ... up to the horizon."""
    return np.bincount(np.asarray(lead_days, dtype=np.int64), minlength=horizon_days + 1)[1 : horizon_days + 1]


def drive_score_histogram(drives: Drives, window_days: int = 30, horizon_days: int = 30) -> bytes:
    """The highest scores of healthy drives within windows and of failing drives, with the threshold between them.

    Where the threshold differs from day to day no line divides alarms from the rest, and none is drawn: a drive's
    highest score may lie below the cut of its day while a lower one lies above that of another day.
    """
    well, sick = drives.healthy, drives.failing
    groups = {f"healthy drives, {window_days} days": well, f"failing drives, {horizon_days} days before": sick}
    known = np.concatenate([well, sick])
    line = np.inf if drives.cut is None else drives.cut
    with drawing() as canvas:
        axes = canvas.axes()
        if len(known):
            placed = np.append(known, line) if np.isfinite(line) else known
            scale = scale_for(placed, typical_score(well if len(well) else sick))
            edges = bin_edges(known, line, scale)
            for name, scores in groups.items():
                if not len(scores):
                    continue
                shares = 100 * bin_counts(scores, edges) / len(scores)
                if scores is well:
                    axes.stairs(shares, edges, fill=True, color=FILL, label=name)
                    axes.stairs(shares, edges, color="#7F9DB9", linewidth=1)
                else:
                    axes.stairs(shares, edges, color=VERMILION, linewidth=1.8, label=name)
            score_axis(axes, edges, scale)
            axes.set_ylim(50 / max(len(well), len(sick)), 200)
            if np.isfinite(line):
                axes.axvline(line, color=BLACK, linewidth=1.5, linestyle=DASHES[1], label=f"threshold {line:.4g}")
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.1, columnspacing=1.2, ncols=3, fontsize=9)
            axes.set_yscale("log")
        else:
            axes.set_xlabel("anomaly score")
        percent_axis(axes, "y")
        axes.set_ylabel("share of the group's drives")
        over = (
            f"Over the threshold{' of the day' if drives.cut is None else ''}: {drives.failing_alarms:,} of "
            f"{len(sick):,} failing drives, {drives.healthy_alarms:,} of {len(well):,} healthy windows"
        )
        axes.set_title(over, pad=28, fontsize=11)
    return canvas.png


def scores_by_range(groups: Mapping[str, NDArray[np.float64]], cut: float) -> bytes:
    """How scores are distributed where the detector learned, and where it is judged, with the threshold.

    Args:
        groups: scores by name, those that were learned from first; one without scores is left out.
        cut: the threshold.
    """
    shown = {name: scores for name, scores in groups.items() if len(scores)}
    known = np.concatenate([*shown.values(), np.zeros(0)])
    with drawing(4.0) as canvas:
        axes = canvas.axes()
        if len(known):
            learned = next(iter(shown.values()))
            scale = scale_for(np.append(known, cut) if np.isfinite(cut) else known, typical_score(learned))
            edges = bin_edges(known, cut, scale)
            for place, (name, scores) in enumerate(shown.items()):
                shares = 100 * bin_counts(scores, edges) / len(scores)
                label = f"{name}: {float((scores > cut).mean()):.2%} of {len(scores):,} over it"
                if place == 0:
                    axes.stairs(shares, edges, fill=True, color=FILL, label=label)
                else:
                    colour, dashes = look_of(place)
                    axes.stairs(shares, edges, color=colour, linestyle=dashes, linewidth=1.8, label=label)
            score_axis(axes, edges, scale)
            if np.isfinite(cut):
                axes.axvline(cut, color=BLACK, linewidth=1.5, linestyle=DASHES[1], label=f"threshold {cut:.4g}")
            axes.set_yscale("log")
            axes.set_ylim(50 / max(map(len, shown.values())), 200)
            canvas.figure.legend(loc="outside lower left", ncols=2, fontsize=9, columnspacing=1.2, borderpad=0.1)
        percent_axis(axes, "y")
        axes.set_ylabel("share of the records of a range")
        axes.set_title(
            "Judged records that are normal should lie where those lie that were learned from;\nelse the threshold "
            "promises too much",
            fontsize=11,
        )
    return canvas.png


@dataclass(frozen=True)
class Reliability:
    """A promise beside what came of it, in a few words, ready to be drawn.

    The multiple is what was observed over what was promised, with its interval: up to 1 the promise is kept. It is None
    without an observation, and its interval None where that was counted and not estimated.
    """

    policy: str
    promise: str
    observed: str
    multiple: float | None
    low: float | None
    high: float | None
    kept: bool | None
    verdict: str


def promise_reliability(promises: Sequence[Reliability]) -> bytes:
    """What was observed as a multiple of what each threshold policy promised, on a logarithmic axis.

    Multiples make row rates, false alarm rates and alarms a day comparable; the values stand beside them.
    """
    with drawing(max(1.3 + 0.5 * len(promises), LEAST_HEIGHT)) as canvas:
        axes = canvas.axes()
        low, high = multiples_shown(promises)
        axes.axvspan(low, 1, color=FILL, alpha=0.45, linewidth=0)
        axes.axvline(1, color=BLACK, linewidth=1.5, linestyle=DASHES[1])
        for place, promise in enumerate(promises):
            colour = {True: BLUE, False: VERMILION, None: MUTED}[promise.kept]
            if promise.low is not None and promise.high is not None:
                ends = np.clip([promise.low, promise.high], low, high)
                axes.plot(ends, [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
            if promise.multiple is not None:
                inside = low <= promise.multiple <= high
                shape = {True: "o", False: "D", None: "s"}[promise.kept]
                axes.plot(
                    np.clip(promise.multiple, low, high),
                    place,
                    marker=shape if inside else "<" if promise.multiple < low else ">",
                    markersize=8,
                    color=colour,
                    markerfacecolor="white" if promise.kept is None else colour,
                    clip_on=False,
                    zorder=3,
                )
            side: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9}
            axes.text(1.02, place - 0.18, promise.observed, color=TEXT, **side)
            axes.text(1.02, place + 0.2, promise.verdict, color=colour, **side)
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        plain_log_axis(axes, "x", low, high)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        axes.set_yticks(
            range(len(promises)), [f"{shortened(each.policy)}\n{each.promise}" for each in promises], fontsize=9
        )
        axes.set_ylim(max(len(promises), 1) - 0.4, -0.6)
        axes.yaxis.grid(visible=False)
        axes.set_xlabel("observed over promised; shaded: kept", loc="left")
    return canvas.png


def multiples_shown(promises: Sequence[Reliability]) -> tuple[float, float]:
    """Ends of the axis: all multiples above 0 and their intervals, at least 0.5 to 2 and at most `FARTHEST`."""
    values = [value for each in promises for value in (each.multiple, each.low, each.high) if value]
    least, most = FARTHEST
    return max(min([0.5, *(0.8 * value for value in values)]), least), min(
        max([2.0, *(1.25 * value for value in values)]), most
    )


def cohort_rates(cohorts: Sequence[CohortResult], threshold: str) -> bytes:
    """Detection and false alarm rate of each cohort, with 95% intervals, at one threshold for all of them.

    Args:
        cohorts: those of `ALL_COHORTS` together first, which are drawn as a line too, and at most 18 more of the others
            in order. Rates of cohorts with a total of 0 are not known and stay empty.
        threshold: what it was chosen by, for the title.
    """
    shown, left = cohorts[: COHORTS_DRAWN + 1], max(len(cohorts) - COHORTS_DRAWN - 1, 0)
    with drawing(max(1.35 + 0.27 * len(shown), LEAST_HEIGHT)) as canvas:
        found, wrong = canvas.figure.subplots(1, 2, sharey=True)
        _rates(found, [one.detection for one in shown], BLUE, 1.0)
        false_alarms = [one.false_alarm for one in shown]
        # The widest interval would squeeze all the others.
        end = min(max([0.002, *(1.6 * rate.value for rate in false_alarms if rate.value is not None)]), 1.0)
        _rates(wrong, false_alarms, VERMILION, end)
        found.set_yticks(range(len(shown)), [shortened(one.cohort, 25) for one in shown], fontsize=9)
        found.set_ylim(len(shown) - 0.4, -0.6)
        found.set_xlabel("failing drives detected")
        wrong.set_xlabel("healthy windows with a false alarm")
        more = f"; {left} more cohorts not drawn" if left else ""
        title = f"At the threshold of {threshold}, with 95% intervals{more}"
        canvas.figure.suptitle(title, x=0.02, ha="left", fontsize=10, color=MUTED)
    return canvas.png


def _rates(axes: "Axes", rates: Sequence[Rate], colour: str, end: float) -> None:
    """Rates below each other, the first one as a line too; the axis ends at `end`."""
    for place, rate in enumerate(rates):
        if rate.value is not None:
            axes.plot([rate.low, min(rate.high, end)], [place, place], color=colour, linewidth=1.8)
            shape = "o" if place else "D"
            axes.plot(min(rate.value, end), place, shape, color=colour, markersize=6, clip_on=False)
            if rate.high > end:
                axes.plot(end, place, ">", color=colour, markersize=6, clip_on=False)
            if not place:
                axes.axvline(rate.value, color=MUTED, linewidth=1, linestyle=DASHES[2], zorder=0)
        counts = f"{rate.count:,} of {rate.total:,}"
        axes.text(1.06, place, counts, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=TEXT)
    axes.set_xlim(0, end)
    axes.locator_params(axis="x", nbins=3)
    percent_axis(axes, "x", 1.0)
    axes.yaxis.grid(visible=False)
