"""Where it is logged how each version of a model came about and what became of it: nowhere, or in MLflow."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

RUN = "mlflow"
"""Key of a model card: the run in which the version was trained, where it was logged."""


@dataclass(frozen=True)
class Facts:
    """What is logged of a run.

    Attributes:
        params: settings, as text.
        metrics: figures by name.
        series: figures by name that have one value each epoch.
        tags: what else there is to say, as text.
        files: texts to keep beside it, by file name.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Logged:
    """Where it was logged.

    Attributes:
        run: the run's number; None where there is none.
        url: its page, where the server has pages.
        problem: why something of it could not be logged; None: all of it was.
    """

    run: str | None
    url: str | None = None
    problem: str | None = None


class OpenRun(Protocol):
    """The run of a training that goes on."""

    @property
    def reference(self) -> Mapping[str, str]:
        """What the model card keeps, so that what becomes of the version is logged there as well; may be empty."""

    def finish(self, facts: Callable[[], Facts]) -> Logged | None:
        """Logs a training that went well; None where nothing is logged. Never raises for what the server refuses."""


class RunLog(Protocol):
    """Where runs are logged."""

    def training(self, table: str) -> AbstractContextManager[OpenRun]:
        """The run of a training, which has failed where the context is left by an error."""

    def add(self, card: Mapping[str, Any], facts: Callable[[], Facts]) -> Logged | None:
        """Logs what became of a version, with its card, as `OpenRun.finish` does."""


class Unlogged:
    """Of no run."""

    reference: Mapping[str, str] = {}

    def finish(self, facts: Callable[[], Facts]) -> None:
        """Nothing."""


class NoRunLog:
    """Logs nothing."""

    @contextmanager
    def training(self, table: str) -> Generator[OpenRun]:
        """A run that leaves nothing."""
        del table
        yield Unlogged()

    def add(self, card: Mapping[str, Any], facts: Callable[[], Facts]) -> None:
        """Nothing."""
