"""Features and quarantine on Spark: blocks go through the same `Preparation`, and files through the same writer.

Spark reads the state of raw that the run began with and brings all rows of a device together. What rests on the whole
table, which days have valid rows, is taken from the rows that raw has; where a day proves to have no valid one, or
cannot be read, the blocks are made again with that knowledge.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from ae_assets.chain.empty_days import types_of
from ae_assets.chain.features import DayCounts, FeatureDay, build_features
from ae_assets.chain.set_aside import BrokenRule, by_rows
from ae_assets.chain.settings import remember_settings
from ae_assets.chain.spark_files import write_days
from ae_assets.chain.volume import gaps_in
from ae_assets.chain.workspace import FEATURES, QUARANTINE, RAW, FailedPeriod, Workspace
from ae_assets.engines.spark.engine import FILE, PLACE, SparkEngine, collect
from ae_assets.errors import ContractError
from ae_assets.features.schema import SETTINGS
from ae_assets.features.validation import with_whole_records
from ae_assets.model.definition import WatchedTable
from ae_assets.model.preparation import Preparation
from ae_assets.progress import Progress
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.raw import ORIGIN, RawContract
from ae_assets.schemas.records import ENTITY, PERIOD, TIME

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_COUNT = pl.Struct({"what": pl.String(), "name": pl.String(), "rows": pl.Int64()})


@dataclass(frozen=True)
class PreparedBlock:
    """Makes features, quarantine and counts of raw rows of some devices; it is sent to where they are.

    Attributes:
        table: whose rows.
        raw: the columns of raw that are read, with their types.
        asked: the days to make; the others that come are looked back on.
        gaps: days on which the table cannot tell who was away.
        census: days of which the table has valid rows.
        failed: days whose rows break the contract as a whole; they are passed over.
    """

    table: WatchedTable
    raw: Mapping[str, pl.DataType]
    asked: frozenset[date]
    gaps: frozenset[date]
    census: frozenset[date]
    failed: frozenset[date] = frozenset()

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Of the rows that are given: ``day`` and one of a count, a row of features and a row of quarantine."""
        kinds = {asset: pl.Struct(types_of(self.table, asset)) for asset in (FEATURES, QUARANTINE)}
        return {PERIOD: self.table.periods.dtype, "count": _COUNT, **kinds}

    def corrected(self, counts: Mapping[date, DayCounts], failed: Collection[date]) -> "PreparedBlock | None":
        """The same that knows which days proved to have no valid row or to fail; None where it knew."""
        without = (self.census - {day for day, of_day in counts.items() if of_day.features}) | frozenset(failed)
        if not without:
            return None
        return replace(
            self, gaps=self.gaps | without, census=self.census - without, failed=self.failed | frozenset(failed)
        )

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of `schema` of raw rows with ``day, __file, __place``."""
        contract, schema = raw_contract(self.table), self.schema
        preparation = Preparation(contract, self.table.features, self.gaps, census=self.census)
        made = [pl.DataFrame(schema=schema)]
        for of_day in rows.sort(PERIOD, FILE, PLACE).partition_by(PERIOD, maintain_order=True):
            day = of_day[PERIOD][0]
            if day not in self.failed:
                raw = of_day.select(pl.col(name).cast(dtype) for name, dtype in self.raw.items())
                made += (part.with_columns(pl.lit(day).alias(PERIOD)) for part in self._of_day(preparation, day, raw))
        return pl.concat(made, how="diagonal_relaxed").cast(schema)  # type: ignore[arg-type]

    def _of_day(self, preparation: Preparation, day: date, raw: pl.DataFrame) -> Iterator[pl.DataFrame]:
        contract, config = raw_contract(self.table), self.table.features
        try:
            if day not in self.asked:
                yield _counts(DayCounts.of(raw, preparation.look_back_on(raw, day), contract, config))
                return
            prepared = preparation.prepare(raw, day)
        except ContractError as error:
            yield _rows_of_counts([("failed", str(error), 1)])
            return
        yield _counts(DayCounts.of(raw, prepared.valid, contract, config))
        made_by = pl.lit(self.table.feature_settings.digest).alias(SETTINGS)
        for asset, frame in ((FEATURES, prepared.features.with_columns(made_by)), (QUARANTINE, prepared.quarantine)):
            yield frame.select(pl.struct(types_of(self.table, asset).names()).alias(asset))


def build_features_on_spark(
    space: Workspace, days: Sequence[date], engine: SparkEngine
) -> list[FeatureDay | FailedPeriod]:
    """The same as `build_features`, of a range of any size of a fleet of any size.

    Raises:
        LakehouseError: when raw was never loaded.
        EngineError: Spark failed; then no day was changed, or quarantine alone was.
    """
    table, asked = space.table, frozenset(days)
    stretches = list(table.periods.stretches(asked, table.features.look_back))
    snapshot = space.tables.snapshot(space.name(RAW))
    run = _Run(space, engine, snapshot or 0, stretches)
    if not run.raw_rows:
        return build_features(space, days)  # which only empties them
    remember_settings(space)
    files = {asset: space.day_files(asset, min(days), types_of(table, asset)) for asset in (QUARANTINE, FEATURES)}
    began = time.monotonic()
    with engine.doing(f"making features of {space.name(RAW)}"):
        block = PreparedBlock(table, run.columns, asked, run.gaps, frozenset(run.raw_rows))
        made, counts, failures = run.prepared(block)
        write, moment = partial(write_days, engine), TIME if table.rhythm.cadence else PERIOD
        try:
            aside = run.broken_rules(made)
            written = {
                QUARANTINE: write(run.whole_records(made), files[QUARANTINE], run.raw_rows, list(ORIGIN))
                if aside
                else {},
                FEATURES: write(run.features(made), files[FEATURES], run.raw_rows, [ENTITY, moment]),
            }
        finally:
            made.unpersist()
    with space.writer(QUARANTINE) as quarantine, space.writer(FEATURES, after=quarantine) as features:
        for day in sorted(asked - failures.keys()):
            quarantine.take(day, written[QUARANTINE].get(day, ()))
            features.take(day, written[FEATURES].get(day, ()))
    remember_settings(space)
    rows = sum(counts[day].features for day in asked & counts.keys())
    space.progress(Progress("features", len(days), len(days), table.periods.plural, rows, time.monotonic() - began))
    return list(_days_of(table, days, counts, aside, failures))


def raw_contract(table: WatchedTable) -> RawContract:
    """What the raw rows of a table promise, as far as features read them."""
    features = table.features
    return contract_of(table.layout, tuple(features.attributes), features.low_bits, table.periods, features.groups)


def _days_of(
    table: WatchedTable,
    days: Sequence[date],
    counts: Mapping[date, DayCounts],
    aside: Mapping[date, tuple[BrokenRule, ...]],
    failures: Mapping[date, str],
) -> Iterator[FeatureDay | FailedPeriod]:
    made: dict[date, FeatureDay] = {}
    before: Mapping[str, int] = {}
    for day in sorted(counts):
        made[day] = FeatureDay.of(day, counts[day], aside.get(day, ()), before, table.features.attributes)
        before = counts[day].watched or before
    nothing = DayCounts(0, {}, {}, frozenset())
    for day in days:
        if day in failures:
            yield FailedPeriod(day, FEATURES, failures[day])
        else:
            yield made.get(day) or FeatureDay.of(day, nothing, (), {}, table.features.attributes)


class _Run:
    """One state of raw on Spark."""

    def __init__(
        self, space: Workspace, engine: SparkEngine, snapshot: int, stretches: list[tuple[date, date]]
    ) -> None:
        self._space, self._engine, self._snapshot, self._stretches = space, engine, snapshot, stretches
        first, last = stretches[0][0], stretches[-1][1]
        self.gaps = gaps_in(space, RAW, first, last)
        self.raw_rows = {
            day: rows
            for day, rows in space.days_of(RAW).items()
            if rows and any(first <= day <= last for first, last in stretches)
        }
        names = raw_contract(space.table).read_in(list(space.schema(RAW)))
        self.columns = {name: space.schema(RAW)[name] for name in names}

    def prepared(self, block: PreparedBlock) -> "tuple[DataFrame, dict[date, DayCounts], dict[date, str]]":
        """What is made of all blocks, kept by Spark, with the counts of each day and why days failed."""
        entity = raw_contract(self._space.table).names["entity"]
        count = self._engine.count_of(sum(self.raw_rows.values()))
        blocks = self._engine.blocks(self._raw(list(self.columns)), count, entity)
        failures: dict[date, str] = {}
        while True:
            made = self._engine.map_blocks(blocks, block, block.schema).persist()
            counts, failed = counts_in(collect(_count_by_day(made)))
            failures |= failed
            better = block.corrected(counts, failed)
            if better is None:
                return made, counts, failures
            made.unpersist()
            block = better

    def features(self, made: "DataFrame") -> "DataFrame":
        """The rows of features."""
        return made.where(f"{FEATURES} IS NOT NULL").select(f"{FEATURES}.*")

    def broken_rules(self, made: "DataFrame") -> dict[date, tuple[BrokenRule, ...]]:
        """By day the rules that its rows broke first."""
        from pyspark.sql import functions as F  # noqa: N812

        place = F.struct(*ORIGIN)
        first = F.min_by(F.struct("column", "value", "reason"), place).alias("first")
        rules = (
            self._set_aside(made)
            .groupBy(PERIOD, "rule")
            .agg(F.count("*").alias("rows"), first, F.min(place).alias("at"))
        )
        frame = collect(rules.select(PERIOD, "rule", "rows", "first.*", "at.*")).sort(*ORIGIN)
        return {of_day[PERIOD][0]: by_rows(of_day.drop(PERIOD, *ORIGIN)) for of_day in frame.partition_by(PERIOD)}

    def whole_records(self, made: "DataFrame") -> "DataFrame":
        """The rows of quarantine with all columns of their raw rows."""
        schema, judged = self._space.schema(RAW), list(self.columns)
        aside = self._set_aside(made)
        rows = self._raw(list(schema)).join(aside.select(PERIOD, *ORIGIN), [PERIOD, *ORIGIN], "left_semi")
        count = self._engine.count_of(sum(self.raw_rows.values()))

        def with_records(quarantine: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
            raw = raw.sort(PERIOD, FILE, PLACE).select(pl.col(name).cast(dtype) for name, dtype in schema.items())
            of_days = raw.partition_by(PERIOD, as_dict=True)
            return pl.concat(
                with_whole_records(part, of_days[day].select(judged), of_days[day])
                for day, part in quarantine.partition_by(PERIOD, as_dict=True).items()
            )

        pairs = [self._engine.blocks(frame, count, PERIOD, "source_row") for frame in (aside, rows)]
        return self._engine.map_pairs((pairs[0], pairs[1]), with_records, types_of(self._space.table, QUARANTINE))

    def _raw(self, columns: list[str]) -> "DataFrame":
        rows = self._engine.table(
            self._space.name(RAW), self._snapshot, self._space.table.periods.noun, self._stretches
        )
        return rows.select(*dict.fromkeys((PERIOD, FILE, PLACE, *columns)))

    def _set_aside(self, made: "DataFrame") -> "DataFrame":
        return made.where(f"{QUARANTINE} IS NOT NULL").select(f"{QUARANTINE}.*")


def counts_in(counted: pl.DataFrame) -> tuple[dict[date, DayCounts], dict[date, str]]:
    """The counts of each day, and why days failed, in ``day, what, name, rows`` of a day added up over its blocks."""
    counts, failures = {}, {}
    for of_day in counted.partition_by(PERIOD):
        by_name: dict[str, dict[str, int]] = {}
        for _, what, name, rows in of_day.iter_rows():
            by_name.setdefault(what, {})[name] = rows
        day = of_day[PERIOD][0]
        if "failed" in by_name:
            failures[day] = min(by_name["failed"])
            continue
        features, reported = by_name.get("features", {}).get("", 0), frozenset(by_name.get("reported", ()))
        counts[day] = DayCounts(features, by_name.get("delivered", {}), by_name.get("watched", {}), reported)
    return counts, failures


def _count_by_day(made: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F  # noqa: N812

    return made.where("count IS NOT NULL").groupBy(PERIOD, "count.what", "count.name").agg(F.sum("count.rows"))


def _counts(counts: DayCounts) -> pl.DataFrame:
    named = {"delivered": counts.delivered, "watched": counts.watched, "reported": dict.fromkeys(counts.reported, 1)}
    rows = [(what, name, rows) for what, of_name in named.items() for name, rows in of_name.items()]
    return _rows_of_counts([("features", "", counts.features), *rows])


def _rows_of_counts(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"count": [dict(zip(("what", "name", "rows"), row, strict=True)) for row in rows]}, {"count": _COUNT}
    )
