"""What a disk, S3 or a catalog's server refuses: what may pass and is tried again, and errors that say what to do.

Knows neither pyiceberg nor pyarrow: their file errors are OSErrors.
"""

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tenacity import RetryCallState, Retrying, wait_random_exponential

from ae_assets.errors import AeAssetsError, LakehouseError

PATIENCE_SECONDS = 60.0
"""How long a server may be away before a run gives up: a restart or a failover, not an outage."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class StorageError(LakehouseError):
    """Files could not be written or read, and it is certain that nothing was committed."""


def retrying(patience: Callable[[BaseException], float]) -> Retrying:
    """Calls again what is refused, after growing random pauses, which spread those who wait for the same thing.

    Args:
        patience: for how many seconds since the first try such a refusal may pass, and is raised then; 0: not at all.
            Else there are two tries at least, however long the first one took.
    """

    def is_over(state: RetryCallState) -> bool:
        refusal = state.outcome.exception() if state.outcome else None
        seconds = patience(refusal) if refusal is not None else 0.0
        return not seconds or (state.attempt_number > 1 and (state.seconds_since_start or 0.0) >= seconds)

    return Retrying(wait=wait_random_exponential(multiplier=0.02, max=1.0), stop=is_over, reraise=True)


@contextmanager
def storage_errors(doing: str, error: type[AeAssetsError] = StorageError) -> Iterator[None]:
    """Turns an error of files into one that says where it was, why, and what to do.

    Args:
        doing: what is being done, to what and where, e.g. ``"writing 2013-04-10 of drive_stats.raw to /warehouse"``.
        error: what is raised.
    """
    try:
        yield
    except OSError as failure:
        raise error(explained(doing, failure)) from failure


def explained(doing: str, failure: Exception) -> str:
    """The message of an error of a disk, of S3 or of a SQLite catalog."""
    if is_full(failure):
        return (
            f"The disk is full: {doing} failed: {failure}. What was there before is unchanged. Make room on that disk, "
            "then run it again; materialising maintenance removes files of broken runs once they are old enough."
        )
    if isinstance(failure, OSError) and (isinstance(failure, PermissionError) or failure.errno in _DENIED):
        advice = "Let the user, or the role, of this process read and write there, then run it again."
    else:
        advice = "Check that the storage can be reached and is healthy, then run it again."
    return f"{doing[0].upper()}{doing[1:]} failed: {failure}. What was there before is unchanged. {advice}"


def is_full(failure: BaseException) -> bool:
    """Whether a disk has no room left, or a quota is used up."""
    if isinstance(failure, OSError):
        return failure.errno in _FULL or "No space left on device" in str(failure)
    cause = getattr(failure, "orig", failure)  # SQLAlchemy wraps the error of SQLite
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorname", "") == "SQLITE_FULL"
