import math

import pytest

from ae_assets.features.config import FeatureConfig
from ae_assets.features.wording import wording_of

CONFIG = FeatureConfig.model_validate(
    {
        "attributes": {
            "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors (bad sectors replaced by spare ones)"},
            "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
            "smart_194_raw": {"kind": "gauge", "meaning": "temperature"},
            "smart_1_raw": {"kind": "rate", "meaning": "read error rate"},
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
        ("gap_days", 3.0, 1.0, "days since its last record 3 (expected 1)"),
        ("a_feature_of_an_older_model", 1.0, 1.0, "a_feature_of_an_older_model"),
    ],
)
def test_a_feature_is_put_into_the_unit_of_its_attribute(
    name: str, value: float | None, expected: float | None, says: str
) -> None:
    assert wording_of(CONFIG)(name, value, expected) == says
