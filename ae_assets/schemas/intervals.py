"""The columns of intervals: when something was abnormal."""

import polars as pl

from ae_assets.schemas.records import TIME_TYPE

INTERVAL_SCHEMA = pl.Schema({"entity": pl.String(), "kind": pl.String(), "start": TIME_TYPE, "end": TIME_TYPE})
"""Both ends belong to the interval."""
