"""Hold: for a while after a high score an entity raises alarms by higher ones only.

Whether a score is held back does not depend on any cut, so the score of a record and that of its alarm are two columns:
the first says how anomalous the record is, the second whether that is news.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from ae_assets.features.block import entity_type
from ae_assets.schemas.records import ENTITY, TIME, TIME_TYPE, time_of
from ae_assets.schemas.spans import counts_within, largest_within


def alarm_scores(scores: pl.DataFrame, hold: timedelta | None) -> pl.Series:
    """The score of each record as far as it raises an alarm.

    Args:
        scores: ``day, entity, score`` (null = not judged) and, where the table has it, ``time``, in any order.
        hold: how far back a score at least as high keeps an alarm from being raised; None: none does.

    Returns:
        ``alarm_score`` (Float64), in their order: the score, 0 where it is held back, null where it is not known.
    """
    own = scores["score"].cast(pl.Float64).alias("alarm_score")
    if hold is None:
        return own
    records = scores.select(pl.col(ENTITY), time_of(scores.columns).alias(TIME), own).with_row_index("place")
    known = records.drop_nulls("alarm_score").sort(ENTITY, TIME)
    values, places = known["alarm_score"].to_numpy(), np.arange(known.height)
    before = largest_within(values, places - counts_within(known, hold) + 1, places)
    raised = pl.Series(np.where(values > before, values, 0.0), dtype=pl.Float64)
    return pl.repeat(None, scores.height, dtype=pl.Float64, eager=True).scatter(known["place"], raised).alias(own.name)


class RollingHold:
    """The same of scores that come a period at a time, in order; keeps those that later ones are held against."""

    def __init__(self, hold: timedelta | None) -> None:
        self._hold = hold
        self._entities = entity_type()
        self._past = pl.DataFrame(schema={ENTITY: self._entities, TIME: TIME_TYPE, "score": pl.Float64})

    def push(self, scores: pl.DataFrame) -> pl.Series:
        """Takes the scores of a period, as `alarm_scores`, at least one."""
        if self._hold is None:
            return alarm_scores(scores, None)
        own = scores.select(
            pl.col(ENTITY).cast(self._entities), time_of(scores.columns).alias(TIME), pl.col("score").cast(pl.Float64)
        )
        earliest = own.select(pl.col(TIME).min() - self._hold).item()
        both = pl.concat([self._past.filter(pl.col(TIME) > earliest), own])
        raised = alarm_scores(both, self._hold).tail(own.height)
        self._past = both.drop_nulls("score")
        return raised
