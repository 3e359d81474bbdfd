"""Intervals from a file: the forms that are read, time zones, and what is said of a file that is wrong."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest

from ae_assets.errors import SourceError
from ae_assets.sources.intervals import read_intervals
from ae_assets_tests.sources.test_https import Server, serving


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_csv_has_entities_times_and_kinds(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "labels.csv",
        'end,entity,start,note\n2024-04-19,"pump 07",2024-04-17,x\n\n2024-04-17T22:05Z,b,2024-04-17T20:05+02:00,\n',
    )
    assert read_intervals(path).rows() == [
        ("pump 07", None, moment("2024-04-17"), moment("2024-04-20") - timedelta(microseconds=1)),
        ("b", None, moment("2024-04-17 18:05:00"), moment("2024-04-17 22:05:00")),
    ]


def test_times_without_an_offset_are_of_the_tables_clock_also_where_a_day_has_23_hours(tmp_path: Path) -> None:
    path = file(
        tmp_path, "labels.csv", "entity,start,end,kind\na,2024-03-31,2024-03-31,leak\na,2024-04-01 02:00,2024-04-02,\n"
    )
    (first, second) = read_intervals(path, "Europe/Berlin").rows()
    assert first == ("a", "leak", moment("2024-03-30 23:00"), moment("2024-03-31 22:00") - timedelta(microseconds=1))
    assert second[1:3] == (None, moment("2024-04-01 00:00"))


def test_the_windows_of_numenta_and_a_list_of_objects_are_read(tmp_path: Path) -> None:
    numenta = file(
        tmp_path,
        "combined_windows.json",
        '{"cloud/a.csv": [["2014-02-26 22:05:00.000000", "2014-03-03 22:05:00.000000"]], "cloud/b.csv": []}',
    )
    assert read_intervals(numenta).rows() == [
        ("cloud/a.csv", None, moment("2014-02-26 22:05"), moment("2014-03-03 22:05"))
    ]
    objects = file(
        tmp_path, "l.json", '[{"entity": 7, "start": "2024-04-17", "end": "2024-04-17 12:00", "kind": "leak"}]'
    )
    assert read_intervals(objects).rows() == [("7", "leak", moment("2024-04-17"), moment("2024-04-17 12:00"))]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("l.csv", "", ["entity,start,end,kind"]),
        ("l.csv", "entity,start\n", ["line 1", "'end'"]),
        ("l.csv", "entity,start,end\na,2024-04-17,17.04.2024\n", ["line 2", "'17.04.2024'", "2024-04-17"]),
        (
            "l.csv",
            "entity,start,end\na,2024-04-17,2024-04-18\n,2024-04-17,2024-04-16\n",
            ["line 3", "entity", "2024-04-16"],
        ),
        ("l.csv", "entity,start,end\na,2024-04-17,2024-04-18,x\n", ["line 2", "4 cells"]),
        ("l.csv", 'entity,start,end\n"a,2024-04-17\n', ["line"]),
        ("l.json", '{"a": [["2024-04-17"]]}', ["'a', interval 1", "pair"]),
        ("l.json", '{"a": [["2024-04-17", 5]]}', ["'a', interval 1", "'5'"]),
        ("l.json", '{"a": "2024"}', ["'a'", "pairs"]),
        ("l.json", '[{"entity": "a"}]', ["entry 1", "start", "end"]),
        ("l.json", '{"a": [], "a": []}', ["'a' stands twice"]),
        ("l.json", "7", ["int"]),
        ("l.json", "{\n!", ["line 2"]),
        ("l.txt", "", [".csv"]),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_was_expected(
    tmp_path: Path, name: str, text: str, named: list[str]
) -> None:
    path = file(tmp_path, name, text)
    with pytest.raises(SourceError) as refused:
        read_intervals(path)
    assert all(word in str(refused.value) for word in [path, *named])


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="folder of the YAML"):
        read_intervals(str(tmp_path / "none.csv"))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="UTF-8"):
        read_intervals(str(tmp_path / "binary.csv"))


def test_a_file_on_a_web_server_is_read_and_its_password_is_not_shown() -> None:
    with serving(Server(b"\xef\xbb\xbfentity,start,end\na,2024-04-17,x\n", ranges=False)) as server:
        address = server.address.replace("http://", "http://user:secret@").replace(
            "data_Q2.zip", "labels.csv?key=secret"
        )
        with pytest.raises(SourceError, match="line 2") as refused:
            read_intervals(address)
        assert "secret" not in str(refused.value)
        server.content = b"entity,start,end\na,2024-04-17,2024-04-18\n"
        assert read_intervals(address)["entity"].to_list() == ["a"]
        server.refuse = lambda request: 404
        with pytest.raises(SourceError, match="404"):
            read_intervals(address)


def test_other_places_are_refused() -> None:
    with pytest.raises(SourceError, match="s3://bucket/key"):
        read_intervals("ftp://host/labels.csv")
    with pytest.raises(SourceError, match="s3://bucket/key"):
        read_intervals("s3:///labels.csv")


def test_a_path_may_go_through_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "nab.zip"
    with ZipFile(archive, "w") as packed:
        packed.writestr("labels/windows.json", '{"a.csv": [["2014-02-26", "2014-03-03"]]}')
    (row,) = read_intervals(str(archive / "labels" / "windows.json")).rows()
    assert row[:3] == ("a.csv", None, moment("2014-02-26"))
    with pytest.raises(SourceError, match=r"nab\.zip/labels/others\.json does not exist"):
        read_intervals(str(archive / "labels" / "others.json"))


def test_a_file_in_an_archive_that_is_damaged_or_far_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x05\x06 nothing")
    with pytest.raises(SourceError, match="cannot be unpacked"):
        read_intervals(str(broken / "windows.json"))
    monkeypatch.setattr("ae_assets.sources.intervals.LARGEST_MEMBER", 10)
    large = tmp_path / "large.zip"
    with ZipFile(large, "w") as packed:
        packed.writestr("windows.json", '{"a.csv": [] }')
    with pytest.raises(SourceError, match="has 14 bytes unpacked, expected at most 10"):
        read_intervals(str(large / "windows.json"))
