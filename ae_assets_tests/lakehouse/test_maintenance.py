"""What maintenance removes, and what it leaves alone."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pyarrow import fs

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse, maintenance, remains
from ae_assets.lakehouse.maintenance import expire_snapshots
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
    monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", -KEEP)
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


def write(lakehouse: Lakehouse, day: date, value: int) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(day, frame_of(day, value=value))


def states(lakehouse: Lakehouse) -> list[int]:
    """Numbers of the states held, oldest first."""
    return [state.snapshot_id for state in lakehouse._access.get("t.raw").metadata.snapshots]


def test_the_last_states_stay_however_old_they_are(rewritten: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    before = states(rewritten)
    monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", -KEEP)
    assert rewritten.maintain("t.raw", timedelta(seconds=-1), keep_snapshots=3).snapshots_expired == 2
    assert states(rewritten) == before[-3:]
    assert rewritten.maintain("t.raw", timedelta(seconds=-1), keep_snapshots=9).snapshots_expired == 0


def test_states_in_use_at_the_cutoff_stay_however_many_they_are(lakehouse: Lakehouse) -> None:
    write(lakehouse, FIRST, 0)
    write(lakehouse, FIRST, 1)
    time.sleep(0.01)
    cutoff = datetime.now(UTC)
    for value in (2, 3):
        time.sleep(0.01)
        write(lakehouse, FIRST, value)
    assert expire_snapshots(lakehouse._access, "t.raw", cutoff, 1) == 1, "the second was in use at the cutoff"
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=cutoff).equals(frame_of(FIRST, value=1))


def test_what_a_tag_or_a_branch_names_stays(rewritten: Lakehouse) -> None:
    table = rewritten._access.get("t.raw")
    first, second, third, *_ = states(rewritten)
    table.manage_snapshots().create_tag(first, "audit").create_branch(third, "trial").commit()
    now = datetime.now(UTC) + timedelta(minutes=1)
    assert expire_snapshots(rewritten._access, "t.raw", now, 1) == 2
    assert {first, third} < set(states(rewritten))
    assert second not in states(rewritten)
    assert rewritten.read("t.raw", FIRST, FIRST, as_of=first).equals(frame_of(FIRST, value=0))
    rewritten._access.get("t.raw").manage_snapshots().remove_tag("audit").remove_branch("trial").commit()
    assert expire_snapshots(rewritten._access, "t.raw", now, 1) == 2, "nothing names them any more"
    assert len(states(rewritten)) == 1


def test_age_is_measured_by_the_clock_of_the_storage_where_the_machines_is_fast(
    rewritten: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fast(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=400)

    monkeypatch.setattr(remains, "datetime", Fast)
    before = set(tmp_path.rglob("*"))
    orphan = next(tmp_path.rglob("*.parquet")).with_name("under way.parquet")
    orphan.write_bytes(b"under way")
    maintained = rewritten.maintain("t.raw", KEEP)
    assert (maintained.snapshots_expired, maintained.files_removed) == (0, 0)
    assert orphan.exists()
    assert set(tmp_path.rglob("*")) - before == {orphan}, "the file that shows the storage's clock is gone again"


def test_age_is_measured_by_the_machines_clock_where_the_storages_is_fast(tmp_path: Path) -> None:
    class Fast(fs.LocalFileSystem):  # type: ignore[misc]
        def get_file_info(self, path: object) -> object:
            return fs.FileInfo("clock", type=fs.FileType.File, mtime=time.time() + 400 * 86400)

    assert remains.cutoff(Fast(), str(tmp_path / "probe"), KEEP) < datetime.now(UTC) - KEEP + timedelta(seconds=1)


def test_a_file_removed_before_its_commit_fails_the_run_and_changes_nothing(
    rewritten: Lakehouse, tmp_path: Path
) -> None:
    before = rewritten.read("t.raw", FIRST, day_after(9))
    known = set(tmp_path.rglob("*.parquet"))
    with pytest.raises(LakehouseError, match=r"was removed from the warehouse.*Nothing was changed"):  # noqa: PT012, SIM117
        with rewritten.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=7))
            (written,) = set(tmp_path.rglob("*.parquet")) - known
            written.unlink()
    assert rewritten.read("t.raw", FIRST, day_after(9)).equals(before)


def test_a_file_committed_while_files_were_listed_stays(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lakehouse, FIRST, 0)
    writer = lakehouse.writer("t.raw")
    writer.__enter__()
    writer.write(day_after(1), frame_of(day_after(1)))
    make_old(tmp_path / "home" / "warehouse")
    is_old = remains.is_old

    def commits_meanwhile(info: fs.FileInfo, before: datetime) -> bool:
        writer.__exit__(None, None, None)
        writer.__enter__()
        return is_old(info, before)

    monkeypatch.setattr(maintenance, "is_old", commits_meanwhile)
    assert lakehouse.maintain("t.raw", KEEP).files_removed == 0
    assert lakehouse.read("t.raw", day_after(1), day_after(1)).equals(frame_of(day_after(1)))


def test_days_past_their_retention_go_in_one_commit_counted_from_the_newest_day(lakehouse: Lakehouse) -> None:
    for number in range(8):
        write(lakehouse, day_after(number), number)
    before = len(states(lakehouse))
    maintained = lakehouse.maintain("t.raw", KEEP, retention_days=3)
    assert (maintained.days_past_retention, maintained.rows_past_retention) == (5, 15)
    assert list(lakehouse.day_rows("t.raw")) == [day_after(number) for number in (5, 6, 7)]
    assert len(states(lakehouse)) == before + 1
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=states(lakehouse)[-2]).height == 3, "readable for a while"
    again = lakehouse.maintain("t.raw", KEEP, retention_days=3)
    assert again.days_past_retention == 0
    assert len(states(lakehouse)) == before + 1


def test_a_day_in_the_future_makes_no_other_day_old(lakehouse: Lakehouse) -> None:
    far = datetime.now(UTC).date() + timedelta(days=4000)
    for day in (FIRST, day_after(1), far):
        write(lakehouse, day, 0)
    assert lakehouse.maintain("t.raw", KEEP, retention_days=100).days_past_retention == 0


@pytest.mark.parametrize(
    ("wrong", "named"), [({"keep_snapshots": 0}, "0 snapshots"), ({"retention_days": 0}, "0 days")]
)
def test_keeping_nothing_is_refused(rewritten: Lakehouse, wrong: dict[str, int], named: str) -> None:
    with pytest.raises(LakehouseError, match=f"was to keep {named}: expected at least 1"):
        rewritten.maintain("t.raw", KEEP, **wrong)


def test_forgetting_many_states_copies_the_metadata_no_more_often_than_forgetting_one(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg import catalog, table
    from pyiceberg.table.update import update_table_metadata

    copies = []

    def counted(*given: object, **more: object) -> object:
        copies.append(given)
        return update_table_metadata(*given, **more)

    for value in range(12):
        write(lakehouse, FIRST, value)
    for module in (catalog, table):
        monkeypatch.setattr(module, "update_table_metadata", counted)
    assert expire_snapshots(lakehouse._access, "t.raw", datetime.now(UTC) + timedelta(minutes=1), 2) == 10
    assert len(copies) <= 2
