"""Days of a small fleet with every fault that features have to bear, for what engines make of them alike."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from ae_assets.chain import Workspace
from ae_assets.chain.features import build_features
from ae_assets.chain.workspace import FEATURES
from ae_assets.lakehouse import Lakehouse
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=13))
DRIVES = 30
ALL_SET_ASIDE, MISSING = DAYS[8], DAYS[5]
ASKED = DAYS[3:]


def faulty_fleet(folder: Path, tables: Lakehouse | None = None, seed: int = 0, **sections: Any) -> Workspace:
    """Raw rows of the fleet, in a home or in the tables given; further sections of the YAML say what judges them.

    Drives come and go; a day is missing, of another no row can be true, and the first day of all has no valid row of a
    cohort. Single rows are repeated, negative or without a serial number, and one cell cannot be read.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    space = _storage(folder, sections)
    space = space if tables is None else replace(space, tables=tables)
    for number, day in enumerate(DAYS):
        if day == MISSING:
            continue
        drives = [(f"D{drive:03}", 0, drive + number * (drive % 3)) for drive in range(DRIVES) if rng.random() < 0.9]
        if day == ALL_SET_ASIDE:
            drives = [(name, 0, -1) for name, _, _ in drives]
        else:
            drives += [drives[0], ("", 0, 1), (f"X{number:03}", 0, -4), (f"Y{number:03}", int(number > 9), 3)]
        models = [f"M{index % 3}" for index in range(len(drives))]
        temperatures = [rng.choice([25, 31, None, 70_000]) for _ in drives]
        write_day(folder / "source", day, drives, model=models, smart_194_raw=temperatures)
    steps.load(space, [day for day in DAYS if day != MISSING])
    return space


MUTES = "mutes.csv"
FITTED = DAYS[:2]
OTHER_SETTINGS, REPEATED = DAYS[7], DAYS[12]
JUDGED, JUDGED_BEFORE = DAYS[6:], DAYS[3:5]
DETECTORS: dict[str, dict[str, Any]] = {
    "a network and a budget of alarms": {
        "detector": {
            "type": "dense_autoencoder",
            "units": [8, 2, 8],
            "epochs": 300,
            "learning_rate": 0.02,
            "patience": 5,
        },
        "threshold": {"policy": "alarm_budget", "alarms_a_day": 2},
    },
    "windows, aggregation and a hold": {
        "detector": {
            "type": "lstm_autoencoder",
            "window": "2d",
            "encoder_units": [4],
            "decoder_units": [4],
            "epochs": 300,
            "learning_rate": 0.02,
            "patience": 5,
        },
        "threshold": {"policy": "percentile", "percentile": 80},
        "decision": {
            "aggregation": {"method": "mean", "span": 2},
            "episodes": {"alarms": 2, "within": 3, "clear_after": 2, "hold": "2d"},
        },
    },
}
"""Sections of the YAML, by what they are there for."""


def judged_fleet(folder: Path, how: str, tables: Lakehouse | None = None) -> Workspace:
    """The fleet with features, a champion and the anomalies of the two days before those that are to be judged.

    The features of a day were made by other settings, and those of another one hold a device twice. A drive and a
    model are muted.
    """
    mutes = "entity,cohort,until,reason\nD001,,2013-04-19,being replaced\n,M2,2013-04-20,recalled\n"
    (folder / MUTES).write_text(mutes)
    space = faulty_fleet(folder, tables, **_sections(folder, how))
    build_features(space, DAYS)
    steps.fit(space, *FITTED)
    steps.judge(space, JUDGED_BEFORE)
    attributes = {**space.table.features.attributes}
    attributes["smart_5_raw"] = attributes["smart_5_raw"].model_copy(update={"cap": 1.0})
    features = space.table.features.model_copy(update={"attributes": attributes})
    build_features(replace(space, table=space.table.model_copy(update={"features": features})), [OTHER_SETTINGS])
    rows = space.read(FEATURES, REPEATED, REPEATED)
    with space.writer(FEATURES) as writer:
        writer.write(REPEATED, pl.concat([rows, rows[:1]]))
    return space


def opened(folder: Path, how: str) -> Workspace:
    """The storage of a fleet that was judged, in a home."""
    return _storage(folder, _sections(folder, how))


def _sections(folder: Path, how: str) -> dict[str, Any]:
    own = DETECTORS[how]
    decision = {**own.get("decision", {}), "mute_list": str(folder / MUTES)}
    short = {"training": {"horizon_days": 1, "days": 2}, "calibration": {"embargo_days": 1, "days": 2}}
    return {**short, **own, "decision": decision}


def _storage(folder: Path, sections: Mapping[str, Any]) -> Workspace:
    checks = {"window_days": 10, "max_share_set_aside": 0.5}
    return storage_of(watched_table(str(folder / "source"), checks=checks, **sections), folder / "home")
