"""The columns of a features table, which its config fixes."""

import pandera.polars as pa
import polars as pl

from ae_assets.features.catalogue import catalogue
from ae_assets.features.config import FeatureConfig
from ae_assets.schemas.records import DAILY_RECORDS, TIME, TIME_TYPE, Rhythm

SETTINGS = "settings"
"""The column that says by which settings a day's features were made."""


def feature_schema(config: FeatureConfig, rhythm: Rhythm = DAILY_RECORDS) -> pa.DataFrameSchema:
    """The Pandera schema of the features that a config gives; Float32, null = unknown, never NaN or infinite."""
    times = {} if rhythm.cadence is None else {TIME: pa.Column(TIME_TYPE, description="when the record was taken")}
    keys = {
        "day": pa.Column(rhythm.periods.dtype, description=f"the {rhythm.periods.noun} of the record"),
        **times,
        "entity": pa.Column(pl.String, description="the device"),
        "cohort": pa.Column(pl.String, description="its kind"),
        "label": pa.Column(
            pl.Int8,
            pa.Check.isin([0, 1]),
            nullable=True,
            description="1 = the device failed on this day, null = not known; never a feature",
        ),
    }
    groups = {
        name: pa.Column(pl.String, nullable=True, description="where the device belongs; never a feature")
        for name in config.groups
    }
    finite = pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).is_finite()), name="values_are_finite")
    features = {
        feature.name: pa.Column(pl.Float32, finite, nullable=True, description=feature.description)
        for feature in catalogue(config)
    }
    lost = pa.Column(
        pl.List(pl.String),
        nullable=True,
        description="the attributes that the device reported within the look-back and not on this day; null = none; "
        "never a feature",
    )
    seen = pa.Column(
        pl.Int16,
        pa.Check.ge(1),
        nullable=True,
        description="days since the earliest record of the device within the look-back; null = none; never a feature",
    )
    records = pa.Column(
        pl.Int32,
        pa.Check.ge(1),
        nullable=True,
        description="records of the device within the look-back, this one included; null = made before they were "
        "counted; never a feature",
    )
    made_by = pa.Column(
        pl.String,
        nullable=True,
        description="what the features were made by: the digest of settings that the table's property "
        "`ae_assets.settings.DIGEST` spells out; null = made before they were kept",
    )
    columns = {
        **keys,
        **groups,
        **features,
        "lost_attributes": lost,
        "seen_days": seen,
        "seen_records": records,
        SETTINGS: made_by,
    }
    return pa.DataFrameSchema(columns, name="features", strict=True, ordered=True)
