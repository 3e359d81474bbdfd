"""Figures are small PNG files that show what they are given, also where there is little to show."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from PIL import Image

from ae_assets.evaluation.drives import Drives
from ae_assets.evaluation.intervals import rate
from ae_assets.evaluation.results import CohortResult, OperatingPoint
from ae_assets.reports import canvas
from ae_assets.reports.axes import places_of, shortened
from ae_assets.reports.evaluation_figures import (
    COHORTS_DRAWN,
    Reliability,
    banded_detectors,
    cohort_rates,
    detection_curve,
    drive_score_histogram,
    lead_time_counts,
    lead_time_histogram,
    look_of,
    multiples_shown,
    promise_reliability,
    rates_shown,
    scores_by_range,
)
from ae_assets.reports.figures import (
    HEAT_FEATURES,
    entity_story,
    feature_heat_map,
    last_days,
    score_histogram,
    training_curve,
    volume_by_day,
)
from ae_assets.schemas.periods import HOURLY
from ae_assets.thresholds.curve import CalibrationCurve
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


def drives(healthy: ArrayLike, failing: ArrayLike, cut: float | None, *alarms: int) -> Drives:
    return Drives(np.asarray(healthy, np.float64), np.asarray(failing, np.float64), *alarms, cut, None, None)


def drive_scores(healthy: ArrayLike, failing: ArrayLike, cut: float) -> bytes:
    alarms = [int((np.asarray(scores) > cut).sum()) for scores in (healthy, failing)]
    return drive_score_histogram(drives(healthy, failing, cut, *alarms))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn in a test, as matplotlib holds them."""
    kept: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        kept.append(figure)
        return b""

    monkeypatch.setattr(canvas, "_png", keep)
    return kept


def line_of(axes: Axes, label: str) -> Line2D:
    """The line that the legend calls so."""
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line


def points_of(axes: Axes, markers: str) -> list[tuple[float, float]]:
    """Places of the markers of some shapes, in the order they were drawn."""
    return [
        (float(x), float(y))
        for line in axes.lines
        if line.get_marker() in tuple(markers)
        for x, y in zip(*line.get_data(), strict=True)
    ]


def story(days: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": [DAY + timedelta(days=number) for number in range(days)],
            "score": [float(number) for number in range(days)],
            "threshold": [50.0] * days,
            "smart_5_raw": [None if number % 3 == 0 else number for number in range(days)],
            "smart_197_raw": [number**2 for number in range(days)],
        }
    )


def cohorts(count: int, name: str = "M", total: int = 40) -> list[CohortResult]:
    rates = rate(min(total, 3), total), rate(min(total, 1), 100 * total)
    return [CohortResult(f"{name}{number}", *rates) for number in range(count)]


def used(false_alarm: float, detection: float) -> OperatingPoint:
    """A threshold in use with these rates."""
    nothing = rate(0, 0)
    shares = (replace(nothing, value=detection), replace(nothing, value=false_alarm))
    return OperatingPoint("in use", None, 1.0, *shares, nothing, nothing, None, 1.0, 1.0, (), ())


HELD = Reliability("target_far (in use)", "FAR ≤ 1.00%", "0.80% [0.60%, 1.1%]", 0.8, 0.6, 1.1, True, "held")
BROKEN = Reliability("percentile", "row rate ≤ 0.10%", "9.0% [8.0%, 9.9%]", 90.0, 80.0, 99.0, False, "not held")
UNCLEAR = Reliability("conformal", "false share ≤ 10.0%", "0% [0%, 30%]", 0.0, 0.0, 3.0, None, "too few to judge")
SILENT = Reliability("iqr", "no promise", "n/a", None, None, None, None, "promises nothing")

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
    "detection": lambda: detection_curve({"a": curve(), "b": curve(0.1), "c": curve(0.2)}, in_use=used(0.01, 0.3)),
    "detection of ten": lambda: detection_curve({f"detector {n}": curve(n / 50) for n in range(10)}),
    "detection of none": lambda: detection_curve({}),
    "healthy and failing drives": lambda: drive_scores(RANDOM.lognormal(size=5_000), [0.1, 30.0, 90.0], 12.0),
    "no failing drive": lambda: drive_scores(RANDOM.lognormal(size=5_000), [], 12.0),
    "one drive": lambda: drive_scores([1.0], [], 12.0),
    "no drive": lambda: drive_scores([], [], 12.0),
    "drives of equal scores": lambda: drive_scores([0.0] * 9, [0.0], 0.0),
    "a threshold out of reach": lambda: drive_scores([1.0, 2.0], [700.0], np.inf),
    "a threshold that moves": lambda: drive_score_histogram(
        drives(RANDOM.lognormal(size=5_000), [0.1, 30.0, 90.0], None, 30, 2)
    ),
    "a threshold in use without a false alarm": lambda: detection_curve(
        {"a": curve(0.4), "b": curve(0.2), "c": curve(0.3)}, in_use=used(0.0, 0.3)
    ),
    "promises": lambda: promise_reliability([HELD, BROKEN, UNCLEAR, SILENT]),
    "many promises": lambda: promise_reliability([BROKEN] * 10),
    "no promise": lambda: promise_reliability([]),
    "cohorts": lambda: cohort_rates([*cohorts(1, "all"), *cohorts(3)], "FAR 1%"),
    "many cohorts with long names": lambda: cohort_rates(cohorts(25, "a name with $formulas$ " * 20), "FAR 1%"),
    "a cohort without drives": lambda: cohort_rates(cohorts(2, total=0), "FAR 1%"),
    "all cohorts alone": lambda: cohort_rates(cohorts(1, "all"), "FAR 1%"),
    "lead time": lambda: lead_time_histogram([1, 1, 5, 30], missed=7),
    "no lead time": lambda: lead_time_histogram([], missed=7),
    "volume": lambda: volume_by_day({DAY + timedelta(days=n): 24_000 for n in range(200)}),
    "volume of one day": lambda: volume_by_day({DAY: 1}),
    "no volume": lambda: volume_by_day({}),
    "story": lambda: entity_story(story(90), "Z1", failed_on=DAY + timedelta(days=89), remark="missed"),
    "story of one day": lambda: entity_story(story(1), "Z1", attributes={"smart_197_raw": "waiting sectors"}),
    "story of scores far over the threshold": lambda: entity_story(
        story(60).with_columns(pl.col("score") ** 4, threshold=pl.lit(3.0)), "Z1"
    ),
    "story with days and attributes that nobody reported": lambda: entity_story(
        story(60)
        .filter(pl.col("day").dt.day() % 5 > 2)
        .with_columns(smart_9_raw=pl.lit(None), score=pl.col("score") * 0),
        "a $name$ of a drive that is far too long for the width of a figure, as no name ever was",
        failed_on=DAY + timedelta(days=62),
    ),
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


def test_a_figure_shows_a_threshold_that_moved() -> None:
    groups = [1.0, 2.0, 3.0], [5.0, 6.0]
    assert drive_scores(*groups, 2.5) != drive_scores(*groups, 4.5)


def test_drives_over_a_threshold_are_counted_each_in_their_group_with_a_line_between(figures: list[Figure]) -> None:
    drive_score_histogram(drives([1.0, 2.0, 3.0], [5.0, 6.0], 2.5, 1, 2))
    (axes,) = figures[0].axes
    assert axes.get_title(loc="left") == "Over the threshold: 2 of 2 failing drives, 1 of 3 healthy windows"
    assert line_of(axes, "threshold 2.5").get_xdata() == [2.5, 2.5]


def test_drives_are_counted_against_the_threshold_of_each_day_where_it_moves_and_no_line_is_drawn(
    figures: list[Figure],
) -> None:
    drive_score_histogram(drives([1.0, 2.0, 3.0], [5.0, 6.0], None, 0, 1))
    (axes,) = figures[0].axes
    assert axes.get_title(loc="left") == "Over the threshold of the day: 1 of 2 failing drives, 0 of 3 healthy windows"
    assert list(axes.lines) == []


def test_a_threshold_in_use_stands_where_its_rates_are(figures: list[Figure]) -> None:
    detection_curve({"a": curve(), "b": curve(0.1)}, in_use=used(0.01, 0.3))
    mark = line_of(figures[0].axes[0], "in use")
    assert (*mark.get_xdata(), *mark.get_ydata(), mark.get_marker()) == (0.01, 0.3, "o")


@pytest.mark.parametrize(("rate", "edge", "arrow"), [(0.0, 1e-4, "<"), (0.5, 0.2, ">")])
def test_a_threshold_in_use_beyond_the_axis_is_an_arrow_at_its_edge(
    figures: list[Figure], rate: float, edge: float, arrow: str
) -> None:
    detection_curve({"a": curve()}, in_use=used(rate, 0.3))
    mark = line_of(figures[0].axes[0], "in use")
    assert [*mark.get_xdata(), *mark.get_ydata()] == pytest.approx([edge, 0.3])
    assert mark.get_marker() == arrow


def level(found: float, last: float | None = None, wide: float = 0.0) -> Curve:
    """A detection rate that is the same at 20 rates, but for the last one, with a band around it."""
    found_at = (*[found] * 19, found if last is None else last)
    low, high = (tuple(value + side * wide for value in found_at) for side in (-1, 1))
    return Curve(tuple(np.geomspace(1e-3, 0.1, 20).tolist()), found_at, low, high)


def test_axes_of_detection_hold_every_curve_band_and_mark() -> None:
    def highest(curves: dict[str, Curve], in_use: OperatingPoint | None = None) -> float:
        begin, end, most = rates_shown(curves, in_use)
        assert (begin, end) == pytest.approx((1e-3, 0.1))
        return most

    assert highest({"a": level(0.2)}) == pytest.approx(0.3)
    assert highest({"a": level(0.2, wide=0.3)}) == pytest.approx(0.6)
    assert highest({"a": level(0.2)}, used(0.5, 0.62)) == pytest.approx(0.7)
    without_band = {"a": level(0.2), "b": level(0.3), "c": level(0.1, last=0.8)}
    assert banded_detectors(without_band) == ("a", "b")
    assert highest(without_band) == pytest.approx(0.9)
    assert highest({"a": level(0.99)}) == 1
    assert rates_shown({}, None) == (1e-4, 0.2, 1)


def test_each_panel_of_the_cohorts_shows_its_own_rates_intervals_and_counts(figures: list[Figure]) -> None:
    shown = [*cohorts(1, total=100), *cohorts(1, "M", 40), *cohorts(1, "N", 60)]
    cohort_rates(shown, "FAR 1%")
    for axes, name in zip(figures[0].axes, ("detection", "false_alarm"), strict=True):
        end = axes.get_xlim()[1]
        rates = [getattr(one, name) for one in shown]
        assert points_of(axes, "oD") == [(rate.value, place) for place, rate in enumerate(rates)]
        intervals = [line.get_data() for line in axes.lines if len(set(line.get_xdata())) == 2]
        assert [(*x, *y) for x, y in intervals] == [
            (rate.low, min(rate.high, end), place, place) for place, rate in enumerate(rates)
        ]
        assert [text.get_text() for text in axes.texts] == [f"{rate.count:,} of {rate.total:,}" for rate in rates]
    assert [axes.get_xlabel() for axes in figures[0].axes] == [
        "failing drives detected",
        "healthy windows with a false alarm",
    ]


def test_a_story_marks_the_days_over_the_threshold_and_only_them(figures: list[Figure]) -> None:
    history = story(10).with_columns(threshold=pl.lit(6.0))
    entity_story(history, "Z1", attributes={"smart_197_raw": "waiting sectors"})
    days = places_of(history["day"].to_list())
    top, below = figures[0].axes
    alarms = line_of(top, "alarm (3 days)")
    assert alarms.get_xdata().tolist() == days[7:].tolist()
    assert alarms.get_ydata().tolist() == [7.0, 8.0, 9.0]
    for axes in (top, below):
        assert [patch.get_x() + 0.5 for patch in axes.patches] == days[7:].tolist()
    assert set(line_of(top, "threshold").get_ydata()) == {6.0}
    assert line_of(top, "score").get_ydata().tolist() == history["score"].to_list()


def test_no_two_of_many_detectors_look_alike() -> None:
    looks = [look_of(position) for position in range(49)]
    assert len(set(looks)) == 49


def test_bands_are_those_of_the_first_detector_and_the_best_of_the_others() -> None:
    assert banded_detectors({"a": curve(0.2), "b": curve(0.3), "c": curve(0.1), "d": curve(0.4)}) == ("a", "c")
    assert banded_detectors({"a": curve()}) == ("a",)
    assert banded_detectors({}) == ()


@given(st.lists(st.integers(1, 30)))
def test_every_detected_drive_has_its_place_among_the_lead_times(leads: list[int]) -> None:
    counts = lead_time_counts(leads, 30)
    assert (len(counts), counts.sum()) == (30, len(leads))
    assert all(counts[lead - 1] == leads.count(lead) for lead in leads)


def test_the_axis_of_promises_holds_every_multiple_and_interval_up_to_its_farthest() -> None:
    assert multiples_shown([]) == (0.5, 2.0)
    assert multiples_shown([HELD, SILENT]) == (pytest.approx(0.48), 2.0)
    assert multiples_shown([UNCLEAR]) == (0.5, 3.75)
    assert multiples_shown([BROKEN]) == (0.5, 50.0)


def test_cohorts_beyond_those_that_are_drawn_change_the_remark_only() -> None:
    counts = COHORTS_DRAWN + 1, COHORTS_DRAWN + 50
    drawn = [Image.open(BytesIO(cohort_rates(cohorts(count), "FAR 1%"))).size for count in counts]
    assert drawn[0] == drawn[1]


def test_the_last_days_end_with_the_latest_and_have_a_row_for_each_day_between() -> None:
    rows = last_days(story(90).filter(pl.col("day").dt.day() != 15), 60)
    assert (rows["day"][0], rows["day"][-1]) == (DAY + timedelta(days=30), DAY + timedelta(days=89))
    assert rows["day"].diff().drop_nulls().unique().to_list() == [timedelta(days=1)]
    assert rows["score"].is_null().sum() == (rows["day"].dt.day() == 15).sum() > 0


@given(st.text(max_size=80), st.integers(5, 40))
def test_a_shortened_name_is_as_long_as_allowed_and_keeps_both_ends(name: str, longest: int) -> None:
    short = shortened(name, longest)
    assert len(short.replace(r"\$", "$")) <= longest
    assert shortened("ST4000DM000", 28) == "ST4000DM000"
    assert (shortened("Hitachi HDS5C3030ALA630", 12)[:2], shortened("Hitachi HDS5C3030ALA630", 12)[-2:]) == ("Hi", "30")


def test_hours_lie_within_their_day() -> None:
    noon = datetime(2024, 4, 17, 12, tzinfo=UTC)
    assert places_of([date(2024, 4, 17), noon, date(2024, 4, 18)]).tolist() == [19_830.0, 19_830.5, 19_831.0]
    hours = {noon + timedelta(hours=hour): 10 for hour in range(6)}
    assert volume_by_day(hours, HOURLY).startswith(b"\x89PNG")


def test_a_heat_map_shows_what_each_feature_adds_in_parts_of_the_threshold(figures: list[Figure]) -> None:
    at = [datetime(2024, 1, 1 + number, tzinfo=UTC) for number in range(3)]
    rows = [(at[0], 2.0, "a", 1.0), (at[1], 2.0, "a", 3.0), (at[1], 2.0, "b", 8.0), (at[2], 4.0, "b", 2.0)]
    rows += [(at[2], 4.0, f"small{number}", 0.01) for number in range(30)] + [(at[2], 4.0, "nothing", 0.0)]
    feature_heat_map(pl.DataFrame(rows, schema=["at", "threshold", "feature", "part"], orient="row"), "D1")
    axes = figures[0].axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:2] == ["b", "a"]
    assert len(names) == HEAT_FEATURES
    assert "nothing" not in names
    cells = np.asarray(axes.images[0].get_array().filled(np.nan))
    assert cells.shape == (HEAT_FEATURES, 3)
    np.testing.assert_array_equal(cells[:2], [[np.nan, 4.0, 0.5], [0.5, 1.5, np.nan]])


def test_scores_of_ranges_are_counted_over_the_threshold_and_drawn_as_shares(figures: list[Figure]) -> None:
    groups = {"learned from": np.linspace(0.1, 1, 100), "judged": np.linspace(0.1, 2, 50), "none": np.zeros(0)}
    scores_by_range(groups, 1.0)
    axes = figures[0].axes[0]
    labels = [patch.get_label() for patch in axes.patches]
    assert labels == ["learned from: 0.00% of 100 over it", "judged: 52.00% of 50 over it"]
    for patch in axes.patches:
        assert patch.get_data().values.sum() == pytest.approx(100)
    scores_by_range({"learned from": np.zeros(0)}, np.inf)
    assert not figures[1].axes[0].patches
