"""Maintenance in one process while others write: no file of a run under way or just committed is removed."""

import multiprocessing
import time
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import polars as pl
import pytest
from pyiceberg.exceptions import CommitFailedException

from ae_assets.lakehouse import Lakehouse, remains
from ae_assets_tests.lakehouse.conftest import day_after, frame_of

WRITERS = 2
KEEP = timedelta(seconds=12)
"""Longer than a file waits for its commit here, on a busy machine too; so short that the test sees files removed."""
LONGEST_SECONDS = 400


def write_and_append(home: Path | None, catalog: dict[str, str] | None, number: int, over: Event) -> None:
    """Rewrites a day, leaves its next file waiting for a while, and appends to it; looks after each commit."""
    lakehouse = Lakehouse.open(home, catalog)
    day, value = day_after(number), 0
    while not over.is_set():
        value += 1
        with lakehouse.writer("t.raw") as writer:
            writer.write(day, frame_of(day, value=value))
            time.sleep(0.3)
        assert lakehouse.read("t.raw", day, day).equals(frame_of(day, value=value))
        append(lakehouse, day, -value)
        time.sleep(0.2)
        assert values_of(lakehouse, day) == [-value, value], "a compaction came in between, or did not; no row was lost"
    lakehouse.close()


def append(lakehouse: Lakehouse, day: date, value: int) -> None:
    """Adds rows in a file more, as other engines do."""
    while True:
        table = lakehouse._access.get("t.raw")
        rows = frame_of(day, value=value).to_arrow(compat_level=pl.CompatLevel.oldest())
        try:
            table.append(rows.cast(table.schema().as_arrow()))
        except CommitFailedException:
            continue
        return


def values_of(lakehouse: Lakehouse, day: date) -> list[int]:
    values: list[int] = lakehouse.read("t.raw", day, day)["value"].unique().sort().to_list()
    return values


def maintain_again_and_again(home: Path | None, catalog: dict[str, str] | None, over: Event, said: Connection) -> None:
    """Goes on until every kind of work was done several times."""
    remains.SHORTEST = timedelta(0)
    lakehouse = Lakehouse.open(home, catalog)
    done = {"compacted": 0, "expired": 0, "removed": 0}
    began = time.monotonic()
    while min(done.values()) < 3 and time.monotonic() - began < LONGEST_SECONDS and not over.is_set():
        maintained = lakehouse.maintain("t.raw", KEEP)
        done["compacted"] += maintained.compacted.days > 0
        done["expired"] += maintained.snapshots_expired > 0
        done["removed"] += maintained.files_removed > 0
    said.send(done)
    lakehouse.close()


def maintain_while_others_write(home: Path | None, catalog: dict[str, str] | None) -> None:
    """The contract, on any catalog."""
    lakehouse = Lakehouse.open(home, catalog)
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(50), frame_of(day_after(50), value=50))
    context = multiprocessing.get_context("spawn")
    over, (hears, says) = context.Event(), context.Pipe(duplex=False)
    writers = [
        context.Process(target=write_and_append, args=(home, catalog, number, over)) for number in range(WRITERS)
    ]
    maintaining = context.Process(target=maintain_again_and_again, args=(home, catalog, over, says))
    for process in (*writers, maintaining):
        process.start()
    while maintaining.is_alive() and all(writer.is_alive() for writer in writers):
        time.sleep(0.1)
    over.set()
    for process in (*writers, maintaining):
        process.join()
    assert [process.exitcode for process in (*writers, maintaining)] == [0] * (WRITERS + 1)
    done = hears.recv()
    assert min(done.values()) >= 3, done
    for number in range(WRITERS):
        low, high = values_of(lakehouse, day_after(number))
        assert low == -high, "the last rewrite and what was appended to it"
        assert lakehouse.read("t.raw", day_after(number), day_after(number)).height == 6
    assert lakehouse.read("t.raw", day_after(50), day_after(50)).equals(frame_of(day_after(50), value=50))
    recent = datetime.now(UTC) - timedelta(seconds=1)
    assert lakehouse.read("t.raw", day_after(50), day_after(50), as_of=recent).height == 3
    lakehouse.close()


@pytest.mark.slow
def test_maintenance_beside_processes_that_write(tmp_path: Path) -> None:
    maintain_while_others_write(tmp_path / "home", None)
