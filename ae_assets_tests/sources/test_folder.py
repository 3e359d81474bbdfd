"""A folder of daily files and archives is one source; nothing in it is lost silently."""

import os
from datetime import date
from pathlib import Path

import pytest

from ae_assets.errors import SourceError
from ae_assets.sources import open_source
from ae_assets_tests.sources.files import FIRST, day_csv, write_zip

SECOND, THIRD = date(2013, 4, 11), date(2013, 4, 12)


def test_files_in_subfolders_and_several_archives_are_one_source(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "2013-04-10.csv").write_bytes(day_csv())
    write_zip(tmp_path / "q2.zip", {"2013-04-11.csv": day_csv(SECOND, 4)})
    write_zip(tmp_path / "a" / "q3.zip", {"x/2013-04-12.csv": day_csv(THIRD, 5)})
    source = open_source(str(tmp_path))
    days = source.days()
    assert [day.origin for day in days.values()] == [
        "a/b/2013-04-10.csv",
        "q2.zip!2013-04-11.csv",
        "a/q3.zip!x/2013-04-12.csv",
    ]
    assert [source.read(day).height for day in days.values()] == [3, 4, 5]
    assert source.strays() == []


def test_an_empty_folder_has_no_days_and_gains_them_when_files_land(tmp_path: Path) -> None:
    source = open_source(str(tmp_path))
    assert source.days() == {}
    (tmp_path / "2013-04-10.csv").write_bytes(day_csv())
    assert list(source.days()) == [FIRST]


def test_a_folder_that_is_not_there_is_an_error_when_it_is_listed(tmp_path: Path) -> None:
    source = open_source(str(tmp_path / "gone"))
    with pytest.raises(SourceError, match=r"gone: expected a folder .* received a path where nothing is"):
        source.days()


def test_a_single_daily_file_is_a_source_of_that_day(tmp_path: Path) -> None:
    path = tmp_path / "2013-04-10.csv"
    path.write_bytes(day_csv())
    (tmp_path / "2013-04-11.csv").write_bytes(day_csv(SECOND))
    source = open_source(str(path))
    assert source.read(source.days()[FIRST]).height == 3
    assert (list(source.days()), source.strays()) == ([FIRST], [])
    assert source.days()[FIRST] == open_source(str(tmp_path)).days()[FIRST]


def test_a_single_file_of_another_name_is_an_error_that_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_bytes(day_csv())
    with pytest.raises(SourceError, match=r"expected a folder of YYYY-MM-DD.csv .* received a file of another name"):
        open_source(str(tmp_path / "fleet.csv")).days()


def test_a_rewritten_file_has_another_fingerprint_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "2013-04-10.csv"
    path.write_bytes(day_csv())
    os.utime(path, ns=(0, 1))
    source = open_source(str(tmp_path))
    before = source.days()[FIRST]
    path.write_bytes(day_csv(counter=9))
    os.utime(path, ns=(0, 1))
    assert source.days()[FIRST].fingerprint != before.fingerprint
    with pytest.raises(SourceError, match=r"has changed since it was listed"):
        source.read(before)


def test_a_fingerprint_rests_on_content_alone(tmp_path: Path) -> None:
    for folder in ("one", "two/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "2013-04-10.csv").write_bytes(day_csv())
    first, copied = (open_source(str(tmp_path / name)).days()[FIRST] for name in ("one", "two"))
    os.utime(tmp_path / "one" / "2013-04-10.csv")
    touched = open_source(str(tmp_path / "one")).days()[FIRST]
    packed = open_source(str(write_zip(tmp_path / "a.zip", {"2013-04-10.csv": day_csv()}))).days()[FIRST]
    assert first.fingerprint == copied.fingerprint == touched.fingerprint == packed.fingerprint
    assert open_source(str(tmp_path / "one")).read(first).height == 3


def test_a_file_that_changes_between_listing_and_reading_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "2013-04-10.csv"
    path.write_bytes(day_csv())
    source = open_source(str(tmp_path))
    listed = source.days()[FIRST]
    with path.open("ab") as file:
        file.write(b"2013-04-10,")
    with pytest.raises(SourceError, match=r"has changed since it was listed"):
        source.read(listed)


def test_a_deleted_file_is_an_error_that_names_its_day(tmp_path: Path) -> None:
    path = tmp_path / "2013-04-10.csv"
    path.write_bytes(day_csv())
    source = open_source(str(tmp_path))
    listed = source.days()[FIRST]
    path.unlink()
    with pytest.raises(SourceError, match=r"2013-04-10\.csv: the file cannot be read"):
        source.read(listed)
    assert source.days() == {}


def test_a_day_in_a_file_and_in_an_archive_with_other_content_is_refused_naming_both(tmp_path: Path) -> None:
    (tmp_path / "2013-04-10.csv").write_bytes(day_csv())
    (tmp_path / "2013-04-11.csv").write_bytes(day_csv(SECOND))
    write_zip(tmp_path / "q2.zip", {"2013-04-10.csv": day_csv(rows=4)})
    source = open_source(str(tmp_path))
    days = source.days()
    with pytest.raises(SourceError, match=r"more than once .*: 2013-04-10\.csv and q2\.zip!2013-04-10\.csv\. Keep one"):
        source.read(days[FIRST])
    assert source.read(days[SECOND]).height == 3
    (tmp_path / "q2.zip").unlink()
    settled = source.days()[FIRST]
    assert settled.fingerprint != days[FIRST].fingerprint
    assert source.read(settled).height == 3


def test_a_day_in_a_file_and_in_an_archive_with_the_same_content_counts_once(tmp_path: Path) -> None:
    (tmp_path / "2013-04-10.csv").write_bytes(day_csv())
    write_zip(tmp_path / "q2.zip", {"2013-04-10.csv": day_csv()})
    source = open_source(str(tmp_path))
    assert source.read(source.days()[FIRST]).height == 3
    assert source.strays() == ["q2.zip!2013-04-10.csv: the same content as 2013-04-10.csv, read once"]


def test_one_broken_archive_is_named_and_does_not_hide_the_others(tmp_path: Path) -> None:
    write_zip(tmp_path / "q2.zip", {"2013-04-10.csv": day_csv()})
    (tmp_path / "q3.zip").write_bytes((tmp_path / "q2.zip").read_bytes()[:50])
    source = open_source(str(tmp_path))
    assert list(source.days()) == [FIRST]
    (stray,) = source.strays()
    assert stray.startswith("q3.zip: not readable as a zip archive")


def test_asking_for_a_day_that_may_be_in_a_broken_archive_names_that_archive(tmp_path: Path) -> None:
    (tmp_path / "2013-04-10.csv").write_bytes(day_csv())
    write_zip(tmp_path / "q3.zip", {"2013-04-11.csv": day_csv(SECOND)})
    source = open_source(str(tmp_path))
    listed = source.days()[SECOND]
    (tmp_path / "q3.zip").write_bytes((tmp_path / "q3.zip").read_bytes()[:50])
    source.days()
    with pytest.raises(SourceError, match=r"(?s)no file for 2013-04-11.*left out: q3\.zip: not readable"):
        source.read(listed)


def test_a_folder_of_broken_archives_only_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "q3.zip").write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"(?s)no day can be read.*q3\.zip"):
        open_source(str(tmp_path)).days()


def test_other_files_are_named_with_the_reason(tmp_path: Path) -> None:
    for name in (
        ".old.zip",
        ".2013-04-10.csv",
        ".DS_Store",
        "._2013-04-10.csv",
        "._q2.zip",
        "2013-04-10.csv.part",
        "2013-04-11.CSV.GZ",
        "2013-02-30.csv",
        "readme.txt",
    ):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "2013-04-10.csv").write_bytes(day_csv())
    os.mkfifo(tmp_path / "2013-04-12.csv")
    source = open_source(str(tmp_path))
    assert source.days() == {}
    reasons = dict(stray.split(": ", 1) for stray in source.strays())
    assert reasons == {
        "__MACOSX/": "a macOS side folder, no data",
        ".DS_Store": "a macOS side file, no data",
        ".old.zip": "a hidden file",
        ".2013-04-10.csv": "a hidden file",
        "._2013-04-10.csv": "a macOS side file, no data",
        "._q2.zip": "a macOS side file, no data",
        "2013-02-30.csv": "not named YYYY-MM-DD.csv after a day of the calendar",
        "2013-04-10.csv.part": "not named YYYY-MM-DD.csv after a day of the calendar",
        "2013-04-11.CSV.GZ": "compressed in a form that is not read: unpack it, or put it into a .zip",
        "2013-04-12.csv": "not a regular file",
        "readme.txt": "not named YYYY-MM-DD.csv after a day of the calendar",
    }


SYSTEM = ["#recycle", "@eaDir", "$RECYCLE.BIN", ".Trash-1000", ".snapshot", "~snapshot", "lost+found", "_temporary",
          "System Volume Information", "RECYCLER", "#Recycle", "@Recently-Snapshot", ".git"]  # fmt: skip


@pytest.mark.parametrize("name", SYSTEM)
def test_hidden_folders_and_recycle_bins_are_left_out_and_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "2013-04-10.csv").write_bytes(day_csv())
    (tmp_path / "in" / name / "deeper").mkdir(parents=True)
    (tmp_path / "in" / name / "2013-04-10.csv").write_bytes(day_csv(counter=9))
    (tmp_path / "in" / name / "deeper" / "2013-04-11.csv").write_bytes(day_csv(SECOND))
    write_zip(tmp_path / "in" / name / "q2.zip", {"2013-04-12.csv": day_csv(THIRD)})
    source = open_source(str(tmp_path))
    assert [source.read(day).height for day in source.days().values()] == [3]
    (stray,) = source.strays()
    assert stray.startswith(f"in/{name}/: a hidden folder, a recycle bin or one of the system's")


def test_a_location_within_a_hidden_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / ".data" / "#old").mkdir(parents=True)
    (tmp_path / ".data" / "#old" / "2013-04-10.csv").write_bytes(day_csv())
    assert list(open_source(str(tmp_path / ".data" / "#old")).days()) == [FIRST]


def test_symbolic_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "2013-04-10.csv").write_bytes(day_csv())
    (inside / "2013-04-10.csv").symlink_to(outside / "2013-04-10.csv")
    (inside / "2013-04-11.csv").symlink_to(inside / "nowhere")
    (inside / "folder").symlink_to(outside)
    source = open_source(str(inside))
    assert source.days() == {}
    assert sorted(source.strays()) == [
        "2013-04-10.csv: refused, a symbolic link out of the folder",
        "2013-04-11.csv: cannot be looked at (No such file or directory)",
        "folder/: a symbolic link to a folder is not followed",
    ]


def test_a_symbolic_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "..data").write_bytes(day_csv())
    (tmp_path / "2013-04-10.csv").symlink_to(tmp_path / "..data")
    source = open_source(str(tmp_path))
    assert source.read(source.days()[FIRST]).height == 3


def test_a_location_may_itself_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "2013-04-10.csv").write_bytes(day_csv())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert list(open_source(str(tmp_path / "link")).days()) == [FIRST]


def test_names_that_are_no_text_or_would_break_a_log_are_escaped(tmp_path: Path) -> None:
    for folder in (b"caf\xe9", b"in\nERROR lost", b"\x1b[2J"):
        (tmp_path / os.fsdecode(folder)).mkdir()
    (tmp_path / os.fsdecode(b"caf\xe9") / "2013-04-10.csv").write_bytes(day_csv())
    (tmp_path / "in\nERROR lost" / "2013-04-11.csv").write_bytes(day_csv(SECOND)[:20])
    write_zip(tmp_path / "\x1b[2J" / "a\rb.zip", {"2013-04-12.csv": day_csv(THIRD)})
    (tmp_path / "in\nERROR lost" / "x\x07").write_bytes(b"")
    source = open_source(str(tmp_path))
    days = source.days()
    assert [day.origin for day in days.values()] == [
        "caf\\udce9/2013-04-10.csv",
        "in\\nERROR lost/2013-04-11.csv",
        "\\x1b[2J/a\\rb.zip!2013-04-12.csv",
    ]
    assert source.strays() == ["in\\nERROR lost/x\\x07: not named YYYY-MM-DD.csv after a day of the calendar"]
    assert source.read(days[FIRST]).height == source.read(days[THIRD]).height == 3
    with pytest.raises(SourceError) as refused:
        source.read(days[SECOND])
    assert str(refused.value).isprintable()
    (tmp_path / os.fsdecode(b"caf\xe9") / "2013-04-10.csv").unlink()
    with pytest.raises(SourceError) as gone:
        source.read(days[FIRST])
    assert str(gone.value).isprintable()


def test_a_folder_whose_own_name_is_no_text_is_shown_escaped(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9\n")
    folder.mkdir()
    (folder / "2013-04-10.csv").write_bytes(day_csv())
    source = open_source(str(folder))
    assert source.location.endswith("caf\\udce9\\n")
    assert list(source.days()) == [FIRST]


def test_a_file_that_is_larger_than_a_day_may_be_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "2013-04-10.csv").open("wb") as file:
        file.truncate(10 * 2**30)
    source = open_source(str(tmp_path))
    with pytest.raises(SourceError, match="10,737,418,240 bytes are more than the 2,147,483,648 a day may have"):
        source.read(source.days()[FIRST])
