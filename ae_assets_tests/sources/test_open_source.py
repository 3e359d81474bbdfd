"""A location says by its form which reader opens it."""

import traceback
from pathlib import Path

import pytest

from ae_assets.errors import SourceError
from ae_assets.sources import open_source
from ae_assets.sources.archives import ArchiveSource
from ae_assets.sources.folder import FolderSource
from ae_assets.sources.s3 import S3Source
from ae_assets.sources.simulated import SimulatedSource
from ae_assets_tests.sources.files import FIRST, day_csv, write_zip


def test_each_form_of_location_has_its_reader(tmp_path: Path) -> None:
    assert isinstance(open_source(str(tmp_path)), FolderSource)
    assert isinstance(open_source("data_2013.zip"), ArchiveSource)
    assert isinstance(open_source("https://host.example/data_2013.zip"), ArchiveSource)
    assert isinstance(open_source("simulated://?drives=5"), SimulatedSource)
    assert isinstance(open_source("s3://bucket/prefix"), S3Source)
    assert isinstance(open_source("s3://bucket/data_2013.zip"), ArchiveSource)


def test_a_file_address_is_a_local_path(tmp_path: Path) -> None:
    write_zip(tmp_path / "a b.zip", {"2013-04-10.csv": day_csv()})
    assert list(open_source((tmp_path / "a b.zip").as_uri()).days()) == [FIRST]


def test_a_folder_whose_name_ends_like_an_archive_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "a.zip" / "2013-04-10.csv").write_bytes(day_csv())
    assert list(open_source(str(tmp_path / "a.zip")).days()) == [FIRST]


@pytest.mark.parametrize("location", ["ftp://host/a.zip", "gs://bucket/prefix", "", "  ", "a\0b"])
def test_an_unknown_location_is_an_error_that_names_the_known_kinds(location: str) -> None:
    with pytest.raises(SourceError, match=r"Expected a folder .* simulated://"):
        open_source(location)


@pytest.mark.parametrize(
    "location",
    [
        "https://ann:s3cr3t@host.example/a.zip?token=s3cr3t#s3cr3t",
        "https://ann:s3cr3t@host.example/folder/",
        "https://ann:s3cr3t@host.example/a.txt",
        "https://ann:pa/s3cr3t@host.example/a.zip",
        "https://ann:12/s3cr3t@host.example/a.zip",
        "https://ann:12#s3cr3t@host.example/a.zip",
        "https://ann:12?s3cr3t@host.example/a.zip",
        "https://ann:a@s3cr3t/x@host.example/a.zip",
        "https://ann:s3cr3t@host.example:port/a.zip",
        "https://ann:s3cr3t@host.example:99999/a.zip",
        "https://ann:s3cr3t@[host.example/a.zip",
        "https://ann:s3cr3t\u2100@host.example/a.zip",
        "https://ann:s3cr3t@host.example/gr\u00f6\u00dfe.zip",
        "https://ann:s3cr3t@h\u00f6st.example/a.zip",
        "https:/ann:s3cr3t@host.example/a.zip",
        "https//ann:s3cr3t@host.example/a.zip",
        "https:ann:s3cr3t@host.example/a.zip",
        "s3://KEY:s3cr3t@bucket/prefix",
        "s3://KEY:a/s3cr3t@bucket/prefix",
        "s3//KEY:s3cr3t@bucket/prefix",
        "ftp://ann:s3cr3t@host.example/",
    ],
)
def test_a_password_in_a_location_is_shown_nowhere(location: str) -> None:
    try:
        shown = open_source(location).location
    except SourceError:
        shown = traceback.format_exc().rpartition("    _")[2]  # what the run's log shows, causes included
        shown = "\n".join(line for line in shown.splitlines() if "open_source(" not in line)
    assert "s3cr3t" not in shown


@pytest.mark.parametrize(
    "address", ["https://[x/a.zip", "https://host:0/a.zip", "https://h\u2100st/a.zip", "https://@/a.zip"]
)
def test_an_address_that_cannot_be_taken_apart_is_refused(address: str) -> None:
    with pytest.raises(SourceError, match="no web address"):
        open_source(address)
