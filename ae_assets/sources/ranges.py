"""Files elsewhere, read by parts: a zip archive costs its directory and the members asked for, not the whole of it.

Transports (`https`, `s3`) know how to fetch a range of bytes; here it becomes a seekable file that `archives` reads as
any other.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Protocol, TypeVar

from ae_assets.errors import SourceError

READ_AHEAD_BYTES = 64 * 2**10
"""Least number of bytes fetched at a time; the directory of a quarter (92 days, about 10 KiB) fits at once."""

MAX_REQUEST_BYTES = 2 * 2**30
"""More is never asked for at a time, whatever an archive claims about itself."""

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of a server that may be another one a little later."""

_LONGEST_WAIT_SECONDS = 60.0
_Result = TypeVar("_Result")


class TransientError(Exception):
    """A failure that may pass.

    Args:
        problem: printable.
        wait_seconds: how long the server asks to be left alone.
    """

    def __init__(self, problem: str, wait_seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        attempts: requests for one range before giving up; an attempt that brought bytes is continued where it stopped.
        first_wait_seconds: pause after the first failure, doubled after each further one; `Retry-After` is
            obeyed up to a minute.
        timeout_seconds: longest silence of a server.
    """

    attempts: int = 5
    first_wait_seconds: float = 0.5
    timeout_seconds: float = 30.0

    def ask(
        self, place: str, attempt: Callable[[], _Result], advice: str, progress: Callable[[], int] = lambda: 0
    ) -> _Result:
        """The result of an attempt, repeated after failures that may pass; SourceError after the last one.

        Args:
            place: printable, for the error.
            attempt: raises `TransientError` where it is to be made again.
            advice: what to look at where all have failed.
            progress: attempts are counted since the last one that made it grow.
        """
        failures, before = 0, progress()
        while True:
            try:
                return attempt()
            except TransientError as failure:
                failures = failures + 1 if progress() == before else 1
                before = progress()
                if failures >= self.attempts:
                    raise SourceError(
                        f"{place}: no complete answer after {failures} attempts; the last one ended with: {failure}."
                        f" Check {advice} and the network, and try again later."
                    ) from failure
                wait = max(failure.wait_seconds, self.first_wait_seconds * 2.0 ** (failures - 1))
            time.sleep(min(_LONGEST_WAIT_SECONDS, wait))


@dataclass(frozen=True)
class State:
    """A version of a file elsewhere."""

    size: int
    mark: str


class Ranges(Protocol):
    """A file elsewhere."""

    def state(self) -> State:
        """Its version now."""
        ...

    def fetch(self, start: int, end: int, expected: State) -> bytes:
        """Bytes [start, end) of a version, fewer where it ends; SourceError where it is another one by now."""
        ...


class RangedArchive:
    """An archive elsewhere, as `archives.ArchiveFile` describes it."""

    def __init__(self, name: str, ranges: Ranges) -> None:
        self.name = name
        self._ranges = ranges
        self._tail: tuple[State, int, bytes] | None = None

    def version(self) -> str:
        state = self._ranges.state()
        return f"{state.size:x}-{state.mark}"

    def open(self, part: tuple[int, int] | None, /) -> IO[bytes]:
        """The archive as a file that belongs to one version of it: a change while it is read is an error.

        Args:
            part: first byte and end of what will be read, fetched by one request.
        """
        state = self._ranges.state()
        if self._tail is None or self._tail[0] != state:
            start = max(0, state.size - READ_AHEAD_BYTES)
            self._tail = (state, start, self._ranges.fetch(start, state.size, state))
        file = _RangeFile(self._ranges, *self._tail)
        if part is not None:
            file.prefetch(*part)
        return io.BufferedReader(file)


class _RangeFile(io.RawIOBase):
    """One version of a file elsewhere, seekable; keeps its tail (the zip directory) and the range fetched last."""

    def __init__(self, ranges: Ranges, state: State, tail_start: int, tail: bytes) -> None:
        self._ranges = ranges
        self._state = state
        self._fetched = [(tail_start, tail), (0, b"")]
        self._place = 0

    def prefetch(self, start: int, end: int) -> None:
        """Fetches [start, end) by one request, so that the small reads to come are served from memory."""
        end = min(end, self._state.size)
        if end - start > MAX_REQUEST_BYTES:
            raise OSError(f"it asks for {end - start:,} bytes at once, more than {MAX_REQUEST_BYTES:,}")
        if end > start and len(self._fetched_from(start)) < end - start:
            self._fetched[1] = (start, self._ranges.fetch(start, end, self._state))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._state.size}[whence]
        if base + offset < 0:
            raise OSError(f"seek to {base + offset}, before the start of the file")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        if self._place >= self._state.size or not len(buffer):
            return 0
        if not self._fetched_from(self._place):
            self.prefetch(self._place, self._place + max(len(buffer), READ_AHEAD_BYTES))
        data = self._fetched_from(self._place)[: len(buffer)]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _fetched_from(self, place: int) -> memoryview:
        for start, data in self._fetched:
            if start <= place < start + len(data):
                return memoryview(data)[place - start :]
        return memoryview(b"")
