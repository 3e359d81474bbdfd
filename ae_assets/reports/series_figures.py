"""The scores of some series over time, with what is known to have gone wrong and the alarms."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from ae_assets.evaluation.protocols.corpus import RecordsCurve
from ae_assets.reports.axes import day_axis, percent_axis, plain_log_axis, shortened
from ae_assets.reports.canvas import BLUE, MUTED, VERMILION, drawing
from ae_assets.reports.evaluation_figures import LEGEND_COLUMNS, look_of
from ae_assets.schemas.records import ENTITY, time_of

MOST_SERIES = 6
PANEL_INCHES = 1.35
FRAME_INCHES = 0.9
WINDOW = "#F6D9C7"
MOST_POINTS = 500
"""Of a curve that are drawn."""

LEAST_SHARE = 1e-3
"""Of the highest score of a panel; scores below are drawn on a linear scale."""


def scores_over_time(scores: pl.DataFrame, intervals: pl.DataFrame) -> bytes:
    """One panel for each of the series that tell most: score, threshold, label windows and alarms, as PNG.

    Args:
        scores: ``day, entity, score, threshold, is_alarm`` and, where the table has it, ``time``, a row for each
            record, null = not judged.
        intervals: with the columns of `INTERVAL_SCHEMA`.
    """
    entities = series_to_draw(scores, intervals)
    total = scores[ENTITY].n_unique()
    at = time_of(scores.columns)
    with drawing(FRAME_INCHES + PANEL_INCHES * len(entities)) as canvas:
        panels = canvas.figure.subplots(len(entities), 1, squeeze=False)[:, 0]
        for axes, entity in zip(panels, entities, strict=True):
            own = scores.filter(pl.col(ENTITY) == entity).sort(at)
            times = own.select(at.dt.replace_time_zone(None) if own.schema.get("time") else at).to_series().to_numpy()
            score = own["score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
            cut = own["threshold"].cast(pl.Float64).to_numpy()
            alarm = own["is_alarm"].fill_null(value=False).to_numpy()
            for start, end in intervals.filter(pl.col(ENTITY) == entity).select("start", "end").rows():
                axes.axvspan(start.replace(tzinfo=None), end.replace(tzinfo=None), color=WINDOW, linewidth=0)
            axes.plot(times, score, color=BLUE, linewidth=0.9)
            axes.plot(times, cut, color=MUTED, linewidth=1, linestyle="--")
            if alarm.any():  # no points at all would leave no room for the panel
                axes.plot(times[alarm], score[alarm], "v", color=VERMILION, markersize=6, clip_on=False)
            # What lies near the threshold is to be seen beside what lies far over it.
            drawn = np.concatenate([score, cut])
            highest = float(np.max(drawn[np.isfinite(drawn)], initial=0.0))
            near = max(float(np.median(cut[np.isfinite(cut)])), highest * LEAST_SHARE)
            if near > 0:
                axes.set_yscale("asinh", linear_width=near)
                plain_log_axis(axes, "y", near, max(highest, 2 * near))
            axes.set_ylim(0, 1.25 * max(highest, near) or 1)
            if times[0] < times[-1]:
                axes.set_xlim(times[0], times[-1])
            axes.set_title(shortened(entity, 60), fontsize=10)
            axes.tick_params(labelsize=8)
            day_axis(axes)
        canvas.figure.supylabel("anomaly score", fontsize=10)
        canvas.figure.suptitle(
            f"{len(entities)} of {total} series: score, threshold (dashed), label windows (shaded), alarms (triangles)",
            fontsize=10,
            x=0.01,
            ha="left",
        )
    return canvas.png


def precision_recall_curves(curves: Mapping[str, RecordsCurve]) -> bytes:
    """Precision over recall of the records of each detector, with its threshold as a point, and the share of chance.

    Args:
        curves: by detector, that in use first.
    """
    rows = -(-(len(curves) + 1) // LEGEND_COLUMNS)
    with drawing(3.8 + 0.24 * rows) as canvas:
        axes = canvas.axes()
        for place, (name, curve) in enumerate(curves.items()):
            colour, dashes = look_of(place)
            steps = np.unique(np.linspace(0, len(curve.recall) - 1, MOST_POINTS).astype(np.int64))
            axes.plot(curve.recall[steps], curve.precision[steps], color=colour, linestyle=dashes,
                      linewidth=2.4 if place == 0 else 1.6, label=shortened(name))  # fmt: skip
            if curve.in_use is not None:
                axes.plot(
                    *curve.in_use, "o", color=colour, markersize=8, markeredgecolor="white", zorder=3, clip_on=False
                )
        chance = next(iter(curves.values())).chance
        axes.axhline(chance, color=MUTED, linewidth=1.2, linestyle=":", label="chance")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        percent_axis(axes, "x", 1.0)
        percent_axis(axes, "y", 1.0)
        axes.set_xlabel("recall: records of labelled intervals over the cut")
        axes.set_ylabel("precision: records over it that are labelled")
        axes.set_title("A curve further up and to the right is better. Points: the thresholds in use", fontsize=11)
        canvas.figure.legend(
            loc="outside lower left", ncols=LEGEND_COLUMNS, fontsize=9, columnspacing=1.2, borderpad=0.1
        )
    return canvas.png


def series_to_draw(scores: pl.DataFrame, intervals: pl.DataFrame, most: int = MOST_SERIES) -> Sequence[str]:
    """The series with label windows first, those with most alarms among them; then the others."""
    alarms = scores.group_by(ENTITY).agg(alarms=pl.col("is_alarm").sum())
    ranked = alarms.with_columns(labelled=pl.col(ENTITY).is_in(intervals[ENTITY].unique().implode()))
    chosen = ranked.sort("labelled", "alarms", ENTITY, descending=[True, True, False]).head(most)
    return sorted(chosen[ENTITY])
