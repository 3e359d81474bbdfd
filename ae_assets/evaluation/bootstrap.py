"""Detection rate at a false alarm rate, and how it varies when the entities are drawn again. Arrays in, arrays out."""

from collections.abc import Sequence

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
    failed, entities, pairs = len(failed_scores[0]), int(pair_entities.max()) + 1, len(pair_entities)
    windows_of_entity = np.bincount(pair_entities, minlength=entities)
    # Only the highest pairs can hold a cut; half as many again leaves room for resamples that draw them rarely.
    kept = min(pairs, int(1.5 * float(rates.max()) * pairs) + 500)
    tops = [np.argsort(-scores, kind="stable")[:kept] for scores in pair_scores]
    top_scores = [scores[top] for scores, top in zip(pair_scores, tops, strict=True)]
    top_entities = [pair_entities[top] for top in tops]
    detected = np.empty((len(pair_scores), resamples, len(rates)))
    for resample in range(resamples):
        weights = np.bincount(generator.integers(0, entities, entities), minlength=entities)
        chosen = generator.integers(0, failed, failed)
        allowed = np.floor(rates * int(weights @ windows_of_entity) + ROUNDING)
        for index, scores in enumerate(top_scores):
            over = np.cumsum(weights[top_entities[index]])
            cuts = scores[np.minimum(np.searchsorted(over, allowed, side="right"), kept - 1)]
            ascending = np.sort(failed_scores[index][chosen])
            detected[index, resample] = 1 - np.searchsorted(ascending, cuts, side="right") / failed
    return detected
