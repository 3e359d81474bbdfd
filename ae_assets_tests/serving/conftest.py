"""One project for all tests of serving, and a server of it for those that leave it as it is."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.workspace import ANOMALIES, RAW
from ae_assets_tests.chain.tables import storage_of, watched_table
from ae_assets_tests.serving import server
from ae_assets_tests.serving.server import COLUMNS, DAYS, LOCATION, SECTIONS, Running


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only."""
    folder = tmp_path_factory.mktemp("served")
    server.make_project(folder)
    return folder


@pytest.fixture
def own_project(project: Path, tmp_path: Path) -> Path:
    """One whose champion a test changes; its tables are those of the other, and are not read."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("catalog.db", "warehouse"))
    return folder


@pytest.fixture(scope="session")
def space(project: Path) -> Workspace:
    return storage_of(watched_table(LOCATION, **SECTIONS), project / "home")


@pytest.fixture(scope="session")
def raw(space: Workspace) -> pl.DataFrame:
    return space.read(RAW, DAYS[0], DAYS[-1], COLUMNS)


@pytest.fixture(scope="session")
def stored(space: Workspace) -> pl.DataFrame:
    return space.read(ANOMALIES, DAYS[0], DAYS[-1])


@pytest.fixture(scope="session")
def running(project: Path) -> Iterator[Running]:
    """A server that answers all tests alike."""
    one = server.started(project, slow_seconds="2")
    yield one
    assert one.stop() == 0, one.log
