"""Detection rate at a false alarm rate, and how it varies when the entities are drawn again. Arrays in, arrays out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ae_assets.evaluation.intervals import TAILS, Flags, Floats, Ints

RESAMPLES = 500

# Guards floor(rate * pairs) against 0.01 * 300 = 2.9999999999999996.
ROUNDING = 1e-9


def cuts_at(pair_scores: Floats, rates: Floats) -> Floats:
    """The lowest cut at each rate that lets no more than that share of healthy pairs through.

    Pairs tied at the cut are no alarms, so ties never push the false alarm rate over the one asked for.

    Args:
        pair_scores: score of each healthy pair, at least one.
        rates: allowed shares, in (0, 1).

    Returns:
        One cut per rate, always a score that occurred.
    """
    descending = np.sort(pair_scores)[::-1]
    allowed = np.floor(rates * len(descending) + ROUNDING).astype(np.int64)
    return descending[np.minimum(allowed, len(descending) - 1)]


@dataclass(frozen=True, eq=False)
class Highest:
    """A detector's highest score of each failed entity in its horizon, and of each healthy pair."""

    failed: Floats
    pairs: Floats

    def detected(self, rates: Floats) -> Flags:
        """Which failed entities (rows) are over the cut at each false alarm rate (columns)."""
        return np.asarray(self.failed[:, None] > cuts_at(self.pairs, rates))


@dataclass(frozen=True, eq=False)
class Judged:
    """The entities of a range that count, with what each detector scores them.

    Attributes:
        failed: failed entities.
        healthy: entities of the healthy pairs, each once.
        pair_entities: for each healthy pair its position in `healthy`.
        highest: the scores by detector.
    """

    failed: Sequence[str]
    healthy: Sequence[str]
    pair_entities: Ints
    highest: Mapping[str, Highest]


def resampled_detection(
    ranges: Sequence[Judged],
    detectors: Sequence[str],
    rates: Floats,
    *,
    resamples: int,
    seed: int,
    healthy_first: bool = False,
) -> tuple[Ints, Ints]:
    """Failed entities that are drawn and detected at given false alarm rates, over the same bootstrap resamples.

    A resample draws the failed and the healthy entities of each range with replacement, a healthy one with all its
    windows, and chooses every cut again on the drawn windows, so the spread holds the uncertainty of the threshold too.
    An entity of several ranges, because they overlap or it simply lives on, is drawn once, with the range where it
    comes first, and counts as often in the others: drawn apart, its copies would feign further evidence.

    Args:
        ranges: at least one, with a healthy pair in each and a failed entity in any of them.
        detectors: that are in all ranges.
        rates: allowed false alarm rates, in (0, 1).
        resamples: number of resamples.
        seed: of the random numbers; equal seeds draw equal resamples.
        healthy_first: whether the healthy entities of a resample are drawn before the failed ones.

    Returns:
        Detected entities (detectors, resamples, rates), and the drawn ones (resamples, 1).
    """
    generator = np.random.default_rng(seed)
    draws = {
        "failed": _draws([one.failed for one in ranges], generator),
        "healthy": _draws([one.healthy for one in ranges], generator),
    }
    order = ("healthy", "failed") if healthy_first else ("failed", "healthy")
    tops = [[_Top.of(one, name, float(rates.max())) for name in detectors] for one in ranges]
    detected = np.zeros((len(detectors), resamples, len(rates)), np.int64)
    drawn = np.zeros((resamples, 1), np.int64)
    for resample in range(resamples):
        weights = {name: next(draws[name]) for name in order}
        for one, failed, healthy, of_range in zip(ranges, weights["failed"], weights["healthy"], tops, strict=True):
            drawn[resample] += failed.sum()
            allowed = np.floor(rates * int(healthy[one.pair_entities].sum()) + ROUNDING)
            for index, top in enumerate(of_range):
                detected[index, resample] += top.detected(failed, healthy, allowed)
    return detected, drawn


def spread(resampled: Floats) -> tuple[Floats, Floats]:
    """Ends of the 95% interval of resampled figures (resamples, ...)."""
    low, high = np.quantile(resampled, TAILS, axis=0)
    return low, high


@dataclass(frozen=True, eq=False)
class _Top:
    """The highest healthy pairs of a detector, falling, which only can hold a cut, and its failed entities, rising."""

    scores: Floats
    entities: Ints
    failed: Floats
    order: Ints

    @classmethod
    def of(cls, judged: Judged, detector: str, highest_rate: float) -> "_Top":
        scores = judged.highest[detector]
        # Half as many again leaves room for resamples that draw them rarely.
        most = min(len(scores.pairs), int(1.5 * highest_rate * len(scores.pairs)) + 500)
        top = np.argsort(-scores.pairs, kind="stable")[:most]
        order = np.argsort(scores.failed, kind="stable")
        return cls(scores.pairs[top], judged.pair_entities[top], scores.failed[order], order)

    def detected(self, failed: Ints, healthy: Ints, allowed: Floats) -> Ints:
        """Drawn failed entities over the lowest cut that lets no more than the allowed drawn pairs through.

        Args:
            failed: how often each failed entity is drawn.
            healthy: how often each healthy one is.
            allowed: numbers of pairs.
        """
        over = np.cumsum(healthy[self.entities])
        cuts = self.scores[np.minimum(np.searchsorted(over, allowed, side="right"), len(self.scores) - 1)]
        below = np.concatenate([[0], np.cumsum(failed[self.order])])
        return np.asarray(below[-1] - below[np.searchsorted(self.failed, cuts, side="right")])


def _draws(groups: Sequence[Sequence[str]], generator: np.random.Generator) -> Iterator[list[Ints]]:
    """How often each entity of each group is drawn, resample by resample; an entity of several groups alike in all."""
    joined = pl.Series([entity for group in groups for entity in group], dtype=pl.String)
    distinct = joined.unique(maintain_order=True)
    position = dict(zip(distinct, range(len(distinct)), strict=True))
    places = [np.array([position[entity] for entity in group], np.int64) for group in groups]
    # Numbered as they first come, the entities that a group adds are neighbours.
    ends = np.maximum.accumulate([int(place.max(initial=-1)) + 1 for place in places])
    added = np.diff(ends, prepend=0)
    while True:
        weights = np.concatenate(
            [np.bincount(generator.integers(0, count, count), minlength=count) if count else () for count in added]
        ).astype(np.int64)
        yield [weights[place] for place in places]
