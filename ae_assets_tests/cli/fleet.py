"""A small watched table with a champion in a home of its own, which commands find and whose YAML tests change."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.cli import instance
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.cli.conftest import Said, command
from ae_assets_tests.pipeline.runs import definitions_of

RULE = {"type": "counter_rule", "features": ["smart_5_level"]}
UNMOVED = {"window_days": 10, "max_feature_drift": 1000}
"""Twenty drives of one age grow old together, which is not looked at here."""
DAYS = DAILY.range(FIRST, FIRST + timedelta(days=29))
NEWEST = ("--start", str(DAYS[-2]), "--end", str(DAYS[-1]))
TRAINED = TrainingRange.of(DAYS[0], DAYS[7], 10)


def table_in(home: Path, **sections: Any) -> WatchedTable:
    """The table whose source is in its home; sections of the YAML may be others."""
    return watched_table(str(home / "source"), **{"detector": RULE, "checks": UNMOVED, **sections})


def fill_home(home: Path) -> None:
    """Thirty days of twenty drives, features and a champion."""
    for day in DAYS:
        write_day(home / "source", day, [(f"D{drive:02}", 0, drive) for drive in range(20)])
    space = storage_of(table_in(home), home)
    fill(space, DAYS)
    train(space, TRAINED)
    calibrate_latest(space)


class Fleet:
    """A home with a champion, and the YAML that the commands find, which tests change."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self.space = self.with_yaml()

    def with_yaml(self, **sections: Any) -> Workspace:
        """Changes sections of the YAML."""
        table = table_in(self.home, **sections)
        self._monkeypatch.setattr(
            instance, "load_table", lambda _: instance.Loaded(definitions_of(table, self.home), table)
        )
        self.space = storage_of(table, self.home)
        return self.space

    def says(self, *arguments: str) -> Said:
        return command(self.home, *arguments)

    def runs(self) -> int:
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as recorded:
            return len(recorded.get_runs())
