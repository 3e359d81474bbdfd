"""Official archives are read without unpacking; what is dangerous or damaged in them is refused by name."""

import struct
import zipfile
import zlib
from datetime import date
from pathlib import Path

import pytest

from ae_assets.errors import SourceError
from ae_assets.sources import archives, day_files, listed_day, open_source
from ae_assets_tests.sources.files import FIRST, day_csv, write_zip

SECOND = date(2013, 4, 11)


def test_days_are_found_in_any_folder_of_an_archive(tmp_path: Path) -> None:
    members = {"2013-04-11.csv": day_csv(SECOND, 2), "data/2013/2013-04-10.csv": day_csv(FIRST, 3)}
    source = open_source(str(write_zip(tmp_path / "data_2013.zip", members)))
    days = source.days()
    assert list(days) == [FIRST, SECOND]
    assert days[FIRST].origin == "data_2013.zip!data/2013/2013-04-10.csv"
    assert days[FIRST].size_bytes == len(day_csv(FIRST, 3))
    assert [source.read(day).height for day in days.values()] == [3, 2]
    assert source.strays() == []
    assert not source.simulated


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=str)
def test_stored_and_deflated_members_are_read(tmp_path: Path, method: int) -> None:
    source = open_source(str(write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv()}, method)))
    assert source.read(source.days()[FIRST]).height == 3


def test_a_fingerprint_changes_with_the_content_and_only_with_it(tmp_path: Path) -> None:
    def fingerprint(name: str, content: bytes) -> str:
        return open_source(str(write_zip(tmp_path / name, {"2013-04-10.csv": content}))).days()[FIRST].fingerprint

    assert fingerprint("a.zip", day_csv()) == fingerprint("b.zip", day_csv())
    assert fingerprint("a.zip", day_csv(counter=9)) != fingerprint("b.zip", day_csv())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../2013-04-10.csv", "points outside the archive"),
        ("a/../../2013-04-10.csv", "points outside the archive"),
        ("/etc/2013-04-10.csv", "points outside the archive"),
        ("C:\\data\\2013-04-10.csv", "points outside the archive"),
        ("..\\2013-04-10.csv", "points outside the archive"),
        ("__MACOSX/2013-04-10.csv", "a.zip!__MACOSX/: a macOS side folder"),
        ("__MACOSX/._2013-04-10.csv", "a.zip!__MACOSX/: a macOS side folder"),
        ("in/#recycle/2013-04-10.csv", "a.zip!in/#recycle/: a hidden folder, a recycle bin"),
        (".Trash-1000\\2013-04-10.csv", "a.zip!.Trash-1000/: a hidden folder"),
        (".2013-04-10.csv", "a hidden file"),
        ("data/._2013-04-10.csv", "macOS side file"),
        ("data/.DS_Store", "macOS side file"),
        ("2013-02-30.csv", "not named"),
        ("drive_stats.csv", "not named"),
        ("2013-04-10.csv.gz", "unpack it, or put it into a .zip"),
        ("notes.html", "not named"),
    ],
)
def test_members_that_are_no_days_are_named_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    members = {name: day_csv(), "2013-04-11.csv": day_csv(SECOND)}
    source = open_source(str(write_zip(tmp_path / "a.zip", members)))
    assert list(source.days()) == [SECOND]
    (stray,) = source.strays()
    assert stray.startswith("a.zip!")
    assert reason in stray
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip"]


def test_a_folder_that_is_left_out_is_named_once_however_many_members_it_has(tmp_path: Path) -> None:
    members = {f"#recycle/2013-04-{day}.csv": day_csv() for day in (10, 11, 12)}
    source = open_source(str(write_zip(tmp_path / "a.zip", {**members, "./2013-04-11.csv": day_csv(SECOND)})))
    assert list(source.days()) == [SECOND]
    assert len(source.strays()) == 1


def test_a_symbolic_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("2013-04-10.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    source = open_source(str(tmp_path / "a.zip"))
    assert source.days() == {}
    assert source.strays() == ["a.zip!2013-04-10.csv: refused, it is a symbolic link"]


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv()})
    _patch_directory(path, 8, struct.pack("<H", 1))
    source = open_source(str(path))
    assert source.days() == {}
    assert "it is encrypted" in source.strays()[0]


def test_a_compression_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv()})
    _patch_directory(path, 10, struct.pack("<H", 9))
    assert "compressed by method 9" in open_source(str(path)).strays()[0]


def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": b"0" * (archives.MIN_BYTES_FOR_RATIO + 1)})
    source = open_source(str(path))
    assert source.days() == {}
    assert "more than 300 fold" in source.strays()[0]


def test_a_day_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_DAY_BYTES", 100)
    source = open_source(str(write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv()})))
    assert "more than the 100 a day may have" in source.strays()[0]


def test_a_member_that_unpacks_to_more_than_it_claims_is_refused_and_not_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv() + b"0" * 10_000_000})
    _patch_directory(path, 24, struct.pack("<I", 500))
    source = open_source(str(path))
    with pytest.raises(SourceError, match="not readable as a zip archive"):
        source.read(source.days()[FIRST])


def test_a_damaged_member_is_an_error_that_names_it_and_other_days_stay_readable(tmp_path: Path) -> None:
    members = {"2013-04-10.csv": day_csv(), "2013-04-11.csv": day_csv(SECOND)}
    path = write_zip(tmp_path / "a.zip", members, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"2013-04-10,Z1", b"2013-04-10,X1"))
    source = open_source(str(path))
    days = source.days()
    with pytest.raises(SourceError, match=r"a\.zip!2013-04-10\.csv: .*CRC.*download it again"):
        source.read(days[FIRST])
    assert source.read(days[SECOND]).height == 3


@pytest.mark.parametrize("kept", [0, 10, 500, 99_000])
def test_a_truncated_archive_is_an_error_that_says_what_to_do(tmp_path: Path, kept: int) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv(rows=3000)}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"a\.zip: not readable .* damaged or cut off: .* download it again"):
        open_source(str(path)).days()


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.zip: the archive cannot be found"):
        open_source(str(tmp_path / "gone.zip")).days()


def test_an_archive_replaced_after_listing_is_an_error_until_it_is_listed_again(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv()})
    source = open_source(str(path))
    listed = source.days()[FIRST]
    write_zip(path, {"2013-04-10.csv": day_csv(rows=5)})
    with pytest.raises(SourceError, match="has changed since it was listed"):
        source.read(listed)
    assert source.read(source.days()[FIRST]).height == 5


def test_a_day_of_another_listing_is_read_if_it_is_still_the_same(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv()})
    listed = open_source(str(path)).days()[FIRST]
    assert open_source(str(path)).read(listed).height == 3


def test_a_day_twice_with_the_same_content_counts_once(tmp_path: Path) -> None:
    source = open_source(
        str(write_zip(tmp_path / "a.zip", {"a/2013-04-10.csv": day_csv(), "b/2013-04-10.csv": day_csv()}))
    )
    assert source.read(source.days()[FIRST]).height == 3
    assert source.strays() == ["a.zip!b/2013-04-10.csv: the same content as a.zip!a/2013-04-10.csv, read once"]


def test_a_day_that_is_not_there_is_an_error_that_names_what_was_left_out(tmp_path: Path) -> None:
    source = open_source(str(write_zip(tmp_path / "a.zip", {"10.04.2013.csv": day_csv()})))
    with pytest.raises(SourceError, match=r"(?s)no file for 2013-04-10.*left out: a\.zip!10\.04\.2013\.csv: not named"):
        listed_day(source, FIRST)


def test_random_damage_never_gives_another_error_or_other_rows(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv(rows=40)})
    good, rows = path.read_bytes(), open_source(str(path)).read(open_source(str(path)).days()[FIRST])
    refused = 0
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << zlib.crc32(bytes([place % 256, place // 256])) % 8
        path.write_bytes(bad)
        source = open_source(str(path))
        try:
            for day in source.days().values():
                assert source.read(day).equals(rows)
        except SourceError:
            refused += 1
    assert refused > len(good) / 2


def _patch_directory(path: Path, offset: int, value: bytes) -> None:
    """Overwrites a field of the first entry of a zip's directory (APPNOTE 4.3.12)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + offset
    content[place : place + len(value)] = value
    path.write_bytes(content)


def test_the_limits_leave_room_for_the_largest_official_days() -> None:
    assert day_files.MAX_DAY_BYTES > 10 * 130_000_000
    assert archives.MAX_COMPRESSION_RATIO < 1030
