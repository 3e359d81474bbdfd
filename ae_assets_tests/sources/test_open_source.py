"""A location says by its form which reader opens it."""

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
