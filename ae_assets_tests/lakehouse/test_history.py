"""Tables as they were: by time and by snapshot, until maintenance forgets a state, and then with a clear error."""

import time
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets.lakehouse.maintenance import expire_snapshots, remove_unnamed_files
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of


def write(lakehouse: Lakehouse, *frames: pl.DataFrame) -> datetime:
    """Commits frames of one day each; returns a time at which they were there and nothing later was."""
    with lakehouse.writer("t.raw") as writer:
        for frame in frames:
            writer.write(frame["day"][0], frame)
    time.sleep(0.005)
    moment = datetime.now(UTC)
    time.sleep(0.005)
    return moment


def test_a_table_is_read_as_it_was_at_a_time_and_as_it_is(lakehouse: Lakehouse) -> None:
    yesterday = write(lakehouse, frame_of(FIRST, value=1))
    today = write(lakehouse, frame_of(FIRST, value=2), frame_of(day_after(1)))
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=yesterday).equals(frame_of(FIRST, value=1))
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=today).equals(frame_of(FIRST, value=2))
    assert lakehouse.day_rows("t.raw", yesterday) == {FIRST: 3}
    assert [day for day, _ in lakehouse.iter_days("t.raw", FIRST, day_after(1), None, yesterday)] == [FIRST]
    (number,) = [s.snapshot_id for s in lakehouse._access.get("t.raw").snapshots() if s.sequence_number == 1]
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=number).equals(frame_of(FIRST, value=1))


def test_a_time_without_a_zone_is_utc(lakehouse: Lakehouse) -> None:
    before = write(lakehouse, frame_of(FIRST, value=1))
    write(lakehouse, frame_of(FIRST, value=2))
    for moment in (before.replace(tzinfo=None), before.astimezone(timezone(timedelta(hours=9)))):
        assert lakehouse.read("t.raw", FIRST, FIRST, ["value"], moment)["value"].unique().to_list() == [1]


def test_a_former_state_has_the_columns_that_it_had(lakehouse: Lakehouse) -> None:
    before = write(lakehouse, frame_of(FIRST))
    write(lakehouse, frame_of(FIRST).with_columns(later=pl.lit(7)))
    assert "later" in lakehouse.read("t.raw", FIRST, FIRST).columns
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=before).equals(frame_of(FIRST))
    with pytest.raises(LakehouseError, match="has no column later"):
        lakehouse.read("t.raw", FIRST, FIRST, ["later"], before)


def test_a_rewritten_day_is_read_as_it_was_until_its_state_is_forgotten(lakehouse: Lakehouse) -> None:
    first = write(lakehouse, frame_of(FIRST, value=1))
    write(lakehouse, frame_of(FIRST, value=2))
    held = write(lakehouse, frame_of(FIRST, value=3))
    write(lakehouse, frame_of(FIRST, value=4))
    assert lakehouse.maintain("t.raw", timedelta(days=5)).snapshots_expired == 0
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=first).equals(frame_of(FIRST, value=1))

    assert expire_snapshots(lakehouse._access, "t.raw", held, 1) == 2
    removed, _ = remove_unnamed_files(lakehouse._access, "t.raw", datetime.now(UTC) + timedelta(minutes=1))
    assert removed >= 2
    assert lakehouse.read("t.raw", FIRST, FIRST, as_of=held).equals(frame_of(FIRST, value=3))
    forgotten = "cannot be read as it was at .*Z: the oldest state held is of .*Z .*; maintenance forgot the earlier"
    with pytest.raises(LakehouseError, match=forgotten):
        lakehouse.read("t.raw", FIRST, FIRST, as_of=first)


def test_a_tag_kept_between_forgotten_states_does_not_answer_for_them(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(FIRST, value=1))
    table = lakehouse._access.get("t.raw")
    (tagged,) = [state.snapshot_id for state in table.snapshots()]
    table.manage_snapshots().create_tag(tagged, "audit").commit()
    between = write(lakehouse, frame_of(FIRST, value=2))
    write(lakehouse, frame_of(FIRST, value=3))
    expire_snapshots(lakehouse._access, "t.raw", datetime.now(UTC) + timedelta(minutes=1), 1)
    assert lakehouse.read("t.raw", FIRST, FIRST, ["value"], tagged)["value"].unique().to_list() == [1]
    with pytest.raises(LakehouseError, match="maintenance forgot the earlier"):
        lakehouse.read("t.raw", FIRST, FIRST, as_of=between)


def test_a_time_before_the_first_state_and_an_unknown_snapshot_say_what_is_held(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(FIRST))
    with pytest.raises(LakehouseError, match=r"as it was at 2001-02-03T04:05:00Z: the oldest .* it is the first\."):
        lakehouse.read("t.raw", FIRST, FIRST, as_of=datetime(2001, 2, 3, 4, 5, tzinfo=UTC))
    with pytest.raises(LakehouseError, match="in its state 42: the oldest state held"):
        lakehouse.read("t.raw", FIRST, FIRST, as_of=42)
