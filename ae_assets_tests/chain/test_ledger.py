"""The ledger of loaded days and the lives of the devices: right after every way in which raw can change."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace, ledger
from ae_assets.chain.ledger import catch_up, ledger_of
from ae_assets.chain.lives import failures_in, lives_in
from ae_assets.chain.raw import load_raw
from ae_assets.chain.workspace import DAILY_INPUT, RAW
from ae_assets.lakehouse import Lakehouse
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.ledgers import hold_what_raw_says
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.pipeline.runs import materialise

DAYS = DAILY.range(date(2013, 12, 20), date(2014, 1, 20))
"""Over the end of a year, where a spell moves to another partition."""


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return storage_of(watched_table(str(tmp_path / "source")), tmp_path / "home")


def load(space: Workspace, *days: date) -> None:
    list(load_raw(space, open_source(space.table.source.location), days))


def source_of(space: Workspace) -> Path:
    return Path(space.table.source.location)


Change = tuple[str, int, list[tuple[str, int]]]
CHANGE = st.tuples(
    st.sampled_from(["load", "load", "load", "empty", "remove", "break off", "write aside"]),
    st.integers(0, len(DAYS) - 1),
    st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from([0, 0, 1])), min_size=1, max_size=5),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGE, min_size=1, max_size=7))
def test_they_say_what_raw_says_whatever_was_replaced_late_emptied_removed_or_broken_off(
    changes: Sequence[Change], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    space = storage_of(watched_table(str(folder / "source")), folder / "home")
    for kind, number, rows in changes:
        apply(space, kind, DAYS[number], [(entity, failed, 0) for entity, failed in rows])
    catch_up(space)
    if space.exists(RAW):
        hold_what_raw_says(space, DAYS[::5])


def apply(space: Workspace, kind: str, day: date, rows: Sequence[tuple[str, int, int]]) -> None:
    if kind in {"load", "empty", "break off"}:
        path = write_day(source_of(space), day, rows)
        if kind == "empty":
            path.write_text(path.read_text().splitlines()[0] + "\n")
        with pytest.MonkeyPatch.context() as patch:
            if kind == "break off":
                patch.setattr("ae_assets.chain.raw.catch_up", lambda *_: None)
            load(space, day)
    elif space.exists(RAW):
        stored = space.read(RAW, date.min, date.max)
        with space.writer(RAW) as writer:
            # Another program removes a day, or makes one of another's rows.
            first = stored.filter(pl.col("day") == pl.col("day").min()).head(2)  # of one file, as in any day
            rows_of_day = first.with_columns(day=pl.lit(day)) if kind == "write aside" else stored.clear()
            writer.write(day, rows_of_day)


def test_the_ledger_says_of_each_day_which_file_it_was_loaded_from(space: Workspace) -> None:
    for day in DAYS[:2]:
        write_day(source_of(space), day, [("A", 0, 0), ("B", 0, 0)])
    load(space, *DAYS[:2])
    listed = open_source(space.table.source.location).days()
    rows = ledger_of(space)
    assert rows["period"].to_list() == DAYS[:2]
    assert rows["source_file"].to_list() == [f"{day}.csv" for day in DAYS[:2]]
    assert rows["fingerprint"].to_list() == [listed[day].fingerprint for day in DAYS[:2]]
    assert rows["size_bytes"].to_list() == [(source_of(space) / f"{day}.csv").stat().st_size for day in DAYS[:2]]
    assert rows["rows"].to_list() == [2, 2]
    assert rows["loaded_at"].null_count() == 0


def test_a_day_without_rows_is_known_as_loaded(space: Workspace) -> None:
    path = write_day(source_of(space), DAYS[0], [("A", 1, 0)])
    load(space, DAYS[0])
    path.write_text(path.read_text().splitlines()[0] + "\n")
    for _ in range(2):
        load(space, DAYS[0])
        fingerprint = open_source(space.table.source.location).days()[DAYS[0]].fingerprint
        assert ledger_of(space).select("fingerprint", "rows", "raw_version").row(0) == (fingerprint, 0, None)
    assert failures_in(space).is_empty()


def test_a_day_that_was_removed_from_raw_is_still_known_as_loaded(space: Workspace) -> None:
    for day in DAYS[:2]:
        write_day(source_of(space), day, [("A", 0, 0)])
    load(space, *DAYS[:2])
    before = ledger_of(space)
    apply(space, "remove", DAYS[0], [])
    after = ledger_of(space)
    assert after["fingerprint"].to_list() == before["fingerprint"].to_list()
    assert after["rows"].to_list() == [0, 1]
    assert lives_in(space).frame["first_day"].to_list() == [DAYS[1]]


@pytest.mark.parametrize("step", ["_revise_lives", "_revise_ledger"])
def test_a_run_killed_between_the_commits_leaves_nothing_wrong(
    space: Workspace, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in DAYS[10:14]:
        write_day(source_of(space), day, [("A", 0, 0), ("B", 0, 0)])
    load(space, *DAYS[10:14])
    write_day(source_of(space), DAYS[13], [("A", 1, 0)])

    def killed(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(ledger, step, killed)
        with pytest.raises(ZeroDivisionError):
            load(space, DAYS[13])
    listed = open_source(space.table.source.location).days()
    assert ledger_of(space)["fingerprint"].to_list()[-1] == listed[DAYS[13]].fingerprint
    hold_what_raw_says(space, DAYS[::5])


@pytest.mark.parametrize(("rows_at_once", "days_at_once"), [(13, 6), (1, 1)])
def test_a_home_without_these_tables_makes_them_once_in_parts(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, rows_at_once: int, days_at_once: int
) -> None:
    for day in DAYS:
        write_day(source_of(space), day, [("A", 0, 0), ("B", int(day == DAYS[20]), 0)])
    with monkeypatch.context() as patch:
        patch.setattr("ae_assets.chain.raw.catch_up", lambda *_: None)
        load(space, *DAYS)
    assert not space.tables.exists("fleet.lives")
    assert ledger_of(space)["period"].to_list() == DAYS
    assert not space.tables.exists("fleet.ledger"), "looking makes nothing"
    monkeypatch.setattr(ledger, "ROWS_AT_ONCE", rows_at_once)
    parts: list[tuple[date, date]] = []
    revise = ledger._revise_lives

    def noting(space: Workspace, first: date, last: date) -> pl.DataFrame:
        parts.append((first, last))
        return revise(space, first, last)

    monkeypatch.setattr(ledger, "_revise_lives", noting)
    hold_what_raw_says(space, DAYS[::5])
    assert parts == [(DAYS[at], DAYS[at : at + days_at_once][-1]) for at in range(0, len(DAYS), days_at_once)]


def test_what_raw_holds_is_read_of_the_changed_days_alone(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in DAYS:
        write_day(source_of(space), day, [("A", 0, 0), ("B", 0, 0)])
    load(space, *DAYS[:-1])
    asked = reads_of(monkeypatch, space.name(RAW))
    load(space, DAYS[-1])
    lives_in(space)
    failures_in(space)
    assert set(asked) <= {(day, day) for day in DAYS[-2:]}, "the day before says whether the fleet is a simulated one"
    asked.clear()
    ledger_of(space)
    lives_in(space, DAYS[3])
    assert asked == []


def reads_of(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[date, date]]:
    """The ranges of days that are read of a table from now on."""
    asked: list[tuple[date, date]] = []

    def noting(read: Callable[..., object]) -> Callable[..., object]:
        def of(self: Lakehouse, table: str, first: date, last: date, *more: object, **named: object) -> object:
            if table == name:
                asked.append((first, last))
            return read(self, table, first, last, *more, **named)

        return of

    monkeypatch.setattr(Lakehouse, "read", noting(Lakehouse.read))
    monkeypatch.setattr(Lakehouse, "iter_days", noting(Lakehouse.iter_days))
    return asked


def test_maintenance_of_raw_changes_no_life(tmp_path: Path) -> None:
    table, home = watched_table(), tmp_path / "home"
    space = storage_of(table, home)
    assert materialise(table, home, DAILY_INPUT, (FIRST, FIRST + timedelta(days=5))).success
    before = lives_in(space).frame
    assert materialise(table, home, ("maintenance",)).success
    assert_frame_equal(lives_in(space).frame, before)
    assert set(ledger_of(space)["source_file"].str.starts_with("simulated:")) == {True}
