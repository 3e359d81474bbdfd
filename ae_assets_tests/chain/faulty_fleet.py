"""Days of a small fleet with every fault that features have to bear, for what engines make of them alike."""

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ae_assets.chain import Workspace
from ae_assets.lakehouse import Lakehouse
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=13))
DRIVES = 30
ALL_SET_ASIDE, MISSING = DAYS[8], DAYS[5]
ASKED = DAYS[3:]


def faulty_fleet(folder: Path, tables: Lakehouse | None = None, seed: int = 0) -> Workspace:
    """Raw rows of the fleet, in a home or in the tables given.

    Drives come and go; a day is missing, of another no row can be true, and the first day of all has no valid row of a
    cohort. Single rows are repeated, negative or without a serial number, and one cell cannot be read.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    table = watched_table(str(folder / "source"), checks={"window_days": 10, "max_share_set_aside": 0.5})
    space = storage_of(table, folder / "home")
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
