"""The rolling tail of validated rows that features look back on, the same for one period and for a range."""

from datetime import date

import polars as pl

from ae_assets.features.block import entity_type
from ae_assets.features.config import FeatureConfig
from ae_assets.schemas.records import DAILY_RECORDS, ENTITY, PERIOD, TIME, Rhythm

KEYS = (PERIOD, TIME, ENTITY, "cohort", "label")


class LookBack:
    """Keeps the rows of the periods that the look-back reaches into, and of them only what features read.

    A range run pushes each period as it goes; a run of one pushes those of the look-back and then it::

        look_back = LookBack(config)
        for day, valid in days:                       # rising; periods without rows may be left out
            look_back.push(valid)
            features = features_of_block(look_back.history(day), day, config)

    Memory is bounded by the look-back: entities are kept as numbers, integers at the smallest width that holds
    the values of a period.
    """

    def __init__(self, config: FeatureConfig, rhythm: Rhythm = DAILY_RECORDS) -> None:
        self._columns = (*KEYS, *config.groups, *config.attributes)
        self._length, self._periods = config.look_back, rhythm.periods
        self._entities = entity_type()
        self._by_period: dict[date, pl.DataFrame] = {}

    def push(self, valid: pl.DataFrame) -> None:
        """Adds the valid rows of one period, as ``validate_day`` gives them, or replaces them; none add nothing."""
        if valid.is_empty():
            return
        rows = valid.select(column for column in self._columns if column in valid.columns)
        integers = (rows[name] for name, kind in rows.schema.items() if name not in KEYS and kind.is_integer())
        self._by_period[rows[PERIOD][0]] = rows.with_columns(
            pl.col(ENTITY).cast(self._entities), *(values.shrink_dtype() for values in integers)
        )

    @property
    def known(self) -> list[date]:
        """The periods with rows that are still kept, in order."""
        return sorted(self._by_period)

    def history(self, period: date, first: date | None = None) -> pl.DataFrame:
        """The rows of the period and of those before it that the look-back reaches into, in their order.

        Older ones are forgotten. With ``first``, an earlier period, they are those of all periods from it on.

        Returns:
            ``day``, ``time`` where rows have it, ``entity`` (Categorical), ``cohort``, ``label`` and the attributes
            that any of the periods has; empty before the first row.
        """
        earliest = self._periods.before(first or period, self._length)
        for old in [known for known in self._by_period if known < earliest]:
            del self._by_period[old]
        frames = [self._by_period[known] for known in sorted(self._by_period) if known <= period]
        if not frames:
            types = {PERIOD: self._periods.dtype, ENTITY: self._entities, "cohort": pl.String(), "label": pl.Int8()}
            return pl.DataFrame(schema=pl.Schema(types))
        return pl.concat(frames, how="diagonal_relaxed")
