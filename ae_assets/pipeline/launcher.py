"""The launcher of an instance on one machine: Dagster's default one, that also notices runs whose process is gone."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher


class LocalRunLauncher(DefaultRunLauncher):
    """Starts runs as Dagster's default launcher does, and lets its run monitoring fail those that died.

    The code server reports a run whose process dies, but nobody does where both die together (a machine that is
    switched off) or where a command started the run. Such a run would stay "started" for ever and keep its place among
    the runs that may go on at once. So a run locks a file of its own below the instance's folder, as long as its
    process lives: the system lets go of the lock of a process that dies, however it dies.
    """

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
        """Whether run monitoring asks at all."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Says that the process of the run is gone; a run without a lock, as one on another machine, is not judged."""
        path = self._lock_of(run.run_id)
        try:
            with path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone (killed, or the machine was off)")

    def _lock_of(self, run_id: str) -> Path:
        return Path(self._instance.root_directory) / "running" / run_id
