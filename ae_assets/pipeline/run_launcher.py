"""Runs as processes of the code server, with an answer to whether such a process is still there."""

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which cannot tell a run that goes on from one that went with its code server.

    A code server reports the runs whose processes die under it. If it dies itself (a machine restarts, a container is
    killed), its runs stay in progress for good and keep their places in pools. Run monitoring asks this launcher, which
    asks the server that is there now; what that one does not know is lost, fails, and is retried as ``run_retries``
    says. For servers started by ``dagster api grpc``: the proxy of ``dagster code-server`` forgets, when it reloads,
    the runs that it started before.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: run monitoring asks about runs that have started."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process is one of its code server's.

        Args:
            run: a run that has started and not ended.
        """
        client: DagsterGrpcClient | None = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "No code server started it, but a command.")
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
