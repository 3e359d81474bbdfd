"""Confidence intervals of shares: exact ones of counts, and of counts that come in clusters."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

CONFIDENCE = 0.95
TAILS = ((1 - CONFIDENCE) / 2, 1 - (1 - CONFIDENCE) / 2)
"""Quantiles between which the middle part of so much confidence lies."""


def clopper_pearson(count: ArrayLike, total: ArrayLike) -> tuple[Floats, Floats]:
    """Exact two-sided 95% interval of a binomial share (Clopper and Pearson 1934). Never covers less than it states.

    Args:
        count: successes, in [0, total]; fractions are allowed (effective counts).
        total: trials. Nothing is known with 0 trials: the interval is [0, 1].

    Returns:
        Lower and upper bound, broadcast over the inputs.
    """
    return lower_bound(count, total, TAILS[1]), upper_bound(count, total, TAILS[1])


def lower_bound(count: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE) -> Floats:
    """Exact one-sided lower bound of a binomial share; inputs and output as in `clopper_pearson`."""
    from scipy.special import betaincinv

    successes, trials = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(total, np.float64))
    bound = betaincinv(np.maximum(successes, 1e-300), trials - successes + 1, 1 - confidence)
    return np.where(successes > 0, bound, 0.0)


def upper_bound(count: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE) -> Floats:
    """Exact one-sided upper bound of a binomial share; inputs and output as in `clopper_pearson`."""
    from scipy.special import betaincinv

    successes, trials = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(total, np.float64))
    failures = trials - successes
    bound = betaincinv(successes + 1, np.maximum(failures, 1e-300), confidence)
    return np.where(failures > 0, bound, 1.0)


@dataclass(frozen=True)
class Rate:
    """A share with its two-sided interval.

    Attributes:
        count: successes.
        total: trials.
        effective_total: number of independent trials that would know the share as well; `total` where trials are
            independent, less where trials of one entity resemble each other.
        value: count / total, None without trials.
        low: lower end of the interval.
        high: upper end.
        confidence: of the interval.
    """

    count: int
    total: int
    effective_total: float
    value: float | None
    low: float
    high: float
    confidence: float = CONFIDENCE

    @property
    def effective_count(self) -> float:
        """Successes among `effective_total` trials."""
        return 0.0 if self.value is None else self.value * self.effective_total

    def widened(self, low: float, high: float) -> "Rate":
        """The same share with an interval that reaches from `low` to `high` at least."""
        return replace(self, low=min(self.low, low), high=max(self.high, high))


def rate(count: int, total: int) -> Rate:
    """A share of independent trials with its Clopper-Pearson interval."""
    low, high = clopper_pearson(count, total)
    return Rate(count, total, float(total), count / total if total else None, float(low), float(high))


def rate_of(successes: Flags) -> Rate:
    """The share of independent trials that are a success."""
    return rate(int(successes.sum()), len(successes))


def clustered_rate(counts: ArrayLike, totals: ArrayLike) -> Rate:
    """A share of trials that come in clusters, e.g. the windows or the rows of one entity.

    The exact interval is taken at the effective number of trials, the total divided by the design effect (Korn and
    Graubard 1998, Survey Methodology 24). Where every trial agrees, nothing shows how alike the trials of a cluster
    are, and each cluster counts as one trial.

    Args:
        counts: successes of each cluster.
        totals: trials of each cluster, at least 1.
    """
    successes, trials = np.asarray(counts, np.float64), np.asarray(totals, np.float64)
    count, total, clusters = int(successes.sum()), int(trials.sum()), len(trials)
    if clusters < 2 or total == clusters:
        return rate(count, total)
    share = count / total
    variance = clusters / (clusters - 1) * float(np.sum((successes - share * trials) ** 2)) / total**2
    effective = min(share * (1 - share) / variance, float(total)) if variance > 0 else float(clusters)
    low, high = clopper_pearson(share * effective, effective)
    return Rate(count, total, effective, share, float(low), float(high))


def rate_by_entity(entities: Ints, successes: Flags) -> Rate:
    """Share of trials that are a success, in clusters of one entity.

    Args:
        entities: a number for the entity of each trial, equal ones beside each other.
        successes: whether each is one.
    """
    codes = np.cumsum(np.diff(entities, prepend=entities[:1]) != 0)
    return clustered_rate(np.bincount(codes, weights=successes), np.bincount(codes))
