"""Days in several files become one file, with the same rows; a run that writes meanwhile keeps what it wrote."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ae_assets.lakehouse import Lakehouse, compaction, snapshots
from ae_assets.lakehouse.compaction import compact
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of


def append(lakehouse: Lakehouse, day: date, value: int) -> None:
    """Adds rows to a day as other engines do: in a file more."""
    table = lakehouse._access.get("t.raw")
    rows = frame_of(day, value=value).to_arrow(compat_level=pl.CompatLevel.oldest())
    table.append(rows)


@pytest.fixture
def in_pieces(lakehouse: Lakehouse) -> Lakehouse:
    """Four days; the first and the third consist of four files."""
    with lakehouse.writer("t.raw") as writer:
        for number in range(4):
            writer.write(day_after(number), frame_of(day_after(number)))
    for value in (1, 2, 3):
        append(lakehouse, FIRST, value)
        append(lakehouse, day_after(2), value)
    return lakehouse


def files_of(lakehouse: Lakehouse) -> list[int]:
    return [len(files) for files in snapshots.files_by_day(lakehouse._access.get("t.raw")).values()]


def test_each_day_becomes_one_file_with_the_same_rows_in_the_same_order(in_pieces: Lakehouse) -> None:
    before = in_pieces.read("t.raw", FIRST, day_after(3))
    assert files_of(in_pieces) == [4, 1, 4, 1]
    compacted = compact(in_pieces._access, "t.raw")
    assert (compacted.days, compacted.files_before, compacted.files_after) == (2, 10, 4)
    assert files_of(in_pieces) == [1, 1, 1, 1]
    assert in_pieces.read("t.raw", FIRST, day_after(3)).equals(before)
    held = len(in_pieces._access.get("t.raw").metadata.snapshots)
    assert compact(in_pieces._access, "t.raw").days == 0
    assert len(in_pieces._access.get("t.raw").metadata.snapshots) == held, "nothing to do, nothing committed"


def test_a_day_written_meanwhile_stays_as_it_was_written_and_the_others_are_compacted(
    in_pieces: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes_first(*given: object) -> object:
        monkeypatch.undo()
        with in_pieces.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=99))
        append(in_pieces, FIRST, 100)
        return before_commit(*given)

    before_commit: Callable[..., object] = snapshots.replace_days
    monkeypatch.setattr("ae_assets.lakehouse.access.replace_days", writes_first)
    third = in_pieces.read("t.raw", day_after(2), day_after(2))
    assert compact(in_pieces._access, "t.raw").days == 1
    values = in_pieces.read("t.raw", FIRST, FIRST)["value"].value_counts().sort("value")
    assert values.rows() == [(99, 3), (100, 3)]
    assert in_pieces.read("t.raw", day_after(2), day_after(2)).equals(third)
    assert files_of(in_pieces) == [2, 1, 1, 1]
    table = in_pieces._access.get("t.raw")
    named = {location.removeprefix("file://") for location in snapshots.files_of(table)}
    assert {str(path) for path in tmp_path.rglob("*.parquet")} <= named, "the file that was not needed is gone"


def test_a_lost_answer_compacts_once(in_pieces: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.exceptions import CommitStateUnknownException

    before = in_pieces.read("t.raw", FIRST, day_after(3))
    commit = snapshots._Transaction.commit_transaction
    lost = []

    def loses_its_answer(transaction: snapshots._Transaction) -> object:
        done = commit(transaction)
        if not lost:
            lost.append(True)
            raise CommitStateUnknownException("the answer was lost")
        return done

    monkeypatch.setattr(snapshots._Transaction, "commit_transaction", loses_its_answer)
    held = len(in_pieces._access.get("t.raw").metadata.snapshots)
    assert compact(in_pieces._access, "t.raw").days == 2
    assert lost
    assert len(in_pieces._access.get("t.raw").metadata.snapshots) == held + 1
    assert in_pieces.read("t.raw", FIRST, day_after(3)).equals(before)


def test_many_manifests_are_merged_and_the_rows_stay(lakehouse: Lakehouse) -> None:
    for number in range(12):
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(number), frame_of(day_after(number), value=number))
    before = lakehouse.read("t.raw", FIRST, day_after(20))
    table = lakehouse._access.get("t.raw")
    assert snapshots.manifest_count(table) == 12
    assert snapshots.merge_manifests(table).failure is None
    assert snapshots.manifest_count(lakehouse._access.get("t.raw")) == 1
    assert lakehouse.read("t.raw", FIRST, day_after(20)).equals(before)
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(3), frame_of(day_after(3), value=77))
    assert lakehouse.read("t.raw", day_after(3), day_after(3)).equals(frame_of(day_after(3), value=77))
    assert list(lakehouse.day_rows("t.raw").values()) == [3] * 12


def test_a_table_of_many_days_is_compacted_in_batches(in_pieces: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_COMMIT_ROWS", 12)
    before = len(in_pieces._access.get("t.raw").metadata.snapshots)
    assert compact(in_pieces._access, "t.raw").days == 2
    assert len(in_pieces._access.get("t.raw").metadata.snapshots) == before + 2
