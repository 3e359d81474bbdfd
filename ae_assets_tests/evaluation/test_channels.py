"""How far back channels resemble themselves, and their rhythms, by series that are known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from ae_assets.detectors import Windows, windows_of
from ae_assets.evaluation.channels import MOST_CHANNELS, autocorrelation, channels_of, spectrogram_of
from ae_assets.reports import canvas
from ae_assets.reports.channel_figures import autocorrelation_figure, spectrogram_figure

STEP = timedelta(minutes=30)
A_DAY = 48
RANDOM = np.random.default_rng(3)


def windows(days: int, leave_out: int = 0) -> Windows:
    """Two devices with a daily rhythm, noise, a channel that stands still, and one that is never recorded."""
    count = days * A_DAY
    start = datetime(2024, 1, 1, tzinfo=UTC)
    frames = [
        pl.DataFrame(
            {
                "time": [start + place * STEP for place in range(count)],
                "entity": name,
                "cohort": "c",
                "daily": np.sin(2 * np.pi * np.arange(count) / A_DAY) + 0.01 * RANDOM.normal(size=count),
                "noise": RANDOM.normal(size=count),
                "still": 7.0,
                "unknown": None,
            },
            schema_overrides={"unknown": pl.Float64},
        ).with_columns(day=pl.col("time").dt.date())
        for name in ("a", "b")
    ]
    rows = pl.concat(frames)
    if leave_out:
        rows = rows.filter(pl.Series(RANDOM.integers(0, leave_out, rows.height) > 0))
    rows = rows.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    return windows_of(rows, ("daily", "noise", "still", "unknown"), step=STEP)


@pytest.mark.parametrize("leave_out", [0, 5])
def test_a_rhythm_comes_back_after_a_day_and_noise_never_also_where_records_are_missing(leave_out: int) -> None:
    found = channels_of(windows(20, leave_out), ("daily", "noise", "still", "unknown", "of another table"))
    assert found is not None
    assert set(found.autocorrelation) == {"daily", "noise"}
    daily, noise = (found.autocorrelation[name] for name in ("daily", "noise"))
    assert [daily[0], noise[0]] == pytest.approx([1, 1])
    assert daily[A_DAY] > 0.95
    assert daily[A_DAY // 2] < -0.95
    assert np.abs(noise[1:]).max() < 4 * found.chance
    assert found.chance == pytest.approx(1.96 / np.sqrt(20 * A_DAY), rel=0.01)
    assert (found.entities, found.step) == (2, STEP)


def test_the_autocorrelation_is_the_mean_product_by_the_variance() -> None:
    series = np.array([1.0, 2, 3, 4, np.nan, 6, 7, 9])
    apart = series - np.nanmean(series)
    lagged = autocorrelation(series, 2)
    assert lagged is not None
    products = [np.nanmean(apart * apart)] + [np.nanmean(apart[lag:] * apart[:-lag]) for lag in (1, 2)]
    assert lagged == pytest.approx(np.array(products) / products[0])
    assert autocorrelation(np.full(20, 3.0), 5) is None
    assert autocorrelation(series[:4], 1) is None


def test_the_strongest_rhythm_of_a_spectrogram_is_that_of_the_series() -> None:
    series = np.sin(2 * np.pi * 3 * np.arange(40 * A_DAY) / A_DAY)
    series[100:110] = np.nan
    told = spectrogram_of(series, "x", "a", STEP)
    assert told is not None
    assert told.per_day[told.power.mean(axis=1).argmax()] == pytest.approx(3)
    assert told.power.shape == (len(told.per_day), len(told.days))
    assert told.days[-1] < 0 < 2 - told.days[0] / 20
    assert spectrogram_of(series[:50], "x", "a", STEP) is None


def test_few_channels_are_looked_at_and_rare_records_have_no_spectrogram() -> None:
    series = RANDOM.normal(size=(60, MOST_CHANNELS + 3))
    names = [f"n{place}" for place in range(series.shape[1])]
    rows = pl.DataFrame(series, schema=names).with_columns(
        day=pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True), entity=pl.lit("a"), cohort=pl.lit("c")
    )
    found = channels_of(windows_of(rows, names), names)
    assert found is not None
    assert list(found.autocorrelation) == names[:MOST_CHANNELS]
    assert found.spectrogram is None
    assert channels_of(windows_of(rows.head(3), names), names) is None


def test_figures_draw_a_line_for_each_channel_and_the_window_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(canvas, "_png", lambda figure: drawn.append(figure) or b"")
    found = channels_of(windows(20), ("daily", "noise"))
    assert found is not None
    autocorrelation_figure(found, timedelta(hours=12))
    lines = {str(line.get_label()): line.get_data() for line in drawn[0].axes[0].lines}
    days, values = lines["daily"]
    assert values.tolist() == found.autocorrelation["daily"].tolist()
    assert days[A_DAY] == pytest.approx(1)
    assert lines["window 12h"][0] == [0.5, 0.5]
    assert found.spectrogram is not None
    spectrogram_figure(found.spectrogram)
    (mesh,) = drawn[1].axes[0].collections
    assert np.asarray(mesh.get_array()).max() == 0
    assert len(drawn[1].axes) == 2
