"""Calibration scores for the tests of this folder."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl


def calibration_of(scores: Sequence[float]) -> pl.DataFrame:
    """One row per score, ten rows to an entity."""
    return pl.DataFrame(
        {
            "day": [date(2024, 1, 1) + timedelta(days=position % 10) for position in range(len(scores))],
            "entity": [f"drive-{position // 10}" for position in range(len(scores))],
            "cohort": ["model"] * len(scores),
            "score": list(scores),
        },
        schema_overrides={"score": pl.Float64},
    )
