"""The figures of trainings, days and drives, each a function from plain values to PNG bytes.

Which numbers to show is decided by the caller; the figures of an evaluation are in `evaluation_figures.py`.
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ae_assets.detectors.base import TrainingHistory
from ae_assets.reports.axes import day_axis, percent_axis, places_of, plain_log_axis, score_axis, shortened
from ae_assets.reports.bins import bin_counts, bin_edges, calibration_shares, scale_for, typical_of_curve
from ae_assets.reports.canvas import BLACK, BLUE, COLOURS, DASHES, FILL, GREEN, MUTED, VERMILION, drawing
from ae_assets.schemas.periods import DAILY, Periods
from ae_assets.thresholds.curve import CalibrationCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

STORY_DAYS = 60
STORY_ATTRIBUTES = 4
HEAT_FEATURES = 12


def training_curve(history: TrainingHistory) -> bytes:
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
            plain_log_axis(axes, "y", min(losses), max(losses))
        if 0 <= history.best_epoch < len(history.validation_loss):
            best = history.validation_loss[history.best_epoch]
            axes.axvline(history.best_epoch + 1, color=MUTED, linewidth=1, linestyle=DASHES[2])
            axes.plot(history.best_epoch + 1, best, "o", color=VERMILION, markersize=10, fillstyle="none")
            axes.set_title(f"Epoch {history.best_epoch + 1} of {len(epochs)} kept, validation loss {best:.4g}")
        elif history.validation_loss:
            axes.set_title(f"Constant answer kept, validation loss {history.median_loss:.4g}")
        if losses and 0 < history.median_loss < 3 * max(losses):
            axes.axhline(history.median_loss, color=MUTED, linewidth=1.2, linestyle=DASHES[3], label="constant answer")
        axes.set_xlim(0.5, max(len(epochs), 1) + 0.5)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    return canvas.png


def score_histogram(
    calibration: CalibrationCurve, cut: float, scores: ArrayLike | None = None, *, label: str = "scored day"
) -> bytes:
    """How calibration scores are distributed, where the threshold lies, and how a day's scores compare, if any."""
    values = None if scores is None else np.asarray(scores, dtype=np.float64)
    knots = np.asarray(calibration.scores, dtype=np.float64)
    known = knots if values is None else np.concatenate([knots, values])
    scale = scale_for(np.append(known, cut), typical_of_curve(calibration))
    edges = bin_edges(known, cut, scale)
    with drawing() as canvas:
        axes = canvas.axes()
        shares = 100 * calibration_shares(calibration, edges, scale)
        axes.stairs(shares, edges, fill=True, color=FILL, label="calibration")
        axes.stairs(shares, edges, color="#7F9DB9", linewidth=1)
        floor = 100 / calibration.rows
        beyond = float(calibration.tail_probability(np.nextafter(cut, np.inf)))
        over = f"{beyond:.2%} of {calibration.rows:,} calibration rows over the threshold"
        if values is not None and len(values):
            shares = 100 * bin_counts(values, edges) / len(values)
            axes.stairs(shares, edges, color=VERMILION, linewidth=1.8, label=label)
            floor = min(floor, 100 / len(values))
            over = f"{int((values > cut).sum()):,} of {len(values):,} rows over the threshold"
        axes.axvline(cut, color=BLACK, linewidth=1.5, linestyle=DASHES[1], label=f"threshold {cut:.4g}")
        axes.set_yscale("log")
        axes.set_ylim(floor / 2, 200)
        percent_axis(axes, "y")
        score_axis(axes, edges, scale)
        axes.set_ylabel("share of rows per bin")
        axes.set_title(over, pad=28)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.1, columnspacing=1.2, ncols=3)
    return canvas.png


def volume_by_day(day_rows: Mapping[date, int], periods: Periods = DAILY) -> bytes:
    """Rows of each day, hour or week; one that is not named has no bar."""
    with drawing(3.0) as canvas:
        axes = canvas.axes()
        days = sorted(day_rows)
        width: Any = periods.step / DAILY.step
        rows = [day_rows[day] for day in days]
        axes.bar(places_of(days), rows, width, color=BLUE, linewidth=0, antialiased=False)
        axes.set_ylim(0, max([*day_rows.values(), 1]) * 1.08)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.grid(visible=False)
        axes.set_ylabel("rows")
        day_axis(axes)
    return canvas.png


def entity_story(
    history: pl.DataFrame,
    entity: str,
    *,
    attributes: Mapping[str, str] | None = None,
    failed_on: date | None = None,
    remark: str = "",
) -> bytes:
    """Score and attributes of one drive over its last 60 days, above one another; alarm days are shaded in all of them.

    Args:
        history: `day, score, threshold` and the attribute columns of that drive, one row per day; an alarm is a score
            over the threshold. Days without a row and nulls leave gaps.
        entity: its name.
        attributes: columns to draw with what they mean, at most four; by default the first further columns.
        failed_on: day of failure, drawn as a line.
        remark: what else to say in the title.
    """
    rows = last_days(history, STORY_DAYS)
    others = [name for name in rows.columns if name not in {"day", "score", "threshold", "entity", "cohort", "label"}]
    shown = list((attributes or {name: name for name in others}).items())[:STORY_ATTRIBUTES]
    days = places_of(rows["day"].to_list())
    scores, cuts = (rows[name].cast(pl.Float64).to_numpy() for name in ("score", "threshold"))
    alarms = scores > cuts
    with drawing(2.1 + 1.05 * len(shown)) as canvas:
        heights = [1.6, *[1.0] * len(shown)]
        top, *below = canvas.figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        top.plot(days, scores, color=BLUE, marker="o", markersize=3, label="score")
        if alarms.any():
            top.plot(
                days[alarms], scores[alarms], "D", color=VERMILION, markersize=5, label=f"alarm ({alarms.sum()} days)"
            )
        # The cut of a gap is known: it is the last one before it.
        known = rows["threshold"].cast(pl.Float64).fill_null(strategy="forward").fill_null(strategy="backward")
        top.plot(days, known.to_numpy(), color=BLACK, linewidth=1.2, linestyle=DASHES[1], label="threshold")
        _story_scale(top, scores, cuts)
        for axes, (name, meaning), colour in zip(below, shown, (GREEN, *COLOURS[3:]), strict=False):
            values = rows[name].cast(pl.Float64).to_numpy()
            axes.plot(days, values, color=colour, drawstyle="steps-post", marker="o", markersize=2)
            known_values = values[np.isfinite(values)]
            unknown = "" if len(known_values) else " (not reported)"
            axes.set_title(f"{shortened(meaning, 80)}{unknown}", fontsize=10, color="#202124", pad=3)
            _attribute_axis(axes, known_values)
        for axes in (top, *below):
            for day in days[alarms]:
                axes.axvspan(day - 0.5, day + 0.5, color=VERMILION, alpha=0.12, linewidth=0)
            if failed_on:
                axes.axvline(float(places_of([failed_on])[0]), color=BLACK, linewidth=2.2, label="failure")
        end = days[-1] if failed_on is None else max(days[-1], float(places_of([failed_on])[0]))
        top.set_xlim(days[0] - 1, end + 1)
        title = f"{entity}, failed on {failed_on}" if failed_on else entity
        top.set_title(shortened(f"{title}{remark and ': '}{remark}", 75), pad=24)
        top.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.1, columnspacing=1.2, ncols=4)
        day_axis((top, *below)[-1])
    return canvas.png


def feature_heat_map(parts: pl.DataFrame, entity: str) -> bytes:
    """What each feature adds to the score of each of a drive's last records, the most on top; at most twelve features.

    Args:
        parts: ``at, threshold, feature, part`` of its records in their order.
        entity: its name.
    """
    from matplotlib.colors import PowerNorm

    moments = parts["at"].unique(maintain_order=True)
    total = parts.group_by("feature", maintain_order=True).agg(pl.col("part").sum()).filter(pl.col("part") > 0)
    names = total.sort("part", "feature", descending=[True, False])["feature"].head(HEAT_FEATURES).to_list()
    cells = np.full((len(names), len(moments)), np.nan)
    places = {moment: place for place, moment in enumerate(moments)}
    for moment, cut, name, part in parts.select("at", "threshold", "feature", "part").rows():
        if name in names:
            cells[names.index(name), places[moment]] = part / cut if cut > 0 else part
    with drawing(1.7 + 0.27 * max(len(names), 2)) as canvas:
        axes = canvas.axes()
        highest = max(float(np.nanmax(cells)) if np.isfinite(cells).any() else 0.0, 1.0)
        image = axes.imshow(
            cells, aspect="auto", cmap="YlOrRd", norm=PowerNorm(0.5, 0, highest), interpolation="nearest"
        )
        axes.set_yticks(range(len(names)), [shortened(name) for name in names], fontsize=9)
        shown = np.unique(np.linspace(0, max(len(moments) - 1, 0), 5).astype(np.int64))
        several = moments.dt.date().n_unique() < len(moments)
        pattern = "%d %b %H:%M" if several else "%d %b %Y"
        axes.set_xticks(shown, [moments[int(place)].strftime(pattern) for place in shown], fontsize=8)
        axes.grid(visible=False)
        axes.set_xlabel(f"{len(moments)} records; blank: not among the strongest features of the record", fontsize=9)
        axes.set_title(f"{shortened(entity, 40)}: dark rows are what its score is made of", fontsize=11)
        canvas.figure.colorbar(image, ax=axes, label="part of the threshold")
    return canvas.png


def last_days(history: pl.DataFrame, count: int) -> pl.DataFrame:
    """The rows of the last days up to the latest one, with a row of nulls for each day between them without one.

    Args:
        history: `day` and any columns, at least one row.
        count: days at most.
    """
    rows = history.filter(pl.col("day") > pl.col("day").max() - pl.duration(days=count)).sort("day")
    return rows.upsample("day", every="1d")


def _story_scale(axes: "Axes", scores: Floats, cuts: Floats) -> None:
    """A score that ends far over the threshold is drawn on a logarithmic axis, or the threshold would be at 0."""
    highest, cut = float(np.nanmax(scores)), float(np.nanmedian(cuts))
    if 0 < cut < highest / 20 and np.nanmin(scores) >= 0:
        axes.set_yscale("asinh", linear_width=cut / 2)
        plain_log_axis(axes, "y", cut / 2, highest)
    axes.set_ylim(min(0.0, float(np.nanmin(scores))), 1.1 * max(highest, float(np.nanmax(cuts)), 0.0) or 1.0)


def _attribute_axis(axes: "Axes", known: Floats) -> None:
    """Few ticks, thousands as k and millions as M; a counter that hardly moves looks like one."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    if not len(known):
        axes.set_yticks([])
        return
    low, high = float(known.min()), float(known.max())
    counted = bool(np.allclose(known, np.round(known), rtol=1e-5, atol=1e-3))
    span = max(high - low, 1.0 if counted else 0.1 * abs(high)) or 1.0
    axes.set_ylim(low - 0.25 * span, high + 0.25 * span)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=counted, min_n_ticks=1))
    axes.yaxis.set_major_formatter(EngFormatter(sep="") if max(abs(low), abs(high)) >= 1e4 else "{x:.5g}")
