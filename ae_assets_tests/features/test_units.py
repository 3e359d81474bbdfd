"""Features in the unit of their attribute: what a drive reported, not its logarithm."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.features.block import features_of_block
from ae_assets.features.catalogue import catalogue
from ae_assets.features.units import SCALES, in_own_units, scale_of, undone
from ae_assets_tests.features.frames import CONFIG, DAY, series

COUNTS = st.integers(0, 2**31)


def own(attribute: str, values: dict[int, float | None], **others: object) -> dict[str, float]:
    """The features of a drive's day in the units of their attributes."""
    row = features_of_block(series(attribute, values, **others), DAY, CONFIG)
    features = catalogue(CONFIG)
    numbers = row.select(feature.name for feature in features).fill_null(float("nan")).to_numpy()
    scaled = in_own_units(numbers, [scale_of(feature, CONFIG) for feature in features])
    return dict(zip((feature.name for feature in features), scaled[0].tolist(), strict=True))


def test_every_feature_says_what_the_drive_reported() -> None:
    row = own("smart_5_raw", {28: 1, 7: 4, 1: 45, 0: 40}, smart_9_raw=2000)
    assert row["smart_5_level"] == 40
    assert (row["smart_5_growth_1d"], row["smart_5_growth_7d"], row["smart_5_growth_28d"]) == (-5, 36, 39)
    assert row["smart_5_per_1000_hours"] == 20
    assert (row["smart_9_level"], row["smart_9_drift"]) == (2000, pytest.approx(-28))
    assert (row["gap_days"], row["smart_5_missing"], row["smart_194_missing"]) == (1, 0, 1)
    assert own("smart_194_raw", {10: 30, 0: 35})["smart_194_deviation"] == 5
    assert own("smart_1_raw", {10: 99, 0: 199})["smart_1_deviation"] == pytest.approx(2)


@given(COUNTS, COUNTS)
def test_a_count_comes_back_as_the_whole_number_it_was_as_far_as_its_float32_logarithm_tells(
    before: int, now: int
) -> None:
    row = own("smart_5_raw", {1: before, 0: now})
    assert row["smart_5_level"] == pytest.approx(now, rel=3e-6)
    assert row["smart_5_growth_1d"] == pytest.approx(now - before, rel=3e-6)
    assert float(row["smart_5_level"]).is_integer() or now > 200_000


@pytest.mark.parametrize("value", [800.0, -800.0])
def test_what_no_attribute_can_reach_stays_finite_and_no_count_falls_below_zero(value: float) -> None:
    values = undone(np.full((1, len(SCALES)), value), np.arange(len(SCALES)))
    assert np.isfinite(values).all()
    assert values[0, SCALES.index("log1p")] >= 0
    assert np.sign(values[0, SCALES.index("signed log1p")]) == np.sign(value)


def test_unknown_stays_unknown() -> None:
    assert np.isnan(in_own_units(np.full((2, len(SCALES)), np.nan), SCALES)).all()


def test_a_day_has_the_days_since_the_drives_earliest_record_in_the_look_back() -> None:
    for days, seen in (({0: 1}, None), ({1: 1, 0: 1}, 1), ({29: 1, 9: None, 3: 1, 0: 1}, 9), ({28: 1, 0: 1}, 28)):
        frame = features_of_block(series("smart_5_raw", days), DAY, CONFIG)
        assert frame["seen_days"].to_list() == [seen]
    two = series("smart_5_raw", {5: 1, 0: 1}).vstack(series("smart_5_raw", {0: 1}, entity="ZA2"))
    assert features_of_block(two, DAY, CONFIG)["seen_days"].to_list() == [5, None]
    assert two["day"].max() - two["day"].min() == timedelta(days=5)
