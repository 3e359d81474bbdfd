"""The Dagster instance of a home, and running parts of the chain in it."""

import logging
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import yaml
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    MAX_RETRIES_TAG,
)
from dagster.components.core.component_tree import ComponentTreeException
from dagster_shared.error import DagsterUnresolvableSymbolError
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from ae_assets.chain import Workspace
from ae_assets.chain.workspace import FailedPeriod
from ae_assets.cli.project import OWN, projects
from ae_assets.errors import AeAssetsError, ConfigError, DaysFailedError
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.component import TableLeftOut
from ae_assets.pipeline.daily import failure_in
from ae_assets.pipeline.failures import is_caused_by, root_message
from ae_assets.pipeline.home import home_folder, keep_compiled
from ae_assets.pipeline.interrupts import forget_interrupts, was_interrupted
from ae_assets.pipeline.partitions import (
    bounds_of,
    first_and_last,
    newest_that_has_ended,
    partitions_of,
    remember_periods,
)
from ae_assets.pipeline.resources import lakehouse_of_environment
from ae_assets.schemas.periods import Periods
from ae_assets.sources import Source

INSTANCE_SETTINGS = """\
# Settings of the embedded Dagster instance. Runs, events and schedules are kept in SQLite below this folder.
telemetry:
  enabled: false
nux:
  enabled: false # the newsletter dialog of a first start
run_launcher: # notices runs that died together with the machine or the code server
  module: ae_assets.pipeline.launcher
  class: LocalRunLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 30 # how long a dead run may go unnoticed
run_retries:
  enabled: true
  max_retries: 3 # of a run that died; it goes on with the asset at which it died
  retry_on_asset_or_op_failure: false # an error or a blocking check says what to do, and would come again
concurrency:
  runs:
    max_concurrent_runs: 2 # each run fills the cores of a small machine
"""

UNREADABLE_YAML = (ComponentTreeException, DagsterUnresolvableSymbolError, ValidationError, yaml.YAMLError)
"""What Dagster raises for a ``defs.yaml`` that is wrong; a mistake in Python code keeps its traceback."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunOutcome:
    """What became of one run."""

    run_id: str
    success: bool
    failure: str | None
    """Why it failed; None where nothing failed but single days."""
    metadata: Mapping[str, Mapping[str, dg.MetadataValue]] = field(default_factory=dict)
    """By asset name, the values of its last materialisation."""
    checks: Sequence[dg.AssetCheckEvaluation] = ()
    failed_days: Mapping[date, FailedPeriod] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether there is something for the next stage: the run failed at most for some of its days."""
        return self.failure is None and bool(self.success or self.metadata)

    @property
    def is_held_back(self) -> bool:
        """Whether the run failed for nothing but days that a check holds back."""
        failures = self.failed_days.values()
        return bool(failures) and all(failure.check is not None for failure in failures)


class Loaded(NamedTuple):
    """A watched table with the code location that it is in, and what Dagster loads this from."""

    definitions: dg.Definitions
    table: WatchedTable
    module: str = OWN.module


class Chain:
    """A watched table in the code location, bound to the Dagster instance and the tables of a home."""

    def __init__(self, home: Path, instance: dg.DagsterInstance, loaded: Loaded) -> None:
        self.home, self.instance = home, instance
        self.definition, self.module = loaded.table, loaded.module
        self.table = self.definition.table
        self._lakehouse = lakehouse_of_environment()  # the same places as those of the runs
        self.space = self._lakehouse.workspace(self.definition)
        self._job = loaded.definitions.resolve_implicit_global_asset_job_def()
        self._partitions = partitions_of(self.definition)

    def source(self) -> Source:
        """The table's source, opened as the runs open it."""
        return self._lakehouse.source_of(self.definition)

    def require_periods(self, first: date, last: date) -> None:
        """Says which periods the table can have, where the given ones are not among them.

        Raises:
            ConfigError: the range reaches beyond what the YAML says, or beyond the last period that has ended.
        """
        periods = self.definition.periods
        start, newest = bounds_of(self.definition)[0], newest_that_has_ended(self.definition)
        if (start is not None and first < start) or last > newest:
            since = "" if start is None else f"from {periods.key(start)} "
            raise ConfigError(
                f"the {periods.plural} of {self.table} are {since}to {periods.key(newest)}; "
                f"received {periods.key(first)} to {periods.key(last)}"
            )

    def periods_to_run(self, days: tuple[date, date], listed: Collection[date]) -> tuple[date, date]:
        """The part of a range that the table has partitions for, some of which the source lists."""
        remember_periods(self.home, self.space, listed=listed)
        partitions = partitions_of(self.definition)
        if partitions != self._partitions:
            # The source has periods that were not known when the code location was loaded.
            self._job = load_table(self.table)[0].resolve_implicit_global_asset_job_def()
            self._partitions = partitions
        first, last = first_and_last(self.definition, partitions) or days
        return max(days[0], first), min(days[1], last)

    def run(
        self, assets: Sequence[str], days: tuple[date, date] | None = None, config: Mapping[str, Any] | None = None
    ) -> RunOutcome:
        """Materialises assets of the table in one run, with the config of their ops by asset.

        Raises:
            KeyboardInterrupt: it was interrupted; the run is recorded as failed.
        """
        # Only the command knows how to go on, so a killed one is not tried again by the daemon.
        tags = {"ae_assets/started_by": "ae-assets", MAX_RETRIES_TAG: "0"}
        if days is not None:
            first, last = map(self.definition.periods.key, days)
            tags |= {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
        ops = {f"{self.table}__{name}": {"config": values} for name, values in (config or {}).items()}
        forget_interrupts()
        result = self._job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey([self.table, name]) for name in assets],
            run_config={**QUIET, "ops": ops},
            tags=tags,
            raise_on_error=False,
        )
        if was_interrupted():
            raise KeyboardInterrupt
        made = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
        return RunOutcome(
            run_id=result.run_id,
            success=result.success,
            failure=None if result.success else _failure(result),
            metadata={one.asset_key.path[-1]: one.metadata for one in made},
            checks=result.get_asset_check_evaluations(),
            failed_days=_failed_days(result, self.definition.periods),
        )


def _failure(result: dg.ExecuteInProcessResult) -> str | None:
    """What a person can act on: the blocking checks that failed, or the message of the error that we raised.

    None where steps only named the days that failed.
    """
    blocking = [
        f"{check.asset_key.to_user_string()} {check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if check.blocking and not check.passed
    ]
    if blocking:
        return "a blocking check failed; " + "; ".join(blocking)
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    if errors and all(is_caused_by(error, DaysFailedError) for error in errors):
        return None
    return next((root_message(error) for error in errors if error is not None), "it ended before any step began")


def _failed_days(result: dg.ExecuteInProcessResult, periods: Periods) -> dict[date, FailedPeriod]:
    observed = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    failures = [failure for observation in observed if (failure := failure_in(observation, periods)) is not None]
    return {failure.day: failure for failure in sorted(failures, key=lambda failure: failure.day)}


def prepare_home() -> Path:
    """Creates the home and makes this process use it and its Dagster instance; what is there is left as it is.

    ``DAGSTER_HOME``, where it is set, names the instance, so that what a command starts is seen in a team's UI.

    Raises:
        ConfigError: nothing can be written there, ``DAGSTER_HOME`` is no folder, or Dagster cannot have its SQLite
            files there.
    """
    home = home_folder()
    dagster_home = Path(os.environ.get("DAGSTER_HOME") or home / "dagster").expanduser().resolve()
    is_ours = dagster_home.is_relative_to(home)
    if not is_ours and not dagster_home.is_dir():
        raise ConfigError(
            f"DAGSTER_HOME names {dagster_home}, which is no folder; name the folder of your Dagster instance, "
            f"or unset it to use {home / 'dagster'}"
        )
    # Dagster writes the path into an address as it is: SQLAlchemy then takes %20 for a space and ? for the path's end.
    if make_url(f"sqlite:///{dagster_home}").database != str(dagster_home):
        raise ConfigError(
            f"Dagster cannot keep its SQLite files in {dagster_home}, since % and ? in a path mean something else "
            "to it; name a folder without these characters in AE_ASSETS_HOME, or in DAGSTER_HOME alone"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        _require_writable(home)
        if is_ours:
            dagster_home.mkdir(parents=True, exist_ok=True)
            _require_writable(dagster_home)
            settings = dagster_home / "dagster.yaml"
            if not settings.exists():
                settings.write_text(INSTANCE_SETTINGS)
    except OSError as error:
        raise ConfigError(
            f"the home {home} cannot be written ({error.strerror}); name a folder of yours in AE_ASSETS_HOME"
        ) from None
    os.environ["AE_ASSETS_HOME"] = str(home)
    keep_compiled(home)
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    return home


def _require_writable(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def open_chain(table: str) -> Iterator[Chain]:
    """A table of the code location in the home's instance.

    Raises:
        ConfigError: when a YAML does not describe a watched table, or there is no table of this name.
    """
    # Ctrl-C may arrive while a connection is closed, whose traceback would stand before what the command says of it.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    loaded = load_table(table)
    home = prepare_home()
    with dg.DagsterInstance.get() as instance:
        yield Chain(home, instance, loaded)


def open_workspace(table: str) -> Workspace:
    """The tables and models of a watched table, to be read; no Dagster instance is opened and no home made.

    Raises:
        ConfigError: as `open_chain`.
    """
    return lakehouse_of_environment().workspace(load_table(table).table)


def load_table(table: str) -> Loaded:
    """A watched table of the project that is in use, else of this package.

    Raises:
        ConfigError: as `open_chain`; where a YAML does not load, its own reason is raised, not Dagster's wrapping.
    """
    others: list[str] = []
    for project in projects():
        try:
            definitions, components = project.load()
        except UNREADABLE_YAML as error:
            raise _reason(error) from None
        left_out = {one.name: one.variable for one in components if isinstance(one, TableLeftOut)}
        tables = {one.table.table: one.table for one in components if not isinstance(one, TableLeftOut)}
        if table in tables:
            return Loaded(definitions, tables[table], project.module)
        if table in left_out:
            raise ConfigError(
                f"the table {table} is loaded only where {left_out[table]} is set; set it, here and where Dagster "
                "runs, to where its files lie"
            )
        others.append(f"{', '.join(sorted(tables)) or 'none'} in {project.root_module}")
    raise ConfigError(
        f"there is no watched table {table!r}; the tables are: {'; '.join(others)}. --project or AE_ASSETS_PROJECT "
        "names the folder of another Dagster project"
    )


def _reason(error: BaseException) -> AeAssetsError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, AeAssetsError):
        error, cause = cause, cause.__cause__
    return cause or ConfigError(f"the watched tables cannot be loaded: {error}\n`dg check defs` says where")
