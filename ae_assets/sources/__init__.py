"""Where raw rows come from: one reader per kind of location, all behind `open_source`."""

import os
import re
from collections.abc import Callable
from datetime import date
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources.archives import ArchiveSource, LocalArchive
from ae_assets.sources.day_files import absent_day
from ae_assets.sources.folder import FolderSource
from ae_assets.sources.simulated import SimulatedSource
from ae_assets.sources.source import ListedSource, Source, SourceDay

__all__ = ["ListedSource", "Reading", "Source", "SourceDay", "listed_day", "open_source"]

_KINDS = (
    "a folder of YYYY-MM-DD.csv files or zip archives, one such file, the http(s) address of a .zip file or of an index"
    " page of such files (with / at the end), s3://bucket/prefix, iceberg://catalog/namespace.table,"
    " cassandra://host:9042/keyspace.table, kafka://host:9092/topic, or simulated://?drives=4000&days=120"
)
ENTRY_POINTS = "ae_assets.sources"
"""The group of entry points that add kinds of locations: each is named by its scheme and opens such a location."""

_DOTTED = re.compile(r"([A-Za-z_][\w.]*:[A-Za-z_]\w*)://", re.ASCII)
_MISTYPED = re.compile(r"(https?|s3)[:/].*@", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def open_source(
    location: str,
    reading: Reading | None = None,
    memory: Path | None = None,
    make_s3_client: Callable[[Any], Any] | None = None,
    landed: Callable[[], Any] | None = None,
) -> Source:
    """The source at a location; nothing is read yet, so a location that does not exist (any more) shows at `days()`.

    Args:
        location: a folder, a .zip file or a YYYY-MM-DD.csv file (also as file://), the http(s) address of a .zip file
            or of an index page (with / at the end), s3://bucket/prefix, s3://bucket/archive.zip or
            s3://bucket/YYYY-MM-DD.csv, iceberg://catalog/namespace.table, cassandra://host/keyspace.table,
            kafka://host/topic, simulated://?..., or one of a kind of one's own: its scheme is that of an entry point,
            or module:name, e.g. my_package.stores:open_store://anything.
        reading: how the files are written and by which periods they are cut; None: the defaults, and days.
        memory: folder in which it is remembered what files hold, so that looking at them again is cheap; None: nowhere.
        make_s3_client: makes the client of a source on S3, see `s3.S3ClientMaker`; None: by the AWS chain.
        landed: gives the Iceberg table that holds what was landed of a topic, None where nothing was; None: it is not
            known.

    Raises:
        SourceError: the location is of no known kind, or its settings are not allowed.
    """
    if not location.strip() or "\0" in location:
        raise SourceError(f"The source location {location!r} is empty or no text. Expected {_KINDS}.")
    reading = reading or Reading()
    scheme = _SCHEME.match(location)
    kind = scheme[1].lower() if scheme else ""
    if kind in ("simulated", "http", "https", "s3", "iceberg", "cassandra", "kafka"):
        return _of_a_scheme(kind, location, reading, memory, make_s3_client, landed)
    if kind == "file":
        return _local(Path(url2pathname(urlsplit(location).path)), reading, memory)
    if (own := _of_ones_own(location, kind)) is not None:
        return own(location, reading)
    if kind and "://" in location:
        raise SourceError(f"A source location of the kind {kind}:// is not known. Expected {_KINDS}.")
    if _MISTYPED.match(location):
        raise SourceError("The source location looks like an address and lacks its ://. Expected https://host/….zip")
    return _local(Path(os.path.expanduser(location)), reading, memory)  # noqa: PTH111 - Path.expanduser fails for an unknown user


def listed_day(source: Source, day: date) -> SourceDay:
    """A day of a source by its date.

    Raises:
        SourceError: the day is not listed; the message names what the listing left out, since the day may be in there.
    """
    listed = source.days().get(day)
    if listed is None:
        raise SourceError(absent_day(source.location, day, source.strays()))
    return listed


def _of_ones_own(location: str, scheme: str) -> Callable[[str, Reading], Source] | None:
    """What opens a location of a kind that is not of this package; None where nothing is registered for it."""
    registered = {point.name: point for point in entry_points(group=ENTRY_POINTS)} if "://" in location else {}
    named = _DOTTED.match(location)
    point = EntryPoint(named[1], named[1], ENTRY_POINTS) if named else registered.get(scheme)
    if point is None:
        return None
    try:
        opens: Callable[[str, Reading], Source] = point.load()
    except (ImportError, AttributeError) as error:
        raise SourceError(
            f"{point.value}, which opens source locations that begin with {point.name}://, cannot be imported"
            f" ({error}). Install it where Dagster loads the code."
        ) from error
    return opens


def _of_a_scheme(
    kind: str,
    location: str,
    reading: Reading,
    memory: Path | None,
    make_s3_client: Callable[[Any], Any] | None,
    landed: Callable[[], Any] | None,
) -> Source:
    """A source that is no path; the libraries that it needs are for those whose source is of its kind."""
    match kind:
        case "simulated":
            return _simulated(location, reading)
        case "s3":
            from ae_assets.sources.s3 import s3_source

            return s3_source(location, reading, make_client=make_s3_client, memory=memory)
        case "iceberg":
            from ae_assets.sources.iceberg import IcebergSource

            return IcebergSource(location, reading, memory)
        case "kafka":
            from ae_assets.sources.kafka import TopicSource

            return TopicSource(location, reading, memory, landed)
        case "cassandra":
            from ae_assets.sources.cassandra import CassandraSource

            return CassandraSource(location, reading, memory)
        case _:
            from ae_assets.sources.https import http_source

            return http_source(location, reading, memory)


def _simulated(location: str, reading: Reading) -> Source:
    if not reading.layout.values:
        return SimulatedSource(location)
    from ae_assets.sources.simulated_series import SimulatedSeries

    return SimulatedSeries(location, reading)


def _local(path: Path, reading: Reading, memory: Path | None) -> Source:
    if path.suffix.lower() == ".zip" and not path.is_dir():
        return ArchiveSource(str(path), LocalArchive(path, path.name), reading, memory)
    return FolderSource(path, reading, memory)
