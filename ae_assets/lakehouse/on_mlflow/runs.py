"""Runs in MLflow: how a version was trained, calibrated, compared and judged, all in the run of its training."""

import re
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from ae_assets.errors import ModelError
from ae_assets.lakehouse.on_mlflow.server import Server
from ae_assets.lakehouse.run_log import RUN, Facts, Logged, OpenRun, Unlogged

TABLE_TAG, VERSION_TAG = "ae_assets.table", "ae_assets.version"
_AT_ONCE = 100
"""Params and tags of a call; more are refused. Metrics may be ten times as many."""
_MOST_CHARACTERS = 5_000
_NO_NAME = re.compile(r"[^\w\-. :/]")

_One = TypeVar("_One")


@dataclass(frozen=True)
class MlflowRuns:
    """Logs runs.

    What MLflow refuses is told and stops nothing, but for the beginning of a training whose version it is to keep:
    that would be in vain.

    Attributes:
        server: which MLflow.
        required: whether versions are kept there as well.
    """

    server: Server
    required: bool

    @contextmanager
    def training(self, table: str) -> Generator[OpenRun]:
        """The run of a training.

        Raises:
            ModelError: it cannot be made, and versions are to be kept there.
        """
        run: _Run | _Refused
        try:
            run = self._new(table)
        except ModelError as error:
            if self.required:
                raise
            run = _Refused(str(error))
        try:
            yield run
        except BaseException:
            if isinstance(run, _Run):
                run.end("FAILED")
            raise

    def _new(self, table: str) -> "_Run":
        with self.server.refusals(f"making a run of {table}"):
            experiment = self.server.experiment(table)
            made = self.server.client().create_run(experiment, tags={TABLE_TAG: table}, run_name=f"{table} training")
        return _Run(self.server, made.info.run_id, experiment)

    def add(self, card: Mapping[str, Any], facts: Callable[[], Facts]) -> Logged | None:
        """Logs what became of a version, in the run that its card names; nothing where it names none."""
        if not (known := card.get(RUN)):
            return None
        return _Run(self.server, known["run_id"], known["experiment_id"]).log(facts())


class _Refused(Unlogged):
    """Of a run that could not be made."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def finish(self, facts: Callable[[], Facts]) -> Logged:  # type: ignore[override]  # it has something to tell
        del facts
        return Logged(None, problem=self._problem)


@dataclass(frozen=True)
class _Run:
    server: Server
    number: str
    experiment: str

    @property
    def reference(self) -> Mapping[str, str]:
        return {"run_id": self.number, "experiment_id": self.experiment}

    def finish(self, facts: Callable[[], Facts]) -> Logged:
        logged = self.log(facts())
        problem = self.end("FINISHED") if logged.problem is None else logged.problem
        return Logged(logged.run, logged.url, problem)

    def end(self, status: str) -> str | None:
        """Ends the run; says why it could not."""
        try:
            with self.server.refusals(f"ending the run {self.number}"):
                self.server.client().set_terminated(self.number, status)
        except ModelError as error:
            return str(error)
        return None

    def log(self, facts: Facts) -> Logged:
        url = self.server.page_of_run(self.experiment, self.number)
        try:
            with self.server.refusals(f"logging to the run {self.number}"):
                self._log(facts)
        except ModelError as error:
            return Logged(self.number, url, str(error))
        return Logged(self.number, url)

    def _log(self, facts: Facts) -> None:
        from mlflow.entities import Metric, Param, RunTag

        client, now = self.server.client(), int(time.time() * 1000)
        params = [Param(_name(name), value[:_MOST_CHARACTERS]) for name, value in facts.params.items()]
        tags = [RunTag(_name(name), value[:_MOST_CHARACTERS]) for name, value in facts.tags.items()]
        metrics = [Metric(_name(name), value, now, 0) for name, value in facts.metrics.items() if isfinite(value)]
        for name, values in facts.series.items():
            metrics += [Metric(_name(name), value, now, step) for step, value in enumerate(values) if isfinite(value)]
        for some in _parts(params, _AT_ONCE):
            client.log_batch(self.number, params=some)
        for some in _parts(tags, _AT_ONCE):
            client.log_batch(self.number, tags=some)
        for some in _parts(metrics, 10 * _AT_ONCE):
            client.log_batch(self.number, metrics=some)
        with tempfile.TemporaryDirectory() as folder:
            for name, text in facts.files.items():
                (path := Path(folder) / name).write_text(text, encoding="utf-8")
                client.log_artifact(self.number, str(path))


def _name(text: str) -> str:
    """A name that MLflow takes."""
    return _NO_NAME.sub("_", text)[:250]


def _parts(items: Sequence[_One], size: int) -> Iterator[Sequence[_One]]:
    return (items[start : start + size] for start in range(0, len(items), size))
