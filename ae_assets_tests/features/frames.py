"""Small histories of validated rows, and a config that uses every kind of attribute."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from ae_assets.features.config import FeatureConfig

DAY = date(2024, 5, 17)

CONFIG = FeatureConfig.model_validate(
    {
        "spans": [1, 7, 28],
        "attributes": {
            "smart_5_raw": {"kind": "counter", "meaning": "bad sectors"},
            "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
            "smart_194_raw": {"kind": "gauge", "meaning": "temperature", "low_bits": 8},
            "smart_1_raw": {"kind": "rate", "meaning": "read error rate"},
        },
    }
)

TYPES: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "entity": pl.String(),
    "cohort": pl.String(),
    "label": pl.Int8(),
    **dict.fromkeys(CONFIG.attributes, pl.Int64()),
}


def valid_rows(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Validated rows; what a row leaves out is unknown. ``ago`` = days before ``DAY``."""
    filled = [
        {"entity": "ZA1", "cohort": "ST12000NM0008", "label": 0}
        | {name: value for name, value in row.items() if name != "ago"}
        | {"day": DAY - timedelta(days=int(str(row.get("ago", 0))))}
        for row in rows
    ]
    return pl.DataFrame(filled, schema=TYPES)


def series(attribute: str, values: Mapping[int, float | None], **others: object) -> pl.DataFrame:
    """One drive's history: the value of an attribute by how many days ago it was read."""
    return valid_rows([{"ago": ago, attribute: value, **others} for ago, value in values.items()])
