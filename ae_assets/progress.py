"""How long work says where it stands. The library calls a sink; the CLI draws it, the UI logs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of long work.

    Attributes:
        stage: what is running, e.g. ``"features"`` or ``"training dense_autoencoder"``.
        done: units finished so far.
        total: units in all.
        unit: ``"days"``, ``"hours"`` or ``"epochs"``.
        rows: drive-days (or windows) handled so far.
        seconds: wall seconds since the stage began.
        note: short free text, e.g. the latest validation loss.
    """

    stage: str
    done: int
    total: int
    unit: str
    rows: int
    seconds: float
    note: str = ""

    @property
    def in_words(self) -> str:
        """As logs say it, with the rows a second."""
        rate = self.rows / self.seconds if self.seconds else 0.0
        done = f"{self.done}/{self.total} {self.unit}, {self.rows:,} rows, {rate:,.0f} rows/s"
        return f"{self.stage}: {done} {self.note}".rstrip()


ProgressSink = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Discards progress."""


_listeners: list[ProgressSink] = []


@contextmanager
def listening(sink: ProgressSink) -> Iterator[None]:
    """Hands every published progress of this process to ``sink`` as well; the CLI draws it from there."""
    _listeners.append(sink)
    try:
        yield
    finally:
        _listeners.remove(sink)


def publish(progress: Progress) -> None:
    for sink in _listeners:
        sink(progress)
