import math

import pytest

from ae_assets.features.config import FeatureConfig
from ae_assets.features.wording import age_in_words, attribute_wording_of, wording_of

CONFIG = FeatureConfig.model_validate(
    {
        "attributes": {
            "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors (bad sectors replaced by spare ones)"},
            "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
            "smart_194_raw": {"kind": "gauge", "meaning": "temperature"},
            "smart_1_raw": {"kind": "rate", "meaning": "read error rate"},
            "smart_12_raw": {"kind": "counter", "meaning": "power cycles", "transforms": ["growth"]},
            "smart_193_raw": {"kind": "counter", "meaning": "load cycles", "transforms": ["per_1000_hours", "growth"]},
            "cpu": {
                "kind": "gauge",
                "meaning": "CPU load",
                "transforms": ["level", "magnitude", "active", "excess", "range", "flatline"],
                "excess_of_means": ["2h"],
                "spans": ["1h", "6h", "1d"],
            },
        }
    }
)


@pytest.mark.parametrize(
    ("name", "value", "expected", "says"),
    [
        ("smart_5_level", math.log1p(25), 0.0, "reallocated sectors 25 (expected 0)"),
        ("smart_5_growth_7d", math.log1p(40), math.log1p(1), "reallocated sectors +40 in 7 days (expected +1)"),
        ("smart_5_growth_1d", -math.log1p(3), None, "reallocated sectors -3 in a day"),
        ("smart_5_per_1000_hours", math.log1p(1.5), None, "reallocated sectors 1.5 per 1,000 hours"),
        ("smart_9_level", math.log1p(12_345), None, "power-on hours 12,345"),
        ("smart_194_level", 45.0, 30.0, "temperature 45 (expected 30)"),
        ("smart_194_deviation", 4.25, None, "temperature +4.2 against its own past"),
        ("smart_1_deviation", math.log(2), None, "read error rate 2 times against its own past"),
        ("smart_5_missing", 1.0, 0.0, "no reallocated sectors"),
        ("smart_5_level", None, 0.0, "reallocated sectors unknown (expected 0)"),
        ("smart_5_level", math.log1p(24), -0.2, "reallocated sectors 24 (expected 0)"),
        ("gap_days", 3.0, 1.0, "days since its last record 3 (expected 1)"),
        ("cpu_excess", 0.4, 0.0, "CPU load 40% outside of its past range (expected 0%)"),
        ("cpu_range_6h", math.log(0.04), math.log(12), "CPU load varied by 0.04 in 6 hours (expected 12)"),
        ("cpu_range_6h", math.log(1e-6), None, "CPU load varied by 0 in 6 hours"),
        ("cpu_magnitude", -math.log1p(40), 0.0, "CPU load -40 (expected 0)"),
        ("cpu_active", 1.0, 0.0, "CPU load active (expected 0)"),
        ("cpu_flatline", math.log1p(12), 0.0, "CPU load unchanged for 12 records (expected 0)"),
        ("a_feature_of_an_older_model", 1.0, 1.0, "a_feature_of_an_older_model"),
    ],
)
def test_a_feature_is_put_into_the_unit_of_its_attribute(
    name: str, value: float | None, expected: float | None, says: str
) -> None:
    assert wording_of(CONFIG)(name, value, expected) == says


@pytest.mark.parametrize(
    ("attribute", "readings", "says"),
    [
        ("smart_5_raw", {"smart_5_level": (24.0, 0.0), "smart_5_growth_1d": (0.0, 0.0),
         "smart_5_growth_7d": (16.0, 0.0), "smart_5_growth_28d": (16.0, 0.0),
         "smart_5_per_1000_hours": (2.0, 0.0), "smart_5_missing": (0.0, 0.0)},
         "reallocated sectors 24, expected 0, +16 in 7 days"),
        ("smart_5_raw", {"smart_5_level": (24.0, 3.0), "smart_5_growth_1d": (2.0, 0.0),
         "smart_5_growth_7d": (16.0, 0.0), "smart_5_growth_28d": (-8.0, 0.0)},
         "reallocated sectors 24, expected 3, +2 in a day, +16 in 7 days, -8 in 28 days"),
        ("smart_5_raw", {"smart_5_level": (24.0, 0.0), "smart_5_growth_1d": (0.0, 0.0),
         "smart_5_growth_28d": (0.0, 0.0)}, "reallocated sectors 24, expected 0, unchanged in 28 days"),
        ("smart_5_raw", {"smart_5_level": (24.0, None), "smart_5_growth_1d": (None, 0.0)}, "reallocated sectors 24"),
        ("smart_5_raw", {"smart_5_level": (None, 0.0), "smart_5_growth_1d": (None, 0.0), "smart_5_missing": (1.0, 0.0)},
         "reallocated sectors not reported"),
        ("smart_12_raw", {"smart_12_growth_1d": (3.0, 1.0), "smart_12_growth_7d": (13.0, 1.0)},
         "power cycles +3 in a day, expected +1, +13 in 7 days"),
        ("smart_12_raw", {"smart_12_growth_1d": (0.0, 0.0), "smart_12_growth_7d": (0.0, 1.0)},
         "power cycles unchanged in 7 days"),
        ("smart_12_raw", {"smart_12_growth_1d": (None, 0.0)}, "power cycles unknown"),
        ("smart_193_raw", {"smart_193_per_1000_hours": (1200.0, 80.0), "smart_193_growth_7d": (900.0, 0.0)},
         "load cycles 1,200 per 1,000 hours, expected 80, +900 in 7 days"),
        ("smart_194_raw", {"smart_194_level": (45.0, 30.0), "smart_194_deviation": (12.0, 0.0)},
         "temperature 45, expected 30, +12 against its own past"),
        ("smart_9_raw", {"smart_9_level": (12_345.0, 11_000.0), "smart_9_drift": (3.0, 0.0)},
         "power-on hours 12,345, expected 11,000, clock off by +3 days"),
        ("smart_9_raw", {"smart_9_level": (12_345.0, 11_000.0), "smart_9_drift": (0.0, 0.0)},
         "power-on hours 12,345, expected 11,000"),
        ("smart_9_raw", {"smart_9_drift": (3.0, 0.0)}, "power-on hours: clock off by +3 days, expected 0"),
        ("gap_days", {"gap_days": (3.0, 1.0)}, "days since its last record 3, expected 1"),
        ("cpu", {"cpu_level": (93.0, None), "cpu_excess": (0.4, 0.0), "cpu_excess_2h": (0.0, 0.0)},
         "CPU load 93, 40% outside of its past range"),
        ("cpu", {"cpu_excess": (0.0, 0.0), "cpu_excess_2h": (0.12, 0.0)},
         "CPU load 12% outside of its past range in the mean of 2 hours, expected 0%"),
        ("cpu", {"cpu_level": (93.0, None), **{f"cpu_range_{span}": (2.0, 1.0) for span in ("1h", "6h", "1d")}},
         "CPU load 93, varied by 2 in an hour, varied by 2 in a day"),
        ("cpu", {"cpu_range_6h": (1e-6, 3.0)}, "CPU load varied by 0 in 6 hours, expected 3"),
        ("cpu", {"cpu_level": (9.0, None), "cpu_magnitude": (9.0, 1.0), "cpu_active": (1.0, 1.0),
         "cpu_flatline": (12.0, 0.0)}, "CPU load 9, unchanged for 12 records"),
        ("cpu", {"cpu_magnitude": (-9.0, 1.0), "cpu_flatline": (0.0, 0.0)}, "CPU load -9, expected 1"),
        ("cpu", {"cpu_active": (1.0, 0.0)}, "CPU load active, expected 0"),
        ("cpu", {"cpu_excess": (0.0, None)}, "CPU load inside of its past range"),
        ("of_an_older_model", {"of_an_older_model": (1.0, 1.0)}, "of_an_older_model"),
    ],
)  # fmt: skip
def test_an_attribute_is_told_with_value_expectation_and_history(
    attribute: str, readings: dict[str, tuple[float | None, float | None]], says: str
) -> None:
    assert attribute_wording_of(CONFIG)(attribute, readings, 28) == says


@pytest.mark.parametrize(
    ("growths", "seen_days", "says"),
    [
        ({1: 0.0, 7: 0.0, 28: 0.0}, 2, "reallocated sectors 24, expected 0, unchanged in 2 days"),
        ({1: 0.0, 7: 16.0, 28: 16.0}, 2, "reallocated sectors 24, expected 0, +16 in 2 days"),
        ({1: 16.0, 7: 16.0, 28: 16.0}, 1, "reallocated sectors 24, expected 0, +16 in a day"),
        (
            {1: 2.0, 7: 16.0, 28: 20.0},
            9,
            "reallocated sectors 24, expected 0, +2 in a day, +16 in 7 days, +20 in 9 days",
        ),
        ({1: 0.0, 7: 0.0, 28: 0.0}, None, "reallocated sectors 24, expected 0, unchanged in 28 days"),
    ],
)
def test_no_span_is_told_that_the_device_has_not_lived(
    growths: dict[int, float], seen_days: int | None, says: str
) -> None:
    readings: dict[str, tuple[float | None, float | None]] = {"smart_5_level": (24.0, 0.0)}
    readings |= {f"smart_5_growth_{span}d": (value, 0.0) for span, value in growths.items()}
    assert attribute_wording_of(CONFIG)("smart_5_raw", readings, seen_days) == says


@pytest.mark.parametrize("drift", [0.04, -0.04, 0.0])
def test_a_clock_that_is_off_by_nothing_is_not_told(drift: float) -> None:
    readings: dict[str, tuple[float | None, float | None]] = {
        "smart_9_level": (12_345.0, None), "smart_9_drift": (drift, 0.0)}  # fmt: skip
    assert attribute_wording_of(CONFIG)("smart_9_raw", readings, 28) == "power-on hours 12,345"


def test_age_is_told_as_what_readings_are_judged_against() -> None:
    assert age_in_words(33_704.0, CONFIG) == "33,704 power-on hours"
    ageless = FeatureConfig.model_validate({"attributes": {"smart_5_raw": {"kind": "counter", "meaning": "sectors"}}})
    assert age_in_words(1.0, ageless) is None
