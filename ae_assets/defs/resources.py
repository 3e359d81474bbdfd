"""What all watched tables share: the lakehouse, and the alerts."""

import dagster as dg

from ae_assets.pipeline.alerts.sensor import alert_sensor
from ae_assets.pipeline.resources import default_resources


@dg.definitions
def shared() -> dg.Definitions:
    """The lakehouse of ``AE_ASSETS_HOME``; one process a run, since JAX must not be forked and imports cost seconds."""
    return dg.Definitions(sensors=[alert_sensor()], resources=default_resources(), executor=dg.in_process_executor)
