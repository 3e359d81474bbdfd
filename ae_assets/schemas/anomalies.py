"""The columns of an anomalies table: one row per device and day, with its score and what raised it."""

import pandera.polars as pa
import polars as pl

TOP_FEATURES = pl.List(
    pl.Struct({"name": pl.String(), "contribution": pl.Float64(), "value": pl.Float64(), "expected": pl.Float64()})
)
"""The features that raised a score most: contributions add up to no more than the score; value null = missing."""

ANOMALY_SCHEMA = pa.DataFrameSchema(
    {
        "day": pa.Column(pl.Date, description="the scored day"),
        "entity": pa.Column(pl.String, unique=False, description="the device: a drive's serial number"),
        "cohort": pa.Column(pl.String, description="its kind: the drive's model"),
        "score": pa.Column(
            pl.Float64, pa.Check.ge(0), description="the detector's anomaly score; higher = more anomalous"
        ),
        "threshold": pa.Column(pl.Float64, description="the cut that the score was held against"),
        "is_anomaly": pa.Column(pl.Boolean, description="an alarm: the score is over the threshold"),
        "severity": pa.Column(
            pl.Float64,
            pa.Check.in_range(0, 1),
            description="share of calibration rows with a score at least as high; small = severe",
        ),
        "is_new": pa.Column(pl.Boolean, description="an alarm whose device had none on its previous scored day"),
        "streak_days": pa.Column(
            pl.Int32, pa.Check.ge(0), description="scored days in a row with an alarm, this one included; 0 = none"
        ),
        "top_features": pa.Column(
            TOP_FEATURES,
            description="the features that raised the score most: name, contribution, value (null = missing), expected",
        ),
        "model_version": pa.Column(pl.String, description="the model version that scored the row"),
        "label": pa.Column(
            pl.Int8,
            pa.Check.isin([0, 1]),
            nullable=True,
            description="1 = the device failed on this day, null = not known",
        ),
    },
    name="anomalies",
    strict=True,
    ordered=True,
)
