"""The columns of a quarantine table: one row per raw row that was set aside, with the reason and the row itself."""

from functools import cache

import pandera.polars as pa
import polars as pl

from ae_assets.schemas.periods import DAILY, Periods


def quarantine_schema(periods: Periods = DAILY) -> pa.DataFrameSchema:
    """The Pandera schema of the quarantine of a table that is kept by such periods."""
    return pa.DataFrameSchema(
        {
            "day": pa.Column(periods.dtype, description=f"the {periods.noun} whose raw rows it was among"),
            "entity": pa.Column(
                pl.String, nullable=True, description="the device as the row names it; null where it does not"
            ),
            "rule": pa.Column(pl.String, description="the first rule that the row breaks"),
            "column": pa.Column(pl.String, description="the column that breaks it"),
            "value": pa.Column(pl.String, nullable=True, description="what that column holds; null where it is empty"),
            "reason": pa.Column(pl.String, description="why such a row cannot be true"),
            "broken_rules": pa.Column(pl.String, description="all rules that the row breaks, comma separated"),
            "source_file": pa.Column(pl.String, nullable=True, description="the file it came from"),
            "source_row": pa.Column(
                pl.Int32, nullable=True, description="its line in that file, counted from 1 after the header"
            ),
            "record": pa.Column(pl.String, description="the whole row as JSON, empty cells left out"),
        },
        name="quarantine",
        strict=True,
        ordered=True,
    )


@cache
def nothing_set_aside(periods: Periods = DAILY) -> pl.DataFrame:
    """A quarantine without rows."""
    return pl.DataFrame(schema={name: column.dtype.type for name, column in quarantine_schema(periods).columns.items()})
