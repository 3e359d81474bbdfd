"""What maintenance removes, and what it leaves alone."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of

KEEP = timedelta(days=5)


@pytest.fixture
def rewritten(lakehouse: Lakehouse) -> Lakehouse:
    """A table of two days, of which one was written four times."""
    for value in range(4):
        with lakehouse.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=value))
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(1), frame_of(day_after(1)))
    return lakehouse


def make_old(folder: Path) -> None:
    long_ago = time.time() - timedelta(days=30).total_seconds()
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, (long_ago, long_ago))


def test_what_is_younger_than_kept_stays(rewritten: Lakehouse, tmp_path: Path) -> None:
    maintained = rewritten.maintain("t.raw", KEEP)
    assert (maintained.snapshots_expired, maintained.files_removed) == (0, 0)
    assert len(list(tmp_path.rglob("*.parquet"))) == 5


def test_old_snapshots_and_their_files_go_and_the_rows_stay(
    rewritten: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rewritten.read("t.raw", FIRST, day_after(1))
    make_old(tmp_path / "home" / "warehouse")
    # Snapshots carry the time of their commit, so keeping less than no time stands in for waiting.
    monkeypatch.setattr("ae_assets.lakehouse.maintenance.SHORTEST", -KEEP)
    maintained = rewritten.maintain("t.raw", timedelta(seconds=-1))
    assert maintained.snapshots_expired == 4
    assert maintained.bytes_freed > 0
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    assert rewritten.read("t.raw", FIRST, day_after(1)).equals(before)
    with rewritten.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST, value=9))
    assert rewritten.read("t.raw", FIRST, FIRST).equals(frame_of(FIRST, value=9))


def test_old_orphans_go_while_their_table_stays(rewritten: Lakehouse, tmp_path: Path) -> None:
    make_old(tmp_path / "home" / "warehouse")
    orphan = next(tmp_path.rglob("*.parquet")).with_name("orphan.parquet")
    orphan.write_bytes(b"killed")
    fresh = orphan.with_name("fresh.parquet")
    fresh.write_bytes(b"under way")
    os.utime(orphan, (0, 0))
    assert rewritten.maintain("t.raw", KEEP).files_removed == 1
    assert fresh.exists()
    assert not orphan.exists()


def test_keeping_less_than_a_run_needs_is_refused(rewritten: Lakehouse) -> None:
    with pytest.raises(LakehouseError, match="at least 1:00:00"):
        rewritten.maintain("t.raw", timedelta(minutes=5))
