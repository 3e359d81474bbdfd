"""A real disk without room: the error says so, what was there stays, and a re-run completes once there is room."""

import errno
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_assets.errors import AeAssetsError, LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.integration.kills.findings import Found, Models, inspect, run_again
from ae_assets_tests.integration.kills.work import WORK, Place, committing_often, write_sources
from ae_assets_tests.lakehouse.conftest import FIRST, frame_of

MEGABYTES = 24
ROOM = (0, 12_000, 40_000)
"""Bytes that are left: writes break off at the first file, in a file, at manifests, at metadata, in the catalog."""


class Disk:
    """A small disk that can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, room: int) -> None:
        """Leaves about so many bytes."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError as full:
                if full.errno != errno.ENOSPC:
                    raise
            file.truncate(max(0, file.tell() - room))

    def free(self) -> None:
        """Makes room."""
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk needs root and the right to mount")
    yield Disk(folder)
    subprocess.run([shutil.which("umount") or "umount", "--lazy", folder], check=True)


def parquet_files(folder: Path) -> set[Path]:
    return set(folder.rglob("*.parquet"))


@pytest.mark.slow
def test_every_asset_says_that_the_disk_is_full_and_a_rerun_completes_it(disk: Disk, tmp_path: Path) -> None:
    place = Place("a small disk", disk.folder / "home", write_sources(tmp_path / "sources"))
    refused = Counter[str]()
    with committing_often():
        for work in WORK.values():
            work(place.space(1))
        for number, room in enumerate(ROOM):
            old, new = (1, 2) if number % 2 == 0 else (2, 1)
            for asset in WORK:
                refused[asset] += write_without_room(place, disk, room, asset, old, new)
    # Maintenance removes more than it writes, and finds the little room that it needs.
    assert all(refused[asset] for asset in ("raw", "features", "model", "threshold", "anomalies")), refused


def write_without_room(place: Place, disk: Disk, room: int, asset: str, old: int, new: int) -> bool:
    """Whether the asset's write was refused; in both cases nothing is half, and a run with room completes it."""
    found, before, held = Found(asset), Models.of(place.space(new)), parquet_files(disk.folder)
    disk.fill(room)
    said = ""
    try:
        WORK[asset](place.space(new))
    except AeAssetsError as full:
        said = str(full)
    inspect(place, found, old, new, before)
    if said:
        assert "The disk is full: " in said
        assert found.committed == "part" or parquet_files(disk.folder) <= held, "a failed write leaves no files behind"
    disk.free()
    run_again(place, found, old, new)
    assert not found.faults, found
    return bool(said)


def test_a_catalog_on_a_full_disk_says_so_at_once(disk: Disk, tmp_path: Path) -> None:
    settings = {"type": "sql", "uri": f"sqlite:///{disk.folder}/catalog.db", "warehouse": str(tmp_path / "warehouse")}
    lakehouse = Lakehouse.open(None, settings)
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST, value=0))
    held = parquet_files(tmp_path)
    disk.fill(0)

    def write(value: int) -> None:
        with lakehouse.writer("t.raw") as writer:
            writer.write(FIRST, frame_of(FIRST, value=value))

    written: list[int] = []

    def write_on() -> None:
        while len(written) < 200:  # the log of the database has room for a few more
            write(len(written) + 1)
            written.append(len(written) + 1)

    with pytest.raises(LakehouseError, match=r"The disk is full: committing 1 days .* of t\.raw failed"):
        write_on()
    assert len(parquet_files(tmp_path) - held) == len(written), "the file of the failed write is removed"
    disk.free()
    assert lakehouse.read("t.raw", FIRST, FIRST)["value"].to_list() == [len(written)] * 3
    write(500)
    assert lakehouse.read("t.raw", FIRST, FIRST)["value"].to_list() == [500] * 3
    lakehouse.close()


def test_a_new_catalog_on_a_full_disk_says_so(disk: Disk, tmp_path: Path) -> None:
    disk.fill(0)
    lakehouse = Lakehouse.open(disk.folder / "home")
    with pytest.raises(LakehouseError, match="The disk is full: opening the catalog"), lakehouse.writer("t.raw") as new:
        new.write(FIRST, frame_of(FIRST))
    disk.free()
    with lakehouse.writer("t.raw") as writer:
        writer.write(FIRST, frame_of(FIRST))
    assert lakehouse.day_rows("t.raw") == {FIRST: 3}
    lakehouse.close()
