"""The figures of a tuning: what each trial reached, and which settings mattered."""

from collections.abc import Mapping, Sequence

import numpy as np

from ae_assets.reports.canvas import BLACK, BLUE, DASHES, MUTED, VERMILION, drawing


def tuning_history(figures: Sequence[float | None], own: float | None, label: str) -> bytes:
    """The figure of each trial in order, the highest so far, and that of the YAML's own settings.

    Args:
        figures: by trial, None where it was given up.
        own: the figure of the YAML's own settings.
        label: what the figure is.
    """
    from matplotlib.ticker import MaxNLocator

    values = np.array([np.nan if one is None else one for one in figures], np.float64)
    numbers, known = np.arange(1, len(values) + 1), np.isfinite(values)
    with drawing() as canvas:
        axes = canvas.axes()
        axes.plot(numbers[known], values[known], "o", color=BLUE, markersize=5, label="trial")
        if known.any():
            axes.plot(numbers, np.fmax.accumulate(values), color=VERMILION, drawstyle="steps-post", label="best so far")
            bottom = axes.get_ylim()[0]
            axes.plot(
                numbers[~known], np.full((~known).sum(), bottom), "x", color=MUTED, label="given up", clip_on=False
            )
            axes.set_ylim(bottom=bottom)
        if own is not None:
            axes.axhline(own, color=BLACK, linewidth=1.2, linestyle=DASHES[1], label="the YAML's own")
        axes.set_xlim(0.5, max(len(values), 1) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trial")
        axes.set_ylabel(label)
        axes.set_title(f"{known.sum()} of {len(values)} trials finished", pad=28)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.1, columnspacing=1.2, ncols=4)
    return canvas.png


def setting_importance(importance: Mapping[str, float]) -> bytes:
    """How much each setting sets the best trials apart from all, as shares, the most important on top."""
    from matplotlib.ticker import PercentFormatter

    names = sorted(importance, key=lambda name: importance[name])
    with drawing(1.2 + 0.35 * max(len(names), 1)) as canvas:
        axes = canvas.axes()
        bars = axes.barh(names, [importance[name] for name in names], color=BLUE, height=0.6)
        axes.bar_label(bars, [f"{importance[name]:.0%}" for name in names], padding=4)
        axes.set_xlim(0, 1.1 * max([*importance.values(), 1e-6]))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of what sets the best trials apart")
        axes.set_title("Which settings mattered")
    return canvas.png
