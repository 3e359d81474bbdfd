"""Twenty days of a small fleet in which each drive stands for one thing that a person asks about."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ae_assets.chain.workspace import Workspace
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=19))
LAST = DAYS[-1]
HEALTHY = [f"H{number:02}" for number in range(15)]
SICK, HEALED, MUTED, DYING, SILENT, LOST, TWISTED = "S1", "S2", "S3", "F1", "U1", "L1", "Q1"
SICK_SINCE, HEALED_ON, FAILED_ON, LAST_OF_LOST, TWISTED_ON = DAYS[15], LAST, DAYS[17], DAYS[10], DAYS[16]
RAISED = 41
MUTES = f"entity,until,reason\n{MUTED},2013-12-31,being replaced\n"


def raised(drive: str, day: date) -> int:
    """Reallocated sectors."""
    since: Mapping[str, date] = {SICK: SICK_SINCE, MUTED: DAYS[14], HEALED: DAYS[13], DYING: DAYS[15], LOST: DAYS[9]}
    if drive in since and day >= since[drive] and not (drive == HEALED and day >= HEALED_ON):
        return RAISED + (day - since[drive]).days * (drive == SICK)
    return int(drive[1:]) % 3


def days_of(drive: str) -> Sequence[date]:
    """The days on which a drive reports."""
    last = {DYING: FAILED_ON, LOST: LAST_OF_LOST}.get(drive, LAST)
    return [day for day in DAYS if day <= last]


def fill(folder: Path) -> Workspace:
    """Loads and judges all days in a home of their own, with a rule over reallocated and pending sectors."""
    everybody = [*HEALTHY, SICK, HEALED, MUTED, DYING, SILENT, LOST, TWISTED]
    for day in DAYS:
        drives = [drive for drive in everybody if day in days_of(drive)]
        write_day(
            folder / "source",
            day,
            [(drive, int(drive == DYING and day == FAILED_ON), 0) for drive in drives],
            model=["NVME" if drive == SILENT else "SATA" for drive in drives],
            smart_5_raw=[
                -5 if (drive, day) == (TWISTED, TWISTED_ON) else None if drive == SILENT else raised(drive, day)
                for drive in drives
            ],
            smart_197_raw=[None if drive == SILENT else 0 for drive in drives],
        )
    (folder / "mutes.csv").write_text(MUTES)
    space = storage_in(folder)
    steps.fill(space, DAYS)
    steps.fit(space, DAYS[0], DAYS[3])
    steps.judge(space, DAYS[5:])
    return space


def storage_in(folder: Path, **more: Any) -> Workspace:
    """The storage of a folder that `fill` filled."""
    settings: dict[str, Any] = {
        "training": {"horizon_days": 3, "days": 4, "max_rows": 5000},
        "calibration": {"embargo_days": 1, "days": 3},
        "detector": {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
        "decision": {"mute_list": str(folder / "mutes.csv")},
        "checks": {"window_days": 5},
        **more,
    }
    return storage_of(watched_table(str(folder / "source"), **settings), folder)
