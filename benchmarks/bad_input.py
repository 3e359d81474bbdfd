"""What input that is made to harm costs: time and memory of a fresh process that lists its days and reads them."""

import re
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from ae_assets_tests.sources.files import HEADER, day_csv
from ae_assets_tests.sources.forged import Entry, forged_zip, overlapping_zip
from benchmarks.row import Row

GIB = 2**30
DAY = b"2013-04-10.csv"

CHILD = """
import re, sys
import ae_assets.sources.archives, ae_assets.sources.csv_day
from ae_assets.errors import SourceError
from ae_assets.sources import open_source

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024

before = peak()
try:
    source = open_source(sys.argv[1])
    days = source.days()
    rows = [source.read(day).height for day in days.values()]
    said = f"{sum(rows)} rows" if rows else source.strays()[0]
except SourceError as refused:
    said = str(refused).splitlines()[-1]
print(peak() - before)
print(said)
"""


def zeros(size: int) -> bytes:
    """Many zeros as deflate packs them, made without packing them all: a block is repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    block = 64 * 2**20
    first = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first * (size // block) + packer.flush()


def bomb_zip64() -> bytes:
    """10 GiB of zeros in 10 MiB, whose size is told as it is, in zip64."""
    packed = zeros(10 * GIB)
    extra = struct.pack("<HHQQ", 1, 16, 10 * GIB, len(packed))
    fields = struct.pack("<HHHHHIIIHH", 45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(DAY), len(extra))
    body = b"PK\3\4" + fields + DAY + extra + packed
    directory = b"PK\1\2" + struct.pack("<H", 45) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + DAY + extra
    return body + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(body), 0)


def bomb_that_lies() -> bytes:
    """10 GiB of zeros that claim to be 200 MB, which 10 MiB may become."""
    return forged_zip([Entry(DAY, packed=zeros(10 * GIB), size=200_000_000)])


def bzip2_bomb() -> bytes:
    """256 MiB in 200 bytes that claim to be 500: zipfile unpacks this method by blocks without a limit."""
    import bz2

    return forged_zip([Entry(DAY, packed=bz2.compress(bytes(256 * 2**20)), size=500, method=zipfile.ZIP_BZIP2)])


def overlap() -> bytes:
    """28 days that share 8 MB of lines: 240 MB out of 1 MB, and more for each further day."""
    return overlapping_zip([b"2013-04-%02d.csv" % day for day in range(1, 29)], day_csv(rows=220_000))


def many_members() -> bytes:
    """A directory of 100,000 days."""
    return forged_zip([Entry(b"%d/" % number + DAY, place=0) for number in range(100_000)])


def long_line(path: Path) -> None:
    """One line of 1 GiB, a hole on the disk."""
    with path.open("wb") as file:
        file.write(day_csv())
        file.truncate(GIB)


def in_archive(content: Callable[[], bytes]) -> Callable[[Path], object]:
    """Writes it as the archive of a folder."""
    return lambda folder: (folder / "a.zip").write_bytes(content())


def in_file(content: Callable[[], bytes]) -> Callable[[Path], object]:
    """Writes it as the daily file of a folder."""
    return lambda folder: (folder / DAY.decode()).write_bytes(content())


def many_columns() -> bytes:
    """100,000 columns beside the official ones."""
    return (HEADER + "".join(f",c{number}" for number in range(100_000)) + "\n" + "," * 100_005 + "\n").encode()


def separators() -> bytes:
    """Lines of 4 MB that are nothing but commas, quotes and bytes that are not UTF-8."""
    return day_csv() + b"".join(sign * 4_000_000 + b"\n" for sign in (b",", b'"', b"\xff"))


CASES: dict[str, tuple[Callable[[Path], object], int]] = {
    "zip bomb, 10 GiB": (in_archive(bomb_zip64), 64),
    "zip bomb that lies about its size": (in_archive(bomb_that_lies), 400),
    "bzip2 bomb that lies about its size": (in_archive(bzip2_bomb), 64),
    "members that overlap": (in_archive(overlap), 64),
    "100,000 members": (in_archive(many_members), 64),
    "a line of 1 GiB": (lambda folder: long_line(folder / DAY.decode()), 1_200),
    "100,000 columns": (in_file(many_columns), 64),
    "60 million short lines": (in_file(lambda: day_csv() + b"x\n" * 60_000_000), 250),
    "nothing but separators": (in_file(separators), 500),
    "300 MB of NUL bytes": (in_file(lambda: day_csv() + (bytes(999_999) + b"\n") * 300), 1_200),
}
"""What writes a case into a folder, and the most MiB that it may take beside what the process has before."""


def measured(name: str, folder: Path) -> tuple[float, int, str]:
    """Seconds, MiB above what the process had before, and what it said of a case."""
    write, _ = CASES[name]
    write(folder)
    began = time.perf_counter()
    child = subprocess.run([sys.executable, "-c", CHILD, folder], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    mib, said = child.stdout.strip().split("\n", 1)
    return seconds, int(mib), said


def run() -> list[Row]:
    """Measures each case in a folder of its own."""
    rows = []
    for name, (_, most) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds, mib, said = measured(name, Path(folder))
        note = f"{seconds:.1f} s with its start; {re.sub('^.*?: ', '', said)[:90]}"
        rows.append(Row(name, mib, "MiB more", f"at most {most:,}", mib <= most, note))
    return rows
