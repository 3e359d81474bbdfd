"""What files beside those of rows say of when devices were abnormal: intervals, or a 0 or 1 for each line."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

from ae_assets.errors import SourceError
from ae_assets.sources.intervals import read_intervals

_MOST_TRIED = 20


def intervals_beside(folder: Path, names: Sequence[str], is_known: Callable[[str], bool]) -> tuple[str, int] | None:
    """The file of intervals of the most devices that are known, and how many these are; None: there is no such file.

    Args:
        folder: or zip archive.
        names: of files below it that may be one.
        is_known: whether a name in such a file is that of a device.
    """
    found: list[tuple[int, int, str]] = []
    for name in names[:_MOST_TRIED]:
        place = (folder / name).as_posix()
        try:
            entities = read_intervals(place)["entity"]
        except (SourceError, ValueError):
            continue
        if known := sum(map(is_known, entities.unique().to_list())):
            found.append((known, len(entities), place))
    if not found:
        return None
    known, _, place = max(found, key=lambda one: one[:2])
    return place, known


def intervals_of_lines(
    folder: Path, rows: Mapping[str, str], labels: Sequence[str], begin: datetime, step: timedelta
) -> pl.DataFrame | None:
    """``entity, start, end`` of the lines that files of nothing but 0 and 1 mark, each beside one of as many lines.

    Args:
        folder: where all of them lie.
        rows: the device of each file of rows.
        labels: files that may be of 0 and 1, called as those of rows are.
        begin: the time of the first line of each file of rows.
        step: from each line to the next.

    Returns:
        The intervals; None where a file holds something else, or none is of one of rows.
    """
    frames = []
    for name in labels:
        marked = _marks(folder / name)
        if marked is None:
            return None
        stem = PurePosixPath(name).stem
        beside = [row for row in rows if PurePosixPath(row).stem == stem and _lines(folder / row) == len(marked)]
        if len(beside) != 1:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[0], marked, [0]])))
        times = [begin + int(place) * step for place in edges - np.arange(len(edges)) % 2]
        frames.append(pl.DataFrame({"entity": rows[beside[0]], "start": times[::2], "end": times[1::2]}))
    return pl.concat(frames) if frames else None


def _marks(path: Path) -> "np.ndarray | None":
    lines = path.read_bytes().split()
    ones = [line in (b"1", b"1.0") for line in lines]
    return np.array(ones, np.int8) if all(line in (b"0", b"1", b"0.0", b"1.0") for line in lines) else None


def _lines(path: Path) -> int:
    data = path.read_bytes()
    return data.count(b"\n") + bool(data and not data.endswith(b"\n"))
