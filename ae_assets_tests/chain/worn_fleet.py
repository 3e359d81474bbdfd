"""A fleet whose wear precedes failures, as a frame in the place of the lakehouse: seconds to fit, known to the day."""

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl

from ae_assets.chain.workspace import Workspace
from ae_assets.features.catalogue import feature_names
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.tables import watched_table
from benchmarks.feature_frame import storage_over

DEVICES, FAILING, DAYS, HORIZON = 1200, 300, 90, 10
START = date(2024, 1, 1)
LAST = START + timedelta(days=DAYS - 1)


@cache
def table() -> WatchedTable:
    return watched_table(
        features={
            "spans": [7],
            "attributes": {
                "smart_5_raw": {"kind": "counter", "meaning": "bad sectors", "transforms": ["level", "growth"]},
                "smart_194_raw": {"kind": "gauge", "meaning": "temperature", "transforms": ["level"]},
                "smart_9_raw": {"kind": "age", "meaning": "hours", "transforms": ["level"]},
            },
        },
        training={"horizon_days": HORIZON, "days": 40, "max_rows": 1_000_000},
        checks={"window_days": HORIZON},
    )


@cache
def fleet() -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Features (devices, days) by name, and the day of failure (devices,), -1 where there is none.

    In the 8 days before a failure most devices wear; hours and temperature tell devices apart, so that a fit can learn
    them by heart.
    """
    random = np.random.default_rng(11)
    failed = np.full(DEVICES, -1)
    failed[:FAILING] = random.integers(0, DAYS, FAILING)
    day = np.arange(DAYS)
    ahead = failed[:, None] - day
    wears = (random.random(DEVICES) < 0.8)[:, None] & (failed >= 0)[:, None] & (ahead >= 0) & (ahead <= 8)
    worn = np.where(wears, random.uniform(1, 5, (DEVICES, DAYS)), 0) + random.exponential(0.1, (DEVICES, DAYS))
    columns = {
        "smart_5_level": worn,
        "smart_5_growth_7d": worn - np.roll(worn, 7, axis=1),
        "smart_194_level": random.normal(30, 5, (DEVICES, 1)) + random.normal(0, 0.05, (DEVICES, DAYS)),
        "smart_9_level": np.log1p(random.uniform(1e3, 3e4, (DEVICES, 1)) + day),
    }
    nothing = np.zeros((DEVICES, DAYS))
    return {name: columns.get(name, nothing) for name in feature_names(table().features)}, failed


def storage_of(features: Mapping[str, np.ndarray], failed: np.ndarray) -> Workspace:
    entity, day = (axis.ravel() for axis in np.mgrid[:DEVICES, :DAYS])
    frame = pl.DataFrame(
        {
            "day": pl.Series(DAILY.range(START, LAST)).gather(day),
            "entity": pl.Series([f"D{number:04}" for number in range(DEVICES)]).gather(entity),
            "cohort": pl.repeat("M", len(day), eager=True),
            "label": pl.Series((failed[entity] == day).astype(np.int8)),
            **{name: values.ravel().astype(np.float32) for name, values in features.items()},
        }
    )
    return storage_over(frame.lazy(), table())
