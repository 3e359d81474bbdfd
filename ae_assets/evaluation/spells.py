"""When each entity was first and last seen and when it failed, told from spells: runs of days with a record or failure.

A device that reports every day is one row however long it lives, so lives need not be summarised from years of records
each time. No day is lost in a spell, so a day can be replaced exactly: it is taken out of the spells and put back.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from ae_assets.errors import EvaluationError

LIFE_SCHEMA = pl.Schema({"entity": pl.String, "first_day": pl.Date, "last_day": pl.Date, "failed_on": pl.Date})

RECORDED, FAILED = "recorded", "failed"
"""Kinds of spells. A day of failure is a recorded day as well."""

SPELL_SCHEMA = pl.Schema({"entity": pl.String, "kind": pl.String, "start": pl.Date, "end": pl.Date})

_DAY = timedelta(days=1)


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


def touches(first: date, last: date) -> pl.Expr:
    """Whether a spell may change with the days from first to last: it holds one of them or borders on them."""
    return (pl.col("start") <= last + _DAY) & (pl.col("end") >= first - _DAY)


def with_days(spells: pl.DataFrame, first: date, last: date, records: pl.DataFrame) -> pl.DataFrame:
    """The spells after the days from first to last were loaded, replaced or emptied.

    Args:
        spells: with the columns of `SPELL_SCHEMA`; those that `touches` the days are enough, others pass through.
        first: first day.
        last: last day; whatever the spells say of the days in between is forgotten.
        records: all records of these days: `day, entity, label`; label is 1 on a day of failure. Those without an
            entity belong to nobody.

    Returns:
        The spells as they are then, by entity, kind and start; no two of one entity and kind border on each other.
    """
    recorded = records.filter(pl.col("entity").is_not_null()).select(
        "entity", "label", kind=pl.lit(RECORDED), start="day", end="day"
    )
    failed = recorded.filter(pl.col("label") == 1).with_columns(kind=pl.lit(FAILED))
    pieces = pl.concat(
        [
            spells.filter(pl.col("start") < first).with_columns(pl.col("end").clip(upper_bound=first - _DAY)),
            spells.filter(pl.col("end") > last).with_columns(pl.col("start").clip(lower_bound=last + _DAY)),
            *(new.select(SPELL_SCHEMA.names()).unique() for new in (recorded, failed)),
        ]
    ).sort("entity", "kind", "start")
    goes_on = (
        (pl.col("entity") == pl.col("entity").shift())
        & (pl.col("kind") == pl.col("kind").shift())
        & (pl.col("start") == pl.col("end").shift() + pl.duration(days=1))
    )
    return (
        pieces.with_columns(spell=(~goes_on).fill_null(value=True).cum_sum())
        .group_by("spell", maintain_order=True)
        .agg(pl.col("entity", "kind", "start").first(), pl.col("end").last())
        .select(SPELL_SCHEMA.names())
    )


def lives_of_spells(spells: pl.DataFrame, known_until: date | None = None) -> Lives:
    """The lives that spells tell.

    Args:
        spells: with the columns of `SPELL_SCHEMA`.
        known_until: the knowledge cut-off; later days do not exist yet. None: all are known.

    Raises:
        EvaluationError: no record lies on or before the cut-off.
    """
    known = _known(spells, known_until)
    if known.is_empty():
        until = "" if known_until is None else f" on or before {known_until}"
        raise EvaluationError(f"there are no records to summarise{until}; load the days first")
    frame = (
        known.lazy()
        .select("entity", "start", "end", failed_on=pl.when(pl.col("kind") == FAILED).then("start"))
        .group_by("entity")
        .agg(pl.col("start").min().alias("first_day"), pl.col("end").max().alias("last_day"), pl.col("failed_on").min())
        .sort("entity")
        .cast(LIFE_SCHEMA)
        .collect(engine="streaming")
    )
    last: date = frame.select(pl.col("last_day").max()).item()
    return Lives(frame, last)


def failures_of_spells(spells: pl.DataFrame, known_until: date | None = None) -> pl.DataFrame:
    """Every `entity` and `day` with a failure, in order of days, as far as it is known."""
    failed = _known(spells.filter(pl.col("kind") == FAILED), known_until)
    return failed.select("entity", day=pl.date_ranges("start", "end")).explode("day").sort("day", "entity")


def _known(spells: pl.DataFrame, known_until: date | None) -> pl.DataFrame:
    if known_until is None:
        return spells
    return spells.filter(pl.col("start") <= known_until).with_columns(pl.col("end").clip(upper_bound=known_until))
