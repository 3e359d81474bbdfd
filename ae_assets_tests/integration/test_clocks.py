"""Machines whose clocks are hours or days wrong: real processes under libfaketime, beside files with the true time."""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of

CHILD = """
import json, sys, time
from datetime import timedelta
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import day_after, frame_of

settings, work, value = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
lakehouse = Lakehouse.open(None, settings)
if work == "maintain":
    lakehouse.maintain("t.raw", timedelta(days=5))
else:
    with lakehouse.writer("t.raw") as writer:
        for number in (0, value):
            writer.write(day_after(number), frame_of(day_after(number), value=value))
print(json.dumps({"now": time.time(), "monotonic": time.monotonic()}))
"""


def at(wrong_by: timedelta, settings: dict[str, str], work: str, value: int = 0) -> dict[str, float]:
    """Does work on a machine whose clock is wrong, and gives its time; files keep the time that the disk gives them."""
    found = find_spec("libfaketime")
    assert found is not None
    assert found.origin is not None
    library = Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{wrong_by.total_seconds():+.0f}",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    command = [sys.executable, "-c", CHILD, json.dumps(settings), work, str(value)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert abs(told["now"] - time.time() - wrong_by.total_seconds()) < 600
    assert abs(told["monotonic"] - time.monotonic()) < 600, "waiting is measured by a clock that does not jump"
    return told


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["PostgreSQL", "REST"], indirect=True)
def test_commits_of_wrong_clocks_are_accepted_and_keep_their_order(catalog: dict[str, str]) -> None:
    lakehouse = Lakehouse.open(None, catalog)
    for value, hours in ((1, 10), (2, -10)):
        at(timedelta(hours=hours), catalog, "write", value)
        assert lakehouse.read("t.raw", FIRST, FIRST)["value"].to_list() == [value] * 3, "the last commit wins"
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST, value=3))
    assert lakehouse.read("t.raw", FIRST, day_after(9))["value"].to_list() == [3] * 3 + [1] * 3 + [2] * 3
    table = lakehouse._access.get("t.raw")
    times = [snapshot.timestamp_ms for snapshot in sorted(table.snapshots(), key=lambda one: one.sequence_number or 0)]
    # Iceberg's Java library does not open a table whose log of snapshots goes back by more than a minute.
    assert times == sorted(times)
    assert table.metadata.last_updated_ms == times[-1] == max(times)
    lakehouse.close()


@pytest.mark.slow
@pytest.mark.parametrize("days", [10, -10], ids=["ahead", "behind"])
def test_maintenance_by_a_wrong_clock_leaves_what_is_in_use(tmp_path: Path, days: int) -> None:
    settings = {"type": "sql", "uri": f"sqlite:///{tmp_path / 'catalog.db'}", "warehouse": str(tmp_path / "warehouse")}
    lakehouse = Lakehouse.open(None, settings)
    for value in range(3):
        with lakehouse.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=value))
    with lakehouse.writer("t.raw") as running:
        running.write(day_after(1), frame_of(day_after(1), value=7))
        held = lakehouse.iter_days("t.raw", FIRST, day_after(5))
        at(timedelta(days=days), settings, "maintain")
        assert [frame["value"].to_list() for _, frame in held] == [[2] * 3], "a reader goes on"
    assert lakehouse.read("t.raw", FIRST, day_after(5))["value"].to_list() == [2] * 3 + [7] * 3
    lakehouse.close()
