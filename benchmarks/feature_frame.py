"""A frame of features in the place of the lakehouse: the chain's own fits and scores, without its tables.

The frame holds ``day, entity, cohort, label`` and the features. It stands for the raw rows too, as far as they tell
who reported when and who failed.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from functools import cached_property
from typing import Any, cast

import polars as pl

from ae_assets.chain.ledger import LEDGER_SCHEMA
from ae_assets.chain.workspace import FEATURES, LEDGER, LIVES, RAW, Workspace
from ae_assets.evaluation.spells import SPELL_SCHEMA, touches, with_days
from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets.model.definition import WatchedTable
from ae_assets.progress import ProgressSink, silent
from ae_assets.schemas.periods import DAILY

AS_RAW = {"entity": "serial_number", "label": "failure", "cohort": "model"}
DAYS_AT_ONCE = 16


class FrameTables:
    """The reading side of a lakehouse over one frame; a Parquet file is read a day and a few columns at a time."""

    def __init__(self, features: pl.LazyFrame) -> None:
        """Takes the frame as it is scanned."""
        self._frames = {FEATURES: features, RAW: features.select("day", *AS_RAW).rename(AS_RAW)}

    @cached_property
    def _rows(self) -> dict[date, int]:
        counted = self._frames[RAW].group_by("day").len().sort("day").collect(engine="streaming")
        return dict(counted.iter_rows())

    @cached_property
    def _small(self) -> dict[str, pl.DataFrame]:
        """The two tables that raw keeps up to date."""
        loaded = [(day, *[None] * 5, day.isoformat()) for day in self._rows]
        ledger = pl.DataFrame(loaded, LEDGER_SCHEMA, orient="row")
        spells, days = pl.DataFrame(schema=SPELL_SCHEMA), list(self._rows)
        for at in range(0, len(days), DAYS_AT_ONCE):
            first, last = days[at], days[at : at + DAYS_AT_ONCE][-1]
            rows = self._frames[FEATURES].filter(pl.col("day").is_between(first, last)).select("day", "entity", "label")
            near = touches(first, last)
            after = with_days(spells.filter(near), first, last, rows.collect())
            spells = pl.concat([spells.filter(~near), after])
        return {LEDGER: ledger, LIVES: spells}

    def exists(self, table: str) -> bool:
        """Whether there is such a table."""
        return table.partition(".")[2] in {*self._frames, *self._small}

    def day_versions(self, table: str) -> dict[date, str]:
        """What each day consists of, which never changes."""
        return {day: day.isoformat() for day in self.day_rows(table)}

    def snapshot(self, table: str) -> int | None:  # noqa: ARG002 - as a lakehouse is asked
        """A frame has no states."""
        return None

    def day_rows(self, table: str) -> dict[date, int]:
        """Rows of each day."""
        return self._rows if table.partition(".")[2] in self._frames else {}

    def schema(self, table: str) -> dict[str, pl.DataType]:
        """Types by column."""
        return dict(self._frames[table.partition(".")[2]].collect_schema())

    def read(
        self,
        table: str,
        first: date,
        last: date,
        columns: Sequence[str] | None = None,
        *,
        entities: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """The rows of a range of days."""
        if (small := self._small.get(table.partition(".")[2])) is not None:
            return small if columns is None else small.select(columns)
        frame = self._frames[table.partition(".")[2]].filter(pl.col("day").is_between(first, last))
        if entities is not None:
            frame = frame.filter(pl.col("entity").is_in(list(entities)))
        return (frame if columns is None else frame.select(columns)).collect()

    def iter_days(
        self,
        table: str,
        first: date,
        last: date,
        columns: Sequence[str] | None = None,
        *,
        entities: Collection[str] | None = None,
    ) -> Iterator[tuple[date, pl.DataFrame]]:
        """The rows of each day of a range that has some."""
        for day in DAILY.range(first, last):
            if self._rows.get(day):
                yield day, self.read(table, day, day, columns, entities=entities)


def storage_over(features: pl.LazyFrame, table: WatchedTable, progress: ProgressSink = silent) -> Workspace:
    """A table's storage that can be read and not written, and that has no models."""
    return Workspace(table, cast("Lakehouse", FrameTables(features)), cast("ModelStore", _NoModels()), progress)


class _NoModels:
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a frame of features has no model store, so there is no {name}")
