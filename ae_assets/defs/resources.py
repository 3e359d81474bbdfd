"""Resources shared by all watched tables."""

import dagster as dg

from ae_assets.pipeline.resources import DayTableIOManager, lakehouse_of_environment


@dg.definitions
def resources() -> dg.Definitions:
    """The lakehouse of ``AE_ASSETS_HOME``; one process a run, since JAX must not be forked and imports cost seconds."""
    lakehouse = lakehouse_of_environment()
    return dg.Definitions(
        resources={"lakehouse": lakehouse, "day_tables": DayTableIOManager(lakehouse=lakehouse)},
        executor=dg.in_process_executor,
    )
