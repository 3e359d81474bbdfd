"""Rolling aggregation: an entity's scores of the last while become the score that is held against the cut.

Gap rule, the same as for features and windows: a span is a length of time, and missing records are skipped. So are
records on which the entity was not judged; the aggregate of such a record is as unknown as its score. Each record's
result is computed from the scores inside its span, oldest first, and never from an earlier result: a period computed
alone, from its look-back, equals the same period inside a range bit for bit.
"""

from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.decisions.config import AggregationConfig
from ae_assets.errors import ContractError
from ae_assets.features.block import entity_type
from ae_assets.schemas.records import ENTITY, PERIOD, TIME, TIME_TYPE, time_of
from ae_assets.schemas.spans import counts_within


class RollingScores:
    """Aggregates scores that come a period at a time, in order; holds the scores of the look-back only.

    A range run pushes each period as it goes; a run of one pushes those of the look-back, then it::

        rolling = RollingScores(config)
        for day, scores in days:                      # rising; periods without rows may be left out
            aggregated = rolling.push(day, scores)
    """

    def __init__(self, config: AggregationConfig) -> None:
        self._config = config
        self._entities = entity_type()
        self._past = pl.DataFrame(schema={TIME: TIME_TYPE, ENTITY: self._entities, "score": pl.Float64})
        self._last: date | None = None

    def push(self, day: date, scores: pl.DataFrame) -> pl.DataFrame:
        """Takes the scores of a period and gives them back aggregated.

        Args:
            day: the period, later than every one before.
            scores: ``entity``, ``time`` where an entity has several records in a period, ``score`` (a number, null
                where the entity was not judged, never NaN) and any further columns; one row per record.

        Returns:
            The same rows in the same order, with ``score`` (Float64) aggregated over the look-back; null stays null.

        Raises:
            ContractError: the period is not later than the last, a record has two rows, or a score is NaN.
        """
        if self._last is not None and day <= self._last:
            raise ContractError(f"scores of {day} were pushed after those of {self._last}; push days in rising order")
        dated = scores if TIME in scores.columns else scores.with_columns(pl.lit(day).alias(PERIOD))
        own = _own(dated, f" of {day}", self._entities)
        window = self._config.window
        if window is not None:
            _require_one_row_of_a_record(own, f" of {day}")
        self._last = day
        if window is None or own.is_empty():
            return scores.with_columns(own["score"])
        earliest = own.select(pl.col(TIME).min() - window).item()
        self._past = self._past.filter(pl.col(TIME) > earliest)
        both = pl.concat([self._past, own])
        aggregated = _aggregated(both, window, self._config, self._past.height)
        self._past = both.drop_nulls("score")
        return scores.with_columns(aggregated)


def aggregate(scores: pl.DataFrame, config: AggregationConfig) -> pl.DataFrame:
    """Aggregates the scores of any periods at once.

    Args:
        scores: ``day``, ``time`` where an entity has several records in a period, ``entity``, ``score`` (null = not
            judged) and any further columns, in any order; one row per record. The first of them, whose look-back is not
            there, are aggregated over what there is.
        config: method and span.

    Returns:
        The same rows in the same order, with ``score`` (Float64) aggregated; equal to what `RollingScores` gives.

    Raises:
        ContractError: a column is missing, a record has two rows, or a score is NaN.
    """
    if missing := [name for name in (PERIOD, ENTITY, "score") if name not in scores.columns]:
        raise ContractError(f"scores lack the columns {missing}; received {scores.columns}")
    own, window = _own(scores, "", entity_type()), config.window
    _require_one_row_of_a_record(own, "")
    return scores.with_columns(own["score"] if window is None else _aggregated(own, window, config))


def _aggregated(scores: pl.DataFrame, window: timedelta, config: AggregationConfig, first: int = 0) -> pl.Series:
    """The aggregate of each row from the first on, as a column ``score``, of the rows of its entity that are judged."""
    known = scores.with_row_index("place").drop_nulls("score").sort(pl.col(ENTITY).to_physical(), TIME)
    values, times = known["score"].to_numpy(), known[TIME].cast(pl.Int64).to_numpy()
    rows = np.flatnonzero(known["place"].to_numpy() >= first)
    counts = counts_within(known, window, rows)
    half_life = config.half_life // timedelta.resolution if config.method == "exponential" else None
    total, weights = np.zeros(len(rows)), np.zeros(len(rows))
    highest, lowest = np.full(len(rows), -np.inf), np.full(len(rows), np.inf)
    for back in range(int(counts.max(initial=0)) - 1, -1, -1):
        reaching = np.flatnonzero(counts > back)
        past = rows[reaching] - back
        score = values[past]
        weight: NDArray[np.float64] | float = 1.0
        if half_life is not None:
            weight = np.exp2(-(times[rows[reaching]] - times[past]) / half_life)
        total[reaching] += weight * score
        weights[reaching] += weight
        highest[reaching] = np.maximum(highest[reaching], score)
        lowest[reaching] = np.minimum(lowest[reaching], score)
    # Rounding must not carry a mean past the scores it is made of: equal scores stay ties at the cut.
    mean = np.clip(total / np.where(weights > 0, weights, 1.0), lowest, highest)
    result = pl.Series("score", highest if config.method == "max" else mean, dtype=pl.Float64)
    places = known["place"].gather(rows) - first
    return pl.repeat(None, scores.height - first, dtype=pl.Float64, eager=True).alias("score").scatter(places, result)


def _own(scores: pl.DataFrame, of_what: str, entities: pl.DataType) -> pl.DataFrame:
    own = scores.select(
        time_of(scores.columns).alias(TIME), pl.col(ENTITY).cast(entities), pl.col("score").cast(pl.Float64)
    )
    if strange := own.filter(pl.col("score").is_nan()).height:
        raise ContractError(f"{strange} of {own.height} scores{of_what} are NaN; pass null where a row is not judged")
    return own


def _require_one_row_of_a_record(own: pl.DataFrame, of_what: str) -> None:
    if repeats := own.height - own.select(TIME, ENTITY).n_unique():
        raise ContractError(f"{repeats} rows{of_what} repeat an entity; pass one row of an entity at a time")
