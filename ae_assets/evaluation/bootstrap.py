"""Detection rate at a false alarm rate, and how it varies when the entities are drawn again. Arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

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
class Top:
    """The highest healthy pairs of a detector, falling: only they can hold a cut.

    Attributes:
        scores: of each.
        entities: of each, as numbers.
    """

    scores: Floats
    entities: Ints

    @classmethod
    def of(cls, pair_scores: Floats, pair_entities: Ints, highest_rate: float) -> "Top":
        """Those that a cut can lie among at rates up to the highest one."""
        # Half as many again leaves room for resamples that draw them rarely.
        kept = min(len(pair_scores), int(1.5 * highest_rate * len(pair_scores)) + 500)
        top = np.argsort(-pair_scores, kind="stable")[:kept]
        return cls(pair_scores[top], pair_entities[top])

    def cuts(self, weights: Ints, allowed: Floats) -> Floats:
        """The lowest cut that lets no more than the allowed number of drawn pairs through, for each number.

        Args:
            weights: how often each entity is drawn.
            allowed: numbers of pairs.
        """
        over = np.cumsum(weights[self.entities])
        return self.scores[np.minimum(np.searchsorted(over, allowed, side="right"), len(self.scores) - 1)]


def resampled_detection(
    failed_scores: Sequence[Floats],
    pair_scores: Sequence[Floats],
    pair_entities: Ints,
    rates: Floats,
    *,
    resamples: int,
    seed: int,
) -> Floats:
    """Detection rates of several detectors at given false alarm rates, over the same bootstrap resamples of entities.

    Each resample draws failed entities and healthy entities with replacement; a healthy entity brings all its windows.
    The cut is chosen anew on the drawn windows, so the spread holds the uncertainty of the threshold too.

    Args:
        failed_scores: for each detector the score of each failed entity, in one order for all; at least one entity.
        pair_scores: for each detector the score of each healthy pair, in one order for all; at least one pair.
        pair_entities: for each pair its entity as a number from 0 without gaps.
        rates: allowed false alarm rates, in (0, 1).
        resamples: number of resamples.
        seed: of the random numbers; equal seeds draw equal resamples.

    Returns:
        Detection rates (detectors, resamples, rates).
    """
    generator = np.random.default_rng(seed)
    failed, entities = len(failed_scores[0]), int(pair_entities.max()) + 1
    windows_of_entity = np.bincount(pair_entities, minlength=entities)
    tops = [Top.of(scores, pair_entities, float(rates.max())) for scores in pair_scores]
    detected = np.empty((len(pair_scores), resamples, len(rates)))
    for resample in range(resamples):
        weights = np.bincount(generator.integers(0, entities, entities), minlength=entities)
        chosen = generator.integers(0, failed, failed)
        allowed = np.floor(rates * int(weights @ windows_of_entity) + ROUNDING)
        for index, top in enumerate(tops):
            ascending = np.sort(failed_scores[index][chosen])
            cuts = top.cuts(weights, allowed)
            detected[index, resample] = 1 - np.searchsorted(ascending, cuts, side="right") / failed
    return detected
