"""The Dagster instance of a home, and running parts of the chain in it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from dagster.components.core.component_tree import ComponentTreeException

from ae_assets.definitions import build, component_tree
from ae_assets.errors import AeAssetsError, ConfigError
from ae_assets.pipeline.component import AnomalyPipeline
from ae_assets.pipeline.resources import home_folder
from ae_assets.pipeline.table import WatchedTable

INSTANCE_SETTINGS = """\
# Settings of the embedded Dagster instance. Runs, events and schedules are kept in SQLite below this folder.
telemetry:
  enabled: false
run_monitoring:
  enabled: true
concurrency:
  runs:
    max_concurrent_runs: 2 # each run fills the cores of a small machine
"""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunOutcome:
    """What became of one run."""

    run_id: str
    success: bool
    failure: str | None
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By asset name, the values of its last materialisation."""
    checks: Sequence[dg.AssetCheckEvaluation] = ()


class Chain:
    """A watched table in the code location, bound to a Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions, table: WatchedTable) -> None:
        """Binds a table of the code location to an instance."""
        self.instance = instance
        self.definition = table
        self.table = table.table
        self._job = definitions.resolve_implicit_global_asset_job_def()

    def run(
        self, assets: Sequence[str], days: tuple[date, date] | None = None, config: Mapping[str, Any] | None = None
    ) -> RunOutcome:
        """Materialises assets of the table in one run.

        Args:
            assets: names within the table, e.g. ``["raw", "features"]``.
            days: first and last partition, for daily assets.
            config: op config by asset name.
        """
        tags = {"ae_assets/started_by": "ae-assets"}
        if days is not None:
            tags[ASSET_PARTITION_RANGE_START_TAG] = days[0].isoformat()
            tags[ASSET_PARTITION_RANGE_END_TAG] = days[1].isoformat()
        ops = {f"{self.table}__{name}": {"config": values} for name, values in (config or {}).items()}
        result = self._job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey([self.table, name]) for name in assets],
            run_config={**QUIET, "ops": ops},
            tags=tags,
            raise_on_error=False,
        )
        return RunOutcome(
            run_id=result.run_id,
            success=result.success,
            failure=None if result.success else _failure(result),
            metadata=_materialised(result),
            checks=result.get_asset_check_evaluations(),
        )


def _failure(result: dg.ExecuteInProcessResult) -> str:
    """The message of the error that a person can act on, or else of the first error."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is None:
                continue
            known = {cls.__name__ for cls in _family(AeAssetsError)}
            if error.cls_name in known:
                return error.message.partition(": ")[2].strip()
            return error.message.strip()
    return "the run failed before any step; open it in the UI"


def _family(cls: type) -> Iterator[type]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)


def _materialised(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        values[materialization.asset_key.path[-1]] = {
            key: value.value for key, value in materialization.metadata.items()
        }
    return values


def prepare_home() -> Path:
    """Creates the home with its Dagster settings and makes this process use them; an existing home is left as it is."""
    home = home_folder()
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    settings = dagster_home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(INSTANCE_SETTINGS)
    os.environ["AE_ASSETS_HOME"] = str(home)
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    return home


@contextmanager
def open_chain(table: str) -> Iterator[Chain]:
    """A table of the code location in the home's instance.

    Raises:
        ConfigError: when a YAML does not describe a watched table, or there is no table of this name.
    """
    prepare_home()
    definitions, tables = _load_code_location()
    if table not in tables:
        raise ConfigError(f"there is no watched table {table!r}; the tables are: {', '.join(sorted(tables)) or 'none'}")
    with dg.DagsterInstance.get() as instance:
        yield Chain(instance, definitions, tables[table])


def _load_code_location() -> tuple[dg.Definitions, dict[str, WatchedTable]]:
    """Definitions and tables; where a YAML does not load, its own reason is raised instead of Dagster's wrapping."""
    tree = component_tree()
    try:
        definitions = build(tree)
    except (dg.DagsterError, ComponentTreeException) as error:
        raise _reason(error) from None
    return definitions, {found.table.table: found.table for found in tree.get_all_components(of_type=AnomalyPipeline)}


def _reason(error: Exception) -> Exception:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, AeAssetsError):
        cause = cause.__cause__
    return cause if cause is not None else error
