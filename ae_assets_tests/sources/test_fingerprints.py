"""What a local file holds is found out once, and again whenever anything about the file has changed."""

import json
import os
import threading
import zlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from ae_assets.errors import SourceError
from ae_assets.sources import fingerprints, open_source
from ae_assets_tests.sources.files import FIRST, day_csv

Reads = list[str]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The names of the files that were read for their checksum; files are never too young to be remembered."""
    names: Reads = []
    plain = fingerprints.checksum_of

    def noted(path: Path) -> int:
        names.append(path.name)
        return plain(path)

    monkeypatch.setattr(fingerprints, "checksum_of", noted)
    monkeypatch.setattr(fingerprints, "YOUNG_SECONDS", -1e6)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three days."""
    folder = tmp_path / "in"
    folder.mkdir()
    for offset in range(3):
        day = FIRST + timedelta(days=offset)
        (folder / f"{day}.csv").write_bytes(day_csv(day))
    return folder


def look(folder: Path, memory: Path | None) -> dict[date, str]:
    """The fingerprints as a process that has just begun sees them."""
    return {day: listed.fingerprint for day, listed in open_source(str(folder), memory=memory).days().items()}


def test_a_second_look_opens_no_file(folder: Path, tmp_path: Path, reads: Reads) -> None:
    source = open_source(str(folder))
    first = source.days()
    assert reads == ["2013-04-10.csv", "2013-04-11.csv", "2013-04-12.csv"]
    assert source.days() == first
    assert len(reads) == 3
    remembered = look(folder, tmp_path / "memory")
    assert len(reads) == 6
    assert look(folder, tmp_path / "memory") == remembered == {day: listed.fingerprint for day, listed in first.items()}
    assert len(reads) == 6
    assert look(folder, None) == remembered
    assert len(reads) == 9


def rewrite(path: Path) -> None:
    """Other content of the same size, with the time of before."""
    state = path.stat()
    path.write_bytes(day_csv(counter=9))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def replace(path: Path) -> None:
    """Another file of the same size and time in its place."""
    state = path.stat()
    other = path.with_name("draft")
    other.write_bytes(day_csv(counter=9))
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [rewrite, replace])
def test_a_change_is_seen_though_size_and_time_say_nothing(
    folder: Path, tmp_path: Path, reads: Reads, change: Callable[[Path], None]
) -> None:
    before = look(folder, tmp_path / "memory")
    change(folder / f"{FIRST}.csv")
    after = look(folder, tmp_path / "memory")
    assert after[FIRST] == fingerprints.fingerprint_of(zlib.crc32(day_csv(counter=9)), len(day_csv()))
    assert {day for day in before if before[day] != after[day]} == {FIRST}
    assert reads[3:] == [f"{FIRST}.csv"]


def test_a_file_that_is_touched_or_copied_again_is_read_once_more_and_stays_the_same(
    folder: Path, tmp_path: Path, reads: Reads
) -> None:
    before = look(folder, tmp_path / "memory")
    path = folder / f"{FIRST}.csv"
    path.write_bytes(path.read_bytes())
    os.utime(path)
    assert look(folder, tmp_path / "memory") == look(folder, tmp_path / "memory") == before
    assert reads[3:] == [f"{FIRST}.csv"]


def test_a_file_that_has_just_been_written_is_read_at_each_look(
    folder: Path, tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "YOUNG_SECONDS", 3600.0)
    assert look(folder, tmp_path / "memory") == look(folder, tmp_path / "memory")
    assert len(reads) == 6
    monkeypatch.setattr(fingerprints, "YOUNG_SECONDS", -1e6)
    look(folder, tmp_path / "memory")
    look(folder, tmp_path / "memory")
    assert len(reads) == 9


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"version": 0}', '{"version": 1, "files": {"a": 1}}'])
def test_a_memory_that_cannot_be_read_is_made_again(folder: Path, tmp_path: Path, reads: Reads, content: str) -> None:
    before = look(folder, tmp_path / "memory")
    (file,) = (tmp_path / "memory").iterdir()
    file.write_text(content)
    assert look(folder, tmp_path / "memory") == before
    assert len(reads) == 6
    assert set(json.loads(file.read_text())["files"]) == {f"{day}.csv" for day in before}


def test_a_memory_that_cannot_be_written_costs_time_and_nothing_else(
    folder: Path, tmp_path: Path, reads: Reads
) -> None:
    (tmp_path / "memory").write_text("a file where a folder should be")
    assert look(folder, tmp_path / "memory") == look(folder, None)
    assert len(reads) == 6


def test_files_that_are_gone_are_forgotten_and_folders_do_not_mix(folder: Path, tmp_path: Path, reads: Reads) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / f"{FIRST}.csv").write_bytes(day_csv(rows=9))
    assert look(folder, tmp_path / "memory")[FIRST] != look(other, tmp_path / "memory")[FIRST]
    (folder / f"{FIRST}.csv").unlink()
    look(folder, tmp_path / "memory")
    contents = [json.loads(file.read_text())["files"] for file in (tmp_path / "memory").iterdir()]
    assert sorted(len(files) for files in contents) == [1, 2]
    assert len(reads) == 4


def test_a_first_look_that_is_given_up_has_remembered_what_it_read(
    folder: Path, tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "SAVE_AFTER_BYTES", 1)
    plain = fingerprints.checksum_of

    def gives_up(path: Path) -> int:
        if path.name == f"{FIRST + timedelta(days=2)}.csv":
            raise KeyboardInterrupt
        return plain(path)

    monkeypatch.setattr(fingerprints, "checksum_of", gives_up)
    with pytest.raises(KeyboardInterrupt):
        look(folder, tmp_path / "memory")
    monkeypatch.setattr(fingerprints, "checksum_of", plain)
    assert len(look(folder, tmp_path / "memory")) == 3
    assert reads == ["2013-04-10.csv", "2013-04-11.csv", "2013-04-12.csv"]


def test_looks_at_once_leave_a_memory_that_is_whole(folder: Path, tmp_path: Path, reads: Reads) -> None:
    seen: list[dict[date, str]] = []
    threads = [threading.Thread(target=lambda: seen.append(look(folder, tmp_path / "memory"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(found == seen[0] for found in seen)
    read = len(reads)
    assert look(folder, tmp_path / "memory") == seen[0]
    assert len(reads) == read


def test_a_file_that_cannot_be_read_is_listed_and_says_so_when_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fingerprints.checksum_of

    def refuses(path: Path) -> int:
        if path.name == f"{FIRST}.csv":
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(fingerprints, "checksum_of", refuses)
    source = open_source(str(folder))
    days = source.days()
    assert len(days) == 3
    with pytest.raises(SourceError, match=rf"{FIRST}\.csv: the file cannot be read \(Permission denied\)"):
        source.read(days[FIRST])
