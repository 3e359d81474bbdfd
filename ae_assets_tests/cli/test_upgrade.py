"""Homes that older versions wrote, opened by this one: tables are read, days are added, or an error says what to do."""

import tarfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.cli.exit_codes import RUN_FAILED
from ae_assets.cli.instance import open_chain
from ae_assets_tests.cli.conftest import Said, command

HOMES = Path(__file__).parent.parent / "homes"
FLEET = "simulated://?drives={}&days=75&seed=7"


def unpack(name: str, drives: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home, and this process set to use it; its warehouse is relative to the working directory."""
    with tarfile.open(HOMES / f"{name}.tar.xz") as packed:
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # there since 3.11.4
        packed.extractall(folder, **options)  # noqa: S202 - homes of this repository
    home = folder / name
    monkeypatch.chdir(home)
    monkeypatch.setenv("PYICEBERG_CATALOG__AE_ASSETS__WAREHOUSE", "warehouse")
    monkeypatch.setenv("AE_ASSETS_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    monkeypatch.setenv("DRIVE_STATS_LOCATION", FLEET.format(drives))
    return home


def run_days(home: Path, drives: int, first: str, last: str) -> Said:
    return command(home, "run", "drive_stats", "--start", first, "--end", last, location=FLEET.format(drives))


def exported(home: Path, asset: str, output: Path) -> pl.DataFrame:
    said = command(
        home, "export", "drive_stats", asset, "--start", "2013-04-10", "--end", "2013-06-13", "--output", str(output)
    )
    assert said.code == 0, said.error
    return pl.read_parquet(output)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "drives", "rows", "days"),
    [
        ("40b3787", 60, 3865, (date(2013, 6, 14), date(2013, 6, 15))),
        ("1a87c5c", 40, 1879, (date(2013, 5, 27), date(2013, 5, 28))),
    ],
)
def test_an_older_home_takes_new_days_and_an_error_says_how_to_go_on_judging_them(
    name: str, drives: int, rows: int, days: tuple[date, date], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = unpack(name, drives, tmp_path, monkeypatch)
    before = exported(home, "anomalies", tmp_path / "before.parquet")
    assert before.height == rows
    said = run_days(home, drives, *map(str, days))
    assert said.code == RUN_FAILED
    with open_chain("drive_stats") as chain:
        assert len(chain.instance.get_runs()) == 5, "three runs of the older version, two of this one"
        version = chain.space.models.champion("drive_stats")
        told = " ".join(said.out.split())
        assert f"the threshold of {version} does not say on which days it was chosen" in told
        assert f"choose it again: materialise drive_stats/threshold with `version: {version}`" in told
        held = chain.space.days_of("features")
        assert min(held) == date(2013, 4, 10)
        assert list(held)[-2:] == list(days)
        chosen = chain.run(("threshold",), None, {"threshold": {"version": version}})
        assert chosen.success, chosen.failure
        judged = chain.run(("anomalies",), days)
        assert judged.success, judged.failure
        assert list(chain.space.days_of("anomalies"))[-2:] == list(days)
    after = exported(home, "anomalies", tmp_path / "after.parquet").filter(pl.col("day") < days[0])
    assert_frame_equal(after.select(before.columns), before)
