"""Calibration scores for the tests of this folder."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from ae_assets.thresholds.threshold import Threshold

START = date(2024, 1, 1)


def calibration_of(scores: Sequence[float]) -> pl.DataFrame:
    """One row per score, ten rows to an entity."""
    return pl.DataFrame(
        {
            "day": [START + timedelta(days=position % 10) for position in range(len(scores))],
            "entity": [f"drive-{position // 10}" for position in range(len(scores))],
            "cohort": ["model"] * len(scores),
            "score": list(scores),
        },
        schema_overrides={"score": pl.Float64},
    )


def panel_of(scores: NDArray[np.float64], first: date = START, name: str = "drive") -> pl.DataFrame:
    """`day, entity, cohort, score` of an array (entities, days)."""
    entities, days = scores.shape
    return pl.DataFrame(
        {
            "day": [first + timedelta(days=day) for day in range(days)] * entities,
            "entity": np.repeat([f"{name}-{number:05}" for number in range(entities)], days),
            "cohort": ["model"] * scores.size,
            "score": scores.ravel(),
        }
    )


def failing_of(scores: NDArray[np.float64], last: date, name: str = "failed") -> pl.DataFrame:
    """As `panel_of` with `fails_in`: the entities have these scores on the days up to `last` and fail the day after."""
    entities, days = scores.shape
    countdown = list(range(days, 0, -1)) * entities
    return panel_of(scores, last - timedelta(days=days - 1), name).with_columns(
        fails_in=pl.Series(countdown, dtype=pl.Int64)
    )


def with_failures(healthy: pl.DataFrame, failing: pl.DataFrame) -> pl.DataFrame:
    """Healthy and failing entities in one calibration frame."""
    return pl.concat(
        [healthy.with_columns(fails_in=pl.lit(None, dtype=pl.Int64)), failing.select(*healthy.columns, "fails_in")]
    )


def autoregressive(entities: int, days: int, seed: int, *, memory: float, spread: float = 0.0) -> NDArray[np.float64]:
    """Stationary AR(1) scores (entities, days) with standard normal margins, each entity about a level of its own.

    Args:
        entities: rows.
        days: columns.
        seed: of the random numbers.
        memory: correlation of one day's deviation with the next one's.
        spread: share of the variance that lies between entities, in [0, 1).
    """
    generator = np.random.default_rng(seed)
    shocks = generator.normal(size=(entities, days))
    deviation = np.empty((entities, days))
    deviation[:, 0] = shocks[:, 0]
    for day in range(1, days):
        deviation[:, day] = memory * deviation[:, day - 1] + np.sqrt(1 - memory**2) * shocks[:, day]
    level = generator.normal(size=(entities, 1))
    return np.asarray(np.sqrt(spread) * level + np.sqrt(1 - spread) * deviation)


def cut_of_day(threshold: Threshold, scores: ArrayLike) -> float:
    """The cut of one day with these scores; the fitted one without any."""
    values = pl.Series(np.asarray(scores, np.float64))
    keys = pl.DataFrame({"day": pl.repeat(date(2024, 1, 1), len(values), eager=True)})
    cuts: list[float] = threshold.cuts(keys, values).unique().to_list()
    return cuts[0] if cuts else threshold.cut


def severity_of(threshold: Threshold, scores: ArrayLike) -> NDArray[np.float64]:
    """The severity of scores, none of them unknown."""
    return threshold.severity(pl.Series(np.atleast_1d(np.asarray(scores, np.float64)))).to_numpy()
