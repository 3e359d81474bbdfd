"""Alerts for all watched tables."""

import dagster as dg

from ae_assets.pipeline.alerts.sensor import alert_sensor


@dg.definitions
def alerts() -> dg.Definitions:
    """The sensor that posts failed runs and checks to a service."""
    return dg.Definitions(sensors=[alert_sensor()])
