"""Resources shared by all watched tables."""

import dagster as dg

from ae_assets.pipeline.resources import default_resources


@dg.definitions
def resources() -> dg.Definitions:
    """The lakehouse of ``AE_ASSETS_HOME``; one process a run, since JAX must not be forked and imports cost seconds."""
    return dg.Definitions(resources=default_resources(), executor=dg.in_process_executor)
