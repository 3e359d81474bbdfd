"""Confidence intervals of shares: exact and score intervals of counts, and one for counts that come in clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def clopper_pearson(count: ArrayLike, total: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Exact two-sided interval of a binomial share (Clopper and Pearson 1934). Never covers less than it states.

    Args:
        count: successes, in [0, total]; fractions are allowed (effective counts).
        total: trials. Nothing is known with 0 trials: the interval is [0, 1].
        confidence: in (0, 1).

    Returns:
        Lower and upper bound, broadcast over the inputs.
    """
    return (
        lower_bound(count, total, 1 - (1 - confidence) / 2),
        upper_bound(count, total, 1 - (1 - confidence) / 2),
    )


def lower_bound(count: ArrayLike, total: ArrayLike, confidence: float = 0.95) -> Floats:
    """Exact one-sided lower bound of a binomial share; inputs and output as in `clopper_pearson`."""
    from scipy.special import betaincinv

    successes, trials = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(total, np.float64))
    bound = betaincinv(np.maximum(successes, 1e-300), trials - successes + 1, 1 - confidence)
    return np.where(successes > 0, bound, 0.0)


def upper_bound(count: ArrayLike, total: ArrayLike, confidence: float = 0.95) -> Floats:
    """Exact one-sided upper bound of a binomial share; inputs and output as in `clopper_pearson`."""
    from scipy.special import betaincinv

    successes, trials = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(total, np.float64))
    failures = trials - successes
    bound = betaincinv(successes + 1, np.maximum(failures, 1e-300), confidence)
    return np.where(failures > 0, bound, 1.0)


@dataclass(frozen=True)
class Rate:
    """A share with its interval.

    Attributes:
        count: successes.
        total: trials.
        effective_total: number of independent trials that would know the share as well; `total` where trials are
            independent, less where trials of one entity resemble each other.
        value: count / total, None without trials.
        low: lower end of the two-sided interval.
        high: upper end of the two-sided interval.
        confidence: of the interval.
    """

    count: int
    total: int
    effective_total: float
    value: float | None
    low: float
    high: float
    confidence: float

    @property
    def effective_count(self) -> float:
        """Successes among `effective_total` trials."""
        return 0.0 if self.value is None else self.value * self.effective_total

    def widened(self, low: float, high: float) -> "Rate":
        """The same share with an interval that reaches from `low` to `high` at least."""
        return Rate(
            self.count,
            self.total,
            self.effective_total,
            self.value,
            min(self.low, low),
            max(self.high, high),
            self.confidence,
        )


def rate(count: int, total: int, confidence: float = 0.95) -> Rate:
    """A share of independent trials with its Clopper-Pearson interval."""
    low, high = clopper_pearson(count, total, confidence)
    return Rate(count, total, float(total), count / total if total else None, float(low), float(high), confidence)


def clustered_rate(counts: ArrayLike, totals: ArrayLike, confidence: float = 0.95) -> Rate:
    """A share of trials that come in clusters, e.g. the windows or the rows of one entity.

    The exact interval is taken at the effective number of trials, the total divided by the design effect (Korn and
    Graubard 1998, Survey Methodology 24). Where every trial agrees, nothing shows how alike the trials of a cluster
    are, and each cluster counts as one trial.

    Args:
        counts: successes of each cluster.
        totals: trials of each cluster, at least 1.
        confidence: in (0, 1).
    """
    successes, trials = np.asarray(counts, np.float64), np.asarray(totals, np.float64)
    count, total, clusters = int(successes.sum()), int(trials.sum()), len(trials)
    if clusters < 2 or total == clusters:
        return rate(count, total, confidence)
    share = count / total
    variance = clusters / (clusters - 1) * float(np.sum((successes - share * trials) ** 2)) / total**2
    effective = min(share * (1 - share) / variance, float(total)) if variance > 0 else float(clusters)
    low, high = clopper_pearson(share * effective, effective, confidence)
    return Rate(count, total, effective, share, float(low), float(high), confidence)
