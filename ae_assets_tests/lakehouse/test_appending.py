"""Rows of a stream and the place up to which they go come in together, once, whatever other writers do."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse, appending
from ae_assets.lakehouse.appending import Step
from ae_assets.lakehouse.snapshots import Attempt
from ae_assets.schemas.periods import DAILY

DAY = date(2024, 4, 15)


def frame(*values: int) -> dict[date, pl.DataFrame]:
    return {
        DAY: pl.DataFrame({"day": [DAY] * len(values), "value": values}, schema={"day": pl.Date, "value": pl.Int64})
    }


def step(after: int, to: int, part: str = "t/0") -> Step:
    return Step({part: after}, {part: to})


def values(tables: Lakehouse) -> list[int]:
    return sorted(tables.read("t.stream", DAY, DAY)["value"])


def test_rows_are_appended_once(tmp_path: Path) -> None:
    tables = Lakehouse.open(tmp_path)
    assert tables.positions("t.stream") == {}
    assert tables.append("t.stream", frame(), DAILY, step(0, 2))
    assert not tables.append("t.stream", frame(1, 2), DAILY, step(0, 2))
    assert tables.append("t.stream", frame(3), DAILY, step(2, 3))
    assert not tables.append("t.stream", frame(3), DAILY, step(2, 3))
    assert tables.append("t.stream", frame(7), DAILY, step(0, 1, "t/1"))
    assert values(tables) == [3, 7]
    assert tables.positions("t.stream") == {"t/0": 3, "t/1": 1}
    assert len(list(tmp_path.rglob("*.parquet"))) == 2, "files of rows that were refused are gone"


def test_maintenance_leaves_rows_and_places(tmp_path: Path) -> None:
    tables = Lakehouse.open(tmp_path)
    for place in range(5):
        tables.append("t.stream", frame(place), DAILY, step(place, place + 1))
    tables.maintain("t.stream")
    assert values(tables) == list(range(5))
    assert tables.positions("t.stream") == {"t/0": 5}
    assert tables.append("t.stream", frame(5), DAILY, step(5, 6))


def test_another_writer_at_the_same_place_wins_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Lakehouse.open(tmp_path)
    tables.append("t.stream", frame(0), DAILY, step(0, 1))
    committed = appending.append_files

    def after_another(table: Any, *given: Any) -> Attempt:
        monkeypatch.setattr(appending, "append_files", committed)
        assert Lakehouse.open(tmp_path).append("t.stream", frame(10), DAILY, step(1, 2))
        return committed(table, *given)

    monkeypatch.setattr(appending, "append_files", after_another)
    assert not tables.append("t.stream", frame(1), DAILY, step(1, 2))
    assert values(tables) == [0, 10]


@pytest.mark.parametrize("came_through", [True, False])
def test_an_answer_that_is_lost_appends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, came_through: bool
) -> None:
    from pyiceberg.exceptions import CommitStateUnknownException

    tables = Lakehouse.open(tmp_path)
    committed = appending.append_files

    def lost(table: Any, *given: Any) -> Attempt:
        monkeypatch.setattr(appending, "append_files", committed)
        attempt = committed(table, *given) if came_through else Attempt(123)
        return Attempt(attempt.snapshot_id, CommitStateUnknownException("no answer"))

    monkeypatch.setattr(appending, "append_files", lost)
    assert tables.append("t.stream", frame(1), DAILY, step(0, 1))
    assert values(tables) == [1]
    assert tables.positions("t.stream") == {"t/0": 1}


def test_a_commit_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Lakehouse.open(tmp_path)
    monkeypatch.setattr(appending, "append_files", lambda *_: Attempt(None, OSError(28, "No space left on device")))
    with pytest.raises(LakehouseError):
        tables.append("t.stream", frame(1), DAILY, step(0, 1))
    assert list(tmp_path.rglob("*.parquet")) == []
    assert tables.positions("t.stream") == {}
