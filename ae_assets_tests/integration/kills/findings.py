"""What is found after a kill: half days, doubled rows, champions without a model, catalogs that do not open."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from datetime import date

import polars as pl

from ae_assets.chain import Workspace
from ae_assets.chain.champion import load_version
from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT, FEATURES, QUARANTINE, RAW
from ae_assets.errors import AeAssetsError
from ae_assets_tests.chain.ledgers import hold_what_raw_says
from ae_assets_tests.integration.kills.work import DAYS, DRIVES, VERSIONS, WORK, Place

TABLES = (*DAILY_INPUT, ANOMALIES)
_MAKER = {RAW: RAW, FEATURES: FEATURES, QUARANTINE: FEATURES, ANOMALIES: ANOMALIES}
_NONE, _BROKEN = 0, -1
"""Versions of a day without rows, and of one whose rows are not those of a version."""


@dataclass
class Found:
    """What one trial left behind."""

    asset: str = ""
    phase: str = ""
    """The last step of a write that the process reached."""
    committed: str = "nothing"
    """What of the asset's new state was in view: nothing, part of its days, or all."""
    half_days: int = 0
    """Days that are not wholly of the version before or wholly of the new one."""
    doubled_rows: int = 0
    orphaned_champions: int = 0
    closed_catalogs: int = 0
    unpaired_days: int = 0
    """Days with new features beside an old quarantine."""
    stale_lives: int = 0
    """Looks at which ledger or lives did not say what raw holds."""
    failed_reruns: int = 0
    words: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """All findings together."""
        return sum(getattr(self, name) for name in FAULTS)


FAULTS = tuple(each.name for each in fields(Found) if each.type == "int" or each.type is int)


@dataclass(frozen=True)
class Models:
    """The model store before a trial."""

    champion: str | None
    versions: int

    @classmethod
    def of(cls, space: Workspace) -> "Models":
        table = space.table.table
        return cls(space.models.champion(table), len(space.models.versions(table)))


def inspect(place: Place, found: Found, old: int, new: int, before: Models) -> None:
    """Looks at everything with a newly opened catalog, while the asset may hold days of both versions."""
    space, asset = place.space(new), found.asset
    try:
        held = {name: space.days_of(name) for name in TABLES}
    except AeAssetsError as error:
        found.closed_catalogs += 1
        found.words.append(f"{asset}: {error}")
        return
    order = list(WORK)
    stored: dict[str, dict[date, int]] = {}
    for name in TABLES:
        allowed = {new} if order.index(_MAKER[name]) < order.index(asset) else {old}
        if _MAKER[name] == asset:
            allowed = {old, new}
        stored[name] = {day: _look(space, name, day, held[name].get(day, 0), allowed, found) for day in DAYS}
    if asset == RAW and held[RAW]:
        _look_at_lives(space, found)
    if asset == FEATURES:
        found.unpaired_days += sum(stored[FEATURES][day] == new != stored[QUARANTINE][day] for day in DAYS)
    _look_at_models(space, found)
    found.committed = _committed(asset, stored, old, new, before, Models.of(space))
    if asset == "maintenance":
        found.committed = {"began": "nothing", "done": "all"}.get(found.phase, "part")


def _look_at_lives(space: Workspace, found: Found) -> None:
    try:
        hold_what_raw_says(space, DAYS)
    except (AeAssetsError, AssertionError) as error:
        found.stale_lives += 1
        found.words.append(f"lives: {error}")


def _look(space: Workspace, name: str, day: date, rows: int, allowed: Collection[int], found: Found) -> int:
    """The version of a day; adds to the findings if it is none that is allowed."""
    version = _NONE
    if rows:
        frame = space.read(name, day, day)
        keys = {RAW: "serial_number", QUARANTINE: "source_row"}.get(name, "entity")
        found.doubled_rows += frame.height - frame[keys].n_unique()
        version = _version(name, frame)
    if version not in allowed:
        found.half_days += 1
        found.words.append(f"{name} {day} has {rows} rows and version {version}; allowed: {sorted(allowed)}")
    return version


def _version(name: str, rows: pl.DataFrame) -> int:
    """Which version all rows are of."""
    if name == QUARANTINE:
        return -int(rows["value"][0]) if rows.height == 1 else _BROKEN
    good = rows.filter(pl.col("serial_number") != "BAD") if name == RAW else rows
    marker = {RAW: "smart_5_raw", FEATURES: "smart_5_level", ANOMALIES: "model_version"}[name]
    version = good.height - DRIVES
    if version not in VERSIONS or good[marker].n_unique() != 1 or rows.height - good.height != (name == RAW):
        return _BROKEN
    return version if name != RAW or good[marker][0] == version else _BROKEN


def _look_at_models(space: Workspace, found: Found) -> None:
    """The champion is a complete version with a threshold, and the versions that are seen can be loaded."""
    from ae_assets.detectors import load_detector

    table = space.table.table
    try:
        champion = space.models.champion(table)
        if champion is not None:
            load_version(space, champion)
        for version in space.models.versions(table)[-2:]:
            load_detector(space.models.path(table, version))
    except (AeAssetsError, ValueError, OSError) as error:
        found.orphaned_champions += 1
        found.words.append(f"champion: {error}")


def _committed(
    asset: str, stored: dict[str, dict[date, int]], old: int, new: int, before: Models, after: Models
) -> str:
    if asset == "model":
        return "all" if after.versions > before.versions else "nothing"
    if asset == "threshold":
        return "all" if after.champion != before.champion else "nothing"
    versions = {version for name in TABLES if _MAKER[name] == asset for version in stored[name].values()}
    return {frozenset({old}): "nothing", frozenset({new}): "all"}.get(frozenset(versions), "part")


def run_again(place: Place, found: Found, old: int, new: int) -> None:
    """Runs the asset to its end; afterwards it holds exactly the new version, and raw = features + quarantine."""
    space, asset = place.space(new), found.asset
    before = Models.of(space)
    try:
        WORK[asset](space)
    except AeAssetsError as error:
        found.failed_reruns += 1
        found.words.append(f"{asset} again: {error}")
        return
    after = Found(asset, phase="done")
    inspect(place, after, old, new, before)
    conserved = True
    if asset == FEATURES:
        raw, features, quarantine = (space.days_of(name) for name in DAILY_INPUT)
        conserved = raw == {day: features[day] + quarantine[day] for day in DAYS}
    if asset == "threshold":
        after.committed = "all" if space.models.champion(place.table) == _newest(space) else "nothing"
    if after.faults or not conserved or after.committed != "all":
        found.failed_reruns += 1
        found.words.append(f"{asset} again: {after}, rows conserved: {conserved}")


def _newest(space: Workspace) -> str:
    return space.models.versions(space.table.table)[-1]


def total(founds: Iterable[Found]) -> Counter[str]:
    """How many trials, what was committed, and how often each fault was found."""
    counts: Counter[str] = Counter()
    for found in founds:
        counts["trials"] += 1
        counts[found.committed] += 1
        counts.update({name: getattr(found, name) for name in FAULTS})
    return counts
