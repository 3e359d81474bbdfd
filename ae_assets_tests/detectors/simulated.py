"""The simulated fleet as windows for the baselines: healthy drives, drives before a failure, worn drives to find."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from ae_assets.detectors import Windows, windows_of
from ae_assets.features.block import features_of_block
from ae_assets.features.catalogue import feature_names
from ae_assets.features.config import FeatureConfig
from ae_assets.features.look_back import LookBack
from ae_assets.schemas.durations import DAY
from ae_assets.sources.simulated import SimulatedSource

LOCATION = "simulated://?drives=6000&days=45&seed=3"
EVERY = 3
HORIZON = timedelta(days=30)
CONFIG = FeatureConfig.model_validate(
    {
        "spans": [1, 7],
        "attributes": {
            "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors"},
            "smart_187_raw": {"kind": "counter", "meaning": "uncorrectable errors"},
            "smart_197_raw": {"kind": "counter", "meaning": "pending sectors"},
            "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
            "smart_194_raw": {"kind": "gauge", "meaning": "temperature", "low_bits": 8},
        },
    }
)
NAMES = feature_names(CONFIG)


@dataclass(frozen=True)
class SimulatedFleet:
    """Windows of one day each.

    Attributes:
        train, validation: of drives that do not fail.
        failing: of drives that fail within the horizon after the window.
        healthy: of other drives that do not fail.
        worn: of other drives, in the two weeks before their failure, with a counter that has grown in a week.
    """

    train: Windows
    validation: Windows
    failing: Windows
    healthy: Windows
    worn: Windows


def simulated_fleet() -> SimulatedFleet:
    """Half of the drives to learn from, half to be scored."""
    days, look_back, failures = [], LookBack(CONFIG), []
    source = SimulatedSource(LOCATION)
    for number, (day, listed) in enumerate(source.days().items()):
        rows = source.read(listed).rename(
            {"date": "day", "serial_number": "entity", "model": "cohort", "failure": "label"}
        )
        look_back.push(rows)
        failures.append(rows.filter(pl.col("label") == 1).select("entity", failed="day"))
        if number > CONFIG.look_back_days and number % EVERY == 0:
            days.append(features_of_block(look_back.history(day), day, CONFIG))
    table = pl.concat(days).join(pl.concat(failures), on="entity", how="left")
    learns, validates = pl.col("entity").hash(1) % 2 == 0, pl.col("entity").hash(2) % 10 == 0
    ahead = pl.col("failed") - pl.col("day")
    lives = pl.col("failed").is_null()
    grown = pl.any_horizontal(pl.col(name) > 1 for name in NAMES if name.endswith("growth_7d"))
    near = (ahead > timedelta(0)) & (ahead <= timedelta(days=14))

    def where(condition: pl.Expr) -> Windows:
        return windows_of(table, NAMES, 1 * DAY, where=table.select(condition).to_series())

    return SimulatedFleet(
        train=where(learns & lives & ~validates),
        validation=where(learns & lives & validates),
        failing=where(learns & (ahead > timedelta(0)) & (ahead <= HORIZON)),
        healthy=where(~learns & lives),
        worn=where(~learns & near & grown),
    )
