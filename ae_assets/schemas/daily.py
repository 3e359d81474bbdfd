"""Scores one for each entity and day: the grain of the drive-level protocol and of thresholds that promise days."""

import polars as pl

from ae_assets.schemas.records import ENTITY, PERIOD, TIME, day_of


def of_days(scores: pl.DataFrame) -> pl.DataFrame:
    """The highest score of each entity and day, null where none of its records was judged.

    Args:
        scores: ``day, entity`` and, where there is one, ``cohort``; all other columns are numbers. Frames with one
            record of an entity a day are given back as they are.
    """
    if TIME not in scores.columns and scores.schema[PERIOD] == pl.Date:
        return scores
    others = [name for name in scores.columns if name not in (PERIOD, TIME, ENTITY, "cohort")]
    cohort = [pl.col("cohort").last()] if "cohort" in scores.columns else []
    return (
        scores.group_by(day_of(scores.columns).alias(PERIOD), ENTITY, maintain_order=True)
        .agg(*cohort, pl.col(others).max())
        .select(name for name in scores.columns if name != TIME)
    )
