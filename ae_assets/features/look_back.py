"""The rolling tail of validated rows that features look back on, the same for one day and for a range of days."""

from datetime import date, timedelta

import polars as pl

from ae_assets.features.config import FeatureConfig

KEYS = ("day", "entity", "cohort", "label")


class LookBack:
    """Keeps the rows of the last ``look_back_days`` days, and of them only what features read.

    A range run pushes each day as it goes; a single-day run pushes the days of the look-back and then the day::

        look_back = LookBack(config)
        for day, valid in days:                       # rising; days without rows may be left out
            look_back.push(valid)
            features = features_of_day(look_back.history(day), day, config)

    Memory is bounded by the look-back: integers are kept at the smallest width that holds a day's values.
    """

    def __init__(self, config: FeatureConfig) -> None:
        self._columns = (*KEYS, *config.attributes)
        self._length = timedelta(days=config.look_back_days)
        self._days: dict[date, pl.DataFrame] = {}

    def push(self, valid_day: pl.DataFrame) -> None:
        """Adds the valid rows of a day, or replaces them; an empty frame adds nothing.

        Args:
            valid_day: rows of one day as ``validate_day`` gives them; further columns are dropped.

        Raises:
            ValueError: the rows are of several days.
        """
        if valid_day.is_empty():
            return
        days = valid_day["day"].unique().sort().to_list()
        if len(days) != 1:
            raise ValueError(f"push takes the rows of one day, received rows of {len(days)} days: {days[:5]}")
        kept = valid_day.select(column for column in self._columns if column in valid_day.columns)
        self._days[days[0]] = kept.with_columns(
            _narrowed(kept[column]) for column in kept.columns if column not in KEYS
        )

    def history(self, day: date) -> pl.DataFrame:
        """The rows of ``[day - look_back_days, day]``, by rising day; older ones are forgotten.

        Returns:
            ``day, entity, cohort, label`` and the attributes that any of the days has; empty before the first row.
        """
        for old in [known for known in self._days if known < day - self._length]:
            del self._days[old]
        wanted = [self._days[known] for known in sorted(self._days) if known <= day]
        if not wanted:
            return pl.DataFrame(schema={"day": pl.Date, "entity": pl.String, "cohort": pl.String, "label": pl.Int8})
        return pl.concat(wanted, how="diagonal_relaxed")


def _narrowed(values: pl.Series) -> pl.Series:
    return values.shrink_dtype() if values.dtype.is_integer() else values
