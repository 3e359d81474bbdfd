"""``ae-assets score``: the decisions of the daily assets on raw rows that no lakehouse holds."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain.workspace import ANOMALIES
from ae_assets.cli.exit_codes import CHECK_FAILED, DONE, RUN_FAILED, WRONG_USE
from ae_assets.sources import open_source
from ae_assets_tests.cli.conftest import FLEET, LAST, Demo, Said, command, storage_of

DAYS = [LAST - timedelta(days=back) for back in (2, 1, 0)]
EPISODES = ["episode", "episode_start", "streak_days", "clear_days", "is_new"]


@pytest.fixture
def stored(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    rows = storage_of(demo.home, monkeypatch).read(ANOMALIES, DAYS[0], DAYS[-1])
    return rows.sort("day", "entity")


def write_csv(rows: pl.DataFrame, path: Path) -> None:
    rows.drop("source_row", "rescued").write_csv(path)


def scored(home: Path, output: Path, *options: str, location: str = FLEET) -> Said:
    days = ("--start", str(DAYS[0]), "--end", str(DAYS[-1]))
    return command(home, "score", "drive_stats", location, *days, "--output", str(output), *options)


def test_a_source_is_scored_as_the_daily_assets_score_it(demo: Demo, tmp_path: Path, stored: pl.DataFrame) -> None:
    said = scored(demo.home, tmp_path / "decisions.parquet")
    assert said.code == DONE, said.out + said.error
    decisions = pl.read_parquet(tmp_path / "decisions.parquet").sort("day", "entity")
    assert decisions.columns == stored.columns
    assert_frame_equal(decisions.drop(EPISODES), stored.drop(EPISODES), check_exact=True)
    assert f"{stored['is_anomaly'].sum()} alarms" in said.out


def test_files_and_a_stored_model_need_neither_lakehouse_nor_champion(
    demo: Demo, tmp_path: Path, stored: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = storage_of(demo.home, monkeypatch)
    version = space.models.champion("drive_stats")
    assert version is not None
    model = shutil.copytree(space.models.path("drive_stats", version), tmp_path / "model")
    (tmp_path / "days").mkdir()
    fleet = open_source(FLEET)
    listed = fleet.days()
    for day in sorted(listed)[-50:]:
        write_csv(fleet.read(listed[day]), tmp_path / "days" / f"{day}.csv")
    output = tmp_path / "decisions.csv"
    said = scored(tmp_path / "nothing", output, "--model", str(model), location=str(tmp_path / "days"))
    assert said.code == DONE, said.out + said.error
    assert not (tmp_path / "nothing").exists()
    decisions = pl.read_csv(output, try_parse_dates=True).sort("day", "entity")
    assert_frame_equal(
        decisions.select("day", "entity", "score", "is_anomaly"), stored.select("day", "entity", "score", "is_anomaly")
    )


def test_a_file_that_cannot_be_read_fails_its_day_alone(demo: Demo, tmp_path: Path) -> None:
    fleet = open_source(FLEET)
    listed = fleet.days()
    for day in DAYS:
        write_csv(fleet.read(listed[day]), tmp_path / f"{day}.csv")
    (tmp_path / f"{DAYS[1]}.csv").write_bytes(b"")
    output = tmp_path / "decisions.parquet"
    said = scored(demo.home, output, location=str(tmp_path))
    assert said.code == RUN_FAILED
    assert f"failed: {DAYS[1]}" in said.out
    assert pl.read_parquet(output)["day"].unique().sort().to_list() == [DAYS[0], DAYS[2]]


def test_a_day_that_is_only_looked_back_on_fails_too_if_it_cannot_be_read(demo: Demo, tmp_path: Path) -> None:
    fleet = open_source(FLEET)
    listed = fleet.days()
    (tmp_path / f"{DAYS[0] - timedelta(days=1)}.csv").write_bytes(b"")
    for day in DAYS:
        write_csv(fleet.read(listed[day]), tmp_path / f"{day}.csv")
    output = tmp_path / "decisions.parquet"
    said = scored(demo.home, output, location=str(tmp_path))
    assert said.code == RUN_FAILED
    assert f"failed: {DAYS[0] - timedelta(days=1)}" in said.out
    assert f"rows of {len(DAYS)} days" in said.out
    assert pl.read_parquet(output)["day"].unique().sort().to_list() == DAYS


def test_nothing_is_decided_on_a_day_that_a_check_would_hold_back(demo: Demo, tmp_path: Path) -> None:
    fleet = open_source(FLEET)
    listed = fleet.days()
    for day in DAYS:
        rows = fleet.read(listed[day])
        if day == DAYS[1]:
            rows = rows.with_columns(failure=pl.when(pl.int_range(pl.len()) < 60).then(7).otherwise("failure"))
        write_csv(rows, tmp_path / f"{day}.csv")
    output = tmp_path / "decisions.parquet"
    said = scored(demo.home, output, location=str(tmp_path))
    assert said.code == CHECK_FAILED
    assert f"held back: {DAYS[1]}" in said.out
    assert "60 rows set aside" in said.out
    assert pl.read_parquet(output)["day"].unique().sort().to_list() == [DAYS[0], DAYS[2]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--output", "decisions.txt"), "use .parquet or .csv"),
        (("--output", "d.csv", "--start", "2001-01-01", "--end", "2001-01-02"), "none lies between 2001-01-01"),
        (("--output", "d.csv", "--model", "."), "expected the folder of a version"),
    ],
)
def test_wrong_use_says_what_to_do(
    run_in: Callable[..., Said], demo: Demo, options: tuple[str, ...], says: str
) -> None:
    said = command(demo.home, "score", "drive_stats", FLEET, *options)
    assert said.code in {WRONG_USE, RUN_FAILED}
    assert says in said.error
