"""Types of failure among the alarms of a range: which alarms there are, where each lies, and what is known of each."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.chain.champion import Champion
from ae_assets.chain.scoring import score_days
from ae_assets.chain.target import intervals_in, target_of
from ae_assets.chain.workspace import ANOMALIES, Workspace
from ae_assets.decisions.config import AggregationConfig
from ae_assets.decisions.episodes import NONE
from ae_assets.detectors import FittedDetector
from ae_assets.errors import EvaluationError
from ae_assets.evaluation.failure_types import (
    LEAST_ALARMS,
    FailureType,
    FailureTypes,
    Trait,
    grouped,
    principal,
    traits,
)
from ae_assets.evaluation.gain import groups_of
from ae_assets.evaluation.intervals import Flags, Floats, rate
from ae_assets.features.catalogue import catalogue
from ae_assets.schemas.periods import named
from ae_assets.schemas.records import ENTITY, key_of, keys_of

MOST_ALARMS = 500
HEALTHY_RECORDS, HEALTHY_ENTITIES = 1000, 300
"""Records without an alarm that alarms are held against, and entities that they are drawn of."""

TRAITS = 3
SEED = 0
LATENT, PARTS = "the network's latent space", "the features' parts of the score"


@dataclass(frozen=True, eq=False)
class _Records:
    """Records with what the detector says of them: keys, values (n, features), contributions and code, if any."""

    keys: pl.DataFrame
    values: NDArray[np.float32]
    contributions: NDArray[np.float32]
    code: NDArray[np.float32] | None

    def where(self, rows: Flags) -> "_Records":
        code = None if self.code is None else self.code[rows]
        return _Records(self.keys.filter(pl.Series(rows)), self.values[rows], self.contributions[rows], code)


def failure_types(space: Workspace, champion: Champion, days: tuple[date, date]) -> FailureTypes:
    """Groups the alarms from one day to another: of each episode the record that the detector scores highest.

    Of more than `MOST_ALARMS` so many are drawn. They are held against records without an alarm of the same days.

    Raises:
        EvaluationError: no day has anomalies by the champion.
    """
    rows = _scored(space, champion, days)
    target, key = target_of(space), key_of(rows.columns)
    normal, abnormal = target.normal(rows), target.abnormal(rows)
    in_episode = pl.col("is_anomaly") & pl.col("episode_start").is_not_null()
    of_episode = [ENTITY, "episode_start"]
    highest = rows.with_columns(abnormal=abnormal).filter(in_episode).sort("day_score", *key, descending=True)
    episodes = highest.group_by(of_episode, maintain_order=True).agg(
        pl.col("abnormal").any(), pl.exclude("abnormal").first()
    )
    few = FailureTypes(PARTS, episodes.height, 0, 0, None, (), np.zeros((0, 2)), 1.0, None)
    if episodes.height < LEAST_ALARMS:
        return few
    alarms = episodes.sample(min(MOST_ALARMS, episodes.height), seed=SEED).sort(key)
    quiet = rows.filter(~pl.col("is_anomaly"), pl.col("episode") == NONE, normal)
    chosen = pl.concat(
        [
            alarms.select(*keys_of(rows.columns), alarm=True),
            _drawn(quiet).select(*keys_of(rows.columns), alarm=False),
        ]
    )
    records = _records(space, champion.detector, chosen)
    is_alarm = records.keys["alarm"].to_numpy()
    found, healthy = records.where(is_alarm), records.where(~is_alarm)
    if len(found.values) < LEAST_ALARMS:
        return few
    known = found.keys.join(alarms.select(*key, "abnormal"), on=key, how="left", maintain_order="left")
    flags = known["abnormal"].to_numpy() if space.table.target_kind else None
    points = _points(found, healthy)
    grouping = grouped(points, groups_of(known), SEED)
    flat, spent = principal(points, 2), float(np.square(points - points.mean(axis=0)).sum())
    types: list[FailureType] = []
    if grouping is not None and grouping.beyond_a_cloud:
        known = known.with_columns(kind=_kinds(space, known))
        for one in range(grouping.count):
            inside = grouping.labels == one
            what = traits(
                found.values, inside, healthy.values, champion.detector.feature_names, _attributes(space), TRAITS
            )
            types.append(_type_of(known.filter(pl.Series(inside)), what, space.table.target_kind))
    return FailureTypes(
        PARTS if found.code is None else LATENT,
        episodes.height,
        known[ENTITY].n_unique(),
        len(healthy.values),
        grouping,
        tuple(types),
        flat,
        float(np.square(flat).sum()) / spent if spent else 1.0,
        flags,
    )


def _scored(space: Workspace, champion: Champion, days: tuple[date, date]) -> pl.DataFrame:
    """The judged records of a range that the champion scored."""
    stored = space.schema(ANOMALIES)
    columns = [*keys_of(stored), "cohort", "day_score", "is_anomaly", "episode", "episode_start", "model_version"]
    rows = space.read(ANOMALIES, *days, columns).filter(pl.col("model_version") == champion.version)
    if rows.is_empty():
        raise EvaluationError(
            f"no day from {named(days[0])} to {named(days[1])} was scored by the champion {champion.version}; "
            f"materialise {space.name(ANOMALIES)} for days that it has not seen, or name others"
        )
    return rows.drop_nulls(["is_anomaly", "day_score"])


def _drawn(rows: pl.DataFrame) -> pl.DataFrame:
    entities = rows[ENTITY].unique().sort()
    few = entities.sample(min(HEALTHY_ENTITIES, len(entities)), seed=SEED)
    of_few = rows.filter(pl.col(ENTITY).is_in(few.implode())).sort(key_of(rows.columns))
    return of_few.sample(min(HEALTHY_RECORDS, of_few.height), seed=SEED)


def _records(space: Workspace, detector: FittedDetector, chosen: pl.DataFrame) -> _Records:
    """What the detector says of some records, as far as their features are stored."""
    key, days = key_of(chosen.columns), chosen["day"].unique().sort().to_list()
    keys: list[pl.DataFrame] = []
    values, contributions, codes = [], [], []
    entities = chosen[ENTITY].unique().to_list()
    for scored in score_days(space, detector, AggregationConfig(), days, "scoring alarms", entities):
        own = scored.keys.with_row_index("row").join(
            chosen.select(*key, "alarm"), on=key, how="inner", maintain_order="left"
        )
        if own.is_empty():
            continue
        rows = own["row"].cast(pl.Int64).to_numpy()
        windows = scored.windows.take(rows)
        keys.append(own)
        values.append(windows.values[windows.last_row])
        contributions.append(scored.explain(rows).contributions)
        code = detector.code(windows)
        codes += [] if code is None else [code]
    width = len(detector.feature_names)
    none, nothing = np.zeros((0, width), np.float32), chosen.clear()
    return _Records(
        pl.concat(keys) if keys else nothing,
        np.concatenate([none, *values]),
        np.concatenate([none, *contributions]),
        np.concatenate(codes) if codes else None,
    )


def _points(alarms: _Records, healthy: _Records) -> Floats:
    """Where alarms lie (n, dimensions).

    In a latent space in deviations of the healthy records, with far ones drawn nearer. Else the square roots of the
    parts of the score, whose distance is Hellinger's: what an alarm consists of counts, not how high it is.
    """
    if alarms.code is not None and healthy.code is not None:
        spread = healthy.code.std(axis=0)
        apart = (alarms.code - healthy.code.mean(axis=0)) / np.where(spread > 0, spread, 1)
        return np.asarray(np.arcsinh(apart.astype(np.float64)))
    parts = alarms.contributions.astype(np.float64)
    return np.asarray(np.sqrt(parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)))


def _type_of(alarms: pl.DataFrame, what: tuple[Trait, ...], target: str | None) -> FailureType:
    """A type from ``entity, abnormal, kind`` of its alarms; devices fail, alarms lie in intervals."""
    entities, abnormal = alarms[ENTITY].n_unique(), alarms.filter("abnormal")
    share = rate(abnormal.height, alarms.height)
    if target == "failures":
        share = rate(abnormal[ENTITY].n_unique(), entities)
    kinds = alarms["kind"].drop_nulls().value_counts(sort=True)
    return FailureType(alarms.height, entities, share if target else None, dict(kinds.iter_rows()), what)


def _attributes(space: Workspace) -> dict[str, str]:
    """The attribute of each feature that is made of one."""
    features = catalogue(space.table.features)
    return {feature.name: feature.column for feature in features if feature.column is not None}


def _kinds(space: Workspace, rows: pl.DataFrame) -> pl.Series:
    """The kind of the labelled interval that each record lies in; null where in none, or it has no kind."""
    intervals = intervals_in(space)
    return intervals.frame["kind"].gather(intervals.numbers(rows))
