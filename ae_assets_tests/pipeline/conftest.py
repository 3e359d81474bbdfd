"""A small fleet in Dagster that tests may write to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_assets_tests.pipeline.runs import instance_in
from ae_assets_tests.pipeline.short_fleet import ShortFleet
from ae_assets_tests.standing import StandingFolder


@pytest.fixture(scope="session")
def short_fleet_folder(tmp_path_factory: pytest.TempPathFactory) -> StandingFolder:
    """Where the short fleet stands, with the instance of its runs."""

    def make(folder: Path) -> None:
        with instance_in(folder) as instance:
            ShortFleet(folder, instance).fill()

    return StandingFolder(tmp_path_factory.mktemp("short_fleet") / "fleet", make)


@pytest.fixture
def short_fleet(short_fleet_folder: StandingFolder) -> Iterator[ShortFleet]:
    """Six days of eight drives with a champion, and files of three more days that wait to be made."""
    folder = short_fleet_folder.stand()
    with instance_in(folder) as instance:
        yield ShortFleet(folder, instance)
