"""A small watched table in Dagster: its definitions, runs of its assets, and what they said."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.assets import build_assets
from ae_assets.pipeline.checks import build_pooled_checks
from ae_assets.pipeline.component import AnomalyPipeline
from ae_assets.pipeline.daily import RESOURCES
from ae_assets.pipeline.partitions import partitions_of
from ae_assets.pipeline.resources import LakehouseResource


class PipelineAlone(AnomalyPipeline):
    """The component without the lakehouse that it brings, for tests that bring one of their own."""

    def resources(self) -> dict[str, Any]:
        """None."""
        return {}


def definitions_of(table: WatchedTable, home: Path) -> dg.Definitions:
    """The table's definitions bound to a home."""
    return dg.Definitions(
        assets=build_assets(table, partitions_of(table)),
        asset_checks=[build_pooled_checks(table)],
        resources={"lakehouse": LakehouseResource(home=str(home)), **RESOURCES},
        executor=dg.in_process_executor,
    )


@contextmanager
def instance_in(folder: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in a folder.

    Its runs share one event log, in which an event is written once, and no process follows what their steps print.
    """
    (folder / "dagster").mkdir(exist_ok=True)
    light = {
        "event_log_storage": {
            "module": "dagster._core.storage.event_log",
            "class": "ConsolidatedSqliteEventLogStorage",
            "config": {"base_dir": str(folder / "dagster")},
        },
        "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
    }
    with dg.instance_for_test(light, temp_dir=str(folder / "dagster")) as instance:
        yield instance


def materialise(
    table: WatchedTable,
    home: Path,
    assets: Sequence[str],
    days: tuple[date, date] | None = None,
    config: dict[str, Any] | None = None,
    instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialises assets of the table in one run, as the UI and the CLI do; a failed run is returned, not raised."""
    tags = {}
    if days is not None:
        tags = {
            "dagster/asset_partition_range_start": days[0].isoformat(),
            "dagster/asset_partition_range_end": days[1].isoformat(),
        }
    job = definitions_of(table, home).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        asset_selection=[dg.AssetKey([table.table, name]) for name in assets],
        tags=tags,
        run_config={"ops": {f"{table.table}__{name}": {"config": values} for name, values in (config or {}).items()}},
        instance=instance,
        raise_on_error=False,
    )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Everything that the failed steps said."""
    texts = []
    for event in result.all_events:
        error = event.step_failure_data.error if event.is_step_failure else None
        while error is not None:
            texts.append(error.message)
            error = error.cause
    return "\n".join(texts)


def check_of(result: dg.ExecuteInProcessResult, asset: str, name: str) -> dg.AssetCheckEvaluation:
    """The evaluation of one check."""
    found = [c for c in result.get_asset_check_evaluations() if c.asset_key.path[-1] == asset and c.check_name == name]
    assert len(found) == 1, f"{asset} {name}: {[c.check_name for c in result.get_asset_check_evaluations()]}"
    return found[0]
