"""Files that hold many days: each day has a fingerprint of its own, and every row of a file is a row of some day."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from ae_assets.errors import SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.sources import Source, many_days, open_source

FIRST = date(2024, 4, 1)
COLUMNS: dict[str, Any] = {"time": "at", "entity": "pump", "values": {"pressure": {}}}
OF_FILE: dict[str, Any] = {**COLUMNS, "entity": {"file_name": r"^(.+)_2024\.csv$"}}


def source_of(path: Path, columns: dict[str, Any] = COLUMNS, memory: Path | None = None) -> Source:
    section = SourceSection.model_validate({"location": str(path), "columns": columns, "days_per_file": "many"})
    return open_source(str(path), section.reading, memory)


def lines(days: Sequence[int], pumps: Sequence[str] = ("a", "b")) -> list[str]:
    return [f"{FIRST + timedelta(days=day)},{pump},{day}.5" for day in days for pump in pumps]


def write(path: Path, rows: Sequence[str], header: str = "at,pump,pressure") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]))
    return path


def fingerprints(source: Source) -> dict[date, str]:
    return {day: listed.fingerprint for day, listed in source.days().items()}


def test_the_days_of_a_file_are_those_of_its_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "pumps.csv", [*lines([2, 0]), *lines([1, 2], ["c"])])
    source = source_of(file)
    days = source.days()
    assert list(days) == [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=2)]
    rows = source.read(days[FIRST + timedelta(days=2)])
    assert rows["pump"].to_list() == ["a", "b", "c"]
    assert rows["source_row"].to_list() == [1, 2, 6]
    assert rows.columns == ["at", "pump", "pressure", "source_row", "rescued"]
    assert source.span() is None


def test_a_file_that_grows_renews_its_new_days_only(tmp_path: Path) -> None:
    file = write(tmp_path / "in" / "pumps.csv", lines([0, 1]))
    source = source_of(tmp_path / "in")
    before = fingerprints(source)
    write(file, [*lines([0, 1]), *lines([1], ["late"]), *lines([2])])
    after = fingerprints(source)
    assert after[FIRST] == before[FIRST]
    assert after[FIRST + timedelta(days=1)] != before[FIRST + timedelta(days=1)]
    assert len(after) == 3
    write(file, lines([2, 1, 0]))
    assert fingerprints(source)[FIRST] == before[FIRST], "where the rows stand in the file does not count"


def test_what_was_found_is_remembered_while_the_file_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in" / "pumps.csv", lines([0, 1]))
    days = source_of(tmp_path / "in", memory=tmp_path / "memory").days()
    monkeypatch.setattr(many_days, "read_file", lambda *_: pytest.fail("the file was read again"))
    assert source_of(tmp_path / "in", memory=tmp_path / "memory").days() == days


def test_a_day_of_several_files_has_the_rows_of_all_and_copies_count_once(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", lines([0, 1], ["a"]))
    write(tmp_path / "copy.csv", lines([0, 1], ["a"]))
    write(tmp_path / "y.csv", lines([1], ["b"]))
    source = source_of(tmp_path)
    days = source.days()
    rows = source.read(days[FIRST + timedelta(days=1)])
    assert (rows["pump"].to_list(), rows["source_row"].to_list()) == (["a", "b"], [1, 2])
    assert [stray.partition(": ")[0] for stray in source.strays()] == ["x.csv"]


def test_files_of_a_day_may_have_other_columns_each(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [f"{FIRST},a,1.5"])
    write(tmp_path / "b.csv", [f"{FIRST},b,2.5,dry"], "at,pump,pressure,note")
    source = source_of(tmp_path)
    rows = source.read(source.days()[FIRST])
    assert rows.columns == ["at", "pump", "pressure", "note", "source_row", "rescued"]
    assert rows.select("pump", "note", "source_row").rows() == [("a", None, 1), ("b", "dry", 2)]


def test_the_entity_is_found_in_the_name_of_the_file(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "rivers.zip", "w") as archive:
        for station in ("Logan A", "Logan B"):
            archive.writestr(f"x/{station}_2024.csv", "at,pressure\n2024-04-01,1.5\n2024-04-02,2.5\n")
        archive.writestr("x/readme.txt", "no rows")
        archive.writestr("x/other.csv", "at,pressure\n2024-04-01,1.5\n")
    source = source_of(tmp_path / "rivers.zip", OF_FILE)
    days = source.days()
    rows = source.read(days[FIRST])
    assert rows.columns == ["at", "pressure", "entity", "source_row", "rescued"]
    assert rows["entity"].to_list() == ["Logan A", "Logan B"]
    assert any("other.csv" in stray and "tells no device" in stray for stray in source.strays())


def test_a_file_without_rows_that_tells_a_device_has_no_days(tmp_path: Path) -> None:
    write(tmp_path / "b_2024.csv", [], "at,pressure")
    write(tmp_path / "a_2024.csv", [f"{FIRST},1.5"], "at,pressure")
    source = source_of(tmp_path, OF_FILE)
    assert list(source.days()) == [FIRST]
    assert source.strays() == []


def test_a_row_without_a_time_stands_with_the_row_before_it(tmp_path: Path) -> None:
    write(tmp_path / "pumps.csv", ["never,z,1", *lines([0]), "?,z,2", *lines([1])])
    source = source_of(tmp_path)
    read = [source.read(day) for day in source.days().values()]
    assert [rows["pump"].to_list() for rows in read] == [["z", "a", "b", "z"], ["a", "b"]]
    assert read[0]["rescued"].to_list() == ['{"at": "never"}', None, None, '{"at": "?"}']


def test_a_file_in_which_no_time_can_be_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "pumps.csv", ["7/4/24,a,1"])
    with pytest.raises(SourceError, match=r"pumps\.csv: no time of its 1 rows can be read.*time\.format"):
        source_of(tmp_path).days()


def test_a_day_that_changed_since_it_was_listed_is_not_read_for_another(tmp_path: Path) -> None:
    file = write(tmp_path / "pumps.csv", lines([0, 1]))
    source = source_of(tmp_path)
    listed = source.days()
    write(file, lines([0, 1], ["c"]))
    source.days()
    with pytest.raises(SourceError, match="has changed since it was listed"):
        source.read(listed[FIRST])
