"""Figures of channels over time, to choose windows and features by: autocorrelation and a spectrogram."""

from datetime import timedelta

import numpy as np

from ae_assets.evaluation.channels import Channels, Spectrogram
from ae_assets.reports.axes import shortened
from ae_assets.reports.canvas import FILL, MUTED, drawing
from ae_assets.reports.evaluation_figures import look_of
from ae_assets.schemas.durations import written


def autocorrelation_figure(channels: Channels, window: timedelta | None) -> bytes:
    """How far each channel resembles itself some time earlier, with the detector's window if it has one."""
    unit, name = _unit(channels)
    with drawing(4.0) as canvas:
        axes = canvas.axes()
        axes.axhspan(-channels.chance, channels.chance, color=FILL, alpha=0.6, linewidth=0, label="chance")
        for place, (channel, values) in enumerate(channels.autocorrelation.items()):
            colour, dashes = look_of(place)
            lags = np.arange(len(values)) * (channels.step / unit)
            axes.plot(lags, values, color=colour, linestyle=dashes, linewidth=1.6, label=shortened(channel))
        longest = (len(next(iter(channels.autocorrelation.values()))) - 1) * (channels.step / unit)
        if window is not None and window / unit <= longest:
            axes.axvline(window / unit, color=MUTED, linewidth=1.4, label=f"window {written(window)}")
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_xlim(0, longest)
        axes.set_ylim(min(-0.2, 1.05 * min(float(one.min()) for one in channels.autocorrelation.values())), 1.02)
        axes.set_xlabel(f"lag in {name}")
        axes.set_ylabel("autocorrelation")
        axes.set_title(
            "How far back a channel resembles itself: a window need not be longer,\n"
            "and peaks further out are rhythms (calendar features, longer spans)",
            fontsize=11,
        )
        canvas.figure.legend(loc="outside lower left", ncols=4, fontsize=9, columnspacing=1.2, borderpad=0.1)
    return canvas.png


def _unit(channels: Channels) -> tuple[timedelta, str]:
    lags = len(next(iter(channels.autocorrelation.values())))
    if lags * channels.step > timedelta(days=3):
        return timedelta(days=1), "days"
    return (
        (timedelta(hours=1), "hours")
        if lags * channels.step > timedelta(hours=3)
        else (timedelta(minutes=1), "minutes")
    )


def spectrogram_figure(told: Spectrogram) -> bytes:
    """Which rhythms a channel has when, in dB below the strongest."""
    with drawing(4.0) as canvas:
        axes = canvas.axes()
        below = told.power - told.power.max()
        image = axes.pcolormesh(
            told.days, told.per_day, below, shading="nearest", cmap="viridis", vmin=-60, rasterized=True
        )
        axes.grid(visible=False)
        axes.set_xlabel("days before its last record")
        axes.set_ylabel("cycles a day")
        axes.set_title(
            f"{shortened(told.channel)} of {shortened(told.entity)}: a bright line across is a rhythm,\n"
            "a bright column something sudden",
            fontsize=11,
        )
        canvas.figure.colorbar(image, ax=axes, label="dB below the strongest")
    return canvas.png
