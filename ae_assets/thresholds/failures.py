"""The failures that calibration holds without knowing it, and how high they score, from failures that are known."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.thresholds.windows import Steps, first_and_last_day


@dataclass(frozen=True)
class KnownFailures:
    """The calibration scores, split by what is known of each entity.

    Attributes:
        healthy: rows of entities that are not known to fail.
        failed: rows of entities that are, from the horizon before their failure.
        failed_entities: number of them.
        later_failures: number of them that failed after the first day with a failure.
        failures_a_day: these over the days that follow that day, up to the last of calibration. It is chosen for its
            failures, which would make the few that are known look frequent. Without later ones the rate is 0.
    """

    healthy: pl.DataFrame
    failed: pl.DataFrame
    failed_entities: int
    later_failures: int
    failures_a_day: float

    @classmethod
    def of(cls, calibration: pl.DataFrame) -> "KnownFailures":
        """Splits `day, entity, score` and, where failures are known, `fails_in`."""
        if "fails_in" not in calibration.columns:
            calibration = calibration.with_columns(fails_in=pl.lit(None, dtype=pl.Int64))
        failed = calibration.filter(pl.col("fails_in").is_not_null())
        healthy = calibration.join(failed.select("entity").unique(), on="entity", how="anti")
        if failed.is_empty() or healthy.is_empty():
            return cls(healthy, failed, failed["entity"].n_unique(), 0, 0.0)
        failures = failed.select("entity", day=pl.col("day") + pl.duration(days="fails_in")).unique()
        first, last_failure = first_and_last_day(failures)
        _, last = first_and_last_day(healthy)
        later = failures.filter(pl.col("day") > first).height
        return cls(healthy, failed, failures.height, later, later / max((max(last, last_failure) - first).days, 1))

    def to_come(self, observed_days: int) -> Steps:
        """How many entities of `healthy` are over a cut and fail within the horizon after calibration, to be expected.

        Failures go on at the rate of the known ones. An entity that fails j days after the last day of calibration is
        seen from j to j + `observed_days` - 1 days before its failure, and a known failure tells how high it scores
        then, as far as the horizon reaches: further back it counts as not over the cut, so the number errs low.
        """
        horizon = int(self.failed.select(pl.col("fails_in").max().fill_null(0)).item())
        seen = [
            self.failed.filter(pl.col("fails_in").is_between(j, j + observed_days - 1))
            .group_by("entity")
            .agg(pl.col("score").max())["score"]
            .to_numpy()
            for j in range(1, horizon + 1)
        ]
        levels = np.concatenate([np.empty(0), *seen])
        share = self.failures_a_day / self.failed_entities if self.failed_entities else 0.0
        return Steps.of(levels, np.full(len(levels), share))

    def likely_factors(self) -> NDArray[np.float64]:
        """By what the rate of failures may differ from `failures_a_day`: 20 equally likely factors, about 1 on average.

        Of failures that happen independently of each other at an unknown rate, n in known days make that rate gamma
        distributed with shape n (the posterior from the prior 1 / rate).
        """
        from scipy.special import gammaincinv

        known = max(self.later_failures, 1)
        return np.asarray(gammaincinv(known, (np.arange(20) + 0.5) / 20) / known, dtype=np.float64)
