"""The alert sensor: reads the event log, decides, posts; a thin shell over the other modules of this room."""

import os
import time
from dataclasses import replace

import dagster as dg

from ae_assets.errors import ConfigError
from ae_assets.pipeline.alerts.cursor import Cursor
from ae_assets.pipeline.alerts.delivery import DeliveryError, Service
from ae_assets.pipeline.alerts.event_log import EventLog
from ae_assets.pipeline.alerts.problems import Alert, follow
from ae_assets.pipeline.alerts.settings import URL, AlertSettings, url_of

LOOK_SECONDS = 30
POST_SECONDS, LEAST_SECONDS = 35.0, 1.0
"""Posting ends in time for Dagster, which gives a look a minute."""


def alert_sensor(look_seconds: int = LOOK_SECONDS) -> dg.SensorDefinition:
    """A sensor that posts failed runs and checks with the second look after them.

    It starts switched on where the address of a service is set.
    """

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=look_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if url_of(os.environ) else dg.DefaultSensorStatus.STOPPED,
        description="Posts failed runs and failed checks to a service, once until they pass again. "
        f"{URL} names the service. It starts no runs; each look says how many alerts it posted.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        settings = AlertSettings.of(os.environ)
        if settings.url is None:
            return dg.SkipReason(
                f"nothing is posted: set {URL} to the address of a service and restart the code location"
            )
        if context.repository_def is None:
            raise ConfigError("the sensor looks at the assets of a code location and was given none")
        origin = context.code_location_origin
        log = EventLog(
            context.instance, context.repository_def.asset_graph, origin.location_name if origin is not None else None
        )
        newest = log.newest()
        cursor = _cursor(context, newest)
        if cursor is None:  # runs before are not posted, states that last are
            begin = Cursor(newest, newest).to_json()
            return dg.SensorResult(cursor=begin, skip_reason="alerts begin with what fails from now on")
        sightings, following = log.look(cursor)
        followed = follow(cursor.problems, sightings, time.time(), settings.rules)
        due = [alert for alert in followed.alerts if alert.id not in cursor.delivered]
        delivered, trouble = _post(due, settings)
        if trouble is not None and not delivered:
            raise trouble
        if trouble is not None:
            ids = (*cursor.delivered, *(alert.id for alert in delivered))
            context.log.error(f"{trouble}; {len(delivered)} of {len(due)} alerts were delivered")
            return dg.SensorResult(
                cursor=replace(cursor, delivered=ids).to_json(),
                skip_reason=f"posted {len(delivered)} of {len(due)} alerts, the next look posts the others: {trouble}",
            )
        return dg.SensorResult(
            cursor=replace(following, until=newest, problems=followed.problems, delivered=()).to_json(),
            skip_reason=f"posted {len(delivered)} alerts; {len(followed.problems)} problems are open",
        )

    return alerts


def _cursor(context: dg.SensorEvaluationContext, newest: int) -> Cursor | None:
    """The cursor; None where it has to start again."""
    if context.cursor is None:
        return None
    try:
        cursor = Cursor.from_json(context.cursor)
    except ValueError as error:
        context.log.warning(f"the cursor is started again: {error}")
        return None
    if cursor.until > newest:
        context.log.warning(f"the cursor is started again: the event log ends at {newest}, before {cursor.until}")
        return None
    return cursor


def _post(due: list[Alert], settings: AlertSettings) -> tuple[list[Alert], DeliveryError | None]:
    """Posts alerts until one is not taken."""
    service, deadline = Service(settings.url or ""), time.monotonic() + POST_SECONDS
    delivered: list[Alert] = []
    for alert in due:
        try:
            service.deliver(alert, settings.ui, max(LEAST_SECONDS, deadline - time.monotonic()))
        except DeliveryError as error:
            return delivered, error
        delivered.append(alert)
    return delivered, None
