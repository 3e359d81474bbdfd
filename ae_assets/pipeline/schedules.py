"""The retraining schedule: a thin shell over a pure plan of which days a challenger learns from."""

from collections.abc import Collection
from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from ae_assets.errors import ConfigError
from ae_assets.pipeline.chain.storage import FEATURES, Storage
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.pipeline.table import WatchedTable

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

LEAST_SHARE = 0.5
"""Share of the training range's days that must have features."""


def retraining_schedule(table: WatchedTable, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """A schedule that trains a challenger on the latest days that leave room to judge it.

    Raises:
        ConfigError: the YAML's cron schedule or time zone is none.
    """
    settings = table.retraining
    try:

        @dg.schedule(
            name=f"{table.table}_retraining",
            job=job,
            cron_schedule=settings.cron_schedule or "",
            execution_timezone=settings.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Trains a challenger for {table.table}; it becomes the champion unless it is worse on the "
            f"latest {settings.window_days} days, which it has not seen.",
        )
        def retraining(
            context: dg.ScheduleEvaluationContext, lakehouse: LakehouseResource
        ) -> dg.RunRequest | dg.SkipReason:
            storage = Storage(table, lakehouse.tables, lakehouse.models)
            held = [day for day, rows in storage.days_of(FEATURES).items() if rows]
            planned = plan_retraining(table, held, _newest_training_end(storage), first=not _has_champion(storage))
            if isinstance(planned, str):
                return dg.SkipReason(planned)
            start, end = (day.isoformat() for day in planned)
            context.log.info(f"a challenger for {table.table} learns from {start} to {end}")
            return dg.RunRequest(
                run_config={
                    "ops": {f"{table.table}__model": {"config": {"train_start": start, "train_end": end}}},
                },
                tags={"ae_assets/started_by": "retraining schedule"},
            )

    except dg.DagsterInvalidDefinitionError as error:
        raise ConfigError(
            f"the retraining of {table.table} cannot be scheduled: attributes.retraining.cron_schedule is "
            f"{settings.cron_schedule!r}, its timezone {settings.timezone!r}; {error}"
        ) from None
    return retraining


def plan_retraining(
    table: WatchedTable, held: Collection[date], trained_until: date | None, *, first: bool
) -> tuple[date, date] | str:
    """First and last day that a challenger learns from, or why none is trained now.

    The last `retraining.window_days` days are kept to judge it. Before them lie the days whose labels the fit knows
    (the horizon after training) or those of embargo and calibration, whichever are more. A first model is not compared
    and needs only embargo and calibration.

    Args:
        table: the table's settings.
        held: days with features.
        trained_until: last training day of the newest version, whatever became of it.
        first: whether there is no champion yet.
    """
    if not held:
        return f"{table.table} has no features yet"
    after = table.calibration.embargo_days + table.calibration.days
    kept = after if first else max(after, table.horizon_days) + table.retraining.window_days
    last = max(held)
    end = last - timedelta(days=kept)
    start = end - timedelta(days=table.training.days - 1)
    if trained_until is not None and not first and trained_until >= end:
        return (
            f"the newest version has learned from days until {trained_until}; features until {last} leave a challenger "
            f"those until {end}"
        )
    days = sum(start <= day <= end for day in held)
    if days < LEAST_SHARE * table.training.days:
        return (
            f"{days} of the {table.training.days} days from {start} to {end} have features, fewer than "
            f"{LEAST_SHARE:.0%}; {kept} days after them are kept for calibration and judgement"
        )
    return start, end


def _newest_training_end(storage: Storage) -> date | None:
    versions = storage.models.versions(storage.table.table)
    if not versions:
        return None
    return date.fromisoformat(storage.models.card(storage.table.table, versions[-1])["training"]["end"])


def _has_champion(storage: Storage) -> bool:
    return storage.models.champion(storage.table.table) is not None
