"""When each entity was first and last seen and when it failed, as known on a given date. Scores are not looked at."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from ae_assets.errors import ContractError, EvaluationError

RECORD_COLUMNS = ("day", "entity", "label")
LIFE_SCHEMA = pl.Schema({"entity": pl.String, "first_day": pl.Date, "last_day": pl.Date, "failed_on": pl.Date})


@dataclass(frozen=True)
class Lives:
    """One life per entity, with what was known at the end of one day.

    A life ends with the first failure: later failures of the same entity do not count as further failures, and rows
    after the first one belong to nobody (the evaluation neither credits nor blames them).

    Attributes:
        frame: `entity, first_day, last_day, failed_on`, one row per entity, sorted by entity. `last_day` is the last
            day with a record, later than `failed_on` where a failed entity came back; `failed_on` is null without
            failure.
        known_until: records and labels after this day were not available.
    """

    frame: pl.DataFrame
    known_until: date


def lives_of(records: pl.DataFrame | pl.LazyFrame, known_until: date | None = None) -> Lives:
    """Summarises records to lives.

    Args:
        records: `day, entity, label`; label is 1 on a day of failure, 0 or null otherwise. Row order is irrelevant.
            Give all days that are known, not only the range to evaluate: an entity that failed before the range and
            fails again in it would otherwise count as a first failure.
        known_until: the knowledge cut-off. Rows after it are dropped before anything else, so that a caller that
            trains up to a date cannot see a label of a later one. The last day of the records by default.

    Raises:
        ContractError: a column is missing.
        EvaluationError: no record lies on or before the cut-off.
    """
    lazy = records.lazy()
    names = lazy.collect_schema().names()
    missing = [name for name in RECORD_COLUMNS if name not in names]
    if missing:
        raise ContractError(f"records lack {missing}; received the columns {names}")
    known = lazy if known_until is None else lazy.filter(pl.col("day") <= known_until)
    frame = (
        known.group_by("entity")
        .agg(
            pl.col("day").min().alias("first_day"),
            pl.col("day").max().alias("last_day"),
            pl.col("day").filter(pl.col("label") == 1).min().alias("failed_on"),
        )
        .sort("entity")
        .cast(LIFE_SCHEMA)
        .collect()
    )
    if frame.is_empty():
        raise EvaluationError(
            f"there are no records on or before {known_until}; choose a later date or load those days"
        )
    last: date = frame.select(pl.col("last_day").max()).item()
    return Lives(frame, known_until or last)
