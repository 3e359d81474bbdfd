"""A step over the periods of a run: one that fails stops no other, and a run with one that failed is no success.

Dagster knows two outcomes of a step: all of its partitions are materialised, or it fails and nothing after it runs
(https://github.com/dagster-io/dagster/issues/17836). So a step of ours makes the periods that it can, materialises
exactly these and records each one that failed in the event log, as an observation of its partition. What follows passes
such periods over, in this run and in later ones, until they are made again. The last step of the run fails it, which is
how Dagster comes to show the periods without a materialisation as failed. Below a period is called a day, as in frames.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Protocol, TypeVar

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

MADE_DAYS = "made_days"
"""Key of the IO manager of the daily assets."""

FAILED_AT, REASON, HELD_BACK_BY = "failed_at", "reason", "held_back_by"
"""Metadata of the observation that records a failed day."""

MOST_NAMED = 20
_RECORDS = 100


class _OfDay(Protocol):
    @property
    def day(self) -> date: ...


_Facts = TypeVar("_Facts", bound=_OfDay)


class DailyStep:
    """What a run's step over days has made and what failed.

    Attributes:
        failed: the days of the run that failed, here or before.
    """

    def __init__(self, context: dg.AssetExecutionContext, table: WatchedTable, asset: str) -> None:
        """Looks up which days of the run failed before this step.

        Args:
            context: of the step.
            table: the watched table.
            asset: the asset that the step makes; the quarantine is made with the features.
        """
        self._context, self._table, self._asset = context, table, asset
        self._all_days = partition_days(context, table.periods)
        upstream = UPSTREAM.get(asset)
        key = None if upstream is None else dg.AssetKey([table.table, upstream])
        self.failed = {} if key is None else recorded_failures(context.instance, table.periods, key, self._all_days)
        self._done: list[date] = []
        self._recorded: set[date] = set()

    @property
    def days(self) -> list[date]:
        """The days to make, in order: those of the run that did not fail before."""
        return [day for day in self._all_days if day not in self.failed]

    @property
    def done(self) -> list[date]:
        """The days that were made so far, in order."""
        return sorted(self._done)

    @property
    def made_keys(self) -> list[str]:
        """Their partition keys, which are what `MadeDays` takes."""
        return [self._table.periods.key(day) for day in self.done]

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
                self._done.append(facts.day)
                yield facts

    def failures(self) -> Iterator[dg.AssetObservation]:
        """Records the days that failed.

        Raises:
            DaysFailedError: no day of the run is left to make.
        """
        yield from self._records()
        if len(self.failed) == len(self._all_days):
            raise days_failed(self._table.periods, self.failed.values(), len(self._all_days))

    def end(self, held_back: Iterable[FailedPeriod] = ()) -> Iterator[dg.AssetObservation]:
        """Records the days that a check of this step holds back, and fails the last step of a run with failed days.

        Raises:
            DaysFailedError: days failed, and no later step of this run will say so.
        """
        stop_if_interrupted()
        for failure in held_back:
            self.failed.setdefault(failure.day, failure)
        yield from self._records()
        if self.failed and not self._is_followed():
            raise days_failed(self._table.periods, self.failed.values(), len(self._all_days))

    def _records(self) -> Iterator[dg.AssetObservation]:
        assets = (FEATURES, QUARANTINE) if self._asset == FEATURES else (self._asset,)
        for day, failure in sorted(self.failed.items()):
            if day not in self._recorded:
                self._recorded.add(day)
                for asset in assets:
                    yield record_of(failure, self._table.periods, dg.AssetKey([self._table.table, asset]))

    def _is_followed(self) -> bool:
        plan = self._context.op_execution_context.get_step_execution_context().execution_plan
        return f"{self._table.table}__{NEXT[self._asset]}" in plan.step_keys_to_execute


class MadeDays(dg.IOManager):
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


RESOURCES = {MADE_DAYS: MadeDays()}
"""What the daily assets of every table need; one object, so that tables can be merged."""


def partition_days(context: dg.AssetExecutionContext, periods: Periods) -> list[date]:
    """The periods of the run, in order: one for a single partition, all of them in a range run."""
    return sorted(map(periods.parse, context.partition_keys))


def days_of_run(tags: Mapping[str, str], periods: Periods) -> list[date]:
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


def days_failed(periods: Periods, failed: Collection[FailedPeriod], of: int) -> DaysFailedError:
    """The error of a run with failed periods.

    Args:
        periods: of the table.
        failed: those that failed.
        of: how many the run has.
    """
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
