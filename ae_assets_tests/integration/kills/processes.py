"""Children that do the work of an asset, and their end by SIGKILL.

They are forked from a server process that has imported everything and run nothing: a trial costs no start of an
interpreter, and no thread of a library that has already worked is lost in the fork.
"""

import multiprocessing
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from ae_assets_tests.integration.kills.marks import Marks, mark_writes
from ae_assets_tests.integration.kills.work import WORK, Place, committing_often

LONGEST_SECONDS = 120
_PRELOADED = [
    "ae_assets.detectors.rule",
    "ae_assets.lakehouse.access",
    "ae_assets.lakehouse.files",
    "ae_assets_tests.integration.kills.work",
    "pandera.polars",
    "psycopg2",
    "pyarrow.dataset",
    "pyiceberg.catalog.rest",
    "pyiceberg.catalog.sql",
]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed: how long it takes, when it begins to write, and how many marks it passes."""

    seconds: float
    first_write: float
    marks: int


def measure(place: Place, asset: str, version: int) -> Undisturbed:
    """Runs the asset in a child to its end."""
    process, marks = _start(place, asset, version, None)
    began = time.monotonic()
    times = []
    said = b""
    while said != b"done":
        if not marks.poll(LONGEST_SECONDS):
            process.kill()
            raise RuntimeError(f"{asset} on {place.name} did not end: last it said {said.decode()!r}.")
        said = marks.recv_bytes()
        times.append(time.monotonic() - began)
    process.join(LONGEST_SECONDS)
    marks.close()
    return Undisturbed(times[-1], times[0], len(times))


def kill(place: Place, asset: str, version: int, usual: Undisturbed, chance: random.Random) -> str:
    """Starts the asset's work, kills it at a drawn moment, and gives the last step of a write that it reached.

    A third of the moments lie anywhere in a run, a third between its first write and its end, and a third are marks.
    """
    way = chance.randrange(3)
    mark = chance.randrange(usual.marks) if way == 0 else None
    seconds = chance.uniform(0 if way == 1 else usual.first_write, usual.seconds)
    process, marks = _start(place, asset, version, mark)
    if mark is None:
        time.sleep(seconds)
        process.kill()
    process.join(LONGEST_SECONDS)
    if process.is_alive():
        process.kill()
        raise RuntimeError(f"{asset} on {place.name} hung after {_rest(marks)}.")
    passed = _rest(marks)
    if process.exitcode not in {0, -signal.SIGKILL}:
        raise RuntimeError(f"{asset} on {place.name} ended by itself with {process.exitcode} after {passed}.")
    return passed[-1] if passed else "began"


def _start(place: Place, asset: str, version: int, mark: int | None) -> tuple[ForkServerProcess, Connection]:
    """A child that is about to begin."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(place, asset, version, theirs, mark))
    process.start()
    theirs.close()
    if not ours.poll(LONGEST_SECONDS) or ours.recv_bytes() != b"began":
        process.kill()
        raise RuntimeError(f"The process that was to write {asset} on {place.name} did not begin.")
    return process, ours


def _run(place: Place, asset: str, version: int, marks: Connection, last: int | None) -> None:
    os.environ.update(place.environment)
    space = place.space(version)
    marks.send_bytes(b"began")
    mark = Marks(marks, last)
    mark_writes(mark)
    with committing_often():
        WORK[asset](space)
    mark("done")


def _rest(marks: Connection) -> list[str]:
    read = []
    with suppress(EOFError, ConnectionError):
        while marks.poll(LONGEST_SECONDS):
            read.append(marks.recv_bytes().decode())
    marks.close()
    return read
