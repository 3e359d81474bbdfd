"""Rolling aggregation: an entity's scores of the last calendar days become the score that is held against the cut.

Gap rule, the same as for features and windows: spans are calendar days, and days without a record are skipped. So are
days on which the entity was not judged; on such a day its aggregate is as unknown as its score. Each day's result is
computed from the scores inside its span, oldest first, and never from an earlier result: a day computed alone, from its
look-back, equals the same day inside a range bit for bit.
"""

from collections import deque
from datetime import date, timedelta

import numpy as np
import polars as pl

from ae_assets.decisions.config import AggregationConfig
from ae_assets.errors import ContractError

COLUMNS = ("day", "entity", "score")


class RollingScores:
    """Aggregates scores that come a day at a time, in order; holds the scores of the look-back only.

    A range run pushes each day as it goes; a single-day run pushes the days of the look-back, then the day::

        rolling = RollingScores(config)
        for day, scores in days:                      # rising; days without rows may be left out
            aggregated = rolling.push(day, scores)
    """

    def __init__(self, config: AggregationConfig) -> None:
        self._config = config
        self._days: deque[tuple[date, pl.DataFrame]] = deque()
        self._last: date | None = None

    def push(self, day: date, scores: pl.DataFrame) -> pl.DataFrame:
        """Takes the scores of a day and gives them back aggregated.

        Args:
            day: the day, later than every day before.
            scores: ``entity``, ``score`` (a number, null where the entity was not judged, never NaN) and any further
                columns; one row per entity.

        Returns:
            The same rows in the same order, with ``score`` (Float64) aggregated over the look-back; null stays null.

        Raises:
            ContractError: the day is not later than the last, an entity has two rows, or a score is NaN.
        """
        if self._last is not None and day <= self._last:
            raise ContractError(f"scores of {day} were pushed after those of {self._last}; push days in rising order")
        own = _own(day, scores)
        self._last = day
        oldest = day - timedelta(days=self._config.look_back_days)
        while self._days and self._days[0][0] < oldest:
            self._days.popleft()
        if self._config.look_back_days:
            self._days.append((day, own))
            own = self._aggregated(day, own)
        return scores.with_columns(own["score"])

    def _aggregated(self, day: date, own: pl.DataFrame) -> pl.DataFrame:
        total, weights = np.zeros(own.height), np.zeros(own.height)
        highest, lowest = np.full(own.height, -np.inf), np.full(own.height, np.inf)
        for past_day, past in self._days:
            known = own.select("entity").join(past, on="entity", how="left", maintain_order="left")["score"]
            has_record, score = known.is_not_null().to_numpy(), known.fill_null(0.0).to_numpy()
            weight = np.where(has_record, self._weight((day - past_day).days), 0.0)
            total += np.where(has_record, weight * score, 0.0)
            weights += weight
            highest = np.where(has_record, np.maximum(highest, score), highest)
            lowest = np.where(has_record, np.minimum(lowest, score), lowest)
        # Rounding must not carry a mean past the scores it is made of: equal scores stay ties at the cut.
        mean = np.clip(total / np.where(weights > 0, weights, 1.0), lowest, highest)
        result = pl.Series(highest if self._config.method == "max" else mean)
        return own.with_columns(score=pl.when(pl.col("score").is_not_null()).then(result))

    def _weight(self, age_days: int) -> float:
        exponential = self._config.method == "exponential"
        return float(2.0 ** (-age_days / self._config.half_life_days)) if exponential else 1.0


def aggregate(scores: pl.DataFrame, config: AggregationConfig) -> pl.DataFrame:
    """Aggregates the scores of any days at once.

    Args:
        scores: ``day`` (Date), ``entity``, ``score`` (null = not judged) and any further columns, in any order; one row
            per entity and day. The first ``look_back_days`` of them are aggregated over what there is.
        config: method and span.

    Returns:
        The same rows in the same order, with ``score`` (Float64) aggregated; equal to what `RollingScores` gives.

    Raises:
        ContractError: a column is missing, an entity has two rows of one day, or a score is NaN.
    """
    if missing := [name for name in COLUMNS if name not in scores.columns]:
        raise ContractError(f"scores lack the columns {missing}; received {scores.columns}")
    if scores.is_empty():
        return scores.with_columns(pl.col("score").cast(pl.Float64))
    rolling = RollingScores(config)
    numbered = scores.with_row_index("__row").sort("day", maintain_order=True)
    days = numbered.partition_by("day", maintain_order=True)
    return pl.concat([rolling.push(day["day"][0], day) for day in days]).sort("__row").drop("__row")


def _own(day: date, scores: pl.DataFrame) -> pl.DataFrame:
    own = scores.select("entity", pl.col("score").cast(pl.Float64))
    if strange := own.filter(pl.col("score").is_nan()).height:
        raise ContractError(f"{strange} of {own.height} scores of {day} are NaN; pass null where a row is not judged")
    if repeats := own.height - own["entity"].n_unique():
        raise ContractError(f"{repeats} rows of {day} repeat an entity; pass one row per entity and day")
    return own
