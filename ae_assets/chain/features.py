"""Features and quarantine: every raw row of a day becomes a validated drive-day or is set aside with its reason."""

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from ae_assets.chain.set_aside import BrokenRule, GoneCohort, broken_rules, gone_cohorts
from ae_assets.chain.settings import remember_settings
from ae_assets.chain.volume import gaps_in
from ae_assets.chain.workspace import FEATURES, QUARANTINE, RAW, FailedPeriod, Workspace
from ae_assets.engines.local import LocalEngine
from ae_assets.errors import ContractError
from ae_assets.features.config import FeatureConfig
from ae_assets.features.schema import SETTINGS
from ae_assets.features.validation import with_whole_records
from ae_assets.lakehouse import DayWriter
from ae_assets.model.preparation import Preparation
from ae_assets.progress import Progress
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.layout import ONE_COHORT
from ae_assets.schemas.raw import RawContract

ROWS_AT_ONCE = 200_000
"""Rows of some days whose features are made at once: their look-back, many times as many rows, is gone through once."""


@dataclass(frozen=True)
class DayCounts:
    """What there is on a day; that of some of its devices and that of the others add up.

    Attributes:
        features: rows of features.
        delivered: raw rows by cohort.
        watched: rows of features by cohort.
        reported: attributes of which some row of features has a value.
    """

    features: int
    delivered: Mapping[str, int]
    watched: Mapping[str, int]
    reported: frozenset[str]

    @classmethod
    def of(cls, raw: pl.DataFrame, valid: pl.DataFrame, contract: RawContract, config: FeatureConfig) -> "DayCounts":
        """Counts the raw and the valid rows of a day."""
        cohort = contract.names.get("cohort")
        delivered = rows_by(raw, cohort) if cohort else {ONE_COHORT: raw.height}
        reported = frozenset(name for name in config.attributes if name in valid.columns and valid[name].count())
        return cls(valid.height, delivered, rows_by(valid, "cohort"), reported)


@dataclass(frozen=True)
class FeatureDay:
    """What became of one day's raw rows."""

    day: date
    feature_rows: int
    set_aside: tuple[BrokenRule, ...]
    """Rows set aside, by the rule that they broke first, the most first."""
    gone: tuple[GoneCohort, ...]
    """Cohorts without a row of features, though the day itself or the day before it has rows of theirs."""
    unreported: frozenset[str]
    """Attributes of the YAML that no row of features has a value of."""

    @classmethod
    def of(
        cls,
        day: date,
        counts: "DayCounts",
        aside: tuple[BrokenRule, ...],
        before: Mapping[str, int],
        asked: Iterable[str],
    ) -> "FeatureDay":
        """What the counts of a day say beside the cohorts of the last day before that has features.

        ``aside`` are its rows set aside, ``asked`` the attributes of the YAML.
        """
        gone = gone_cohorts(counts.delivered, counts.watched, before)
        return cls(day, counts.features, aside, gone, frozenset(asked) - counts.reported)

    @property
    def rows(self) -> int:
        """Raw rows."""
        return self.feature_rows + self.quarantine_rows

    @property
    def share_set_aside(self) -> float:
        """Rows set aside, of all; 0 on a day without rows."""
        return self.quarantine_rows / self.rows if self.rows else 0.0

    @property
    def quarantined(self) -> dict[str, int]:
        """Rows set aside, by the rule that they broke first."""
        return {broken.rule: broken.rows for broken in self.set_aside}

    @property
    def quarantine_rows(self) -> int:
        """Rows set aside."""
        return sum(broken.rows for broken in self.set_aside)


def build_features(space: Workspace, days: Sequence[date]) -> list[FeatureDay | FailedPeriod]:
    """Validates the raw rows of the given days, which are in order, and writes their features and their quarantine.

    The look-back window of the first day is read before it, as far as features need it; after that each raw day is read
    once, whatever the length of the range, and only the look-back is held in memory, with the few days whose features
    are made at once. A day without raw rows becomes an empty day. One whose raw rows break the contract of the layout
    as a whole fails and keeps what was made of it before; the days after it take it for a day without records.

    Raises:
        LakehouseError: when raw was never loaded.
    """
    config = space.table.features
    contract = contract_of(
        space.table.layout, tuple(config.attributes), config.low_bits, space.table.periods, config.groups
    )
    built: dict[date, FeatureDay | FailedPeriod] = {}
    before: Mapping[str, int] = {}
    remember_settings(space)
    gaps = gaps_in(space, RAW, space.table.periods.before(min(days), config.look_back), max(days))
    preparation = Preparation(contract, config, gaps, LocalEngine().map_blocks)
    with (
        space.writer(QUARANTINE) as quarantine,
        # Two tables take two commits: a day whose features are there has its quarantine, wherever a run breaks off.
        space.writer(FEATURES, after=quarantine) as features,
    ):
        waiting = _Waiting(space, preparation, features, days)
        columns = contract.read_in(list(space.schema(RAW)))
        for day, asked, raw in space.read_with_look_back(RAW, days, config.look_back, columns):
            if not asked:
                waiting.make()
            try:
                if not asked:
                    before = rows_by(preparation.look_back_on(raw, day), "cohort") or before
                    continue
                validated = preparation.validate(raw, day)
            except ContractError as error:
                if asked:
                    built[day] = FailedPeriod(day, FEATURES, str(error))
                continue
            counts, set_aside = DayCounts.of(raw, validated.valid, contract, config), validated.quarantine
            built[day] = FeatureDay.of(day, counts, broken_rules(set_aside), before, config.attributes)
            before = counts.watched or before
            if set_aside.height:
                set_aside = with_whole_records(set_aside, raw, space.read(RAW, day, day))
            quarantine.write(day, set_aside)
            waiting.add(day, raw.height)
        waiting.make()
        for day in set(days) - set(built):
            built[day] = FeatureDay(day, 0, (), (), frozenset(config.attributes))
            quarantine.write(day, space.no_rows)
            features.write(day, space.no_rows)
    remember_settings(space)  # of a table that was made just now
    return [built[day] for day in days]


class _Waiting:
    """The validated days whose features are to be made and written together."""

    def __init__(self, space: Workspace, preparation: Preparation, writer: DayWriter, days: Sequence[date]) -> None:
        self._space, self._preparation, self._writer, self._days = space, preparation, writer, days
        self._made_by = pl.lit(space.table.feature_settings.digest).alias(SETTINGS)
        self._raw_rows: dict[date, int] = {}
        self._rows, self._began = 0, time.monotonic()

    def add(self, day: date, rows: int) -> None:
        """Takes a day of so many raw rows; where they are enough, the features of all are made."""
        self._raw_rows[day] = rows
        if sum(self._raw_rows.values()) >= ROWS_AT_ONCE:
            self.make()

    def make(self) -> None:
        """Makes and writes the features of all of them."""
        if not self._raw_rows:
            return
        first, last = min(self._raw_rows), max(self._raw_rows)
        made = self._preparation.features(first, last).with_columns(self._made_by)
        for day in self._raw_rows:
            self._writer.write(day, made if first == last else made.filter(pl.col("day") == day))
        self._raw_rows.clear()
        self._rows += made.height
        done, plural = bisect_right(self._days, last), self._space.table.periods.plural
        seconds = time.monotonic() - self._began
        self._space.progress(Progress("features", done, len(self._days), plural, self._rows, seconds))


def rows_by(frame: pl.DataFrame, column: str) -> dict[str, int]:
    """Rows of each value of a column, null left out."""
    counts = frame.drop_nulls(column).group_by(column).len()
    return dict(zip(counts[column], counts["len"], strict=True))
