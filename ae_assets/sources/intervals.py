"""Intervals from a file: when devices were abnormal, as CSV or JSON."""

import csv
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile
from zoneinfo import ZoneInfo

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets.sources.day_files import is_archive_name
from ae_assets.sources.printable import without_secrets

COLUMNS = ("entity", "start", "end", "kind")
EXAMPLE = "entity,start,end,kind"
MOST_PROBLEMS_NAMED = 10
LARGEST_MEMBER = 64 * 2**20
"""Bytes of a file of intervals in an archive."""

_Line = tuple[str, Mapping[str, str]]
"""The place of an interval in the file, and what it says as text by column; an empty cell is left out."""


def read_intervals(location: str, time_zone: str = "UTC") -> pl.DataFrame:
    """Reads a file of intervals.

    A CSV has the columns ``entity``, ``start``, ``end`` and, if wanted, ``kind``. A JSON file holds a list of objects
    with these keys, or an object with the pairs of start and end of each entity, as the Numenta Anomaly Benchmark has
    them. Times are written as in ISO 8601; a date alone stands for its beginning as a start, and for all of the day as
    an end. Both ends belong to the interval.

    Args:
        location: a ``.csv`` or ``.json`` file in UTF-8: a path, also one that goes through a zip archive
            (``labels.zip/labels/windows.json``), an http(s) address or s3://bucket/key.
        time_zone: where the clock stood that wrote times without an offset.

    Returns:
        With the columns of `INTERVAL_SCHEMA`, in the order of the file.

    Raises:
        SourceError: the file is missing or not readable, or lines are malformed: each is named, with what was received
            and what was expected.
    """
    shown = without_secrets(location)
    ending = PurePosixPath(shown).suffix.lower()
    readers = {".csv": _csv_lines, ".json": _json_lines}
    if ending not in readers:
        raise SourceError(f"target.file {shown}: expected a .csv or a .json file; name it after its format")
    zone = ZoneInfo(time_zone)
    rows: list[Mapping[str, str | datetime | None]] = []
    problems: list[str] = []
    for place, cells in readers[ending](_text(location).removeprefix("\ufeff"), shown):
        start, end = (_moment(cells.get(column, ""), zone, is_end=column == "end") for column in ("start", "end"))
        rows.append({"entity": cells.get("entity"), "kind": cells.get("kind"), "start": start, "end": end})
        problems += [f"  {place}: {problem}" for problem in _problems(cells, start, end)]
    if problems:
        more = len(problems) - MOST_PROBLEMS_NAMED
        named = problems[:MOST_PROBLEMS_NAMED] + ([f"  and {more} more"] if more > 0 else [])
        raise SourceError(f"target.file {shown} is malformed; nothing of it is used:\n" + "\n".join(named))
    return pl.DataFrame(rows, INTERVAL_SCHEMA)


def _text(location: str) -> str:
    scheme, mark, _ = location.partition("://")
    if mark and scheme.lower() in ("http", "https"):
        # An HTTP client and TLS are for those whose file is remote.
        from ae_assets.sources.https import text_at

        return text_at(location)
    if mark and scheme.lower() == "s3":
        from ae_assets.sources.s3 import text_at as object_text_at

        return object_text_at(location)
    if mark:
        raise SourceError(f"target.file {without_secrets(location)}: expected a path, https:// or s3://bucket/key")
    path = Path(location)
    archive = next((parent for parent in path.parents if is_archive_name(parent.name) and parent.is_file()), None)
    try:
        if archive is not None:
            return _member(archive, path.relative_to(archive).as_posix())
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceError(
            f"target.file {location} does not exist; a path starts at the folder of the YAML. Expected a CSV with the "
            f"first line {EXAMPLE!r}, or a JSON file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"target.file {location} cannot be read as UTF-8 text: {error}") from error


def _member(archive: Path, name: str) -> str:
    """The text of a file in a zip archive, whose name may be that of any file in it.

    Raises:
        FileNotFoundError: the archive has no such file.
        SourceError: it cannot be unpacked, or is larger than labels are.
    """
    try:
        with ZipFile(archive) as unpacked:
            size = unpacked.getinfo(name).file_size
            if size > LARGEST_MEMBER:
                raise SourceError(
                    f"target.file {archive / name} has {size:,} bytes unpacked, expected at most {LARGEST_MEMBER:,}"
                )
            return unpacked.read(name).decode("utf-8")
    except KeyError:
        raise FileNotFoundError(name) from None
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"target.file {archive / name} cannot be unpacked: {error}") from error


def _problems(cells: Mapping[str, str], start: datetime | None, end: datetime | None) -> Iterator[str]:
    if "entity" not in cells:
        yield "received no entity; expected the name of a device"
    for column, moment in (("start", start), ("end", end)):
        if moment is None:
            received = repr(cells[column]) if column in cells else "nothing"
            yield f"received {received} as {column}; expected a time such as 2024-04-17 or 2024-04-17 22:05:00"
    if start is not None and end is not None and start > end:
        yield f"received start {cells['start']}, which lies after end {cells['end']}; expected an earlier one"


def _moment(text: str, zone: ZoneInfo, *, is_end: bool) -> datetime | None:
    """A point in time in UTC; None where the text is none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is not None:
        # The next day's midnight, since a day may have 23 or 25 hours where the clock stood.
        midnight = datetime.combine(day + timedelta(days=1) if is_end else day, time(), zone)
        return midnight.astimezone(UTC) - (timedelta.resolution if is_end else timedelta())
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _csv_lines(text: str, location: str) -> Iterator[_Line]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header: list[str] = []
    end = 0
    try:
        for row in reader:
            begin, end = end + 1, reader.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = cells
                if missing := [name for name in COLUMNS[:3] if header.count(name) != 1]:
                    raise SourceError(
                        f"target.file {location}: line {end}, its header {','.join(header)!r}, does not have "
                        f"{missing[0]!r} once; expected {EXAMPLE!r}, of which kind may be left out"
                    )
            elif len(cells) > len(header):
                raise SourceError(
                    f"target.file {location}: line {begin} has {len(cells)} cells, the header {len(header)}"
                )
            else:
                yield f"line {begin}", {name: cell for name, cell in zip(header, cells, strict=False) if cell}
    except csv.Error as error:
        raise SourceError(
            f"target.file {location}: line {end + 1}: {error}; expected cells with commas between them, and quotes "
            "around a cell that has commas"
        ) from error
    if not header:
        raise SourceError(f"target.file {location} is empty; expected the first line {EXAMPLE!r}")


def _json_lines(text: str, location: str) -> Iterator[_Line]:
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise SourceError(f"target.file {location} cannot be read: {error}") from error
    if isinstance(content, dict):
        for entity, pairs in content.items():
            yield from _of_pairs(entity, pairs, location)
    elif isinstance(content, list):
        for number, entry in enumerate(content, 1):
            named = entry if isinstance(entry, dict) else {}
            yield f"entry {number}", {name: str(named[name]) for name in COLUMNS if named.get(name) not in (None, "")}
    else:
        raise SourceError(
            f"target.file {location} holds {type(content).__name__}; expected a list of objects with {EXAMPLE}, or an "
            'object such as {"pump 07": [["2024-04-17", "2024-04-19"]]}'
        )


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys stand once, since of others all but the last would be lost."""
    names = [name for name, _ in pairs]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]!r} stands twice in one object; expected all of its intervals in one list")
    return dict(pairs)


def _of_pairs(entity: str, pairs: object, location: str) -> Iterator[_Line]:
    if not isinstance(pairs, list):
        raise SourceError(
            f"target.file {location}: {entity!r} has {type(pairs).__name__}; expected a list of pairs of start and end"
        )
    for number, pair in enumerate(pairs, 1):
        place = f"{entity!r}, interval {number}"
        if not (isinstance(pair, list) and len(pair) == 2):
            raise SourceError(f"target.file {location}: {place}: received {pair!r}; expected a pair of start and end")
        start, end = pair
        yield place, {"entity": entity, "start": str(start), "end": str(end)}
