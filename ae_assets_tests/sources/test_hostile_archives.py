"""Archives that are broken or made to harm: refused in words, or each day is what the archive's directory says."""

import io
import re
import struct
import sys
import types
import zipfile
import zlib
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources import archives, open_source
from ae_assets.sources.archives import archive_listing
from ae_assets_tests.sources.files import FIRST, day_csv
from ae_assets_tests.sources.forged import Entry, deflated, forged_zip, overlapping_zip

NAME = b"2013-04-10.csv"
GOOD = Entry(b"2013-04-11.csv", day_csv("2013-04-11"))
BIG = struct.pack("<Q", 2**63 + 5)


def read(path: Path, content: bytes) -> tuple[dict[date, pl.DataFrame], str]:
    """The days that can be read, and everything that is said of the others."""
    path.write_bytes(content)
    source = open_source(str(path))
    frames, said = {}, []
    for day, listed in source.days().items():
        try:
            frames[day] = source.read(listed)
        except SourceError as refused:
            said.append(str(refused))
    said += source.strays()
    assert all(line.isprintable() for line in said)
    return frames, "\n".join(said)


def in_memory(content: bytes) -> archives.ArchiveFile:
    """An archive without a disk."""
    return types.SimpleNamespace(name="a.zip", open=lambda _part: io.BytesIO(content), version=lambda: "1")


def hurt(draw: st.DrawFn, data: bytes) -> bytes:
    """A few bytes flipped, put in or taken out: in the directory, in a header, in the data."""
    damaged = bytearray(data)
    for _ in range(draw(st.integers(1, 5))):
        first = draw(st.sampled_from([0, max(0, data.find(b"PK\1\2")), max(0, data.find(b"PK\5\6"))]))
        place = draw(st.integers(min(first, len(damaged)), len(damaged)))
        match draw(st.sampled_from(["flip", "fill", "insert", "delete", "cut"])):
            case "flip":
                damaged[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "fill":
                size = draw(st.sampled_from([1, 2, 4, 8]))
                damaged[place : place + size] = draw(st.sampled_from([b"\xff", b"\0", b"\x7f"])) * size
            case "insert":
                damaged[place:place] = draw(st.sampled_from([b"\0", b"PK\1\2", b"PK\5\6", b"\xff" * 4, data[:30], BIG]))
            case "delete":
                del damaged[place : place + draw(st.integers(1, 8))]
            case "cut":
                del damaged[place:]
    return bytes(damaged)


def zipped(*, zip64: bool, method: int, streamed: bool) -> bytes:
    """An archive as programs write it; streamed: sizes stand behind the data."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    content = Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name in ("in/2013-04-10.csv", "2013-04-11.csv"):
            with archive.open(name, "w", force_zip64=zip64) as member:
                member.write(day_csv(name[-14:-4], rows=20))
    return content.getvalue()


KINDS = [
    zipped(zip64=zip64, method=method, streamed=streamed)
    for zip64 in (False, True)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for streamed in (False, True)
]


@pytest.mark.parametrize("content", KINDS, ids=range(len(KINDS)))
def test_every_kind_of_honest_archive_is_read(content: bytes, tmp_path: Path) -> None:
    frames, said = read(tmp_path / "a.zip", content)
    assert ([frame.height for frame in frames.values()], said) == ([20, 20], "")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_is_refused_in_words_or_its_days_are_what_they_were(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    content = hurt(data.draw, kind)
    held = in_memory(content)
    read_anyway: list[bytes] = []
    try:
        files = archive_listing(held, Reading()).files
    except SourceError as refused:
        assert re.match(r"a\.zip: not readable as a zip archive \(.+\)\. It is probably damaged", str(refused))  # noqa: PT017
        return
    for file in files:
        try:
            read_anyway.append(file.fetch())
        except SourceError as refused:
            assert str(refused).startswith("a.zip!")  # noqa: PT017
            continue
        assert len(read_anyway[-1]) == file.listed.size_bytes
        assert zlib.crc32(read_anyway[-1]) == file.checksum()
    assert set(read_anyway) <= {day_csv(day, rows=20) for day in ("2013-04-10", "2013-04-11")} | {b""}


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=400), name=st.binary(max_size=30))
def test_any_bytes_and_any_names_are_refused_in_words(content: bytes, name: bytes) -> None:
    for forged in (content, forged_zip([Entry(name, content), Entry(b"in/" + NAME, content)])):
        held = in_memory(forged)
        try:
            listing = archive_listing(held, Reading())
        except SourceError:
            continue
        assert [file.fetch() for file in listing.files][-1:] == [content]


MEMBERS = [
    (Entry(b"", day_csv()), "refused"),
    (Entry(b"\0", day_csv()), "its name holds a NUL"),
    (Entry(NAME + b"\0.exe", day_csv()), "its name holds a NUL"),
    (Entry(b"../" + NAME, day_csv()), "points outside the archive"),
    (Entry(b"/" + NAME, day_csv()), "points outside the archive"),
    (Entry(b"\\\\server\\share\\" + NAME, day_csv()), "points outside the archive"),
    (Entry(b"C:\\" + NAME, day_csv()), "points outside the archive"),
    (Entry(b"CON", day_csv()), "not named YYYY-MM-DD.csv"),
    (Entry(b"2013-04-10.csv:stream", day_csv()), "not named YYYY-MM-DD.csv"),
    (Entry(b"inner.zip", forged_zip([GOOD])), "not named YYYY-MM-DD.csv"),
    (Entry(b"__MACOSX/" + NAME, day_csv()), "a macOS side folder"),
    (Entry(NAME, b"/etc/passwd", attributes=0o120777 << 16), "it is a symbolic link"),
    (Entry(NAME, day_csv(), flags=1), "it is encrypted"),
    (Entry(NAME, day_csv(), flags=0x41), "it is encrypted"),
    (Entry(NAME, day_csv(), flags=0x20), "patched data"),
    (Entry(NAME, day_csv(), method=9), "compressed by method 9"),
    (Entry(NAME, day_csv(), method=12), "compressed by method 12"),
    (Entry(NAME, day_csv(), method=14), "compressed by method 14"),
    (Entry(NAME, day_csv(), method=99), "compressed by method 99"),
    (Entry(NAME, day_csv(), checksum=1), "Bad CRC-32"),
    (Entry(NAME, day_csv(), size=len(day_csv()) + 1), "it unpacks to 177 bytes, the archive's directory says 178"),
    (Entry(NAME, day_csv(), size=len(day_csv()) - 1), "Bad CRC-32"),
    (Entry(NAME, day_csv(), packed_size=2**31 + 1), "more than the 2,147,483,648 a day may have"),
    (Entry(NAME, day_csv(), size=2**31 + 1), "more than the 2,147,483,648 a day may have"),
    (Entry(NAME, day_csv(), packed=deflated(day_csv())[:-9]), "not readable as a zip archive"),
    (Entry(NAME, day_csv(), packed=b"\xff" * 60), "not readable as a zip archive"),
    (Entry(NAME, b"", size=0), "the file is empty"),
    (Entry(NAME, day_csv(), place=3), "it overlaps another member"),
    (Entry(NAME, day_csv(), place=2**32 - 2), "not readable as a zip archive"),
    (Entry(NAME, day_csv(), place=0), "it overlaps another member"),
]


@pytest.mark.parametrize(("entry", "reason"), MEMBERS, ids=range(len(MEMBERS)))
def test_what_is_wrong_with_a_member_is_said_and_the_other_day_is_read(
    entry: Entry, reason: str, tmp_path: Path
) -> None:
    frames, said = read(tmp_path / "a.zip", forged_zip([GOOD, entry]))
    assert "a.zip!" in said
    assert reason in said
    assert FIRST not in frames
    if "overlaps" not in reason:
        assert frames[date(2013, 4, 11)].height == 3


@pytest.mark.parametrize(
    ("name", "flags", "shown"),
    [
        (b"in\nERROR it is all lost/", 0, "in\\nERROR it is all lost/"),
        (b"\x1b[2J\x07/", 0, "\\x1b[2J\\x07/"),
        ("\u202egnp.exe/".encode(), 0x800, "\\u202egnp.exe/"),
        (b"\x81\xff/", 0, "ü\\xa0/"),
        (b"x" * 60_000 + b"/", 0, "…xxx"),
    ],
    ids=["line end", "terminal", "right to left", "code page 437", "long"],
)
def test_signs_that_would_break_a_log_are_escaped_in_the_origin(
    name: bytes, flags: int, shown: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(forged_zip([Entry(name + NAME, day_csv(), flags=flags), Entry(name + b"x", b"", flags=flags)]))
    source = open_source(str(path))
    (listed,) = source.days().values()
    assert shown in listed.origin
    assert listed.origin.endswith("/2013-04-10.csv")
    assert all(text.isprintable() and len(text) <= 1_100 for text in (listed.origin, *source.strays()))
    assert source.read(listed).height == 3


def test_names_that_are_not_the_utf8_they_claim_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(forged_zip([Entry(b"\xff" + NAME, day_csv(), flags=0x800)]))
    with pytest.raises(SourceError, match=r"a\.zip: not readable as a zip archive \('utf-8' codec can't decode"):
        open_source(str(tmp_path / "a.zip")).days()


def test_a_member_twice_with_other_content_is_refused_and_with_the_same_read_once(tmp_path: Path) -> None:
    frames, said = read(tmp_path / "a.zip", forged_zip([Entry(NAME, day_csv()), Entry(NAME, day_csv(counter=9)), GOOD]))
    assert list(frames) == [date(2013, 4, 11)]
    assert "2013-04-10 is there more than once with different content" in said
    frames, said = read(tmp_path / "b.zip", forged_zip([Entry(NAME, day_csv()), Entry(NAME, day_csv()), GOOD]))
    assert len(frames) == 2
    assert "read once" in said


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    names = [b"2013-04-%02d.csv" % day for day in range(1, 31)]
    kernel = day_csv(rows=5_000)
    forged = overlapping_zip(names, kernel)
    with zipfile.ZipFile(io.BytesIO(forged)) as archive:  # a program that unpacks it gets many times its size
        assert sum(member.file_size for member in archive.infolist()) > 100 * len(forged)
    frames, said = read(tmp_path / "a.zip", forged)
    assert frames == {}
    assert said.count("it overlaps another member") == len(names)


def test_an_archive_with_too_large_a_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(forged_zip([Entry(b"%d.txt" % number, place=0) for number in range(100_000)]))
    with pytest.raises(SourceError, match=r"a\.zip: not readable .*its directory has more than the 4,194,304 bytes"):
        open_source(str(path)).days()


def test_the_directory_may_hold_a_century_of_days() -> None:
    entry = 46 + len("data_Q2_2013/2013-04-10.csv") + 36
    assert archives.MAX_DIRECTORY_BYTES // entry > 100 * 365


def test_a_zip64_directory_that_lies_beyond_the_file_is_refused(tmp_path: Path) -> None:
    good = zipped(zip64=True, method=zipfile.ZIP_STORED, streamed=False)
    end = good.index(b"PK\5\6")
    record = struct.pack("<4sQHHIIQQQ8s", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, 100, BIG)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    path = tmp_path / "a.zip"
    path.write_bytes(good[:end] + record + locator + good[end:-6] + b"\xff\xff\xff\xff\0\0")
    with pytest.raises(SourceError, match=r"a\.zip: not readable as a zip archive"):
        open_source(str(path)).days()


def test_reading_the_worst_archives_writes_nothing_anywhere(tmp_path: Path) -> None:
    import subprocess

    names = [
        b"../../" + NAME,
        b"/tmp/" + NAME,
        b"C:\\" + NAME,
        b"CON",
        b"a/../../b/" + NAME,
        b"in\n/2013-04-13.csv",
    ]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.zip").write_bytes(forged_zip([GOOD, *(Entry(name, day_csv()) for name in names)]))
    (folder / "2013-04-14.csv").write_bytes(day_csv("2013-04-14"))
    watched = subprocess.run([sys.executable, "-c", _WATCHED, folder], capture_output=True, text=True, check=True)
    assert watched.stdout.splitlines() == ["read 3 days"]


_WATCHED = """
import os, sys
from ae_assets.sources import open_source
from ae_assets.sources import csv_day
csv_day.parse_day(b"date,serial_number,model,capacity_bytes,failure\\n,,,,\\n,\\n", "warm")

def watch(event, arguments):
    writes = event == "open" and (arguments[1] or "r").strip("rb") or event in (
        "os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chdir",
        "shutil.copyfile", "subprocess.Popen", "os.system", "os.exec",
    ) or event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes:
        print(event, arguments)

sys.addaudithook(watch)
source = open_source(sys.argv[1])
print("read", len([source.read(day) for day in source.days().values()]), "days")
"""


def test_a_zip64_place_beyond_what_a_file_can_have_is_refused(tmp_path: Path) -> None:
    extra = struct.pack("<HH", 1, 8) + BIG
    fields = struct.pack("<HHHHHIIIHH", 45, 0, 0, 0, 33, 0, 1, 1, len(NAME), len(extra))
    directory = (
        b"PK\1\2" + struct.pack("<H", 45) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0xFFFFFFFF) + NAME + extra
    )
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(directory), 0, 0)
    frames, said = read(tmp_path / "a.zip", directory + end)
    assert frames == {}
    assert "a.zip!2013-04-10.csv: not readable as a zip archive" in said
