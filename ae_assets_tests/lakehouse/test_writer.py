"""What writing days does to a table, and what it refuses."""

import pickle
from pathlib import Path

import polars as pl
import pytest

from ae_assets.errors import ContractError, LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of


def snapshots(lakehouse: Lakehouse) -> int:
    return len(lakehouse._access.get("t.raw").snapshots())


def test_writing_a_day_replaces_it_and_nothing_else(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw") as writer:
        for number in range(3):
            writer.write(day_after(number), frame_of(day_after(number), value=1))
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(1), frame_of(day_after(1), rows=5, value=2))
    read = lakehouse.read("t.raw", day_after(0), day_after(2))
    assert read.group_by("day", "value").len().sort("day").rows() == [
        (day_after(0), 1, 3),
        (day_after(1), 2, 5),
        (day_after(2), 1, 3),
    ]


def test_a_frame_without_rows_empties_the_day(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(0), frame_of(day_after(0)))
        writer.write(day_after(1), frame_of(day_after(1)))
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(0), frame_of(day_after(0), rows=0))
    assert lakehouse.day_rows("t.raw") == {day_after(1): 3}


def test_an_empty_first_day_makes_the_table(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.quarantine") as writer:
        writer.write(FIRST, frame_of(FIRST, rows=0))
    assert lakehouse.read("t.quarantine", FIRST, FIRST).schema == frame_of(FIRST).schema


def test_a_range_is_committed_in_batches_of_rows(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw", commit_rows=6) as writer:
        for number in range(5):
            writer.write(day_after(number), frame_of(day_after(number)))
        assert list(writer.committed) == [day_after(number) for number in range(4)]
    assert snapshots(lakehouse) == 3
    assert writer.committed == dict.fromkeys(map(day_after, range(5)), 3) == lakehouse.day_rows("t.raw")


def test_days_are_not_seen_before_their_commit(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST))
        assert lakehouse.day_rows("t.raw") == {}


def test_an_exception_leaves_waiting_days_as_they_were_and_no_files_behind(
    lakehouse: Lakehouse, tmp_path: Path
) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST, value=1))

    def write_and_fail() -> None:
        with lakehouse.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert lakehouse.read("t.raw", FIRST, FIRST).equals(frame_of(FIRST, value=1))
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_a_day_written_twice_in_one_batch_holds_the_second_frame(lakehouse: Lakehouse, tmp_path: Path) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST, rows=9, value=1))
        writer.write(FIRST, frame_of(FIRST, value=2))
    assert lakehouse.read("t.raw", FIRST, FIRST).equals(frame_of(FIRST, value=2))
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_a_conflicting_type_names_column_both_types_and_the_way_out(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST))
    message = r"'value' of t\.raw has type Int64, .* has String: cast it to Int64"
    with pytest.raises(ContractError, match=message), lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST).with_columns(pl.col("value").cast(pl.String)))
    assert snapshots(lakehouse) == 1


def test_a_narrower_type_and_a_column_of_nulls_fit(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(0), frame_of(day_after(0)))
        writer.write(day_after(1), frame_of(day_after(1)).with_columns(pl.col("value").cast(pl.Int16)))
        writer.write(day_after(2), frame_of(day_after(2)).with_columns(value=pl.lit(None)))
    read = lakehouse.read("t.raw", day_after(0), day_after(2))
    assert read["value"].to_list() == [0] * 6 + [None] * 3
    assert read.schema["value"] == pl.Int64


def test_a_wider_type_than_the_tables_is_refused(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST).with_columns(pl.col("value").cast(pl.Int8)))
    message = "has type Int8, but the frame for 2013-04-10 has Int32"
    with pytest.raises(ContractError, match=message), lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST).with_columns(pl.col("value").cast(pl.Int32)))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.lit(None).alias("nothing"), "'nothing' .* has type Null, which a table cannot store"),
        (pl.lit(1, dtype=pl.UInt64).alias("big"), "'big' .* has type UInt64"),
        (pl.lit(1).alias("Value"), "'Value' .* differs from column 'value' only in case"),
    ],
)
def test_columns_that_no_table_can_hold_are_refused(lakehouse: Lakehouse, column: pl.Expr, message: str) -> None:
    with pytest.raises(ContractError, match=message), lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST).with_columns(column))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (frame_of(day_after(1)), "has rows from 2013-04-11 to 2013-04-11"),
        (pl.concat([frame_of(FIRST), frame_of(day_after(1))]), "from 2013-04-10 to 2013-04-11"),
        (frame_of(FIRST).with_columns(day=pl.when(pl.col("entity") == "S0").then("day")), "2 without a day"),
        (frame_of(FIRST).drop("day"), "lacks the column 'day'"),
        (frame_of(FIRST).with_columns(pl.col("day").cast(pl.String)), "has type String: cast it to Date"),
    ],
)
def test_rows_of_another_day_are_refused(lakehouse: Lakehouse, frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(LakehouseError, match=message), lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame)


def test_a_writer_outside_of_its_context_is_refused(lakehouse: Lakehouse) -> None:
    with pytest.raises(LakehouseError, match="is closed"):
        lakehouse.writer("t.raw").write(FIRST, frame_of(FIRST))


def test_many_small_commits_leave_few_manifests(lakehouse: Lakehouse) -> None:
    for number in range(70):
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(number % 50), frame_of(day_after(number % 50), value=number))
    table = lakehouse._access.get("t.raw")
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(table.io)) < 40
    read = lakehouse.read("t.raw", day_after(0), day_after(99), ["day", "value"]).unique(maintain_order=True)
    assert read["value"].to_list() == [*range(50, 70), *range(20, 50)]


def refuse_once(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch, refusal: Exception, *, after_commit: bool
) -> None:
    catalog = lakehouse._access._opened()
    commit = catalog.commit_table
    refusals = [refusal]

    def refusing(*arguments: object) -> object:
        answer = commit(*arguments) if after_commit or not refusals else None
        if refusals:
            raise refusals.pop()
        return answer

    monkeypatch.setattr(catalog, "commit_table", refusing)


@pytest.mark.parametrize("after_commit", [True, False])
def test_a_lost_answer_or_a_busy_catalog_commits_once(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch, after_commit: bool
) -> None:
    from pyiceberg.exceptions import CommitStateUnknownException
    from sqlalchemy.exc import OperationalError

    for value, refusal in enumerate(
        [CommitStateUnknownException("?"), OperationalError("UPDATE", {}, Exception("locked"))]
    ):
        with lakehouse.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=value))
            refuse_once(lakehouse, monkeypatch, refusal, after_commit=after_commit)
        assert lakehouse.read("t.raw", FIRST, FIRST).equals(frame_of(FIRST, value=value))
        assert snapshots(lakehouse) == value + 1


@pytest.mark.parametrize("after_commit", [True, False])
def test_a_merge_of_manifests_whose_answer_is_lost_or_that_is_refused_costs_no_day(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch, after_commit: bool
) -> None:
    from pyiceberg.exceptions import CommitStateUnknownException

    many = 32
    for number in range(many):
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(number), frame_of(day_after(number)))
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(3), frame_of(day_after(3), value=77))
        refuse_once(lakehouse, monkeypatch, CommitStateUnknownException("?"), after_commit=after_commit)
    assert lakehouse.read("t.raw", day_after(3), day_after(3)).equals(frame_of(day_after(3), value=77))
    assert list(lakehouse.day_rows("t.raw").values()) == [3] * many
    assert snapshots(lakehouse) == many + 1 + after_commit


def test_a_day_written_by_another_in_between_is_replaced_not_added_to(lakehouse: Lakehouse) -> None:
    with lakehouse.writer("t.raw") as first:
        first.write(FIRST, frame_of(FIRST, value=1))
        with lakehouse.writer("t.raw") as second:
            second.write(FIRST, frame_of(FIRST, value=2))
            second.write(day_after(1), frame_of(day_after(1), value=2))
    assert lakehouse.read("t.raw", FIRST, day_after(1))["value"].to_list() == [1] * 3 + [2] * 3


def test_a_commit_that_is_refused_for_good_says_so(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.exceptions import CommitFailedException

    monkeypatch.setattr("ae_assets.lakehouse.access._COMMIT_SECONDS", 0.1)
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST, value=1))

    def refuse(*arguments: object) -> None:
        raise CommitFailedException("others were faster")

    def write() -> None:
        with lakehouse.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=2))
            monkeypatch.setattr(lakehouse._access._opened(), "commit_table", refuse)

    with pytest.raises(
        LakehouseError, match=r"committing 1 days from 2013-04-10 to 2013-04-10 of t\.raw .* others were"
    ):
        write()
    assert lakehouse.read("t.raw", FIRST, FIRST)["value"].to_list() == [1] * 3


def test_files_of_a_commit_whose_answer_was_lost_stay_where_the_run_fails(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg.exceptions import CommitStateUnknownException, ServiceUnavailableError

    monkeypatch.setattr("ae_assets.lakehouse.access._COMMIT_SECONDS", 0.1)
    catalog = lakehouse._access._opened()
    commit, load = catalog.commit_table, catalog.load_table

    def away(*arguments: object) -> object:
        raise ServiceUnavailableError("the server is away")

    def commits_and_goes_away(*arguments: object) -> object:
        commit(*arguments)
        monkeypatch.setattr(catalog, "load_table", away)
        raise CommitStateUnknownException("the answer was lost")

    def write() -> None:
        with lakehouse.writer("t.raw", commit_rows=6) as writer:
            writer.write(FIRST, frame_of(FIRST))
            monkeypatch.setattr(catalog, "commit_table", commits_and_goes_away)
            writer.write(day_after(1), frame_of(day_after(1)))

    monkeypatch.setattr("ae_assets.lakehouse.access._LOAD_SECONDS", 0.1)
    with pytest.raises(LakehouseError):
        write()
    monkeypatch.setattr(catalog, "load_table", load)
    assert lakehouse.read("t.raw", FIRST, day_after(1)).height == 6


def test_files_that_other_processes_wrote_become_the_day(lakehouse: Lakehouse) -> None:
    day, other = day_after(0), day_after(1)
    elsewhere = lakehouse.day_files("t.raw", day, frame_of(day, rows=0))
    elsewhere = pickle.loads(pickle.dumps(elsewhere))  # noqa: S301 - as an engine sends it
    written = [file for rows in (2, 3) for file in elsewhere.write(day, frame_of(day, rows=rows))]
    assert lakehouse.day_rows("t.raw") == {}, "no commit names them"
    with lakehouse.writer("t.raw") as writer:
        writer.take(day, written)
        writer.take(other, elsewhere.write(other, frame_of(other, rows=4)))
    assert lakehouse.day_rows("t.raw") == {day: 5, other: 4}
    both = pl.concat([frame_of(day, rows=rows) for rows in (2, 3)])
    assert lakehouse.read("t.raw", day, day).sort(both.columns).equals(both.sort(both.columns)), "files in any order"
    with lakehouse.writer("t.raw") as writer:
        writer.take(day, ())
    assert lakehouse.day_rows("t.raw") == {other: 4}
