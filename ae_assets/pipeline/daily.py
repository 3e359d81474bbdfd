"""A step over the periods of a run: one that fails stops no other, and a run with one that failed is no success.

Dagster knows two outcomes of a step: all of its partitions are materialised, or it fails and nothing after it runs
(https://github.com/dagster-io/dagster/issues/17836). So a step of ours makes the periods that it can, materialises
exactly these and records each one that failed in the event log, as an observation of its partition. What follows passes
such periods over, in this run and in later ones, until they are made again. The last step of the run fails it, which is
how Dagster comes to show the periods without a materialisation as failed. Below a period is called a day, as in frames.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from ae_assets.chain.workspace import ANOMALIES, FEATURES, QUARANTINE, RAW, FailedPeriod
from ae_assets.errors import ConfigError, DaysFailedError
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.interrupts import stop_if_interrupted
from ae_assets.schemas.periods import Periods

RATES = "rates"
"""The step of the pooled checks, the last of a daily run."""

UPSTREAM = {FEATURES: RAW, ANOMALIES: FEATURES}
NEXT = {RAW: FEATURES, FEATURES: ANOMALIES, ANOMALIES: RATES}
MADE_TOGETHER = {FEATURES: (FEATURES, QUARANTINE)}

MADE_PERIODS = "made_days"
"""Key of the IO manager of the daily assets."""

FAILED_AT, REASON, HELD_BACK_BY = "failed_at", "reason", "held_back_by"
"""Metadata of the observation that records a failed day."""

REASONS = "reasons"
"""Metadata of the checks that hold days back: why, by key."""

MOST_NAMED = 20
_RECORDS = 100

PeriodResult: TypeAlias = dg.MaterializeResult[list[str]] | dg.AssetObservation
"""Of a step over days: the value is the keys of those that were made."""


class _OfDay(Protocol):
    @property
    def day(self) -> date: ...


_Facts = TypeVar("_Facts", bound=_OfDay)


class PeriodStep:
    """What a run's step over days has made, and what failed, in it or before.

    Attributes:
        done: the days that were made so far, in order.
        failed: the days of the run that failed.
    """

    def __init__(self, context: dg.AssetExecutionContext, table: WatchedTable, asset: str) -> None:
        """Looks up which days of the run failed before this step."""
        self._context, self._table, self._asset, self._periods = context, table, asset, table.periods
        self._all_days = sorted(map(self._periods.parse, context.partition_keys))
        self.failed: dict[date, FailedPeriod] = {}
        if (upstream := UPSTREAM.get(asset)) is not None:
            self.failed = recorded_failures(context.instance, self._periods, self._key(upstream), self._all_days)
        self.done: list[date] = []
        self._recorded: set[date] = set()

    @property
    def days(self) -> list[date]:
        """The days to make, in order: those of the run that did not fail before."""
        return [day for day in self._all_days if day not in self.failed]

    @property
    def held_back(self) -> list[date]:
        """The days that a check of what this asset is made of holds back."""
        return [day for day, failure in self.failed.items() if failure.check is not None]

    def made(self, results: Iterable[_Facts | FailedPeriod]) -> Iterator[_Facts]:
        """Gives what became of each day that was made and keeps those that failed."""
        for facts in results:
            stop_if_interrupted()
            if isinstance(facts, FailedPeriod):
                self.failed[facts.day] = facts
            else:
                self.done.append(facts.day)
                yield facts

    def describe(self, asset: str, days: Iterable[tuple[date, Mapping[str, Any]]]) -> None:
        """Adds to what the partitions of some days show; what comes later is shown below."""
        for day, values in days:
            self._context.add_asset_metadata(values, self._key(asset), self._periods.key(day))

    def failures(self) -> Iterator[dg.AssetObservation]:
        """Records the days that failed.

        Raises:
            DaysFailedError: no day of the run is left to make.
        """
        yield from self._records()
        if len(self.failed) == len(self._all_days):
            raise periods_failed(self._periods, self.failed.values(), len(self._all_days))

    def end(self, verdicts: Iterable[dg.AssetCheckResult]) -> Iterator[PeriodResult]:
        """Materialises the days that were made, with the verdicts on them, and records those that a check holds back.

        Raises:
            DaysFailedError: days failed, and no later step of this run will say so.
        """
        results = {self._asset: list(verdicts)}
        keys = [self._periods.key(day) for day in self.done]
        for asset in self._assets:
            yield dg.MaterializeResult(asset_key=self._key(asset), value=keys, check_results=results.get(asset, []))
        stop_if_interrupted()
        for failure in _held_back(self._periods, self._asset, results[self._asset]):
            self.failed.setdefault(failure.day, failure)
        yield from self._records()
        if self.failed and not self._is_followed():
            raise periods_failed(self._periods, self.failed.values(), len(self._all_days))

    def _records(self) -> Iterator[dg.AssetObservation]:
        for day, failure in sorted(self.failed.items()):
            if day not in self._recorded:
                self._recorded.add(day)
                for asset in self._assets:
                    yield record_of(failure, self._periods, self._key(asset))

    @property
    def _assets(self) -> tuple[str, ...]:
        return MADE_TOGETHER.get(self._asset, (self._asset,))

    def _key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self._table.table, asset])

    def _is_followed(self) -> bool:
        plan = self._context.op_execution_context.get_step_execution_context().execution_plan
        return f"{self._table.table}__{NEXT[self._asset]}" in plan.step_keys_to_execute


class MadePeriods(dg.IOManager):
    """Takes the days that a step made, and has Dagster materialise these and no other partitions of the run."""

    def handle_output(self, context: dg.OutputContext, obj: Sequence[str]) -> None:
        """Narrows the partitions for which Dagster will write a materialisation; obj is the keys that were made."""
        if set(obj) != set(context.asset_partition_keys):
            # The one place that says which partitions a step has materialised (dagster-io/dagster#17836).
            context._asset_partitions_subset = (  # noqa: SLF001
                context.asset_partitions_def.empty_subset().with_partition_keys(obj)
            )

    def load_input(self, context: dg.InputContext) -> None:
        """Refuses: rows are read with the table's own IO manager.

        Raises:
            ConfigError: always.
        """
        name = context.asset_key.to_user_string()
        raise ConfigError(
            f"{name} is no value that Dagster hands on; take its rows as a frame with "
            f"dg.AssetIn(key={list(context.asset_key.path)}, input_manager_key='day_tables'), or name it in deps"
        )


RESOURCES = {MADE_PERIODS: MadePeriods()}
"""What the daily assets of every table need; one object, so that tables can be merged."""


def _held_back(periods: Periods, asset: str, results: Iterable[dg.AssetCheckResult]) -> Iterator[FailedPeriod]:
    """The days that failed a check which holds them back."""
    for result in results:
        if not result.passed and REASONS in result.metadata:
            for partition, reason in cast("dict[str, str]", result.metadata[REASONS].value).items():
                words = f"{result.check_name}: {reason}"
                yield FailedPeriod(periods.parse(partition), asset, words, result.check_name)


def periods_of_run(tags: Mapping[str, str], periods: Periods) -> list[date]:
    """The periods of a run's partitions as its tags say; empty where it has none, or partitions of another kind."""
    first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or first
    if first is None or last is None:
        return []
    try:
        return periods.range(periods.parse(first), periods.parse(last))
    except ValueError:
        return []


def record_of(failure: FailedPeriod, periods: Periods, asset: dg.AssetKey) -> dg.AssetObservation:
    """The event that says of a partition of an asset that it failed."""
    held_back = {} if failure.check is None else {HELD_BACK_BY: failure.check}
    return dg.AssetObservation(
        asset,
        description=failure.reason,
        metadata={FAILED_AT: failure.asset, REASON: failure.reason, **held_back},
        partition=periods.key(failure.day),
    )


def failure_in(observation: dg.AssetObservation, periods: Periods) -> FailedPeriod | None:
    """The failed day that an event records; None for an observation that somebody else made."""
    metadata = observation.metadata
    if observation.partition is None or FAILED_AT not in metadata:
        return None
    check = metadata.get(HELD_BACK_BY)
    return FailedPeriod(
        periods.parse(observation.partition),
        str(metadata[FAILED_AT].value),
        str(metadata[REASON].value),
        None if check is None else str(check.value),
    )


def recorded_failures(
    instance: dg.DagsterInstance, periods: Periods, asset: dg.AssetKey, days: Collection[date]
) -> dict[date, FailedPeriod]:
    """Those of the periods whose failure was recorded after the asset was last materialised for them, in order."""
    partitions = set(map(periods.key, days))
    if not partitions:
        return {}
    made, observed = (
        instance.get_latest_storage_id_by_partition(asset, kind, partitions)
        for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION)
    )
    failed: dict[date, FailedPeriod] = {}
    for partition in sorted(partition for partition, at in observed.items() if at > made.get(partition, 0)):
        since = dg.AssetRecordsFilter(asset, asset_partitions=[partition], after_storage_id=made.get(partition))
        for record in instance.fetch_observations(since, limit=_RECORDS).records:
            observation = record.asset_observation
            if observation is not None and (failure := failure_in(observation, periods)) is not None:
                failed[failure.day] = failure
                break
    return failed


def periods_failed(periods: Periods, failed: Collection[FailedPeriod], of: int) -> DaysFailedError:
    """The error of a run of so many periods, some of which failed."""
    others = "" if len(failed) == of else "; the others are made"
    return DaysFailedError(
        f"{len(failed)} of {of} {periods.plural} failed{others}:\n{in_words(periods, failed)}\n"
        f"Mend what is named, then materialise these {periods.plural} again, from raw on."
    )


def in_words(periods: Periods, failed: Collection[FailedPeriod]) -> str:
    """A line for each failed period: where it failed and why."""
    ordered = sorted(failed, key=lambda failure: failure.day)
    more = len(ordered) - MOST_NAMED
    lines = [f"  {periods.key(failure.day)} at {failure.asset}: {failure.reason}" for failure in ordered[:MOST_NAMED]]
    return "\n".join([*lines, f"  and {more} more {periods.plural}"] if more > 0 else lines)
