"""The schemas of the tables that the chain writes, and what their columns mean."""

import polars as pl
import pytest
from pandera.errors import SchemaError

from ae_assets.features.config import FeatureConfig
from ae_assets.features.schema import feature_schema
from ae_assets.schemas.anomalies import anomaly_schema
from ae_assets.schemas.quarantine import quarantine_schema

CONFIG = FeatureConfig.model_validate({"attributes": {"smart_5_raw": {"kind": "counter", "meaning": "bad sectors"}}})
TABLES = (quarantine_schema(), anomaly_schema(), feature_schema(CONFIG))


@pytest.mark.parametrize("schema", TABLES, ids=lambda schema: schema.name)
def test_every_column_of_every_table_is_described(schema):
    assert all(column.description for column in schema.columns.values())


def test_a_feature_that_is_not_finite_breaks_the_schema():
    schema = feature_schema(CONFIG)
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    row = dict.fromkeys(types) | {"entity": "ZA1", "cohort": "ST", "smart_5_level": 1.0}
    frame = pl.DataFrame([row], schema=types).with_columns(day=pl.date(2024, 1, 1))
    assert schema.validate(frame).height == 1
    with pytest.raises(SchemaError, match="values_are_finite"):
        schema.validate(frame.with_columns(pl.lit(float("inf"), pl.Float32).alias("smart_5_level")))
