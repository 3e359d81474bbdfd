"""Whether devices are still distributed as in a reference: population stability with a stated false-alarm rate.

Works on one row per entity. Rows of one entity are alike, so a test that took every drive-day for a trial of its own
would call ordinary days a drift: what is stated here holds for entities that are drawn independently of each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from math import ceil
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from ae_assets.errors import ContractError
from ae_assets.evaluation.intervals import Floats, Ints
from ae_assets.schemas.periods import from_iso

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
ATOM_SHARE = 0.1
"""A value of at least this share of entities gets a bin of its own, so that leaving it is seen in both directions."""

SMOOTHING = 0.5
"""Entities added to each bin, so that an empty one has a finite index."""

MOST_COHORTS = 20
COHORT, SCORE = "cohort", "score"

EXCEEDED = 20
"""Of 20 / level - 1 permutations the 20th largest index is the bound; more of them would steady it further."""

PERMUTATIONS_AT_ONCE = 10_000
FAR = 2.0


@dataclass(frozen=True)
class Bins:
    """How the known values of a number were distributed over entities.

    Attributes:
        edges: strictly increasing; bin i holds edges[i - 1] <= value < edges[i].
        counts: entities in each bin, one bin more than edges, and after them the entities whose value is unknown.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: ArrayLike) -> "Bins":
        """Cuts bins at quantiles of the reference, with a bin of its own for a value that many entities have.

        Args:
            values: (n,) one value per entity, NaN where it is unknown.
        """
        given = np.asarray(values, dtype=np.float64)
        known = np.sort(given[np.isfinite(given)])
        edges: set[float] = set()
        if len(known):
            for quantile in known[np.minimum((np.array(QUANTILES) * len(known)).astype(np.int64), len(known) - 1)]:
                edges.add(float(quantile))
                here = np.searchsorted(known, quantile, "right") - np.searchsorted(known, quantile, "left")
                if here >= ATOM_SHARE * len(known):
                    edges.add(float(np.nextafter(quantile, np.inf)))
        cut = cls(tuple(sorted(edges)), ())
        return cls(cut.edges, tuple(cut.count(given).tolist()))

    def count(self, values: ArrayLike) -> Ints:
        """Entities of other values in each bin, the unknown ones last."""
        given = np.asarray(values, dtype=np.float64)
        unknown = np.isnan(given)
        bins = np.searchsorted(np.asarray(self.edges), given[~unknown], side="right")
        return np.append(np.bincount(bins, minlength=len(self.edges) + 1), unknown.sum()).astype(np.int64)


@dataclass(frozen=True)
class Mix:
    """How entities were distributed over cohorts.

    Attributes:
        names: the most frequent cohorts.
        counts: entities of each of them, and after them those of any other cohort or of none.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, cohorts: pl.Series) -> "Mix":
        """Counts the most frequent cohorts and the rest together."""
        found = cohorts.drop_nulls().value_counts(name="entities").sort("entities", cohorts.name, descending=True)
        mix = cls(tuple(found[cohorts.name].head(MOST_COHORTS).to_list()), ())
        return cls(mix.names, tuple(mix.count(cohorts).tolist()))

    def count(self, cohorts: pl.Series) -> Ints:
        """Entities of other cohorts, those that the reference does not name last."""
        found: dict[str | None, int] = dict(cohorts.value_counts(name="entities").iter_rows())
        counts = [found.get(name, 0) for name in self.names]
        return np.array([*counts, len(cohorts) - sum(counts)], dtype=np.int64)


@dataclass(frozen=True)
class Reference:
    """How a population was distributed, kept small enough to lie beside a model.

    Attributes:
        first_day: first of the days that it was taken from.
        last_day: last of them.
        entities: entities, each counted once.
        features: bins of each feature.
        cohorts: the cohort mix.
        scores: bins of the score.
    """

    first_day: date
    last_day: date
    entities: int
    features: Mapping[str, Bins]
    cohorts: Mix
    scores: Bins

    @classmethod
    def of(cls, rows: pl.DataFrame, features: Sequence[str], scores: ArrayLike) -> "Reference":
        """Summarises a population.

        Args:
            rows: `day, entity, cohort` and the features, one row per entity, at least one.
            features: names of the features.
            scores: (m,) scores, one per entity; entities that are known to fail may be left out of them.

        Raises:
            ContractError: there is no row, or an entity has several.
        """
        _require_one_row_each(rows)
        days = rows["day"].sort()
        return cls(
            days[0],
            days[-1],
            rows.height,
            {name: Bins.of(_values(rows, name)) for name in features},
            Mix.of(rows[COHORT]),
            Bins.of(scores),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        days = {"first_day": self.first_day.isoformat(), "last_day": self.last_day.isoformat()}
        return {**asdict(self), **days}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Reference":
        """The reference that `as_dict` wrote."""
        return cls(
            from_iso(values["first_day"]),
            from_iso(values["last_day"]),
            int(values["entities"]),
            {name: _bins(bins) for name, bins in values["features"].items()},
            Mix(tuple(values["cohorts"]["names"]), tuple(values["cohorts"]["counts"])),
            _bins(values["scores"]),
        )


@dataclass(frozen=True)
class Drift:
    """How one quantity is distributed now against its reference.

    Attributes:
        name: the feature, `cohort` or `score`.
        index: the population stability index.
        bound: the index that had to be exceeded to count as drift: the larger one of the limit and of what chance
            alone reaches with so many entities. Where the index is within the limit it is the limit.
        unknown_then: share of entities of the reference without a value; of a cohort that is not named.
        unknown_now: the same share now.
    """

    name: str
    index: float
    bound: float
    unknown_then: float
    unknown_now: float

    @property
    def drifted(self) -> bool:
        """Whether the index exceeds its bound."""
        return self.index > self.bound


def feature_drifts(
    reference: Reference, rows: pl.DataFrame, limit: float, false_alarm_rate: float
) -> tuple[Drift, ...]:
    """Compares each feature and the cohort mix with the reference.

    If entities are drawn from the distribution of the reference, independently of each other, any quantity is called
    drifted with a probability of at most `false_alarm_rate`: each is tested by a permutation test (Good 2005,
    Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.2) of the index at that rate divided by their
    number (Bonferroni). Where the same entities are in both, which makes the samples more alike, the rate is lower
    still. An influence that all entities share, such as the weather, is no chance and counts as drift.

    Args:
        reference: the reference.
        rows: `entity, cohort` and the features, one row per entity. A feature that is no column is unknown everywhere.
        limit: index up to which a shift is too small to matter, however many entities show it.
        false_alarm_rate: of all quantities together.

    Returns:
        One result per feature and one for `cohort`, largest index first.

    Raises:
        ContractError: there is no row, or an entity has several.
    """
    _require_one_row_each(rows)
    level = false_alarm_rate / (len(reference.features) + 1)
    found = [
        _drift(name, bins.counts, bins.count(_values(rows, name)), limit, level)
        for name, bins in reference.features.items()
    ]
    found.append(_drift(COHORT, reference.cohorts.counts, reference.cohorts.count(rows[COHORT]), limit, level))
    return tuple(sorted(found, key=lambda drift: -drift.index))


def score_drift(reference: Reference, scores: ArrayLike, limit: float, false_alarm_rate: float) -> Drift:
    """Compares scores, one per entity, with the reference; the false-alarm rate is that of `feature_drifts`."""
    return _drift(SCORE, reference.scores.counts, reference.scores.count(scores), limit, false_alarm_rate)


def stability_index(then: ArrayLike, now: ArrayLike) -> Floats:
    """Population stability index of bin counts, the sum over bins of (p - q) log(p / q) for the shares p and q.

    0 = alike; by the custom of credit scoring, from which the index comes (Siddiqi 2006, Credit Risk Scorecards), 0.1
    to 0.25 is a shift to watch and more is a change. Each count is raised by 0.5, so that empty bins have an index.

    Args:
        then: (..., bins) counts of the reference.
        now: (..., bins) counts to judge.
    """
    shares = []
    for counts in (then, now):
        smoothed = np.asarray(counts, dtype=np.float64) + SMOOTHING
        shares.append(smoothed / smoothed.sum(axis=-1, keepdims=True))
    then_share, now_share = shares
    return np.asarray(np.sum((now_share - then_share) * np.log(now_share / then_share), axis=-1), dtype=np.float64)


def bound_by_chance(then: ArrayLike, now: ArrayLike, level: float, seed: int = 0, index: float = 0.0) -> float:
    """The index that two samples of these sizes exceed with a probability of at most `level` if they are alike.

    From permutations of the entities between the two samples, which keep the bins' totals: counts are then
    hypergeometric, whatever the distribution, and the bound is right for rare bins too.

    Args:
        then: (bins,) counts of the reference.
        now: (bins,) counts to judge.
        level: in (0, 1).
        seed: of the permutations.
        index: what is held against the bound. Where it is `FAR` times what the first permutations reach, the bound is
            that, which is a little higher than that of all of them: no more can change the verdict.
    """
    pooled = np.asarray(then, dtype=np.int64) + np.asarray(now, dtype=np.int64)
    sample = int(np.asarray(now).sum())
    generator = np.random.default_rng(seed)
    permutations = ceil(EXCEEDED / level) - 1
    largest = np.zeros(0)
    for first in range(0, permutations, PERMUTATIONS_AT_ONCE):
        some = min(PERMUTATIONS_AT_ONCE, permutations - first)
        drawn = generator.multivariate_hypergeometric(pooled, sample, size=some, method="marginals")
        reached = np.concatenate([largest, stability_index(pooled - drawn, drawn)])
        largest = np.sort(reached)[-EXCEEDED:]
        if index > FAR * largest[-1]:
            return float(largest[-1])
    return float(largest[0])


def _drift(name: str, then: Sequence[int], now: Ints, limit: float, level: float) -> Drift:
    index = float(stability_index(then, now))
    bound = max(limit, bound_by_chance(then, now, level, index=index)) if index > limit else limit
    total_then, total_now = max(sum(then), 1), max(int(now.sum()), 1)
    return Drift(name, index, bound, then[-1] / total_then, int(now[-1]) / total_now)


def _values(rows: pl.DataFrame, name: str) -> Floats:
    if name not in rows.columns:
        return np.full(rows.height, np.nan)
    return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _require_one_row_each(rows: pl.DataFrame) -> None:
    entities = rows["entity"].n_unique()
    if rows.is_empty() or entities != rows.height:
        raise ContractError(
            f"received {rows.height} rows of {entities} entities, expected one row per entity and at least one; "
            "choose one of each entity's rows first"
        )


def _bins(values: Mapping[str, Any]) -> Bins:
    return Bins(tuple(float(edge) for edge in values["edges"]), tuple(int(count) for count in values["counts"]))
