"""What earlier runs saw: one record a drive and day, whole after a kill, of one mind with runs at the same time."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from ae_assets.errors import SourceError
from ae_assets.one_server.history import KEEP, History, Record, default_path

DAY = date(2025, 11, 24)


def record(drive: str = "EXAMPLE1", day: date = DAY, state: str = "healthy") -> Record:
    return Record(drive, day, state, day, {"smart_5_raw": 3})


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "state" / "drives.sqlite")


def test_records_come_back_by_day_and_a_second_one_of_a_day_takes_the_place_of_the_first(history: History) -> None:
    assert history.records(["EXAMPLE1"]) == []
    later, earlier = record(), record(day=DAY - timedelta(days=1))
    history.keep([later, earlier, record("EXAMPLE2")])
    history.keep([record(state="watch")])
    assert history.records(["EXAMPLE1", "EXAMPLE3"]) == [earlier, record(state="watch")]


def test_of_each_drive_so_many_days_are_kept(history: History) -> None:
    days = [DAY - timedelta(days=back) for back in range(200)]
    history.keep(record(day=day) for day in days)
    history.keep([record("GONE", days[-1])])
    assert [one.day for one in history.records(["EXAMPLE1"])] == sorted(days[: KEEP.days + 1])
    assert len(history.records(["GONE"])) == 1


def test_nobody_else_can_read_it(history: History) -> None:
    history.keep([record()])
    assert history.path.stat().st_mode & 0o077 == 0
    assert history.path.parent.stat().st_mode & 0o077 == 0


def test_what_was_told_is_remembered(history: History) -> None:
    assert history.told() == {}
    history.tell({"EXAMPLE1": "watch"})
    history.tell({"EXAMPLE1": "healthy", "EXAMPLE2": "failing"})
    assert history.told() == {"EXAMPLE1": "healthy", "EXAMPLE2": "failing"}


@pytest.mark.parametrize("damage", ["no database", "a folder", "another format", "no JSON"])
def test_a_file_that_is_none_is_refused_and_left_as_it_is(history: History, damage: str) -> None:
    history.path.parent.mkdir()
    if damage == "a folder":
        history.path.mkdir()
    elif damage == "no database":
        history.path.write_text("not a database, " * 100)
    else:
        history.keep([record()])
        change = "PRAGMA user_version = 9" if damage == "another format" else "UPDATE records SET readings = '{'"
        with sqlite3.connect(history.path) as connection:
            connection.execute(change)
        connection.close()
    before = history.path.read_bytes() if history.path.is_file() else b""
    with pytest.raises(SourceError, match="--no-history"):
        history.records(["EXAMPLE1"])
    assert not before or history.path.read_bytes() == before


WRITE = """
import sys
from datetime import date, timedelta
from pathlib import Path
from ae_assets.one_server.history import History, Record
history, name, rounds = History(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for number in range(rounds):
    day = date(2025, 1, 1) + timedelta(days=number % 100)
    history.keep([Record(f"{name}-{drive}", day, "healthy", day, {"round": number}) for drive in range(20)])
"""


def writer(history: History, name: str, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITE, str(history.path), name, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_runs_at_the_same_time_lose_nothing(history: History) -> None:
    writers = [writer(history, name, 10) for name in ("a", "b", "c")]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    for one in writers:
        assert one.stdout is not None
        one.stdout.close()
    drives = [f"{name}-{drive}" for name in "abc" for drive in range(20)]
    assert len(history.records(drives)) == 3 * 20 * 10


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_whole_transactions(history: History) -> None:
    for _ in range(3):
        with writer(history, "a", 100_000) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.2)
            os.kill(process.pid, signal.SIGKILL)
        rows = [history.records([f"a-{drive}"]) for drive in range(20)]
        assert len({len(of_drive) for of_drive in rows}) == 1
        assert len({str(of_drive[-1].readings) for of_drive in rows}) == 1


def test_the_file_is_where_programs_keep_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_path() == Path("/var/state/ae_assets/drives.sqlite")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_path() == Path("/home/somebody/.local/state/ae_assets/drives.sqlite")
