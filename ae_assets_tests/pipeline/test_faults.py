"""Bad input, killed processes and two runs at once, through the whole path: nothing is lost, halved or doubled."""

import json
import multiprocessing
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.champion import load_champion
from ae_assets.chain.features import build_features
from ae_assets.chain.lives import failures_in
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import DAILY_INPUT
from ae_assets.lakehouse import Lakehouse
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.ledgers import hold_what_raw_says
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.pipeline.runs import check_of, failure_of, materialise
from ae_assets_tests.sources.files import write_zip

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=7))
DAY = DAYS[0]
RULE = {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]}
DRIVES, COMMIT_ROWS = 40, 60


def version_of(folder: Path, version: int) -> str:
    """A source whose drives all have this counter; version 2 has one drive more. One row a day cannot be true."""
    for day in DAYS:
        drives = [(f"D{number:02}", 0, version) for number in range(DRIVES + version)]
        write_day(folder / f"version_{version}", day, [*drives, ("BAD", 0, -version)])
    return str(folder / f"version_{version}")


def run_all(space: Workspace, source: str) -> None:
    """Raw, features and anomalies of all days."""
    list(load_raw(space, open_source(source), DAYS))
    build_features(space, DAYS)
    list(find_anomalies(space, load_champion(space), DAYS))


def commit_often() -> None:
    """A range run commits every few days, as one over millions of rows does."""
    Lakehouse.writer.__kwdefaults__["commit_rows"] = COMMIT_ROWS


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Lakehouse.writer.__kwdefaults__, "commit_rows", COMMIT_ROWS)


def versions_of_days(space: Workspace, asset: str) -> dict[date, int]:
    """Which version each stored day is of; fails where a day is not wholly of one."""
    days: dict[date, int] = {}
    for day in space.days_of(asset):
        rows = space.read(asset, day, day)
        drives = "serial_number" if asset == "raw" else "entity"
        assert rows[drives].is_unique().all(), f"{asset} {day} has a drive twice"
        good = rows.filter(pl.col(drives) != "BAD")
        if asset == "quarantine":
            assert rows.height == 1
            days[day] = -int(rows["value"][0])
            continue
        days[day] = good.height - DRIVES
        assert days[day] in {1, 2}, f"{asset} {day} holds {good.height} drives"
        assert rows.height - good.height == (asset == "raw")
        if asset == "raw":
            assert good["smart_5_raw"].unique().to_list() == [days[day]]
    return days


def whole(space: Workspace, version: int) -> None:
    """Every table holds every day, wholly of one version, and no row is lost or doubled."""
    for asset in ("raw", "features", "quarantine", "anomalies"):
        assert versions_of_days(space, asset) == dict.fromkeys(DAYS, version), asset
    raw, features, quarantine = (space.days_of(asset) for asset in DAILY_INPUT)
    assert raw == {day: features[day] + quarantine[day] for day in DAYS}
    assert space.days_of("anomalies") == features
    hold_what_raw_says(space)


def worn(home: Path, source: str) -> Workspace:
    """A home with a champion that needs no training, and nothing else that these tests look at."""
    sections = {
        "training": {"horizon_days": 1, "days": 2, "max_rows": 5000},
        "calibration": {"embargo_days": 0, "days": 3},
    }
    space = storage_of(watched_table(source, detector=RULE, **sections), home)
    list(load_raw(space, open_source(source), DAYS))
    build_features(space, DAYS)
    train(space, TrainingRange.of(DAYS[0], DAYS[1], 1))
    calibrate_latest(space)
    return space


REPEAT_FOREVER = """
import sys
from pathlib import Path
from ae_assets_tests.pipeline import test_faults
from ae_assets_tests.chain.tables import storage_of, watched_table

home, *sources = sys.argv[1:]
test_faults.commit_often()
storages = [storage_of(watched_table(source, detector=test_faults.RULE), Path(home)) for source in sources]
print("ready", flush=True)
sys.stdin.readline()
while True:
    for storage, source in zip(storages, sources):
        test_faults.run_all(storage, source)
"""


def test_a_failure_in_a_second_row_of_the_day_is_the_label_of_the_drive_everywhere(tmp_path: Path) -> None:
    write_day(tmp_path / "in", DAY, [("TWICE", 0, 8), ("TWICE", 1, 8), ("ONCE", 0, 8)])
    space = storage_of(watched_table(str(tmp_path / "in")), tmp_path / "home")
    list(load_raw(space, open_source(str(tmp_path / "in")), [DAY]))
    build_features(space, [DAY])
    features = space.tables.read("fleet.features", DAY, DAY)
    assert sorted(features.select("entity", "label").rows()) == [("ONCE", 0), ("TWICE", 1)]
    assert failures_in(space).rows() == [("TWICE", DAY)]
    assert space.tables.read("fleet.quarantine", DAY, DAY)["rule"].to_list() == ["entity_is_unique"]


@pytest.mark.slow
def test_a_range_run_killed_at_any_moment_leaves_whole_days_and_a_rerun_completes_them(tmp_path: Path) -> None:
    chance = random.Random(11)  # noqa: S311 - moments, no secrets
    sources = [version_of(tmp_path, version) for version in (1, 2)]
    home = tmp_path / "home"
    space = worn(home, sources[0])
    run_all(space, sources[0])
    began = time.monotonic()
    run_all(space, sources[0])
    seconds = time.monotonic() - began

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-W", "ignore", "-c", REPEAT_FOREVER, str(home), *reversed(sources)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    running = [start() for _ in range(4)]
    mixed = 0
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        time.sleep(chance.uniform(0.1, 1.5) * seconds)
        process.kill()
        process.communicate()
        stored = {asset: versions_of_days(space, asset) for asset in ("raw", "features", "quarantine", "anomalies")}
        assert all(set(days) == set(DAYS) for days in stored.values()), "a day that was there stays there"
        hold_what_raw_says(space, DAYS)
        mixed += len({version for days in stored.values() for version in days.values()}) > 1
    assert mixed, "no process was killed in the middle of its work"
    run_all(space, sources[1])
    whole(space, 2)
    rerun = space.tables.read("fleet.raw", DAYS[0], DAYS[-1]).drop("loaded_at")
    fresh = storage_of(space.table, tmp_path / "fresh")
    list(load_raw(fresh, open_source(sources[1]), DAYS))
    assert_frame_equal(rerun, fresh.tables.read("fleet.raw", DAYS[0], DAYS[-1]).drop("loaded_at"))


def write_one_day(home: Path, source: str, start: Barrier) -> None:
    """What one of two processes does: the day's tables three times over, as the UI would."""
    table = watched_table(source)
    start.wait()
    for _ in range(3):
        result = materialise(table, home, DAILY_INPUT, (DAY, DAY))
        failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
        # The other process may replace raw between this one's reading of it and the check; that is noticed, not hidden.
        assert set(failed) <= {"rows_are_conserved"}, failed
        assert result.success or failed, failure_of(result)


@pytest.mark.slow
def test_of_two_runs_that_write_a_day_at_once_one_wins_wholly(tmp_path: Path) -> None:
    sources = [version_of(tmp_path, version) for version in (1, 2)]
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    runs = [context.Process(target=write_one_day, args=(tmp_path / "home", source, start)) for source in sources]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    space = storage_of(watched_table(sources[0]), tmp_path / "home")
    for asset in DAILY_INPUT:
        assert versions_of_days(space, asset)[DAY] in {1, 2}
    hold_what_raw_says(space)
    assert materialise(space.table, tmp_path / "home", DAILY_INPUT, (DAY, DAY)).success
    assert {asset: versions_of_days(space, asset)[DAY] for asset in DAILY_INPUT} == dict.fromkeys(DAILY_INPUT, 1)


@pytest.mark.slow
def test_a_range_run_that_breaks_off_keeps_whole_days_and_is_completed_by_a_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, often: None
) -> None:
    from ae_assets.sources.folder import FolderSource

    table = watched_table(version_of(tmp_path, 1))
    space = storage_of(table, tmp_path / "home")
    read = FolderSource.read

    def interrupted(source: FolderSource, day: object) -> pl.DataFrame:
        if day.day == DAYS[5]:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return read(source, day)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(FolderSource, "read", interrupted)
        assert not materialise(table, tmp_path / "home", DAILY_INPUT, (DAYS[0], DAYS[-1])).success
    committed = versions_of_days(space, "raw")
    hold_what_raw_says(space, DAYS)
    assert 0 < len(committed) < 6
    assert set(committed) == set(DAYS[: len(committed)])
    assert materialise(table, tmp_path / "home", DAILY_INPUT, (DAYS[0], DAYS[-1])).success
    uninterrupted = storage_of(table, tmp_path / "other")
    assert materialise(table, tmp_path / "other", DAILY_INPUT, (DAYS[0], DAYS[-1])).success
    for asset in DAILY_INPUT:
        expected, got = (
            one.tables.read(f"fleet.{asset}", DAYS[0], DAYS[-1]).select(pl.all().exclude("loaded_at", "record"))
            for one in (uninterrupted, space)
        )
        assert_frame_equal(expected, got)


def edited(folder: Path, edit: Callable[[bytes], bytes]) -> WatchedTable:
    """A table whose source is a day of five drives after an edit of the file's bytes."""
    path = write_day(folder / "source", DAY, [(f"D{number}", 0, number) for number in range(5)])
    content = path.read_bytes()
    path.write_bytes(edit(content))
    assert path.read_bytes() != content
    return watched_table(str(folder / "source"))


def line(number: int, change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    """An edit of the cells of one line: date, serial, model, capacity, failure, smart 5, 9, 194, 197."""

    def edit(content: bytes) -> bytes:
        lines = content.splitlines()
        lines[number] = b",".join(change(lines[number].split(b",")))
        return b"\n".join(lines) + b"\n"

    return edit


def cell(place: int, value: bytes) -> Callable[[bytes], bytes]:
    """Another value in a cell of the third drive."""
    return line(3, lambda cells: [*cells[:place], value, *cells[place + 1 :]])


SERIAL, SMART_5, SMART_9, SMART_194 = 1, 5, 6, 7


@pytest.mark.parametrize(
    ("edit", "rule", "column", "value"),
    [
        pytest.param(cell(SMART_5, b"-4"), "raw_value_fits_six_bytes", "smart_5_raw", "-4", id="negative"),
        pytest.param(
            cell(SMART_5, b"281474976710656"), "raw_value_fits_six_bytes", "smart_5_raw", str(2**48), id="absurd"
        ),
        pytest.param(cell(SMART_5, b"9999999999"), "sectors_fit_the_drive", "smart_5_raw", "9999999999", id="sectors"),
        pytest.param(cell(SMART_9, b"2000000"), "power_on_hours_are_plausible", "smart_9_raw", "2000000", id="hours"),
        pytest.param(cell(SMART_194, b"200"), "temperature_is_plausible", "smart_194_raw", "200", id="hot"),
        pytest.param(cell(SMART_5, b"many"), "cells_are_readable", "smart_5_raw", "many", id="type changes half way"),
        pytest.param(cell(SERIAL, b"D0"), "entity_is_unique", "serial_number", "D0", id="duplicate"),
        pytest.param(cell(0, b"2013-04-11"), "date_is_the_partition_day", "date", "2013-04-11", id="other date"),
        pytest.param(cell(0, b"yesterday"), "date_is_certain", "date", "yesterday", id="no date"),
        pytest.param(cell(SERIAL, b"D\xff2"), "cells_are_readable", "serial_number", "D\\xff2", id="not UTF-8"),
        pytest.param(cell(SERIAL, b""), "serial_number_is_plain_text", "serial_number", None, id="no serial number"),
    ],
)
def test_a_row_that_cannot_be_true_is_set_aside_with_rule_column_and_value(
    tmp_path: Path, edit: Callable[[bytes], bytes], rule: str, column: str, value: str | None
) -> None:
    aside = set_aside(edited(tmp_path, edit), tmp_path / "home", kept=4)
    assert aside.select("rule", "column", "value").rows() == [(rule, column, value)]
    assert aside["source_file"].to_list() == [f"{DAY}.csv"]
    assert aside["source_row"].to_list() == [3]
    assert len(aside["reason"][0]) > 20
    assert json.loads(aside["record"][0])


def test_a_line_with_a_wrong_number_of_fields_is_set_aside(tmp_path: Path) -> None:
    aside = set_aside(edited(tmp_path, line(3, lambda cells: cells[:3])), tmp_path / "home", kept=4)
    assert aside.select("rule", "column", "source_row").rows() == [("cells_are_readable", "line", 3)]
    assert aside["value"][0] == "2013-04-10,D2,M1"


def test_a_file_of_another_day_is_set_aside_whole_and_fails_its_day(tmp_path: Path) -> None:
    aside = set_aside(
        edited(tmp_path, lambda content: content.replace(b"2013-04-10", b"2013-04-11")), tmp_path / "home", kept=0
    )
    assert aside["rule"].to_list() == ["date_is_the_partition_day"] * 5


def set_aside(table: WatchedTable, home: Path, kept: int) -> pl.DataFrame:
    """The quarantine of a day of which some rows are kept; nothing is lost, and the run says so."""
    result = materialise(table, home, DAILY_INPUT, (DAY, DAY))
    assert result.success == bool(kept), failure_of(result)
    conserved = check_of(result, "features", "rows_are_conserved")
    assert conserved.passed
    assert conserved.metadata["verdict"].value == f"raw 5 = features {kept} + quarantine {5 - kept}"
    space = storage_of(table, home)
    assert space.days_of("raw") == {DAY: 5}
    assert space.days_of("features") == ({DAY: kept} if kept else {})
    return space.tables.read("fleet.quarantine", DAY, DAY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", ["the file is empty (0 bytes)"]),
        (b"date,serial_number,mod", ["header"]),
        (b"date,model,capacity_bytes,failure,smart_5_raw\n2013-04-10,M1,1,0,1\n", ["header", "serial_number"]),
        (b"date,colour\n2013-04-10,red\n", ["header", "'colour'", "serial_number"]),
        (b"PK\x03\x04\x00\xff\n\n", ["header"]),
        (b"date,serial_number,model,capacity_bytes,failure\n2013-04-11,D1,M1,1,0\n2013-04-1", ["ends within a line"]),
    ],
    ids=["empty", "cut in the header", "a column is missing", "another table", "no text", "cut in a line"],
)
def test_a_file_that_cannot_be_read_is_named_and_the_other_days_are_made(
    tmp_path: Path, content: bytes, says: list[str]
) -> None:
    table = watched_table(str(tmp_path / "source"))
    for day in DAYS[:3]:
        write_day(tmp_path / "source", day, [("D1", 0, 0)])
    (tmp_path / "source" / f"{DAYS[1]}.csv").write_bytes(content)
    result = materialise(table, tmp_path / "home", DAILY_INPUT, (DAYS[0], DAYS[2]))
    assert not result.success
    said = failure_of(result)
    assert "1 of 3 days failed; the others are made" in said
    for words in [f"{DAYS[1]} at raw: ", f"{DAYS[1]}.csv", "Mend what is named", *says]:
        assert words in said
    space = storage_of(table, tmp_path / "home")
    assert space.days_of("raw") == space.days_of("features") == {DAYS[0]: 1, DAYS[2]: 1}


def test_a_day_without_rows_is_an_empty_day(tmp_path: Path) -> None:
    table = edited(tmp_path, lambda content: content.splitlines(keepends=True)[0])
    write_day(tmp_path / "source", DAYS[1], [("D1", 0, 0)])
    result = materialise(table, tmp_path / "home", DAILY_INPUT, (DAY, DAYS[1]))
    assert result.success, failure_of(result)
    loaded = {
        e.partition: e.materialization.metadata
        for e in result.get_asset_materialization_events()
        if e.asset_key == dg.AssetKey(["fleet", "raw"])
    }
    assert loaded[str(DAY)]["dagster/partition_row_count"].value == 0
    assert loaded[str(DAY)]["Summary"].value.startswith(f"{DAY}: 0 rows of ")
    assert check_of(result, "features", "rows_are_conserved").passed
    assert storage_of(table, tmp_path / "home").days_of("features") == {DAYS[1]: 1}


def day_bytes(folder: Path, day: date) -> bytes:
    return write_day(folder, day, [(f"D{number}", 0, number) for number in range(5)]).read_bytes()


def test_an_archive_without_its_end_fails_the_run_by_name(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "data.zip", {f"{DAY}.csv": day_bytes(tmp_path / "days", DAY)})
    archive.write_bytes(archive.read_bytes()[:-30])
    result = materialise(watched_table(str(archive)), tmp_path / "home", DAILY_INPUT, (DAY, DAY))
    assert not result.success
    assert "data.zip: not readable as a zip archive" in failure_of(result)
    assert "download it again" in failure_of(result)
    assert not storage_of(watched_table(), tmp_path / "home").days_of("raw")


def test_a_spoilt_member_of_an_archive_is_named_and_the_other_days_are_made(tmp_path: Path) -> None:
    members = {f"{day}.csv": day_bytes(tmp_path / "days", day) for day in DAYS[:3]}
    archive = write_zip(tmp_path / "data.zip", members)
    with zipfile.ZipFile(archive) as opened:
        place = opened.getinfo(f"{DAYS[1]}.csv").header_offset + 60
    content = bytearray(archive.read_bytes())
    content[place : place + 20] = bytes(20)
    archive.write_bytes(content)
    table = watched_table(str(archive))
    result = materialise(table, tmp_path / "home", DAILY_INPUT, (DAYS[0], DAYS[2]))
    assert not result.success
    assert "1 of 3 days failed; the others are made" in failure_of(result)
    assert f"data.zip!{DAYS[1]}.csv" in failure_of(result)
    assert storage_of(table, tmp_path / "home").days_of("raw") == {DAYS[0]: 5, DAYS[2]: 5}


@pytest.mark.parametrize(
    "name", [f"../{DAYS[1]}.csv", f"/{DAYS[1]}.csv", f"a/../../{DAYS[1]}.csv", f"C:\\{DAYS[1]}.csv"]
)
def test_a_member_whose_name_points_outside_is_refused_and_named(tmp_path: Path, name: str) -> None:
    archive = write_zip(
        tmp_path / "data.zip",
        {f"{DAY}.csv": day_bytes(tmp_path / "days", DAY), name: day_bytes(tmp_path / "days", DAYS[1])},
    )
    before = set(tmp_path.rglob("*.csv"))
    table = watched_table(str(archive), end=str(DAYS[1]))
    result = materialise(table, tmp_path / "home", DAILY_INPUT, (DAY, DAYS[1]))
    assert result.success
    assert storage_of(table, tmp_path / "home").days_of("raw") == {DAY: 5}
    assert set(tmp_path.rglob("*.csv")) == before
    assert any("points outside the archive" in stray for stray in open_source(str(archive)).strays())
