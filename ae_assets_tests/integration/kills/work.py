"""What the killed processes do: the real work of each asset, over a fleet whose days have two versions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.champion import load_champion
from ae_assets.chain.features import build_features
from ae_assets.chain.maintenance import maintain
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.lakehouse import Lakehouse, ModelStore, remains
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import FIRST, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=5))
DRIVES = 40
VERSIONS = (1, 2)
COMMIT_ROWS = 80
"""A range run commits every two days, as one over millions of rows does."""


@dataclass(frozen=True)
class Place:
    """Where tables and models are kept, and the folder of the sources that are loaded into them."""

    name: str
    home: Path
    sources: Path
    catalog: dict[str, str] = field(default_factory=dict)
    models: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    table: str = "fleet"

    def space(self, version: int) -> Workspace:
        """A newly opened storage whose source has this version."""
        definition = watched_table(
            str(self.sources / f"version_{version}"),
            table=self.table,
            detector={"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
            training={"horizon_days": 1, "days": 2, "max_rows": 5000},
            calibration={"embargo_days": 0, "days": 3},
        )
        return Workspace(definition, Lakehouse.open(self.home, self.catalog), ModelStore.open(self.home, self.models))


def write_sources(folder: Path) -> Path:
    """Two versions of every day: all drives have the counter of the version, and version 2 has one drive more.

    One row a day cannot be true and goes to quarantine.
    """
    for version in VERSIONS:
        for day in DAYS:
            drives = [(f"D{number:02}", 0, version) for number in range(DRIVES + version)]
            write_day(folder / f"version_{version}", day, [*drives, ("BAD", 0, -version)])
    return folder


def _train(space: Workspace) -> None:
    train(space, TrainingRange.of(DAYS[0], DAYS[1], 1))


def _maintain(space: Workspace) -> None:
    """Takes everything that is not in use for old; a file's true age cannot be waited for."""
    section = space.table.maintenance.model_copy(update={"keep_days": -30, "keep_snapshots": 1})
    shortest = remains.SHORTEST
    remains.SHORTEST = timedelta(days=-31)
    try:
        maintain(replace(space, table=space.table.model_copy(update={"maintenance": section})))
    finally:
        remains.SHORTEST = shortest


WORK: dict[str, Callable[[Workspace], object]] = {
    "raw": lambda space: list(load_raw(space, open_source(space.table.source.location), DAYS)),
    "features": lambda space: build_features(space, DAYS),
    "model": _train,
    "threshold": lambda space: calibrate_latest(space, "always"),
    "anomalies": lambda space: list(find_anomalies(space, load_champion(space), DAYS)),
    "maintenance": _maintain,
}
"""The work of each asset, in the order of the chain."""


@contextmanager
def committing_often() -> Iterator[None]:
    """Makes this process commit every `COMMIT_ROWS` rows."""
    defaults = Lakehouse.writer.__kwdefaults__
    before = defaults["commit_rows"]
    defaults["commit_rows"] = COMMIT_ROWS
    try:
        yield
    finally:
        defaults["commit_rows"] = before
