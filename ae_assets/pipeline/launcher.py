"""The launcher of an instance on one machine: Dagster's default one, that also notices runs whose process is gone."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

CODE_SERVER_SECONDS = 180.0  # that it may take to come back: loading takes seconds, a new image minutes


class LocalRunLauncher(DefaultRunLauncher):
    """Starts runs as Dagster's default launcher does, and lets its run monitoring fail those that died.

    The code server reports a run whose process dies, but nobody does where both die together (a machine that is
    switched off) or where a command started the run. Such a run would stay "started" for ever and keep its place among
    the runs that may go on at once. So a run locks a file of its own below the instance's folder, as long as its
    process lives: the system lets go of the lock of a process that dies, however it dies. Of a run without such a file,
    which has just begun or is about to end, or does not use the lakehouse, the code server is asked.

    Dagster's daemon looks once whether a lost run can be run again: if no code server answers at that moment, never. So
    a run that was lost with its code server is reported once that is back, or stays away for three minutes.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._noticed: dict[str, float] = {}

    @contextmanager
    def alive(self, run_id: str) -> Iterator[None]:
        """While the context lasts, `check_run_worker_health` sees that the run has a process."""
        path = self._lock_of(run_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, delete=False) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).replace(path)  # nobody sees it without its lock
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # a run that is about to say how it ended is no dead one

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run, which has started and not ended, is gone."""
        try:
            with self._lock_of(run.run_id).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return self._asked(run)
        except BlockingIOError:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if self._may_come_back(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "It is lost, and its code server does not answer yet.")
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone (killed, or the machine was off)")

    def _may_come_back(self, run: dg.DagsterRun) -> bool:
        """Whether a code server with a port of its own is away and may be on its way; one on a socket ends for good."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        noticed = self._noticed.setdefault(run.run_id, time.monotonic())
        if client is not None and client.port and time.monotonic() - noticed < CODE_SERVER_SECONDS:
            try:
                client.ping("")
            except DagsterUserCodeUnreachableError:
                return True
        del self._noticed[run.run_id]
        return False

    def _asked(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """What the code server says that started the run, or the one that has its place now."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "A command started the run; it is not judged.")
        request = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            answer = deserialize_value(client.can_cancel_execution(request), CanCancelExecutionResult)
        except DagsterUserCodeUnreachableError as unreachable:
            # Busy, restarting or cut off: the server that answers next knows.
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"The code server does not answer: {unreachable}")
        if answer.can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND, f"The code server at {client.host} knows no such run: its process is lost."
        )

    def _lock_of(self, run_id: str) -> Path:
        return Path(self._instance.root_directory) / "running" / run_id
