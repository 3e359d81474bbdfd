"""The commands in this process, and one home in which the demo has run over a small fleet."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ae_assets.chain import Workspace
from ae_assets.cli import main
from ae_assets.cli.instance import load_table
from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets_tests.standing import StandingFolder

if TYPE_CHECKING:
    from ae_assets_tests.cli.fleet import Fleet

FLEET = "simulated://?drives=120&days=120&seed=6"
FIRST, LAST = date(2013, 4, 10), date(2013, 8, 7)
SEEN_UNTIL = FIRST + timedelta(days=89)


@dataclass(frozen=True)
class Said:
    """What a command did."""

    code: int
    out: str
    error: str


def command(home: Path, *arguments: str, location: str = FLEET) -> Said:
    """Runs ``ae-assets ARGUMENTS`` in this process."""
    settings = {
        "AE_ASSETS_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DRIVE_STATS_LOCATION": location,
    }
    result = CliRunner().invoke(main, list(arguments), env=settings, prog_name="ae-assets")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return Said(result.exit_code, result.stdout, result.stderr)


def storage_of(home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The tables of drive stats in a home."""
    monkeypatch.setenv("DRIVE_STATS_LOCATION", FLEET)
    return Workspace(load_table("drive_stats")[1], Lakehouse.open(home, None), ModelStore.open(home))


@dataclass(frozen=True)
class Demo:
    """The home of a finished demo and what it said."""

    home: Path
    said: Said


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Read-only: tests that write into a home make their own."""
    home = tmp_path_factory.mktemp("demo") / "home"
    return Demo(home, command(home, "demo"))


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[..., Said]:
    """Runs a command in a fresh home of its own."""
    return lambda *arguments, **settings: command(tmp_path / "home", *arguments, **settings)


@pytest.fixture(scope="session")
def fleet_home(tmp_path_factory: pytest.TempPathFactory) -> StandingFolder:
    """Where the home of the small table stands."""
    from ae_assets_tests.cli.fleet import fill_home

    return StandingFolder(tmp_path_factory.mktemp("fleet") / "home", fill_home)


@pytest.fixture
def fleet(fleet_home: StandingFolder, monkeypatch: pytest.MonkeyPatch) -> "Fleet":
    """A small table with a champion, in a home of its own."""
    from ae_assets_tests.cli.fleet import Fleet

    return Fleet(fleet_home.stand(), monkeypatch)
