"""Hours and weeks as files and as rows of larger files: which period a name says, and what is left out and why."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from ae_assets.errors import SourceError
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods
from ae_assets.sources import Source, listed_day, many_days, open_source

COLUMNS: dict[str, Any] = {
    "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": "15m"},
    "entity": "pump",
    "values": {"pressure": {}},
}
FIVE = datetime(2024, 4, 17, 5, tzinfo=UTC)
MONDAY = date(2024, 4, 15)
HEADER = "at,pump,pressure"
ROW = "2024-04-17 05:15,a,1.5"


def source_of(path: Path, periods: Periods, memory: Path | None = None, **keys: object) -> Source:
    section = SourceSection.model_validate({"location": str(path), "columns": COLUMNS, **keys})
    return open_source(str(path), replace(section.reading, periods=periods), memory)


def text(*rows: str) -> str:
    return "\n".join([HEADER, *rows, ""])


def write(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(*(rows or [ROW])))
    return path


HOUR_NAMES = [
    "2024-04-17T05.csv",
    "2024-04-17-05.csv",
    "2024-04-17_05.csv",
    "2024/04/17/05/any name.csv",
    "2024/04/17/05.csv",
    "date=2024-04-17/hour=05/part-0.x.csv",
    "year=2024/month=4/day=17/hour=5/part-0.csv",
    "2024-04-17/05.csv",
]


@pytest.mark.parametrize("name", HOUR_NAMES)
def test_an_hour_is_named_by_its_file_or_by_the_folders_around_it(tmp_path: Path, name: str) -> None:
    write(tmp_path / "in", f"pumps/{name}")
    with ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(f"pumps/{name}", text(ROW))
    for place in (tmp_path / "in", tmp_path / "in.zip", tmp_path / "in" / "pumps" / name):
        source = source_of(place, HOURLY)
        days = source.days()
        assert list(days) == [FIVE], place
        assert source.read(days[FIVE])["at"].to_list() == [FIVE.replace(minute=15)]
        assert source.span() == (FIVE, FIVE)
        assert source.strays() == []


@pytest.mark.parametrize(
    "name", ["2024-04-17.csv", "2024-04-17T24.csv", "2024-04-31T05.csv", "2024/04/17/05/6/x.csv", "05.csv", "x.csv"]
)
def test_a_file_that_names_no_hour_is_left_out_with_the_names_that_do(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    source = source_of(tmp_path, HOURLY)
    assert source.days() == {}
    (stray,) = source.strays()
    assert "YYYY-MM-DDTHH.csv" in stray
    with pytest.raises(SourceError, match=r"no file for 2024-04-17T05. Add 2024-04-17T05.csv"):
        listed_day(source, FIVE)


@pytest.mark.parametrize("name", ["2024-W16.csv", "2024-04-15.csv", "2024-04-17.csv", "2024-04-21.csv"])
def test_a_week_is_named_by_its_number_or_by_any_of_its_days(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    source = source_of(tmp_path, WEEKLY)
    assert list(source.days()) == [MONDAY]
    assert source.span() == (MONDAY, MONDAY)


@pytest.mark.parametrize("name", ["2024-W60.csv", "2024-16.csv", "2024-W16-3.csv", "2024-04-31.csv"])
def test_a_file_that_names_no_week_is_left_out_with_the_names_that_do(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    source = source_of(tmp_path, WEEKLY)
    assert source.days() == {}
    assert "2024-W16" in source.strays()[0]


def test_two_files_of_one_week_are_not_guessed_between(tmp_path: Path) -> None:
    write(tmp_path, "2024-W16.csv")
    write(tmp_path, "2024-04-17.csv", "2024-04-18 05:15,b,2.5")
    source = source_of(tmp_path, WEEKLY)
    with pytest.raises(SourceError, match=r"2024-04-15 is there more than once.*days_per_file: many"):
        source.read(source.days()[MONDAY])


def rows_at(*times: str, pump: str = "a") -> Sequence[str]:
    return [f"2024-04-{time},{pump},{number}.5" for number, time in enumerate(times)]


@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        (HOURLY, {"2024-04-17-05:00": [1, 4], "2024-04-17-06:00": [2], "2024-04-22-05:00": [3]}),
        (DAILY, {"2024-04-17": [1, 2, 4], "2024-04-22": [3]}),
        (WEEKLY, {"2024-04-15": [1, 2, 4], "2024-04-22": [3]}),
    ],
)
def test_the_rows_of_a_file_are_cut_by_the_periods_of_the_table(
    tmp_path: Path, periods: Periods, expected: dict[str, list[int]]
) -> None:
    path = write(tmp_path, "pumps.csv", *rows_at("17 05:00", "17 06:00", "22 05:30", "17 05:45"))
    source = source_of(path, periods, tmp_path / "memory", days_per_file="many")
    days = source.days()
    assert {periods.key(day): source.read(listed)["source_row"].to_list() for day, listed in days.items()} == expected
    again = source_of(path, periods, tmp_path / "memory", days_per_file="many").days()
    assert again == days


def test_other_periods_of_the_same_file_are_not_taken_from_what_was_remembered(tmp_path: Path) -> None:
    path = write(tmp_path, "pumps.csv", *rows_at("17 05:00", "17 06:00"))
    counts = [
        len(source_of(path, periods, tmp_path / "memory", days_per_file="many").days()) for periods in (DAILY, HOURLY)
    ]
    assert counts == [1, 2]


def test_a_changed_archive_renews_only_the_hours_whose_rows_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(*members: tuple[str, str]) -> dict[date, str]:
        with ZipFile(tmp_path / "in.zip", "w") as archive:
            for name, content in members:
                archive.writestr(name, content)
        source = source_of(tmp_path / "in.zip", HOURLY, tmp_path / "memory", days_per_file="many")
        return {hour: day.fingerprint for hour, day in source.days().items()}

    a, b = text(*rows_at("17 05:00", "17 06:00")), text(*rows_at("17 06:00", "17 07:00", pump="b"))
    before = listed(("a.csv", a), ("b.csv", b))
    after = listed(("a.csv", a), ("b.csv", b.replace("07:00,b,1.5", "07:00,b,9.5")))
    assert [hour.hour for hour in before if before[hour] != after[hour]] == [7]  # type: ignore[attr-defined]
    monkeypatch.setattr(many_days, "read_file", lambda *_: pytest.fail("the archive was read again"))
    assert source_of(tmp_path / "in.zip", HOURLY, tmp_path / "memory", days_per_file="many").days()


def test_a_cell_with_a_line_end_belongs_to_its_own_hour(tmp_path: Path) -> None:
    lines = [
        '{"at": "2024-04-17 05:00", "pump": "a", "pressure": 1, "note": "one\\ntwo"}',
        '{"at": "2024-04-17 06:00", "pump": "a", "pressure": 1, "note": "three"}',
    ]
    path = tmp_path / "in" / "pumps.jsonl"
    path.parent.mkdir()

    def fingerprints(*rows: str) -> list[str]:
        path.write_text("\n".join([*rows, ""]))
        days = source_of(path.parent, HOURLY, days_per_file="many").days()
        return [day.fingerprint for day in days.values()]

    both, changed = fingerprints(*lines), fingerprints(lines[0], lines[1].replace("three", "four"))
    assert both[0] == changed[0] != both[1] != changed[1]
    assert fingerprints(lines[1]) == [both[1]]


@pytest.mark.parametrize("days_per_file", ["one", "many"])
def test_files_of_other_names_than_asked_for_are_left_out(tmp_path: Path, days_per_file: str) -> None:
    name, other = ("2024-04-17.csv", "2024-04-18.csv") if days_per_file == "one" else ("Flow_1.csv", "Rain.csv")
    write(tmp_path / "in", f"x/{name}")
    write(tmp_path / "in", f"x/{other}", "2024-04-18 05:15,a,1.5")
    with ZipFile(tmp_path / "in.zip", "w") as archive:
        for file in (name, other):
            archive.write(tmp_path / "in" / "x" / file, f"x/{file}")
    pattern = f"{name[:-4]}*"
    for place in (tmp_path / "in", tmp_path / "in.zip"):
        source = source_of(place, DAILY, days_per_file=days_per_file, files=pattern)
        assert list(source.days()) == [date(2024, 4, 17)]
        (stray,) = source.strays()
        assert other in stray
        assert f"does not match source.files {pattern!r}" in stray
    with pytest.raises(SourceError, match=r"a file of another name \(its name does not match source.files"):
        source_of(tmp_path / "in" / "x" / other, DAILY, days_per_file=days_per_file, files=pattern).days()
