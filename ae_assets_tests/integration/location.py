"""A code location for tests of a deployment: the small table with a rule; source and home by environment."""

import os
from typing import Any

import dagster as dg

from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.home import home_folder
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.tables import watched_table
from ae_assets_tests.pipeline.runs import PipelineAlone

RULE = {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]}


def fleet(location: str, **more: Any) -> WatchedTable:
    """The table that is watched; it has an end, since days land after the code location has looked at its source."""
    sensor = {"interval_seconds": 5, "max_runs_per_tick": 3}
    return watched_table(location, detector=RULE, sensor=sensor, **{"end": "2013-12-31", **more})


@dg.definitions
def defs() -> dg.Definitions:
    """As the package builds them from its folder of tables."""
    return dg.Definitions.merge(
        PipelineAlone(fleet(os.environ["FLEET_LOCATION"])).build_defs(None),  # type: ignore[arg-type]
        dg.Definitions(
            resources={"lakehouse": LakehouseResource(home=str(home_folder()))}, executor=dg.in_process_executor
        ),
    )
