"""The chain of a watched table as Dagster assets: which days, which metadata; the work itself is in ``chain``."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import dagster as dg
from pydantic import Field

from ae_assets.chain.training_days import default_training_days
from ae_assets.chain.workspace import (
    ANOMALIES,
    DAILY,
    EVALUATION,
    FEATURES,
    MAINTENANCE,
    MODEL,
    QUARANTINE,
    RAW,
    THRESHOLD,
    Workspace,
)
from ae_assets.errors import ConfigError
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline import checks, maintenance_metadata, metadata
from ae_assets.pipeline.automation import anomalies_condition, features_condition
from ae_assets.pipeline.daily import MADE_DAYS, DailyStep
from ae_assets.pipeline.freshness import freshness_policy
from ae_assets.pipeline.interrupts import stop_if_interrupted, watch_interrupts
from ae_assets.pipeline.judged_days import EvaluationConfig, as_period, named_days, refusing_before_the_run
from ae_assets.pipeline.partitions import remember_days
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.progress import Progress, publish

if TYPE_CHECKING:
    from ae_assets.chain.model import TrainingRange


Result: TypeAlias = dg.MaterializeResult[None]
DailyResult: TypeAlias = dg.MaterializeResult[list[str]] | dg.AssetObservation
"""Of a step over periods: the value is the keys of those that were made."""

LAKEHOUSE_WRITES = "lakehouse_writes"
"""Pool of the steps that commit to tables. Commits to one table queue at its catalog; more writers only wait longer."""

ACCELERATOR = "accelerator"
"""Pool of the steps that fit detectors: two on one device run out of its memory."""


class ModelConfig(dg.Config):
    """Which days the model learns from."""

    train_start: str | None = Field(
        default=None,
        description="First training day, YYYY-MM-DD, or hour, YYYY-MM-DDTHH; empty: so that they are `training.days`.",
    )
    train_end: str | None = Field(
        default=None,
        description="Last training day; empty: the latest that leaves room for the embargo and the calibration range "
        "and, where there is a champion, for the days on which the two are compared.",
    )


class CalibrationConfig(dg.Config):
    """Which version gets a threshold, and whether it must prove itself."""

    promote: Literal["if_not_worse", "always"] = Field(
        default="if_not_worse",
        description="`if_not_worse`: the version replaces the champion unless it detects less on the latest labelled "
        "days that neither has seen; where the two cannot be compared it replaces it. `always`: without a comparison.",
    )
    version: str | None = Field(default=None, description="Which model version; empty: the newest.")


def build_assets(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of one watched table, in the order in which they depend on each other; they need `daily.RESOURCES`."""
    return [
        _raw(table, partitions),
        _features(table, partitions),
        _model(table),
        _threshold(table),
        _anomalies(table, partitions),
        _evaluation(table),
        _maintenance(table),
    ]


def _spec(
    table: WatchedTable,
    name: str,
    kinds: set[str],
    deps: Sequence[dg.AssetDep],
    condition: dg.AutomationCondition[dg.AssetKey] | None = None,
) -> dg.AssetSpec:
    spec = dg.AssetSpec(
        [table.table, name],
        deps=deps,
        description=metadata.describe(table, name),
        metadata=metadata.definition(table, name),
        group_name=table.table,
        owners=table.owners,
        kinds=kinds,
        automation_condition=condition,
        freshness_policy=freshness_policy(table, name),
    )
    return spec.with_io_manager_key(MADE_DAYS) if name in DAILY else spec


def _daily(partitions: dg.TimeWindowPartitionsDefinition) -> dict[str, Any]:
    """What all steps over periods have in common."""
    return {
        "pool": LAKEHOUSE_WRITES,
        "partitions_def": partitions,
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }


def _raw(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> dg.AssetsDefinition:
    spec = _spec(table, RAW, {"iceberg", "polars", "bronze"}, [])

    @dg.multi_asset(
        name=f"{table.table}__raw",
        specs=[spec],
        **_daily(partitions),
        check_specs=[checks.spec(name, table, RAW) for name in checks.RAW_CHECKS],
    )
    def raw(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[DailyResult]:
        from ae_assets.chain.raw import load_raw

        space, step = _space(context, table, lakehouse), DailyStep(context, table, RAW)
        source = lakehouse.source_of(table)
        loaded = list(step.made(load_raw(space, source, step.days)))
        remember_days(Path(lakehouse.home), space, loaded=[facts.day for facts in loaded if facts.rows])
        yield from step.failures()
        _describe(context, table, spec.key, metadata.raw_days(space, loaded, source.strays()))
        verdicts = checks.raw_checks(space, step.done)
        yield dg.MaterializeResult(value=step.made_keys, check_results=verdicts)
        yield from step.end(checks.held_back(table.periods, verdicts))

    return raw


def _features(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> dg.AssetsDefinition:
    deps = [_dep(table, RAW)]
    condition = features_condition(table)
    features_spec = _spec(table, FEATURES, {"iceberg", "polars", "pandera", "silver"}, deps, condition)
    quarantine_spec = _spec(table, QUARANTINE, {"iceberg", "polars", "pandera"}, deps)

    @dg.multi_asset(
        name=f"{table.table}__features",
        specs=[features_spec, quarantine_spec],
        **_daily(partitions),
        check_specs=[checks.spec(name, table, FEATURES) for name in checks.FEATURES_CHECKS],
    )
    def features(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[DailyResult]:
        from ae_assets.chain.features import build_features

        space, step = _space(context, table, lakehouse), DailyStep(context, table, FEATURES)
        yield from step.failures()
        built = list(step.made(build_features(space, step.days)))
        yield from step.failures()
        _describe(context, table, features_spec.key, metadata.features_days(space, built))
        _describe(context, table, quarantine_spec.key, metadata.quarantine_days(space, built))
        verdicts = checks.features_checks(space, built)
        yield dg.MaterializeResult(asset_key=features_spec.key, value=step.made_keys, check_results=verdicts)
        yield dg.MaterializeResult(asset_key=quarantine_spec.key, value=step.made_keys)
        yield from step.end(checks.held_back(table.periods, verdicts))

    return features


def _model(table: WatchedTable) -> dg.AssetsDefinition:
    spec = _spec(table, MODEL, {"keras", "jax"}, [_dep(table, FEATURES)])

    @dg.multi_asset(
        name=f"{table.table}__model",
        specs=[spec],
        pool=ACCELERATOR,
        check_specs=[checks.spec(name, table, MODEL) for name in checks.MODEL_CHECKS],
    )
    def model(context: dg.AssetExecutionContext, config: ModelConfig, lakehouse: LakehouseResource) -> Iterator[Result]:
        from ae_assets.chain.model import train

        space = _space(context, table, lakehouse)
        trained = train(space, training_range(space, config))
        yield dg.MaterializeResult(
            metadata=metadata.model_run(table, trained), check_results=checks.model_checks(space, trained)
        )

    return model


def _threshold(table: WatchedTable) -> dg.AssetsDefinition:
    spec = _spec(table, THRESHOLD, {"python"}, [_dep(table, MODEL)])

    @dg.multi_asset(
        name=f"{table.table}__threshold",
        specs=[spec],
        pool=ACCELERATOR,
        check_specs=[checks.spec(name, table, THRESHOLD) for name in checks.THRESHOLD_CHECKS],
    )
    def threshold(
        context: dg.AssetExecutionContext, config: CalibrationConfig, lakehouse: LakehouseResource
    ) -> Iterator[Result]:
        from ae_assets.chain.threshold import calibrate_latest

        space = _space(context, table, lakehouse)
        calibrated = calibrate_latest(space, config.promote, config.version)
        yield dg.MaterializeResult(
            metadata=metadata.threshold_run(calibrated, table.periods),
            check_results=checks.threshold_checks(space, calibrated.promotion),
        )

    return threshold


def _anomalies(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> dg.AssetsDefinition:
    deps = [_dep(table, FEATURES), _dep(table, THRESHOLD)]
    spec = _spec(table, ANOMALIES, {"iceberg", "keras", "jax", "gold"}, deps, anomalies_condition(table))

    @dg.multi_asset(
        name=f"{table.table}__anomalies",
        specs=[spec],
        **_daily(partitions),
        check_specs=[checks.spec(name, table, ANOMALIES) for name in checks.ANOMALIES_CHECKS],
    )
    def anomalies(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[DailyResult]:
        from ae_assets.chain.anomalies import find_anomalies, withdraw_anomalies
        from ae_assets.chain.champion import load_champion

        space, step = _space(context, table, lakehouse), DailyStep(context, table, ANOMALIES)
        withdraw_anomalies(space, step.held_back)
        yield from step.failures()
        champion = load_champion(space)
        simulated = space.simulated
        newest = max([*space.days_of(ANOMALIES), *step.days])
        found = []
        for facts in step.made(find_anomalies(space, champion, step.days)):
            drawn = len(step.days) <= metadata.MOST_DAYS_WITH_FIGURES or facts.day == step.days[-1]
            first = metadata.anomalies_day(space, facts, champion, drawn=drawn, simulated=simulated, newest_day=newest)
            _describe(context, table, spec.key, [(facts.day, first)])
            found.append(facts.without_rows())
        yield from step.failures()
        _describe(context, table, spec.key, metadata.anomalies_days(space, champion, found))
        verdicts = [*checks.anomalies_checks(space, champion, step.done), *checks.episode_checks(space, found)]
        yield dg.MaterializeResult(value=step.made_keys, check_results=verdicts)
        yield from step.end(checks.held_back(table.periods, verdicts))

    return anomalies


def _evaluation(table: WatchedTable) -> dg.AssetsDefinition:
    spec = _spec(table, EVALUATION, {"python"}, [_dep(table, ANOMALIES)])
    op_name = f"{table.table}__judge"

    @dg.op(name=op_name, ins={ANOMALIES: dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing), pool=ACCELERATOR)
    def judge(
        context: dg.OpExecutionContext, config: EvaluationConfig, lakehouse: LakehouseResource
    ) -> dg.Output[None]:
        from ae_assets.chain.evaluation import evaluate
        from ae_assets.chain.rolling import evaluate_origins

        space = _space(context, table, lakehouse)
        days = judged_range(space, config)
        if isinstance(days, str):
            context.log.info(days)
            return dg.Output(None, metadata=metadata.not_evaluated(days))
        first, last = days
        rivals = {"with_comparisons": config.compare, "with_baselines": config.baselines}
        judged = (
            evaluate_origins(space, first, last, config.origins, **rivals)
            if config.origins
            else evaluate(space, first, last, **rivals)
        )
        return dg.Output(None, metadata=metadata.evaluation_run(judged))

    # An asset of its own op would be given its config when the run has begun; the config of a graph is read before.
    @dg.graph_asset(
        key=spec.key,
        ins={ANOMALIES: dg.AssetIn([table.table, ANOMALIES], dagster_type=dg.Nothing)},
        config=refusing_before_the_run(table, op_name),
        description=spec.description,
        metadata=spec.metadata,
        group_name=spec.group_name,
        owners=list(spec.owners),
        kinds=spec.kinds,
    )
    def evaluation(anomalies: None) -> Any:  # what an op gives while a graph is put together is no output yet
        return judge(anomalies)

    return evaluation


def _maintenance(table: WatchedTable) -> dg.AssetsDefinition:
    spec = _spec(table, MAINTENANCE, {"iceberg"}, [])

    @dg.multi_asset(name=f"{table.table}__maintenance", specs=[spec], pool=LAKEHOUSE_WRITES)
    def maintenance(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[Result]:
        from ae_assets.chain.maintenance import maintain

        maintained = maintain(_space(context, table, lakehouse))
        yield dg.MaterializeResult(metadata=maintenance_metadata.maintenance_run(maintained))

    return maintenance


def _describe(
    context: dg.AssetExecutionContext,
    table: WatchedTable,
    key: dg.AssetKey,
    days: Iterable[tuple[date, metadata.Metadata]],
) -> None:
    """Adds to what the partitions of some periods show; what comes later is shown below."""
    for day, values in days:
        context.add_asset_metadata(values, key, table.periods.key(day))


def _dep(table: WatchedTable, name: str) -> dg.AssetDep:
    """A dependency on another asset of the chain, for an asset by periods on the same one.

    The earlier periods that one looks back on are read as they are and are not part of the mapping: with them, a
    backfill of three days would grow into one of a month, and days could not be filled in one run.
    """
    return dg.AssetDep(dg.AssetKey([table.table, name]))


def _space(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, table: WatchedTable, lakehouse: LakehouseResource
) -> Workspace:
    def log(progress: Progress) -> None:
        stop_if_interrupted()
        rate = progress.rows / progress.seconds if progress.seconds else 0.0
        context.log.info(
            f"{progress.stage}: {progress.done}/{progress.total} {progress.unit}, {progress.rows:,} rows, "
            f"{rate:,.0f} rows/s {progress.note}".rstrip(),
        )
        publish(progress)

    watch_interrupts()
    return Workspace(table, lakehouse.tables, lakehouse.models, log)


def judged_range(space: Workspace, config: EvaluationConfig) -> tuple[date, date] | str:
    """The periods that an evaluation judges: those configured, else the latest there are, or why there are none.

    Raises:
        ConfigError: as `named_days`.
    """
    from ae_assets.chain.unseen import latest_days, latest_unseen_days

    if space.table.target_kind is None:
        from ae_assets.chain.evaluation import nothing_known

        return nothing_known(space.table)
    named = named_days(space.table, config.start, config.end)
    if named is not None:
        return named
    return latest_days(space) if config.origins else latest_unseen_days(space)


def training_range(space: Workspace, config: ModelConfig) -> "TrainingRange":
    """The periods that a training uses: those configured, else the latest that leave room to calibrate and to judge it.

    Raises:
        ConfigError: when one is badly written, or there are too few features to take the default from.
    """
    from ae_assets.chain.model import TrainingRange

    table = space.table
    if config.train_end is not None:
        end = as_period(table, config.train_end, "train_end", last=True)
    else:
        planned = default_training_days(space)
        if isinstance(planned, str):
            raise ConfigError(f"{table.table} cannot have a model yet: {planned}")
        start, end = planned
    start = (
        as_period(table, config.train_start, "train_start")
        if config.train_start is not None
        else table.periods.spanning(end, timedelta(days=table.training.days))
    )
    return TrainingRange.of(start, end, table.horizon_days, table.periods)
