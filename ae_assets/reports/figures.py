"""The figures, each a function from plain values to PNG bytes. Which numbers to show is decided by the caller."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ae_assets.reports.canvas import BLACK, BLUE, COLOURS, DASHES, FILL, GREEN, MUTED, VERMILION, drawing
from ae_assets.reports.shapes import History, RateCurve, TailCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Scale = Literal["linear", "log", "asinh"]

BINS = 48
ATOM_SHARE = 0.02
STORY_DAYS = 60
STORY_ATTRIBUTES = 4


def training_curve(history: History) -> bytes:
    """Training and validation loss by epoch, with the epoch whose weights were kept."""
    from matplotlib.ticker import MaxNLocator

    epochs = np.arange(1, len(history.train_loss) + 1)
    with drawing() as canvas:
        axes = canvas.axes()
        marker = "o" if len(epochs) <= 30 else ""
        axes.plot(epochs, history.train_loss, color=BLUE, marker=marker, markersize=4, label="training")
        axes.plot(
            epochs[: len(history.validation_loss)],
            history.validation_loss,
            color=VERMILION,
            linestyle=DASHES[1],
            marker=marker,
            markersize=4,
            label="validation",
        )
        losses = [*history.train_loss, *history.validation_loss]
        if min(losses, default=0) > 0 and max(losses) > 10 * min(losses):
            axes.set_yscale("log")
            _plain_log_axis(axes, "y", min(losses), max(losses))
        if 0 <= history.best_epoch < len(history.validation_loss):
            best = history.validation_loss[history.best_epoch]
            axes.axvline(history.best_epoch + 1, color=MUTED, linewidth=1, linestyle=DASHES[2])
            axes.plot(history.best_epoch + 1, best, "o", color=VERMILION, markersize=10, fillstyle="none")
            axes.set_title(f"Epoch {history.best_epoch + 1} of {len(epochs)} kept, validation loss {best:.4g}")
        if losses and 0 < history.median_loss < 3 * max(losses):
            axes.axhline(history.median_loss, color=MUTED, linewidth=1.2, linestyle=DASHES[3], label="constant answer")
        axes.set_xlim(0.5, max(len(epochs), 1) + 0.5)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    return canvas.png


def score_histogram(
    calibration: TailCurve, cut: float, scores: ArrayLike | None = None, *, label: str = "scored day"
) -> bytes:
    """How calibration scores are distributed, where the threshold lies, and how a day's scores compare.

    Args:
        calibration: the calibration curve.
        cut: the threshold.
        scores: scores to draw over it, or None.
        label: what those scores are, e.g. the day.
    """
    values = None if scores is None else np.asarray(scores, dtype=np.float64)
    knots = np.asarray(calibration.scores, dtype=np.float64)
    known = knots if values is None else np.concatenate([knots, values])
    scale, width = _score_scale(calibration, known)
    edges = _bins(known, cut, scale, width)
    with drawing() as canvas:
        axes = canvas.axes()
        shares = 100 * _calibration_shares(calibration, edges, scale, width)
        axes.stairs(shares, edges, fill=True, color=FILL, label="calibration")
        axes.stairs(shares, edges, color="#7F9DB9", linewidth=1)
        floor = 100 / calibration.rows
        beyond = float(calibration.tail_probability(np.nextafter(cut, np.inf)))
        over = f"{beyond:.2%} of {calibration.rows:,} calibration rows over the threshold"
        if values is not None and len(values):
            counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
            axes.stairs(
                100 * counts / len(values),
                edges,
                color=VERMILION,
                linewidth=1.8,
                label=label,
            )
            floor = min(floor, 100 / len(values))
            over = f"{int((values > cut).sum()):,} of {len(values):,} rows over the threshold"
        axes.axvline(cut, color=BLACK, linewidth=1.5, linestyle=DASHES[1], label=f"threshold {cut:.4g}")
        axes.set_yscale("log")
        axes.set_ylim(floor / 2, 200)
        _percent_axis(axes, "y")
        if scale != "linear":
            axes.set_xscale(scale, **({"linear_width": width} if scale == "asinh" else {}))
            _plain_log_axis(axes, "x", max(edges[0], width / 2 if scale == "asinh" else 0), edges[-1])
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("anomaly score" + ("" if scale == "linear" else " (log scale)"))
        axes.set_ylabel("share of rows per bin")
        axes.set_title(over, pad=28)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.1, columnspacing=1.2, ncols=3)
    return canvas.png


def detection_curve(
    curves: Mapping[str, RateCurve], *, window_days: int = 30, marked: Mapping[str, tuple[float, float]] | None = None
) -> bytes:
    """Detection rate over false alarm rate of one or several detectors.

    Args:
        curves: by detector; the interval of the first is drawn as a band (of the second too where there are two).
        window_days: length of a healthy window, for the axis label.
        marked: for a detector the false alarm rate and detection rate of the threshold in use.
    """
    with drawing(4.0) as canvas:
        axes = canvas.axes()
        chance = np.geomspace(1e-4, 1, 50)
        axes.plot(chance, chance, color=MUTED, linewidth=1.2, linestyle=DASHES[4], label="chance")
        banded = list(curves)[: 2 if len(curves) == 2 else 1]
        for position, (name, curve) in enumerate(curves.items()):
            colour, dashes = COLOURS[position % len(COLOURS)], DASHES[position % len(DASHES)]
            if name in banded:
                axes.fill_between(curve.false_alarm_rate, curve.low, curve.high, color=colour, alpha=0.14, linewidth=0)
            axes.plot(curve.false_alarm_rate, curve.detection_rate, color=colour, linestyle=dashes, label=name)
            if marked and name in marked:
                axes.plot(
                    *marked[name], "o", color=colour, markersize=8, markeredgecolor="white", label=f"{name}, in use"
                )
        first = min((curve.false_alarm_rate[0] for curve in curves.values()), default=1e-4)
        last = max((curve.false_alarm_rate[-1] for curve in curves.values()), default=0.2)
        axes.set_xscale("log")
        axes.set_xlim(first, last)
        axes.set_ylim(0, 1)
        for rate in (0.001, 0.01):
            axes.axvline(rate, color=MUTED, linewidth=1, linestyle=DASHES[2])
        _percent_axis(axes, "x", 1.0)
        _percent_axis(axes, "y", 1.0)
        axes.set_xlabel(f"false alarm rate: healthy drives with an alarm within {window_days} days")
        axes.set_ylabel("failing drives detected")
        axes.set_title("Band: 95% interval of " + " and ".join(banded), fontsize=10, color=MUTED)
        axes.legend(loc="upper left")
    return canvas.png


def lead_time_histogram(lead_days: Sequence[int], *, missed: int, horizon_days: int = 30) -> bytes:
    """How many days before failure the first alarm came.

    Args:
        lead_days: one per detected drive, from 1 to the horizon.
        missed: failed drives without an alarm.
        horizon_days: the longest lead time that counts.
    """
    from matplotlib.ticker import MaxNLocator

    leads = np.asarray(lead_days, dtype=np.int64)
    with drawing() as canvas:
        axes = canvas.axes()
        counts = np.bincount(leads, minlength=horizon_days + 1)[1 : horizon_days + 1]
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


def volume_by_day(day_rows: Mapping[date, int], flagged: Collection[date] = ()) -> bytes:
    """Rows of each day.

    Args:
        day_rows: rows by day; a day that is not named has no bar.
        flagged: days to mark as implausible.
    """
    with drawing(3.0) as canvas:
        axes = canvas.axes()
        usual = [day for day in sorted(day_rows) if day not in flagged]
        marked = [day for day in sorted(day_rows) if day in flagged]
        whole: dict[str, Any] = {"width": 1.0, "linewidth": 0, "antialiased": False}
        axes.bar(_places(usual), [day_rows[day] for day in usual], color=BLUE, label="plausible", **whole)
        if marked:
            for place in _places(marked):
                axes.axvspan(place - 0.5, place + 0.5, color=VERMILION, alpha=0.15, linewidth=0)
            rows = [day_rows[day] for day in marked]
            axes.bar(_places(marked), rows, color=VERMILION, label="implausible", **whole)
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.1, columnspacing=1.2, ncols=2)
        axes.set_ylim(0, max([*day_rows.values(), 1]) * 1.08)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.grid(visible=False)
        axes.set_ylabel("rows")
        _day_axis(axes)
    return canvas.png


def entity_story(
    history: pl.DataFrame,
    entity: str,
    cut: float,
    *,
    attributes: Mapping[str, str] | None = None,
    failed_on: date | None = None,
) -> bytes:
    """Score and attributes of one drive over its last 60 days, above one another.

    Args:
        history: `day, score` and the attribute columns of that drive, one row per day; nulls leave gaps.
        entity: its name.
        cut: the threshold.
        attributes: columns to draw with what they mean, at most four; by default the first further columns.
        failed_on: day of failure, drawn as a line.
    """
    rows = history.sort("day")
    rows = rows.filter(pl.col("day") > pl.col("day").max() - pl.duration(days=STORY_DAYS))
    others = [name for name in rows.columns if name not in {"day", "score", "entity", "cohort", "label"}]
    shown = list((attributes or {name: name for name in others}).items())[:STORY_ATTRIBUTES]
    days = _places(rows["day"].to_list())
    with drawing(1.7 + 1.15 * len(shown)) as canvas:
        top, *below = canvas.stacked(1 + len(shown), [1.6, *[1.0] * len(shown)])
        scores = rows["score"].cast(pl.Float64).to_numpy()
        alarms = scores > cut
        top.plot(days, scores, color=BLUE, marker="o", markersize=3)
        top.plot(days[alarms], scores[alarms], "D", color=VERMILION, markersize=6, label="alarm")
        top.axhline(cut, color=BLACK, linewidth=1.2, linestyle=DASHES[1], label="threshold")
        top.set_ylabel("score")
        top.set_ylim(bottom=min(0.0, float(np.nanmin(scores, initial=0.0))))
        ending = f", failed on {failed_on}" if failed_on else ""
        top.set_title(f"{entity}{ending}")
        for axes, (name, meaning), colour in zip(below, shown, (GREEN, *COLOURS[3:]), strict=False):
            axes.plot(days, rows[name].cast(pl.Float64).to_numpy(), color=colour, drawstyle="steps-post")
            axes.set_title(meaning, fontsize=10, color="#202124", pad=3)
            axes.margins(y=0.15)
            axes.locator_params(axis="y", nbins=3)
        for axes in (top, *below):
            if failed_on:
                axes.axvline(float(_places([failed_on])[0]), color=VERMILION, linewidth=2)
        top.legend(loc="upper left", ncols=2)
        _day_axis((top, *below)[-1])
        canvas.figure.align_ylabels()
    return canvas.png


def _percent_axis(axes: "Axes", which: Literal["x", "y"], whole: float = 100.0) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value / whole:g}%"))
    axis.set_minor_formatter(NullFormatter())


def _plain_log_axis(axes: "Axes", which: Literal["x", "y"], low: float, high: float) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, in plain numbers; powers of ten only where the axis is long."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    axis.set_major_locator(FixedLocator([0.0, *ticks] if axis.get_scale() == "asinh" else ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _day_axis(axes: "Axes") -> None:
    from matplotlib import dates

    # matplotlib.dates is not annotated.
    locator = cast("Any", dates.AutoDateLocator)(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(cast("Any", dates.ConciseDateFormatter)(locator))


def _places(days: Sequence[date]) -> Floats:
    """Days as matplotlib places them on an axis: days since 1970-01-01."""
    return np.array([(day - date(1970, 1, 1)).days for day in days], dtype=np.float64)


def _score_scale(calibration: TailCurve, known: Floats) -> tuple[Scale, float]:
    """A logarithmic axis where scores spread over a factor of 20 or more, linear near 0 where some are 0."""
    scores, tail = np.asarray(calibration.scores), np.asarray(calibration.tail_probabilities)
    middle = float(scores[np.searchsorted(-tail, -0.5, side="right") - 1])
    positive = scores[scores > 0]
    typical = middle if middle > 0 else float(positive[0]) if len(positive) else 1.0
    if known.max() <= 20 * typical:
        return "linear", 1.0
    return ("log", 1.0) if known.min() > 0 else ("asinh", typical)


def _bins(known: Floats, cut: float, scale: Scale, width: float) -> Floats:
    """Bin edges evenly spaced on the axis, with one edge at the cut."""
    low, high = float(min(known.min(), cut)), float(max(known.max(), cut))
    if low == high:
        low, high = low - 0.5, high + 0.5
    first, middle, last = (_on_axis(np.array([low, cut, high]), scale, width)).tolist()
    size = (last - first) / BINS
    below = max(int(np.ceil((middle - first) / size - 1e-9)), 0)
    above = max(int(np.ceil((last - middle) / size - 1e-9)), 1)
    places = middle + size * np.arange(-below, above + 1)
    edges = _from_axis(places, scale, width)
    edges[below] = cut
    return edges


def _on_axis(values: Floats, scale: Scale, width: float) -> Floats:
    if scale == "log":
        return np.log(values)
    return np.arcsinh(values / width) if scale == "asinh" else values


def _from_axis(places: Floats, scale: Scale, width: float) -> Floats:
    if scale == "log":
        return np.exp(places)
    return width * np.sinh(places) if scale == "asinh" else places.copy()


def _calibration_shares(calibration: TailCurve, edges: Floats, scale: Scale, width: float) -> Floats:
    """Share of calibration rows in each bin, read from the tail probabilities.

    The stored scores are at most 1% of the rows apart, so more mass than that between two of them are ties at the lower
    one and belong to its bin; the rest is spread evenly on the axis.
    """
    scores = np.asarray(calibration.scores, dtype=np.float64)
    tail = np.asarray(calibration.tail_probabilities, dtype=np.float64)
    mass = np.concatenate([tail[:-1] - tail[1:], tail[-1:]])
    ends = np.concatenate([scores[1:], scores[-1:]])
    tied = np.where((mass > ATOM_SHARE) | (ends == scores), mass, 0.0)
    shares = np.histogram(np.clip(scores, edges[0], edges[-1]), edges, weights=tied)[0]
    places = _on_axis(edges, scale, width)
    for low, high, share in zip(_on_axis(scores, scale, width), _on_axis(ends, scale, width), mass - tied, strict=True):
        if share > 0:
            shares += share * np.diff(np.clip((places - low) / (high - low), 0, 1))
    return np.asarray(shares)
