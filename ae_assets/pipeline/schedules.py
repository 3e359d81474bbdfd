"""The schedules of a table, where its YAML sets them: retraining and maintenance."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from ae_assets.chain.training_days import plan_retraining
from ae_assets.chain.volume import days_left_out
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.errors import ConfigError
from ae_assets.model.definition import MaintenanceSection, RetrainingSection, WatchedTable
from ae_assets.pipeline.resources import LakehouseResource

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def retraining_schedules(table: WatchedTable, job: "UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """Trains a challenger on the latest days that leave room to judge it.

    Raises:
        ConfigError: the YAML's cron schedule or time zone is none.
    """

    def retraining(
        context: dg.ScheduleEvaluationContext, lakehouse: LakehouseResource
    ) -> dg.RunRequest | dg.SkipReason:
        space = lakehouse.workspace(table)
        days = space.days_with_rows(FEATURES)
        judged = lakehouse.models.champion(table.table) is not None
        planned = plan_retraining(table, days, _trained_until(space), judged=judged, left_out=days_left_out(space))
        if isinstance(planned, str):
            return dg.SkipReason(planned)
        start, end = map(table.periods.key, planned)
        context.log.info(f"a challenger for {table.table} learns from {start} to {end}")
        return dg.RunRequest(
            run_config={"ops": {f"{table.table}__model": {"config": {"train_start": start, "train_end": end}}}},
            tags={"ae_assets/started_by": "retraining schedule"},
        )

    return _schedules(
        table,
        "retraining",
        table.retraining,
        job,
        retraining,
        f"Trains a challenger for {table.table}; it becomes the champion unless it is worse on the "
        f"latest {table.retraining.window_days} days, which it has not seen.",
    )


def maintenance_schedules(table: WatchedTable, job: "UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """Maintains the tables.

    Raises:
        ConfigError: the YAML's cron schedule or time zone is none.
    """

    def maintenance() -> dg.RunRequest:
        return dg.RunRequest(tags={"ae_assets/started_by": "maintenance schedule"})

    return _schedules(table, "maintenance", table.maintenance, job, maintenance)


def _schedules(
    table: WatchedTable,
    key: str,
    settings: RetrainingSection | MaintenanceSection,
    job: "UnresolvedAssetJobDefinition",
    request: Callable[..., dg.RunRequest | dg.SkipReason],
    description: str | None = None,
) -> list[dg.ScheduleDefinition]:
    if settings.cron_schedule is None:
        return []
    try:
        schedule = dg.schedule(
            name=f"{table.table}_{key}",
            job=job,
            cron_schedule=settings.cron_schedule,
            execution_timezone=settings.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=description,
        )
        return [schedule(request)]
    except dg.DagsterInvalidDefinitionError as error:
        raise ConfigError(
            f"the {key} of {table.table} cannot be scheduled: attributes.{key}.cron_schedule is "
            f"{settings.cron_schedule!r}, its timezone {settings.timezone!r}; {error}"
        ) from None


def _trained_until(space: Workspace) -> date | None:
    """Last training day of the champion and of the newest version; None without any."""
    models, table = space.models, space.table.table
    versions = {*models.versions(table)[-1:], *filter(None, [models.champion(table)])}
    ends = [space.table.periods.parse(models.card(table, version)["training"]["end"]) for version in versions]
    return max(ends, default=None)
