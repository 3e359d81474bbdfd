"""Small daily files and archives that the tests of this room write."""

import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

HEADER = "date,serial_number,model,capacity_bytes,failure,smart_5_raw"
FIRST = date(2013, 4, 10)


def day_csv(day: date | str = FIRST, rows: int = 3, counter: int = 8) -> bytes:
    """A small official file of a day."""
    lines = [f"{day},Z{number},ST4000,4000787030016,0,{counter}" for number in range(rows)]
    return ("\n".join([HEADER, *lines]) + "\n").encode()


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive with these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
