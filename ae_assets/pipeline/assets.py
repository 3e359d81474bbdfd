"""The chain of a watched table as Dagster assets: which days, which metadata; the work itself is in ``chain``."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from ae_assets.chain.workspace import (
    ANOMALIES,
    DAILY,
    EVALUATION,
    FEATURES,
    MAINTENANCE,
    MODEL,
    QUARANTINE,
    RAW,
    STREAM,
    THRESHOLD,
    Workspace,
)
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline import checks, metadata
from ae_assets.pipeline.automation import anomalies_condition, features_condition
from ae_assets.pipeline.daily import MADE_PERIODS, PeriodResult, PeriodStep
from ae_assets.pipeline.descriptions import describe, metadata_of
from ae_assets.pipeline.freshness import freshness_policy
from ae_assets.pipeline.interrupts import stop_if_interrupted, watch_interrupts
from ae_assets.pipeline.partitions import remember_periods
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.pipeline.run_config import (
    CalibrationConfig,
    EngineConfig,
    EvaluationConfig,
    ModelConfig,
    judged_range,
    refusing_before_the_run,
    training_range,
)
from ae_assets.progress import Progress, publish

Result: TypeAlias = dg.MaterializeResult[None]

LAKEHOUSE_WRITES = "lakehouse_writes"
"""Pool of the steps that commit to tables. Commits to one table queue at its catalog; more writers only wait longer."""

ACCELERATOR = "accelerator"
"""Pool of the steps that fit detectors: two on one device run out of its memory."""

KINDS = {
    STREAM: {"kafka", "iceberg"},
    RAW: {"iceberg", "polars", "bronze"},
    FEATURES: {"iceberg", "polars", "pandera", "silver"},
    QUARANTINE: {"iceberg", "polars", "pandera"},
    MODEL: {"keras", "jax"},
    THRESHOLD: {"python"},
    ANOMALIES: {"iceberg", "keras", "jax", "gold"},
    EVALUATION: {"python"},
    MAINTENANCE: {"iceberg"},
}
INPUTS = {
    FEATURES: (RAW,),
    QUARANTINE: (RAW,),
    MODEL: (FEATURES,),
    THRESHOLD: (MODEL,),
    ANOMALIES: (FEATURES, THRESHOLD),
    EVALUATION: (ANOMALIES,),
}
"""What each asset is made of; a period of the same one. The earlier periods that one looks back on are read as they are
and are not part of the mapping: with them, a backfill of three days would grow into one of a month, and days could not
be filled in one run."""

CONDITIONS = {FEATURES: features_condition, ANOMALIES: anomalies_condition}


def build_assets(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of one watched table, in the order in which they depend on each other; they need `daily.RESOURCES`."""
    return [
        *([_stream(table)] if table.is_of_a_topic else []),
        _raw(table, partitions),
        _features(table, partitions),
        _model(table),
        _threshold(table),
        _anomalies(table, partitions),
        _evaluation(table),
        _maintenance(table),
    ]


def _step(table: WatchedTable, *assets: str, pool: str = LAKEHOUSE_WRITES, **more: Any) -> dict[str, Any]:
    """What a step is that makes some assets; its checks are on the first of them."""
    return {
        "name": f"{table.table}__{assets[0]}",
        "specs": [_spec(table, asset) for asset in assets],
        "check_specs": [checks.spec(name, table, assets[0]) for name in checks.CHECKS_OF.get(assets[0], ())],
        "pool": pool,
        **more,
    }


def _daily_step(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition, *assets: str) -> dict[str, Any]:
    return _step(table, *assets, partitions_def=partitions, backfill_policy=dg.BackfillPolicy.single_run())


def _inputs(table: WatchedTable, asset: str) -> tuple[str, ...]:
    return (STREAM,) if asset == RAW and table.is_of_a_topic else INPUTS.get(asset, ())


def _spec(table: WatchedTable, asset: str) -> dg.AssetSpec:
    condition = CONDITIONS.get(asset)
    spec = dg.AssetSpec(
        [table.table, asset],
        deps=[dg.AssetKey([table.table, name]) for name in _inputs(table, asset)],
        description=describe(table, asset),
        metadata=metadata_of(table, asset),
        group_name=table.table,
        owners=table.owners,
        kinds=KINDS[asset],
        automation_condition=None if condition is None else condition(table),
        freshness_policy=freshness_policy(table, asset),
    )
    return spec.with_io_manager_key(MADE_PERIODS) if asset in DAILY else spec


def _stream(table: WatchedTable) -> dg.AssetsDefinition:
    @dg.multi_asset(**_step(table, STREAM))
    def stream(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[Result]:
        from ae_assets.chain.stream import consume
        from ae_assets.sources.kafka import Topic

        space = workspace_of(context, table, lakehouse)
        landed = consume(space, Topic.of(table.source.location), group=f"ae_assets-{table.table}", until_end=True)
        yield dg.MaterializeResult(metadata=metadata.stream_run(table, landed))

    return stream


def _raw(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(**_daily_step(table, partitions, RAW))
    def raw(
        context: dg.AssetExecutionContext, config: EngineConfig, lakehouse: LakehouseResource
    ) -> Iterator[PeriodResult]:
        from ae_assets.pipeline.engines import EngineStep, load_raw

        space, step = workspace_of(context, table, lakehouse), PeriodStep(context, table, RAW)
        source = lakehouse.source_of(table)
        by = EngineStep(context, lakehouse, space, config.of(table))
        loaded = list(step.made(load_raw(by, source, step.days)))
        remember_periods(Path(lakehouse.home), space, loaded=[facts.day for facts in loaded if facts.rows])
        yield from step.failures()
        step.describe(RAW, metadata.raw_days(space, loaded, source.strays()))
        yield from step.end(checks.raw_checks(space, step.done))

    return raw


def _features(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(**_daily_step(table, partitions, FEATURES, QUARANTINE))
    def features(
        context: dg.AssetExecutionContext, config: EngineConfig, lakehouse: LakehouseResource
    ) -> Iterator[PeriodResult]:
        from ae_assets.pipeline.engines import EngineStep, build_features

        space, step = workspace_of(context, table, lakehouse), PeriodStep(context, table, FEATURES)
        yield from step.failures()
        by = EngineStep(context, lakehouse, space, config.of(table))
        built = list(step.made(build_features(by, step.days)))
        yield from step.failures()
        step.describe(FEATURES, metadata.features_days(space, built))
        step.describe(QUARANTINE, metadata.quarantine_days(space, built))
        yield from step.end(checks.features_checks(space, built))

    return features


def _model(table: WatchedTable) -> dg.AssetsDefinition:
    @dg.multi_asset(**_step(table, MODEL, pool=ACCELERATOR))
    def model(context: dg.AssetExecutionContext, config: ModelConfig, lakehouse: LakehouseResource) -> Iterator[Result]:
        from ae_assets.chain.model import train
        from ae_assets.pipeline.engines import fitting_of_groups

        space = workspace_of(context, table, lakehouse)
        with fitting_of_groups(space) as fit_own:
            trained = train(space, training_range(space, config), fit_own)
        verdicts = list(checks.model_checks(space, trained))
        yield dg.MaterializeResult(metadata=metadata.model_run(table, trained), check_results=verdicts)

    return model


def _threshold(table: WatchedTable) -> dg.AssetsDefinition:
    @dg.multi_asset(**_step(table, THRESHOLD, pool=ACCELERATOR))
    def threshold(
        context: dg.AssetExecutionContext, config: CalibrationConfig, lakehouse: LakehouseResource
    ) -> Iterator[Result]:
        from ae_assets.chain.threshold import calibrate_latest

        space = workspace_of(context, table, lakehouse)
        calibrated = calibrate_latest(space, config.promote, config.version)
        verdicts = list(checks.threshold_checks(space, calibrated.promotion))
        yield dg.MaterializeResult(metadata=metadata.threshold_run(calibrated, table.periods), check_results=verdicts)

    return threshold


def _anomalies(table: WatchedTable, partitions: dg.TimeWindowPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(**_daily_step(table, partitions, ANOMALIES))
    def anomalies(
        context: dg.AssetExecutionContext, config: EngineConfig, lakehouse: LakehouseResource
    ) -> Iterator[PeriodResult]:
        from ae_assets.chain.anomalies import withdraw_anomalies
        from ae_assets.chain.champion import load_champion
        from ae_assets.pipeline.engines import EngineStep, find_anomalies

        space, step = workspace_of(context, table, lakehouse), PeriodStep(context, table, ANOMALIES)
        withdraw_anomalies(space, step.held_back)
        yield from step.failures()
        champion = load_champion(space)
        simulated = space.simulated
        newest = max([*space.days_of(ANOMALIES), *step.days])
        made = []
        by = EngineStep(context, lakehouse, space, config.of(table))
        for facts in step.made(find_anomalies(by, champion, step.days)):
            drawn = len(step.days) <= metadata.MOST_DAYS_WITH_FIGURES or facts.day == step.days[-1]
            first = metadata.anomalies_day(space, facts, champion, drawn=drawn, simulated=simulated, newest_day=newest)
            step.describe(ANOMALIES, [(facts.day, first)])
            made.append(facts.without_rows())
        yield from step.failures()
        step.describe(ANOMALIES, metadata.anomalies_days(space, champion, made))
        yield from step.end([*checks.anomalies_checks(space, champion, step.done), *checks.episode_checks(space, made)])

    return anomalies


def _evaluation(table: WatchedTable) -> dg.AssetsDefinition:
    spec = _spec(table, EVALUATION)
    op_name = f"{table.table}__judge"

    @dg.op(name=op_name, ins={ANOMALIES: dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing), pool=ACCELERATOR)
    def judge(
        context: dg.OpExecutionContext, config: EvaluationConfig, lakehouse: LakehouseResource
    ) -> dg.Output[None]:
        from ae_assets.chain.evaluation import evaluate
        from ae_assets.chain.logged_facts import evaluation_facts
        from ae_assets.chain.rolling import evaluate_origins

        space = workspace_of(context, table, lakehouse)
        days = judged_range(space, config)
        if isinstance(days, str):
            context.log.info(days)
            return dg.Output(None, metadata={metadata.SUMMARY: days})
        first, last = days
        rivals = {"with_comparisons": config.compare, "with_baselines": config.baselines}
        judged = (
            evaluate_origins(space, first, last, config.origins, **rivals)
            if config.origins
            else evaluate(space, first, last, **rivals)
        )
        card = (
            {} if config.origins else space.models.card(table.table, judged.version)
        )  # of several splits none is kept
        logged = space.run_log.add(card, partial(evaluation_facts, judged))
        return dg.Output(None, metadata={**metadata.evaluation_run(judged), **metadata.logged_run(logged)})

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
    @dg.multi_asset(**_step(table, MAINTENANCE))
    def maintenance(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Iterator[Result]:
        from ae_assets.chain.maintenance import maintain

        maintained = maintain(workspace_of(context, table, lakehouse))
        yield dg.MaterializeResult(metadata=metadata.maintenance_run(maintained))

    return maintenance


def workspace_of(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, table: WatchedTable, lakehouse: LakehouseResource
) -> Workspace:
    """The table with its storage; progress goes to the run's log."""

    def log(progress: Progress) -> None:
        stop_if_interrupted()
        context.log.info(progress.in_words)
        publish(progress)

    watch_interrupts(context.run.run_id)
    return lakehouse.workspace(table, log)
