"""A home in which the small table's whole chain has run once; tests that write make a home of their own."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from ae_assets_tests.pipeline.short_fleet import ShortFleet
from ae_assets_tests.pipeline.tables import FIRST, materialise, watched_table

LAST = FIRST + timedelta(days=59)
TRAINING = {"train_start": FIRST.isoformat(), "train_end": (FIRST + timedelta(days=29)).isoformat()}


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: raw to anomalies over all 60 days of the small fleet, trained on the first 30."""
    home = tmp_path_factory.mktemp("home")
    table = watched_table()
    for assets, days, config in (
        (("raw", "features", "quarantine"), (FIRST, LAST), None),
        (("model", "threshold"), None, {"model": TRAINING}),
        (("anomalies",), (FIRST, LAST), None),
    ):
        result = materialise(table, home, assets, days, config)
        assert result.success
    return home


@pytest.fixture
def short_fleet(tmp_path: Path) -> Iterator[ShortFleet]:
    """Six days of eight drives with a champion, and files of three more days that wait to be made."""
    with dg.instance_for_test() as instance:
        yield ShortFleet(tmp_path, instance)
