"""Figures are small PNG files that show what they are given, also where there is little to show."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from PIL import Image

from ae_assets.reports.figures import (
    _bins,
    _calibration_shares,
    detection_curve,
    entity_story,
    lead_time_histogram,
    score_histogram,
    training_curve,
    volume_by_day,
)
from ae_assets.thresholds import CalibrationCurve
from ae_assets_tests.thresholds.scores import calibration_of

DAY = date(2024, 1, 1)


@dataclass(frozen=True)
class History:
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    best_epoch: int
    median_loss: float = 0.5


@dataclass(frozen=True)
class Curve:
    false_alarm_rate: tuple[float, ...]
    detection_rate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def curve(shift: float = 0.0) -> Curve:
    rates = np.geomspace(1e-4, 0.2, 41)
    found = np.clip(rates**0.3 - shift, 0, 1)
    low, high = np.clip(found - 0.1, 0, 1), np.clip(found + 0.1, 0, 1)
    return Curve(*(tuple(values.tolist()) for values in (rates, found, low, high)))


def calibrated(scores: np.ndarray) -> CalibrationCurve:
    return CalibrationCurve.of(calibration_of(scores.tolist()))


def story(days: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": [DAY + timedelta(days=number) for number in range(days)],
            "score": [float(number) for number in range(days)],
            "smart_5_raw": [None if number % 3 == 0 else number for number in range(days)],
            "smart_197_raw": [number**2 for number in range(days)],
        }
    )


RANDOM = np.random.default_rng(1)
FIGURES: dict[str, Callable[[], bytes]] = {
    "training": lambda: training_curve(History((2.0, 0.5, 0.1), (2.1, 0.6, 0.2), 2)),
    "training of one epoch": lambda: training_curve(History((0.3,), (0.3,), 0)),
    "training without validation": lambda: training_curve(History((0.3, 0.2), (), -1)),
    "no training": lambda: training_curve(History((), (), -1)),
    "scores": lambda: score_histogram(calibrated(RANDOM.lognormal(size=5_000)), 12.0, RANDOM.lognormal(size=900)),
    "scores with zeros": lambda: score_histogram(calibrated(np.repeat([0.0, 30.0], [5_000, 20])), 3.0, [0.0, 80.0]),
    "negative scores": lambda: score_histogram(calibrated(RANDOM.normal(-3, 1, 5_000)), -1.0, [-9.0]),
    "equal scores": lambda: score_histogram(calibrated(np.full(10, 4.0)), 4.0, [4.0]),
    "calibration alone": lambda: score_histogram(calibrated(RANDOM.lognormal(size=5_000)), 3.0),
    "an empty day": lambda: score_histogram(calibrated(RANDOM.lognormal(size=5_000)), 3.0, []),
    "detection": lambda: detection_curve({"a": curve(), "b": curve(0.1), "c": curve(0.2)}, marked={"a": (0.01, 0.3)}),
    "detection of ten": lambda: detection_curve({f"detector {n}": curve(n / 50) for n in range(10)}),
    "lead time": lambda: lead_time_histogram([1, 1, 5, 30], missed=7),
    "no lead time": lambda: lead_time_histogram([], missed=7),
    "volume": lambda: volume_by_day({DAY + timedelta(days=n): 24_000 for n in range(200)}, [DAY]),
    "volume of one day": lambda: volume_by_day({DAY: 1}),
    "no volume": lambda: volume_by_day({}),
    "story": lambda: entity_story(story(90), "Z1", 50.0, failed_on=DAY + timedelta(days=89)),
    "story of one day": lambda: entity_story(story(1), "Z1", 50.0, attributes={"smart_197_raw": "waiting sectors"}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_of_the_shared_width_below_60_kilobytes(name: str) -> None:
    png = FIGURES[name]()
    image = Image.open(BytesIO(png))
    assert image.format == "PNG"
    assert image.width == 720
    assert 280 <= image.height <= 700
    assert len(png) < 60_000
    assert len(image.convert("RGB").getcolors(maxcolors=1 << 20) or []) > 2


def test_a_figure_leaves_no_trace_in_matplotlib_for_others() -> None:
    import matplotlib as mpl

    before = mpl.rcParams["font.size"], mpl.get_backend()
    lead_time_histogram([3], missed=0)
    assert (mpl.rcParams["font.size"], mpl.get_backend()) == before


def test_the_bins_of_the_histogram_have_an_edge_at_the_threshold_and_hold_every_calibration_row() -> None:
    scores = np.random.default_rng(2).lognormal(size=20_000)
    calibration = calibrated(scores)
    edges = _bins(np.asarray(calibration.scores), 5.0, "log", 1.0)
    shares = _calibration_shares(calibration, edges, "log", 1.0)
    assert 5.0 in edges
    assert shares.sum() == pytest.approx(1)
    expected = np.histogram(scores, edges)[0] / len(scores)
    assert shares == pytest.approx(expected, abs=0.004)
    assert shares[edges[:-1] >= 5.0].sum() == pytest.approx((scores > 5.0).mean(), rel=0.05)


def test_tied_calibration_scores_are_drawn_where_they_are_and_not_smeared() -> None:
    calibration = calibrated(np.concatenate([np.zeros(9_000), np.random.default_rng(3).uniform(5, 10, 1_000)]))
    edges = np.linspace(0, 10, 21)
    shares = _calibration_shares(calibration, edges, "linear", 1.0)
    assert shares[0] == pytest.approx(0.9, abs=0.01)
    assert shares[1:10].sum() == pytest.approx(0, abs=0.01)
