"""Fixtures shared by all rooms: where the published drive stats lie, and how a test says that it needs them."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import absl.logging
import hypothesis
import pytest
import sqlalchemy
from xdist.scheduler import LoadFileScheduling

from ae_assets.schemas.periods import DAILY
from ae_assets_tests import mlflow_server as mlflow

# Keras logs through absl, whose handler keeps the sys.stderr of its import (pytest's capture) and closes it when
# Dagster sets up logging while a command runs with another sys.stderr. The real one it leaves open.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

# A busy machine makes no test fail; where CI is set, hypothesis has no deadline of its own accord.
if "CI" not in os.environ:
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")

OF_MLFLOW = ("integration/test_mlflow.py", "lakehouse/test_registry.py")

REPOSITORY = Path(__file__).resolve().parent.parent


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
def do_not_wait_for_the_disk(connection: object, _: object) -> None:
    """No test takes the power away: what the operating system holds is safe from all that tests do to processes."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def pytest_configure(config: pytest.Config) -> None:
    """What was compiled once is read by other processes, which inherit the environment, and by the next test run."""
    if config.cache is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("compiled")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


class FilesAndCommands(LoadFileScheduling):
    """Which tests one of several processes runs: those of a file, or all that share what takes long to make.

    Commands share one demo, what needs MLflow a server and the import of it, and what is served a fleet and its server.
    """

    def _split_scope(self, nodeid: str) -> str:
        for room in ("cli", "serving"):
            if nodeid.startswith(f"ae_assets_tests/{room}/"):
                return room
        return "mlflow" if nodeid.split("::", maxsplit=1)[0].endswith(OF_MLFLOW) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FilesAndCommands:
    """Whichever ``--dist`` is asked for."""
    return FilesAndCommands(config, log)


def real_data(name: str) -> Path:
    """Path of a published data file, or skips the calling test where the files are not on this machine.

    Args:
        name: path below the data folder, e.g. ``"drive_stats/data_2013.zip"``.
    """
    folder = Path(os.environ.get("AE_ASSETS_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"the published data file {name} is not below {folder}; set AE_ASSETS_REAL_DATA to its folder")
    return path


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: the small table's chain over all its days, trained on the first 30."""
    from ae_assets_tests.chain import steps, tables

    home = tmp_path_factory.mktemp("home")
    space = tables.storage_of(tables.watched_table(), home)
    days = DAILY.range(tables.FIRST, tables.LAST)
    steps.fill(space, days)
    steps.fit(space, days[0], days[29])
    steps.judge(space, days)
    return home


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mlflow.MlflowServer]:
    """MLflow's REST server, which a module's `importing_mlflow` has to come before."""
    with mlflow.running(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="module")
def importing_mlflow() -> Iterator[None]:
    """This process can import MLflow, and has its user and password."""
    with mlflow.mlflow_importable():
        yield
