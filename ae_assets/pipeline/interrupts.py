"""Interrupts of this process, also those that Python drops.

Dagster raises an interrupt wherever Python stands. Where that is a finaliser or a callback of a compiled library,
Python prints "Exception ignored" and goes on, or the library makes an error of its own of it; the run that somebody
stopped would go on to its end. The wakeup descriptor of Python's signal handling hears of each signal all the same.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import dagster as dg

_ASKED_TO_STOP = frozenset({signal.SIGINT, signal.SIGTERM})


class _Watch:
    read_end: int | None = None
    received = False
    run_id: str | None = None


def watch_interrupts(run_id: str) -> None:
    """Notices the interrupts of a run from its first step on; those before it stopped something else."""
    if _Watch.run_id not in {None, run_id}:
        forget_interrupts()
    _watch()
    _Watch.run_id = run_id


def _watch() -> None:
    """Hears of signals from here on; in a thread, which no signal reaches, and beside another watcher it does not."""
    if _Watch.read_end is not None or threading.current_thread() is not threading.main_thread():
        return
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    other = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    if other == -1:
        _Watch.read_end = read_end
        sys.unraisablehook = partial(_report_unless_interrupt, sys.unraisablehook)
        return
    signal.set_wakeup_fd(other)
    os.close(read_end)
    os.close(write_end)


def _report_unless_interrupt(report: Callable[[Any], None], dropped: Any) -> None:
    if not issubclass(dropped.exc_type, KeyboardInterrupt | dg.DagsterExecutionInterruptedError):
        report(dropped)


def was_interrupted() -> bool:
    """Whether this process was asked to stop since it watches, or since this was last forgotten."""
    if _Watch.read_end is not None:
        try:
            received = os.read(_Watch.read_end, 4096)
        except BlockingIOError:
            received = b""
        _Watch.received |= not _ASKED_TO_STOP.isdisjoint(received)
    return _Watch.received


def forget_interrupts() -> None:
    """Begins to watch for a run that follows on others in this process."""
    _watch()
    was_interrupted()
    _Watch.received, _Watch.run_id = False, None


def stop_if_interrupted() -> None:
    """For the places between two units of work.

    Raises:
        DagsterExecutionInterruptedError: this process was asked to stop, and what that raised was dropped.
    """
    if was_interrupted():
        raise dg.DagsterExecutionInterruptedError
