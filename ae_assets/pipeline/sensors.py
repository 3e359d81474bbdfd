"""The landing sensor: a thin shell over the pure planner of ``sources.landing``."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from ae_assets.chain.workspace import ANOMALIES, DAILY, Workspace
from ae_assets.errors import ConfigError, LakehouseError, SourceError
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.partitions import bounds_of, first_and_last, newest_that_has_ended, remember_periods
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.schemas.periods import Periods
from ae_assets.sources import SourceDay
from ae_assets.sources.landing import LandingCursor, LandingPlan, plan

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
STRAYS_NAMED = 20
"""A log of every look does not get longer with what lies beside the days."""


def landing_sensor(
    table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition, job: "UnresolvedAssetJobDefinition"
) -> dg.SensorDefinition:
    """A sensor that requests one run for each new or replaced period of the source.

    A period is new or replaced where raw holds it with another fingerprint than the source has it, whoever loaded it:
    what commands have loaded is not asked for when the sensor is switched on. The fingerprint and what it replaces are
    in the run key, so that it is asked for once even when the cursor is lost. Before there is a champion, anomalies are
    left out.
    """

    @dg.sensor(
        name=f"{table.table}_landing",
        job=job,
        minimum_interval_seconds=table.sensor.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if table.sensor.enabled else dg.DefaultSensorStatus.STOPPED,
        description=f"Looks for new or replaced {table.periods.plural} in the source of {table.table} and runs the "
        f"chain for them, at most {table.sensor.max_runs_per_tick} a look.",
    )
    def landing(context: dg.SensorEvaluationContext, lakehouse: LakehouseResource) -> dg.SensorResult | dg.SkipReason:
        source, periods = lakehouse.source_of(table), table.periods
        try:
            listed = source.days()
        except SourceError as error:
            return dg.SkipReason(f"the source cannot be listed now: {error}")
        cursor = LandingCursor.from_json(context.cursor)
        if cursor.restarted_because is not None:
            context.log.warning(f"the cursor is started again: {cursor.restarted_because}")
        space = lakehouse.workspace(table)
        try:
            loaded = _loaded(space)
            remember_periods(Path(lakehouse.home), space, listed=listed)
        except LakehouseError as error:
            return dg.SkipReason(f"what raw holds cannot be read now: {error}")
        bounds = first_and_last(table, partitions)
        if bounds is None:
            return dg.SkipReason(f"no {periods.noun} of {table.table} has ended yet")
        first, last = bounds
        if unknown := _unknown_periods(table, listed, first, last):
            context.log.warning(
                f"the source has {len(unknown)} {periods.plural} outside those known here ({periods.key(first)} to "
                f"{periods.key(last)}), the first is {periods.key(unknown[0])}: reload the code location, which takes "
                "them in; they wait until then"
            )
        fingerprints = {day: fingerprint for day, (fingerprint, _) in loaded.items()}
        limit = table.sensor.max_runs_per_tick
        planned = plan(listed, fingerprints, cursor.asked, limit=limit, first_day=first, last_day=last)
        strays = source.strays()
        more = [f"{len(strays) - STRAYS_NAMED} more"] if len(strays) > STRAYS_NAMED else []
        for stray in [*strays[:STRAYS_NAMED], *more]:
            context.log.warning(f"left out: {stray}")
        assets = list(DAILY)
        if lakehouse.models.champion(table.table) is None:
            context.log.warning(
                f"{table.table} has no champion yet: {periods.plural} are prepared up to their features"
            )
            assets.remove(ANOMALIES)
        requests = [
            dg.RunRequest(
                run_key=_run_key(table, day, loaded),
                partition_key=periods.key(day.day),
                asset_selection=[dg.AssetKey([table.table, name]) for name in assets],
                tags={"ae_assets/source_file": day.origin[-200:]},
            )
            for day in planned.requests
        ]
        nothing = None if requests else _nothing_new(source.location, planned, periods)
        return dg.SensorResult(requests, nothing, cursor=LandingCursor(planned.asked).to_json())

    return landing


def consume_sensor(table: WatchedTable, job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """A sensor that requests a run which lands what a topic holds, when it holds records that are not landed.

    One run at a time: two would read the same records, and one of them for nothing.
    """

    @dg.sensor(
        name=f"{table.table}_consume",
        job=job,
        minimum_interval_seconds=table.sensor.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if table.sensor.enabled else dg.DefaultSensorStatus.STOPPED,
        description=f"Looks whether the topic of {table.table} has records that are not landed, and lands them. Where "
        f"`ae-assets consume {table.table}` runs all the time it is not needed.",
    )
    def consume(context: dg.SensorEvaluationContext, lakehouse: LakehouseResource) -> dg.SensorResult | dg.SkipReason:
        from ae_assets.chain.stream import waiting
        from ae_assets.sources.kafka import Topic

        going_on = dg.RunsFilter(job_name=job.name, statuses=[*UNFINISHED])
        if context.instance.get_runs_count(going_on):
            return dg.SkipReason("a run that lands records waits or goes on")
        try:
            count = waiting(lakehouse.workspace(table), Topic.of(table.source.location))
        except (ConfigError, LakehouseError, SourceError) as error:
            return dg.SkipReason(f"the topic cannot be looked at now: {error}")
        if not count:
            return dg.SkipReason("all records of the topic are landed")
        return dg.SensorResult([dg.RunRequest(tags={"ae_assets/records": str(count)})])

    return consume


def _loaded(space: Workspace) -> dict[date, tuple[str, datetime]]:
    """Fingerprint of each loaded period, and when it was loaded, as raw says."""
    # It computes with frames, which the code location does without.
    from ae_assets.chain.ledger import ledger_of

    ledger = ledger_of(space).select("period", "fingerprint", "loaded_at").drop_nulls()
    return {period: (fingerprint, loaded_at) for period, fingerprint, loaded_at in ledger.iter_rows()}


def _run_key(table: WatchedTable, day: SourceDay, loaded: Mapping[date, tuple[str, datetime]]) -> str:
    """Tells a load from every other: of a file that is back as it once was by what it replaces now."""
    before = loaded.get(day.day)
    replaced = "" if before is None else f":instead of {before[0]} of {before[1]:%Y-%m-%dT%H:%M:%S.%f}"
    return f"{table.table}:{table.periods.key(day.day)}:{day.fingerprint}{replaced}"


def _nothing_new(location: str, planned: LandingPlan, periods: Periods) -> str:
    if not planned.asked:
        return f"nothing new in {location}"
    outstanding = f"{len(planned.asked)} {periods.plural} that were asked for are not loaded yet"
    return f"nothing new in {location}; {outstanding}: their runs wait, go on or have failed"


def _unknown_periods(table: WatchedTable, listed: Collection[date], first: date, last: date) -> list[date]:
    """Periods of the source that have ended and that the table may have, but that the code location does not know."""
    start, newest = bounds_of(table)[0], newest_that_has_ended(table)
    possible = (day for day in listed if (start or day) <= day <= newest)
    return sorted(day for day in possible if not first <= day <= last)
