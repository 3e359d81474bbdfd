"""A watched table in a folder of small files with a champion that needs no training, and what the UI shows of it."""

import asyncio
import os
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionResolvedStatus,
)
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from ae_assets.chain.workspace import DAILY_INPUT
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.component import partitions_of
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.pipeline.runs import PipelineAlone, materialise

SHORT = {
    "detector": {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
    "training": {"horizon_days": 1, "days": 2, "max_rows": 5000},
    "calibration": {"embargo_days": 0, "days": 3},
}
DAYS = [FIRST + timedelta(days=number) for number in range(9)]
GOOD, BAD, ALSO_GOOD = DAYS[6:]


def table_in(folder: Path, **more: Any) -> WatchedTable:
    """The table whose source is in a folder; ``more`` are sections of the YAML."""
    return watched_table(str(folder / "source"), end="2013-12-31", **{**SHORT, **more})


def definitions_in(folder: Path, table: WatchedTable) -> dg.Definitions:
    """A table as a code location has it, with its home in a folder."""
    lakehouse = LakehouseResource(home=str(folder / "home"))
    return dg.Definitions.merge(
        PipelineAlone(table).build_defs(None),  # type: ignore[arg-type]
        dg.Definitions(resources={"lakehouse": lakehouse}, executor=dg.in_process_executor),
    )


def daily_job() -> dg.JobDefinition:
    """The daily job of the fleet in the folder ``SHORT_FLEET``, for runs that Dagster executes by itself."""
    folder = Path(os.environ["SHORT_FLEET"])
    return definitions_in(folder, table_in(folder)).resolve_job_def("fleet_daily")


class ShortFleet:
    """A watched table in a folder of files, with an instance."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.source, self.home, self.instance = folder / "source", folder / "home", instance
        self.table = table_in(folder)
        self.space = storage_of(self.table, self.home)

    def fill(self) -> None:
        """Writes all files, makes the first six days, a model and its threshold."""
        for day in DAYS:
            self.write(day)
        assert self.run(DAILY_INPUT, DAYS[0], DAYS[5]).success
        training = {"train_start": str(FIRST), "train_end": str(DAYS[1])}
        assert materialise(
            self.table, self.home, ("model", "threshold"), None, {"model": training}, self.instance
        ).success

    @property
    def definitions(self) -> dg.Definitions:
        """The table as a code location has it."""
        return definitions_in(self.source.parent, self.table)

    def write(self, day: date, drives: int = 8, **columns: Sequence[Any]) -> Path:
        worn = (day - FIRST).days
        return write_day(self.source, day, [(f"D{n}", 0, worn * (n == 0)) for n in range(drives)], **columns)

    def run(self, assets: Sequence[str], first: date, last: date) -> dg.ExecuteInProcessResult:
        return materialise(self.table, self.home, assets, (first, last), None, self.instance)

    def states(self, asset: str) -> dict[str, set[date]]:
        """The days that the UI shows as materialised and as failed."""
        partitions = partitions_of(self.table)
        found = get_and_update_asset_status_cache_value(self.instance, self.key(asset), partitions)
        assert found is not None
        subsets = {
            "made": found.deserialize_materialized_partition_subsets(partitions),
            "failed": found.deserialize_failed_partition_subsets(partitions),
        }
        return {name: set(map(date.fromisoformat, subset.get_partition_keys())) for name, subset in subsets.items()}

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey(["fleet", asset])

    def checks(self) -> dict[str, tuple[AssetCheckExecutionResolvedStatus, bool]]:
        """What the UI shows of each check that was ever asked for, and whether it is about the newest rows."""
        context = LoadingContextForTest(self.instance)
        graph = self.definitions.resolve_asset_graph()

        async def look() -> dict[str, tuple[AssetCheckExecutionResolvedStatus, bool]]:
            found = {}
            for key in graph.asset_check_keys:
                record = await AssetCheckExecutionRecord.gen(context, key)
                if record is not None:
                    status = await record.resolve_status(context)
                    found[key.to_user_string()] = (status, await record.targets_latest_materialization(context))
            return found

        return asyncio.run(look())


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, tuple[date, ...]]:
    """The days of each asset's materialisations, as often as there are any."""
    found: dict[str, tuple[date, ...]] = {}
    for event in result.get_asset_materialization_events():
        assert event.asset_key is not None
        name = event.asset_key.path[-1]
        found[name] = (*found.get(name, ()), date.fromisoformat(event.partition or ""))
    return found
