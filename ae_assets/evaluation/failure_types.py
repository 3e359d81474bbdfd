"""Types of failure: groups of alarms that resemble each other, whether there are any, and what tells each apart.

Where alarms lie is the caller's to say: by the code of a network, or by how much of a score each feature makes up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ae_assets.evaluation.bootstrap import spread
from ae_assets.evaluation.intervals import Flags, Floats, Ints, Rate

LEAST_ALARMS = 20
"""Fewer are not grouped: chance alone would make two groups of them."""

MOST_TYPES, LEAST_OF_TYPE = 8, 5
LEAST_DRAWN = 3
"""Alarms of a type among those that are drawn again, of which a draw leaves out a third."""

CLOUDS = 39
"""Clouds without groups that alarms are held against: with 2.5% chance one more is the most grouped of all."""

RESAMPLES = 50
STARTS, ROUNDS = 3, 30
"""Of k-means: how often it begins elsewhere, and how often the middles move."""

KEPT_VARIANCE, MOST_DIMENSIONS = 0.9, 8
STABLE = 0.75
"""Mean Jaccard similarity from which on a group is taken for one (Hennig 2007, Cluster-wise assessment, section 4)."""
DISSOLVED = 0.5
"""Similarity below which a group is not found again (the same, section 3); a stable one hardly ever falls below it."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """Alarms in groups.

    Attributes:
        labels: (n,) the group of each alarm, the largest 0.
        silhouette: mean silhouette (Rousseeuw 1987) of the grouping, 1 = far apart, 0 = no gap between groups.
        of_clouds: the highest that a cloud without groups has.
        similarity: of each group the mean Jaccard similarity to its nearest one among alarms that were drawn again.
        similarity_low: lower end of its 95% interval, of each group.
        similarity_high: the upper end.
        agreement: mean adjusted Rand index of the grouping and that of alarms drawn again; 1 = the same, 0 = chance.
        agreement_low: lower end of its 95% interval.
        agreement_high: the upper end.
        same_number: share of the draws that have as many groups.
    """

    labels: Ints
    silhouette: float
    of_clouds: float
    similarity: tuple[float, ...]
    similarity_low: tuple[float, ...]
    similarity_high: tuple[float, ...]
    agreement: float
    agreement_low: float
    agreement_high: float
    same_number: float

    @property
    def count(self) -> int:
        return len(self.similarity)

    @property
    def beyond_a_cloud(self) -> bool:
        """Whether the alarms are more grouped than any cloud of the same spread."""
        return self.silhouette > self.of_clouds

    @property
    def stable(self) -> tuple[bool, ...]:
        """Of each group whether it comes back when the alarms are drawn again."""
        means = zip(self.similarity, self.similarity_low, strict=True)
        return tuple(mean >= STABLE and low >= DISSOLVED for mean, low in means)


def grouped(points: Floats, drawn_together: Ints, seed: int = 0) -> Grouping | None:
    """Groups alarms by k-means, in as many groups as give the highest mean silhouette.

    The alarms are held against clouds: normal distributions with their mean and covariance, grouped in the same way
    (Liu et al. 2008, SigClust). They are drawn again with replacement and grouped, the number chosen again each time.

    Args:
        points: (n, dimensions), where each alarm lies.
        drawn_together: (n,), alarms with equal numbers are drawn together.
        seed: of all that is drawn.

    Returns:
        None where there are too few alarms, or hardly any in another place than the others.
    """
    if len(points) < LEAST_ALARMS:
        return None
    random = np.random.default_rng(seed)
    reduced = principal(points)
    found, width = _best(reduced, random)
    if width < 0:
        return None
    labels, count, units = _largest_first(found), int(found.max()) + 1, np.unique(drawn_together)
    # principal axes are not correlated
    clouds = [_best(random.normal(size=reduced.shape) * reduced.std(axis=0), random)[1] for _ in range(CLOUDS)]
    similarity, agreement, numbers = np.zeros((RESAMPLES, count)), np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for draw in range(RESAMPLES):
        taken = np.isin(drawn_together, random.choice(units, len(units)))
        again, _ = _best(reduced[taken], random, LEAST_DRAWN)
        both = crossed(labels[taken], again, count)
        similarity[draw], agreement[draw], numbers[draw] = jaccard(both), adjusted_rand(both), both.shape[1]
    low, high = spread(similarity)
    of_all = spread(agreement)
    return Grouping(
        labels,
        width,
        max(clouds),
        tuple(similarity.mean(axis=0).tolist()),
        tuple(low.tolist()),
        tuple(high.tolist()),
        float(agreement.mean()),
        float(of_all[0]),
        float(of_all[1]),
        float((numbers == count).mean()),
    )


def principal(points: Floats, dimensions: int | None = None) -> Floats:
    """The points (n, d) along their principal axes: so many, or those that hold most of their variance."""
    centred = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    if dimensions is None:
        shares = np.cumsum(sizes**2) / max(float(np.sum(sizes**2)), 1e-300)
        dimensions = min(int(np.searchsorted(shares, KEPT_VARIANCE)) + 1, MOST_DIMENSIONS)
    along: Floats = (left * sizes)[:, :dimensions]
    missing = dimensions - along.shape[1]
    return np.pad(along, ((0, 0), (0, missing))) if missing > 0 else along


def _best(points: Floats, random: np.random.Generator, least: int = LEAST_OF_TYPE) -> tuple[Ints, float]:
    """The grouping with the highest mean silhouette, and that silhouette; one group and -1 where none can be made."""
    best: tuple[Ints, float] = (np.zeros(len(points), np.int64), -1.0)
    squares = np.square(points).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    places = len(np.unique(points.round(9), axis=0))
    for count in range(2, min(MOST_TYPES, len(points) // least, places) + 1):
        labels = _k_means(points, count, least, random)
        if labels is not None and (here := silhouette(distances, labels)) > best[1]:
            best = labels, here
    return best


def _k_means(points: Floats, count: int, least: int, random: np.random.Generator) -> Ints | None:
    """The tightest of some groupings, none of whose groups is too small; None where there is none."""
    from scipy.cluster.vq import ClusterError, kmeans2

    best: tuple[Ints | None, float] = (None, np.inf)
    for _ in range(STARTS):
        try:
            middles, labels = kmeans2(points, count, iter=ROUNDS, minit="++", missing="raise", rng=random)
        except ClusterError:  # a group lost all that it had
            continue
        spent = float(np.square(points - middles[labels]).sum())
        if spent < best[1] and np.bincount(labels, minlength=count).min() >= least:
            best = labels.astype(np.int64), spent
    return best[0]


def silhouette(distances: Floats, labels: Ints) -> float:
    """The mean silhouette of a grouping (n,) from the distances (n, n) of what is grouped (Rousseeuw 1987)."""
    members = np.eye(int(labels.max()) + 1)[labels]
    sizes, own = members.sum(axis=0), np.arange(len(labels))
    totals = distances @ members
    inside = totals[own, labels] / np.maximum(sizes[labels] - 1, 1)
    means = totals / sizes
    means[own, labels] = np.inf
    nearest = means.min(axis=1)
    widths = (nearest - inside) / np.maximum(np.maximum(nearest, inside), 1e-300)
    return float(np.where(sizes[labels] > 1, widths, 0).mean())


def _largest_first(labels: Ints) -> Ints:
    order = np.argsort(-np.bincount(labels), kind="stable")
    numbers: Ints = np.argsort(order)[labels]
    return numbers


def crossed(labels: Ints, again: Ints, count: int) -> Floats:
    """How many alarms are in each of ``count`` groups and in each of another grouping (count, groups of the other)."""
    both = np.zeros((count, int(again.max()) + 1))
    np.add.at(both, (labels, again), 1)
    return both


def jaccard(both: Floats) -> Floats:
    """Of each group the highest Jaccard similarity to one of the other grouping; from what `crossed` gives."""
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    return np.asarray((both / np.maximum(either, 1)).max(axis=1))


def adjusted_rand(both: Floats) -> float:
    """How far two groupings agree on pairs, chance taken off (Hubert and Arabie 1985); from what `crossed` gives."""

    def pairs(counts: Floats) -> float:
        return float((counts * (counts - 1) / 2).sum())

    first, second, of_all = pairs(both.sum(axis=1)), pairs(both.sum(axis=0)), pairs(both.sum(keepdims=True))
    by_chance, most = first * second / max(of_all, 1), (first + second) / 2
    return 1.0 if most == by_chance else (pairs(both) - by_chance) / (most - by_chance)


LEAST_APART = 0.1
"""A feature that is higher in 40% to 60% of the pairs of alarms tells them hardly apart."""


@dataclass(frozen=True)
class Trait:
    """A feature that tells the alarms of a group apart from others.

    Attributes:
        feature: its name.
        here: its median among the alarms of the group, in feature units.
        elsewhere: the median among the other alarms.
        healthy: the median among records without an alarm.
        beside_others: share of the pairs of an alarm of the group and another in which it is higher, ties half.
        beside_healthy: the same beside records without an alarm.
    """

    feature: str
    here: float
    elsewhere: float
    healthy: float
    beside_others: float
    beside_healthy: float

    @property
    def apart(self) -> tuple[float, float]:
        """How much it says: most where it is unlike the other alarms and unlike the healthy, and of such the others."""
        others, healthy = (abs(share - 0.5) for share in (self.beside_others, self.beside_healthy))
        return min(others, healthy), others


def traits(
    values: NDArray[np.float32],
    inside: Flags,
    healthy: NDArray[np.float32],
    names: Sequence[str],
    attribute_of: Mapping[str, str],
    most: int,
) -> tuple[Trait, ...]:
    """The features that tell some alarms from the others, the most telling first, at most one of each attribute.

    A feature that is unknown in most of these alarms, or in all others, tells nothing.

    Args:
        values: (n, features) of the alarms, in feature units, NaN = unknown.
        inside: (n,) which of them are in the group.
        healthy: (m, features) of records without an alarm.
        names: of the features.
        attribute_of: the attribute of a feature; one that is not named stands for itself.
        most: features to name.
    """
    found: dict[str, Trait] = {}
    for place, name in enumerate(names):
        here, elsewhere, usual = (
            column[np.isfinite(column)] for column in (values[inside, place], values[~inside, place], healthy[:, place])
        )
        if 2 * len(here) < max(int(inside.sum()), 1) or not len(elsewhere) or not len(usual):
            continue
        inner, outer, normal = (float(np.median(column)) for column in (here, elsewhere, usual))
        trait = Trait(name, inner, outer, normal, superiority(here, elsewhere), superiority(here, usual))
        attribute = attribute_of.get(name, name)
        if abs(trait.beside_others - 0.5) < LEAST_APART:
            continue
        if trait.apart > (found[attribute].apart if attribute in found else (0.0, 0.0)):
            found[attribute] = trait
    return tuple(sorted(found.values(), key=lambda one: one.apart, reverse=True)[:most])


def superiority(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The share of pairs in which a value of the first is above one of the second, ties counted half."""
    ordered = np.sort(second)
    below, up_to = (np.searchsorted(ordered, first, side=side).sum() for side in ("left", "right"))
    return float((below + up_to) / 2 / (len(first) * len(second)))


@dataclass(frozen=True)
class FailureType:
    """A group of alarms.

    Attributes:
        alarms: in it.
        entities: that they are of.
        abnormal: share of these entities that failed within the horizon after an alarm, or where intervals are
            labelled, of the alarms with a record in one; None where nothing can be known.
        kinds: how many of its alarms lie in labelled intervals of a kind.
        traits: what tells it from the other alarms.
    """

    alarms: int
    entities: int
    abnormal: Rate | None
    kinds: Mapping[str, int]
    traits: tuple[Trait, ...]


@dataclass(frozen=True, eq=False)
class FailureTypes:
    """The types of the alarms of a range.

    Attributes:
        space: what says where an alarm lies: the latent space of a network, or the parts of the score.
        alarms: of the range.
        entities: that the grouped ones are of.
        healthy: records without an alarm that they are held against.
        grouping: None where the alarms are too few.
        types: of the grouping, the largest first; none where it is no more grouped than a cloud.
        places: (grouped alarms, 2) along the two axes of the largest variance.
        shown: share of the variance along these two.
        abnormal: (grouped alarms,) whether something is known to have gone wrong; None where nothing can be known.
    """

    space: str
    alarms: int
    entities: int
    healthy: int
    grouping: Grouping | None
    types: tuple[FailureType, ...]
    places: Floats
    shown: float
    abnormal: Flags | None
