"""Anomalies on Spark: blocks go through the same `Scorer` and `Model.judge`, and files through the same writer.

Spark reads the states of features and anomalies that the run began with and brings all rows of a device together, those
to be judged and those that their episodes continue. What rests on a whole day comes before or after: which features
were made by other settings, the cut of a day where it follows the day's scores, and what a day says to a person.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ae_assets.chain.anomalies import continued_days, find_anomalies, mutes_of, past_columns
from ae_assets.chain.anomaly_day import AnomalyDay, anomaly_rows, in_full
from ae_assets.chain.champion import Champion
from ae_assets.chain.day_before import DayBefore
from ae_assets.chain.scoring import Reach
from ae_assets.chain.settings import DaySettings
from ae_assets.chain.spark_files import write_days
from ae_assets.chain.volume import gaps_until
from ae_assets.chain.workspace import ANOMALIES, FEATURES, FailedPeriod, Workspace
from ae_assets.decisions.episodes import Episodes
from ae_assets.decisions.mutes import Mute
from ae_assets.detectors import FittedDetector, load_detector
from ae_assets.engines.spark.engine import SparkEngine, collect
from ae_assets.errors import ContractError, ModelError
from ae_assets.features.schema import SETTINGS
from ae_assets.lakehouse.registry import ModelRegistry
from ae_assets.model.model import MOST_SHOWN, Model, no_decisions
from ae_assets.model.reasons import flags_of
from ae_assets.model.scoring import ABOUT_RECORDS, ScoredDay, Scorer
from ae_assets.progress import Progress
from ae_assets.schemas.anomalies import anomaly_types, order_of_anomalies
from ae_assets.schemas.records import ENTITY, PERIOD, Rhythm

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class JudgedBlock:
    """Scores and judges the features of some devices; it is sent to where they are, and loads the detector there.

    Attributes:
        models: where the version is kept.
        table: whose it is.
        parts: of the `Model`, without its detector.
        rhythm: of the table.
        features: the columns that are read, with their types.
        scored: days to score; the others that come are looked back on.
        asked: those of them to judge.
        unusable: days whose features were made by other settings; their rows are passed over.
        gaps: days on which the table cannot tell who was away.
        mutes: the mute list.
        cuts: of the days whose own scores move it.
        lacking: of each day and cohort the share of records that lack each attribute, see `ScoredDay`.
    """

    models: ModelRegistry
    table: str
    parts: Mapping[str, Any]
    rhythm: Rhythm
    features: Mapping[str, pl.DataType]
    scored: frozenset[date]
    asked: frozenset[date]
    unusable: frozenset[date]
    gaps: frozenset[date]
    mutes: tuple[Mute, ...]
    cuts: Mapping[date, float]
    lacking: pl.DataFrame

    def without(self, failed: Collection[date]) -> "JudgedBlock":
        """The same that only looks back on days that cannot be scored."""
        return replace(self, scored=self.scored - set(failed), asked=self.asked - set(failed))

    @property
    def schema_of_scores(self) -> dict[str, pl.DataType]:
        """Of what `scores` gives: a score, or why the day fails."""
        return {PERIOD: self.rhythm.periods.dtype, "score": pl.Float64(), "failure": pl.String()}

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Of what `judged` gives: a row of anomalies, or why the day fails."""
        kinds = {ANOMALIES: pl.Struct(anomaly_types(self.rhythm)), "failure": pl.String()}
        return {PERIOD: self.rhythm.periods.dtype, **kinds}

    def scores(self, features: pl.DataFrame) -> pl.DataFrame:
        """The scores that the cuts of the days follow."""
        model = self._model()
        made = [pl.DataFrame(schema=self.schema_of_scores)]
        for day, scored in self._scored(model, features):
            made.append(_failed(day, scored) if isinstance(scored, str) else model.counted(scored, self.mutes))
        return pl.concat(made, how="diagonal")

    def judged(self, features: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
        """The rows of anomalies; ``past`` are those of the days before, in the columns that are stored of them."""
        model, types = self._model(), anomaly_types(self.rhythm)
        past = past.select(pl.col(name).cast(types[name]) for name in past.columns)
        episodes = Episodes(
            model.episodes, in_full(past, past_columns(self.rhythm), self.rhythm), self.gaps, self.rhythm.periods
        )
        made = [pl.DataFrame(schema=self.schema)]
        for day, scored in self._scored(model, features):
            if isinstance(scored, str):
                made.append(_failed(day, scored))
                continue
            rows = model.judge(scored, episodes, self.mutes, self.cuts.get(day))
            made.append(rows.select(PERIOD, pl.struct(pl.all()).alias(ANOMALIES)))
        return pl.concat(made, how="diagonal")

    def _scored(self, model: Model, features: pl.DataFrame) -> Iterator[tuple[date, ScoredDay | str]]:
        """The scores of the days asked for, or why a day cannot be scored."""
        scorer = Scorer(model.detector, model.aggregation, model.episodes.hold, model.learned)
        features = features.select(pl.col(name).cast(dtype) for name, dtype in self.features.items())
        for of_day in features.sort(PERIOD, ENTITY).partition_by(PERIOD, maintain_order=True):
            day = of_day[PERIOD][0]
            if day in self.unusable:
                continue
            if day not in self.scored:
                scorer.look_back_on(of_day)
                continue
            try:
                scored = scorer.push(day, of_day)
            except ContractError as error:
                yield day, str(error)
                continue
            if day in self.asked:
                yield day, replace(scored, lacking=self.lacking.filter(pl.col(PERIOD) == day).drop(PERIOD))

    def _model(self) -> Model:
        return Model(detector=_detector(self.models.path(self.table, self.parts["version"])), **self.parts)


@lru_cache(maxsize=1)
def _detector(path: Path) -> FittedDetector:
    """That of a version, whose folder never changes, once for a worker, with what it has compiled."""
    return load_detector(path)


def _failed(day: date, reason: str) -> pl.DataFrame:
    return pl.DataFrame({PERIOD: [day], "failure": [reason]})


@dataclass(frozen=True)
class JudgedDay:
    """A day whose anomalies are stored."""

    day: date
    rows: int


def find_anomalies_on_spark(
    space: Workspace, champion: Champion, days: Sequence[date], engine: SparkEngine
) -> Iterator[AnomalyDay | FailedPeriod]:
    """The same as `find_anomalies`, of a range of any size of a fleet of any size; all days are written first.

    Raises:
        ConfigError: as `find_anomalies`.
        EngineError: Spark failed; no day was changed then.
    """
    yield from as_stored(space, champion, judge_on_spark(space, champion, days, engine))


def judge_on_spark(
    space: Workspace, champion: Champion, days: Sequence[date], engine: SparkEngine
) -> list[JudgedDay | FailedPeriod]:
    """Writes the anomalies of the days, and says of each whether it is judged; raises what the above raises."""
    run = _Run(space, champion, days, engine)
    if run.rows:
        rows = run.write()
        return [run.failed.get(day) or JudgedDay(day, rows.get(day, 0)) for day in days]
    return [  # which only empties them
        day if isinstance(day, FailedPeriod) else JudgedDay(day.day, day.rows)
        for day in find_anomalies(space, champion, days)
    ]


def as_stored(
    space: Workspace, champion: Champion, days: Iterable[JudgedDay | FailedPeriod]
) -> Iterator[AnomalyDay | FailedPeriod]:
    """What `find_anomalies` says of days, at least one, that were judged: from their rows in the table, day by day."""
    days = sorted(days, key=lambda day: day.day)
    mutes, gaps = mutes_of(space), gaps_until(space, days[-1].day)
    past = continued_days(space, champion, days[0].day, gaps)
    before = DayBefore.of(anomaly_rows(space, past[-1], past[-1])) if past else None
    judged = [day for day in days if isinstance(day, JudgedDay)]
    for day in (one.day for one in judged if one.rows):
        frame = anomaly_rows(space, day, day).sort(**order_of_anomalies(space.table.rhythm), nulls_last=True)
        gone = () if before is None else before.gone(space, day, frame)
        yield AnomalyDay.of(day, frame, before, mutes, gone)
        before = DayBefore.of(frame) or before
    for empty in judged:
        if not empty.rows:
            yield AnomalyDay.of(empty.day, no_decisions(space.table.rhythm), None, mutes)
    yield from (day for day in days if isinstance(day, FailedPeriod))


class _Run:
    """One state of features and anomalies on Spark."""

    def __init__(self, space: Workspace, champion: Champion, days: Sequence[date], engine: SparkEngine) -> None:
        self._space, self._champion, self._days, self._engine = space, champion, days, engine
        self._mutes, self._gaps = mutes_of(space), gaps_until(space, max(days))
        hold, self._periods = champion.episodes.hold, space.table.periods
        self._reach = Reach.of(days, champion.detector, champion.aggregation, hold, space.table.rhythm)
        self._stretches = list(self._periods.stretches(days, self._reach.look_back))
        self._settings = DaySettings(space, champion.detector.feature_names)
        stored = space.schema(FEATURES)
        self._columns = [*self._settings.columns, *(name for name in ABOUT_RECORDS if name in stored)]
        self.rows = {
            day: rows
            for day, rows in space.days_of(FEATURES).items()
            if rows and any(first <= day <= last for first, last in self._stretches)
        }
        self._past = continued_days(space, champion, min(days), self._gaps)
        self.failed: dict[date, FailedPeriod] = {}

    def write(self) -> dict[date, int]:
        """Makes and commits all days, and gives the rows of those that have some."""
        space, began = self._space, time.monotonic()
        types = anomaly_types(space.table.rhythm)
        files = space.day_files(ANOMALIES, min(self._days), types)
        with self._engine.doing(f"finding anomalies of {space.name(FEATURES)}"):
            features = self._features()
            block = self._block(features)
            blocks = self._blocks(features.select(*block.features))
            if self._champion.threshold.policy.follows_the_day:
                block = self._with_cuts(block, blocks)
            pairs = blocks, self._blocks(self._past_rows())
            made, block = self._settled(block, lambda block: self._engine.map_pairs(pairs, block.judged, block.schema))
            order = order_of_anomalies(space.table.rhythm)
            rows = _shown(made.where(f"{ANOMALIES} IS NOT NULL").select(f"{ANOMALIES}.*"), order["by"])
            try:
                written = write_days(self._engine, rows, files, self.rows, order["by"], descending=order["descending"])
            finally:
                made.unpersist()
        with space.writer(ANOMALIES) as writer:
            for day in self._days:
                if day not in self.failed:
                    writer.take(day, written.get(day, ()))
        rows_of_days = {day: sum(file.rows for file in of_day) for day, of_day in written.items()}
        count, total = sum(rows_of_days.values()), len(self._days)
        space.progress(Progress("anomalies", total, total, self._periods.plural, count, time.monotonic() - began))
        return rows_of_days

    def _features(self) -> "DataFrame":
        snapshot = self._space.tables.snapshot(self._space.name(FEATURES)) or 0
        return self._engine.table(self._space.name(FEATURES), snapshot, self._periods.noun, self._stretches)

    def _block(self, features: "DataFrame") -> JudgedBlock:
        """Days of other settings are known by it."""
        space, model, stored = self._space, self._champion, self._space.schema(FEATURES)
        about, flags = self._about_days(features)
        unusable = self._unusable(about)
        for day, error in unusable.items():
            for resting in self._reached_by(day):
                self.failed[resting] = FailedPeriod(resting, ANOMALIES, str(error))
        return JudgedBlock(
            space.models,
            space.table.table,
            {field.name: getattr(model, field.name) for field in fields(Model) if field.name != "detector"},
            space.table.rhythm,
            {name: stored[name] for name in self._columns if name != SETTINGS},
            self._reach.scored,
            frozenset(self._days) - self.failed.keys(),
            frozenset(unusable),
            self._gaps,
            self._mutes,
            {},
            about.select(pl.col(PERIOD).cast(self._periods.dtype), "cohort", *flags),
        )

    def _about_days(self, features: "DataFrame") -> tuple[pl.DataFrame, list[str]]:
        """By day and cohort which settings made the features, and the share of each flag of a missing attribute."""
        from pyspark.sql import functions as F  # noqa: N812

        flags = flags_of(self._champion.detector.feature_names, self._champion.features)
        made_by = [F.collect_set(SETTINGS).alias(SETTINGS)] if SETTINGS in self._columns else []
        shares = [F.avg(flag).alias(flag) for flag in flags]
        return collect(features.groupBy(PERIOD, "cohort").agg(F.count("*").alias("rows"), *made_by, *shares)), flags

    def _unusable(self, about: pl.DataFrame) -> dict[date, ModelError]:
        """Days whose features were made by other settings, in order."""
        errors: dict[date, ModelError] = {}
        if SETTINGS in self._columns:
            days = about.explode(SETTINGS).group_by(PERIOD).agg(pl.col(SETTINGS).unique()).sort(PERIOD)
            for day, settings in days.iter_rows():
                try:
                    self._settings.require(day, pl.DataFrame({SETTINGS: settings}, {SETTINGS: pl.String}))
                except ModelError as error:
                    errors[day] = error
        return errors

    def _reached_by(self, day: date) -> list[date]:
        """The days with features whose scores rest on a day."""
        before, look_back = self._periods.before, self._reach.look_back
        return [other for other in self.rows if other >= day >= before(other, look_back)]

    def _with_cuts(self, block: JudgedBlock, blocks: "DataFrame") -> JudgedBlock:
        from pyspark.sql import functions as F  # noqa: N812

        made, block = self._settled(
            block, lambda block: self._engine.map_blocks(blocks, block.scores, block.schema_of_scores)
        )
        counted = collect(made.where(F.col("failure").isNull()).select(PERIOD, "score"))
        made.unpersist()
        cuts = self._champion.threshold.cuts_of_days(counted)
        return replace(block, cuts=dict(cuts.iter_rows()))

    def _settled(
        self, block: JudgedBlock, make: "Callable[[JudgedBlock], DataFrame]"
    ) -> "tuple[DataFrame, JudgedBlock]":
        """What is made of all blocks, kept by Spark: again, where a day fails in one that the others have scored."""
        from pyspark.sql import functions as F  # noqa: N812

        while True:
            made = make(block).persist()
            failed = collect(made.where("failure IS NOT NULL").groupBy(PERIOD).agg(F.min("failure").alias("failure")))
            if failed.is_empty():
                return made, block
            made.unpersist()
            for day, reason in failed.iter_rows():
                self.failed[day] = FailedPeriod(day, ANOMALIES, reason)
            block = block.without(failed[PERIOD])

    def _past_rows(self) -> "DataFrame":
        space, days = self._space, self._past
        stored = space.schema(ANOMALIES)
        columns = [name for name in past_columns(space.table.rhythm) if name in stored]
        snapshot = space.tables.snapshot(space.name(ANOMALIES))
        if not days or snapshot is None:
            return self._engine.frame(pl.DataFrame(schema={name: stored[name] for name in columns}))
        table = self._engine.table(space.name(ANOMALIES), snapshot, self._periods.noun, [(days[0], days[-1])])
        return table.select(*columns)

    def _blocks(self, rows: "DataFrame") -> "DataFrame":
        return self._engine.blocks(rows, self._engine.count_of(sum(self.rows.values())), ENTITY)


def _shown(rows: "DataFrame", order: Sequence[str]) -> "DataFrame":
    """The rows without the top features of those that are among the highest scores of a block and not of the day.

    ``order`` are the columns by which the rows of a day are sorted, the score downwards.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F  # noqa: N812

    score, *key = order
    place = F.struct(-F.col(score), *key)
    counted = F.row_number().over(Window.partitionBy(PERIOD).orderBy(place))
    shown = rows.where("top_features IS NOT NULL").select(PERIOD, place.alias("last"), counted.alias("number"))
    last = shown.where(F.col("number") == MOST_SHOWN).select(PERIOD, "last")
    stays = F.col("reasons").isNotNull() | F.col("last").isNull() | (place <= F.col("last"))
    joined = rows.join(F.broadcast(last), PERIOD, "left").withColumn(
        "top_features", F.when(stays, F.col("top_features"))
    )
    return joined.select(*rows.columns)
