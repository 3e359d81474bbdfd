"""A home that lies elsewhere than when it was written."""

import shutil
from pathlib import Path

import pytest

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import day_after, frame_of


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A home with a day in a table."""
    home = tmp_path / "former"
    lakehouse = Lakehouse.open(home)
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(0), frame_of(day_after(0), rows=3))
    lakehouse.close()
    return home


def test_a_moved_home_says_where_it_was_and_a_link_makes_it_whole(former: Path, tmp_path: Path) -> None:
    home = former.rename(tmp_path / "now")
    with pytest.raises(LakehouseError) as refusal:
        Lakehouse.open(home).day_rows("t.raw")
    assert f"was {former} when its tables were written" in str(refusal.value)
    assert f"ln -s {home} {former}" in str(refusal.value)
    former.symlink_to(home)
    for place in (home, former):
        lakehouse = Lakehouse.open(place)
        assert lakehouse.read("t.raw", day_after(0), day_after(0)).height == 3
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(1), frame_of(day_after(1)))
        assert list(lakehouse.day_rows("t.raw")) == [day_after(0), day_after(1)]


def test_a_copied_home_is_refused_before_it_changes_the_original(former: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(former, tmp_path / "copy"))
    before = {path: path.stat().st_mtime_ns for path in former.rglob("*") if path.is_file()}
    with (
        pytest.raises(LakehouseError, match=r"is a copy of the home .*former"),
        Lakehouse.open(copy).writer("t.raw") as days,
    ):
        days.write(day_after(1), frame_of(day_after(1)))
    assert {path: path.stat().st_mtime_ns for path in former.rglob("*") if path.is_file()} == before
