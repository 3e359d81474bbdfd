"""A small watched table for tests: a simulated fleet, few attributes, a network that trains in seconds."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from ae_assets.chain import Workspace
from ae_assets.chain.model import TrainingRange, training_windows
from ae_assets.detectors import FittedDetector
from ae_assets.detectors.config import DetectorConfig
from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.assets import build_assets
from ae_assets.pipeline.checks import build_pooled_checks
from ae_assets.pipeline.component import AnomalyPipeline
from ae_assets.pipeline.daily import RESOURCES
from ae_assets.pipeline.partitions import partitions_of
from ae_assets.pipeline.resources import LakehouseResource

SIMULATED = "simulated://?drives=120&days=60&seed=3"
FIRST = date(2013, 4, 10)


def attributes(location: str = SIMULATED, **more: Any) -> dict[str, Any]:
    """The attributes of a small table's YAML."""
    return {
        "table": "fleet",
        "start": "2013-04-10",
        "source": {"location": location},
        "features": {
            "spans": [1, 7],
            "attributes": {
                "smart_5_raw": {"kind": "counter", "meaning": "reallocated sectors"},
                "smart_197_raw": {"kind": "counter", "meaning": "pending sectors"},
                "smart_9_raw": {"kind": "age", "meaning": "power-on hours"},
                "smart_194_raw": {"kind": "gauge", "meaning": "temperature", "low_bits": 8},
            },
        },
        "training": {"horizon_days": 10, "days": 20, "max_rows": 5000},
        "detector": {
            "type": "dense_autoencoder",
            "units": [16, 4, 16],
            "epochs": 40,
            "batch_size": 64,
            "learning_rate": 0.005,
            "patience": 3,
        },
        "threshold": {"policy": "percentile", "percentile": 99},
        "calibration": {"embargo_days": 2, "days": 8},
        "checks": {"window_days": 10},
        **more,
    }


def watched_table(location: str = SIMULATED, **more: Any) -> WatchedTable:
    """The small table."""
    return parse_table(attributes(location, **more), "defs.yaml")


def storage_of(table: WatchedTable, home: Path) -> Workspace:
    """The table's storage in a home."""
    return Workspace(table, Lakehouse.open(home, None), ModelStore.open(home))


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


def write_day(folder: Path, day: date, drives: Sequence[tuple[str, int, int]], **columns: Sequence[Any]) -> Path:
    """Writes a day's file in the official layout: (serial number, failure, smart 5) of each drive."""
    frame = pl.DataFrame(
        {
            "date": [day] * len(drives),
            "serial_number": [serial for serial, _, _ in drives],
            "model": ["M1"] * len(drives),
            "capacity_bytes": [4_000_787_030_016] * len(drives),
            "failure": [failure for _, failure, _ in drives],
            "smart_5_raw": [counter for _, _, counter in drives],
            "smart_9_raw": [1000 + (day - FIRST).days * 24] * len(drives),
            "smart_194_raw": [25] * len(drives),
            "smart_197_raw": [0] * len(drives),
            **columns,
        },
        strict=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.csv"
    frame.write_csv(path)
    return path


def fit_detector(
    space: Workspace, config: DetectorConfig, training: TrainingRange
) -> tuple[FittedDetector, dict[str, int]]:
    """A detector fitted on a range, and of how many rows and devices."""
    windows = training_windows(space, training, config.window)
    return windows.fit(config, space.progress), windows.facts
