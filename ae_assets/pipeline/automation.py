"""Automation conditions: a day that was loaded goes on to anomalies, and a late day renews the days that rest on it.

What a day rests on reaches further back than the partition mappings say (see `assets._dep`), so the conditions that
Dagster brings, which follow the mappings, would renew the day alone. Those here compare when each day was last written,
by the position of its materialisation in the event log, which no clock can disturb. A day of raw counts as written when
other rows came, which the fingerprint beside each materialisation tells.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT, FEATURES, RAW, THRESHOLD
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.daily import recorded_failures
from ae_assets.pipeline.metadata import FINGERPRINT

_DAYS_AT_ONCE, _RECORDS_AT_ONCE = 500, 1000

Written = Mapping[date, int]
"""Position in the event log at which each day of an asset was last written."""


@dataclass(frozen=True)
class Input:
    """A daily asset that another one rests on."""

    asset: str
    look_back_days: int
    """How many days before its own a day of the other asset reads."""


def stale_days(written: Written, inputs: Sequence[tuple[Written, int]]) -> set[date]:
    """The days that were written before something they rest on.

    Args:
        written: the days of an asset.
        inputs: the days of what it reads, and how many days before its own a day reads.
    """
    return {
        day
        for day, position in written.items()
        if any(
            theirs.get(day - timedelta(days=back), position) > position
            for theirs, look_back in inputs
            for back in range(look_back + 1)
        )
    }


def unmade_days(written: Written, upstream: Written, after: int = 0) -> set[date]:
    """The days that an asset lacks although what it follows has them.

    Args:
        written: the days of the asset.
        upstream: those of what it follows.
        after: position in the event log from which on days are to be made. Without any day of the asset, the days
            that follow those written upstream before it; else all from its first day on.
    """
    earlier = [day for day, position in upstream.items() if position < after]
    if after and not written and not earlier:
        return set()
    return {
        day
        for day in upstream
        if day not in written and (not after or (day > min(written) if written else day > max(earlier)))
    }


class InputsAreNewer(dg.AutomationCondition[dg.AssetKey]):
    """True for days that are older than a day they rest on, and for days that are there upstream and not yet here.

    It waits while days are being loaded, so that ten late days are made up for once and not ten times.
    """

    def __init__(self, table: str, inputs: Sequence[Input], *, only_after: str | None = None) -> None:
        """Takes what the asset rests on.

        Args:
            table: the watched table.
            inputs: what it reads, raw first, whose days it follows.
            only_after: an unpartitioned asset without which there is nothing to do; history from before it is left
                to people.
        """
        self._table = table
        self._inputs = tuple(inputs)
        self._only_after = only_after
        self._changes: dict[tuple[date, int], int] = {}

    @property
    def name(self) -> str:
        """What the UI shows."""
        return "inputs_are_newer"

    @property
    def description(self) -> str:
        """What the UI says of it."""
        spans = ", ".join(f"{one.asset} of the day and the {one.look_back_days} days before" for one in self._inputs)
        return f"Written before its inputs, or not yet written: {spans}"

    async def evaluate(  # type: ignore[override]  # Dagster awaits it; its own conditions are asynchronous as well
        self, context: dg.AutomationContext[dg.AssetKey]
    ) -> dg.AutomationResult[dg.AssetKey]:
        """Finds the days in the event log of the instance."""
        view, partitions = context.asset_graph_view, context.partitions_def
        raw = dg.AssetKey([self._table, RAW])
        loading = await view.compute_run_in_progress_subset(key=raw, from_subset=view.get_full_subset(key=raw))
        if partitions is None or not loading.is_empty:
            return dg.AutomationResult(context, context.get_empty_subset())
        days = self._due(view.instance, context.key)
        candidates = context.candidate_subset.expensively_compute_partition_keys()
        keys = {day.isoformat() for day in days} & set(candidates)
        return dg.AutomationResult(context, view.get_subset_from_partition_keys(context.key, partitions, keys))

    def _due(self, instance: dg.DagsterInstance, key: dg.AssetKey) -> set[date]:
        after = 0
        if self._only_after is not None:
            first = first_written(instance, dg.AssetKey([self._table, self._only_after]))
            if first is None:
                return set()
            after = first
        written = written_days(instance, key)
        read = {one.asset: written_days(instance, dg.AssetKey([self._table, one.asset])) for one in self._inputs}
        read[RAW] = {**read[RAW], **self._changed_days(instance, read[RAW], written)}
        stale = stale_days(written, [(read[one.asset], one.look_back_days) for one in self._inputs])
        due = stale | unmade_days(written, read[RAW], after)
        return due.difference(
            *(recorded_failures(instance, dg.AssetKey([self._table, one.asset]), due) for one in self._inputs)
        )

    def _changed_days(self, instance: dg.DagsterInstance, raw: Written, written: Written) -> Written:
        """Where those days of raw last got other rows that were loaded after a day that rests on them was written."""
        look_back = next(one.look_back_days for one in self._inputs if one.asset == RAW)
        late = {
            day: loaded
            for day, loaded in raw.items()
            if any(written.get(day + timedelta(days=ahead), loaded) < loaded for ahead in range(look_back + 1))
        }
        unknown = [day for day, loaded in late.items() if (day, loaded) not in self._changes]
        found = changed_at(instance, dg.AssetKey([self._table, RAW]), unknown)
        # What is known of a materialisation stays true, so that each is looked at once.
        self._changes |= {(day, raw[day]): position for day, position in found}
        return {day: self._changes[day, loaded] for day, loaded in late.items()}


def written_days(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[date, int]:
    """Where in the event log each day of an asset was last written."""
    found = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {date.fromisoformat(partition): position for partition, position in found.items()}


def changed_at(instance: dg.DagsterInstance, key: dg.AssetKey, days: Collection[date]) -> Iterator[tuple[date, int]]:
    """Where in the event log each of the days was last written with another fingerprint than before.

    A materialisation without a fingerprint left the rows as they were: the source did not have the day any more.
    """
    ordered = sorted(days)
    for first in range(0, len(ordered), _DAYS_AT_ONCE):
        some = ordered[first : first + _DAYS_AT_ONCE]
        asked = dg.AssetRecordsFilter(key, asset_partitions=[day.isoformat() for day in some])
        of_day: dict[date, list[tuple[int, object]]] = {day: [] for day in some}
        for record in _materializations(instance, asked):
            metadata = record.asset_materialization.metadata if record.asset_materialization is not None else {}
            fingerprint = metadata.get(FINGERPRINT)
            of_day[date.fromisoformat(str(record.partition_key))].append(
                (record.storage_id, None if fingerprint is None else fingerprint.value)
            )
        yield from ((day, last_change(sorted(loads, key=lambda load: load[0]))) for day, loads in of_day.items())


def last_change(loads: Iterable[tuple[int, object]]) -> int:
    """The position of the last load that brought other content than the one before it.

    Args:
        loads: position and fingerprint of each, at least one, in order; None where nothing was brought.
    """
    changed, held = 0, None
    for position, fingerprint in loads:
        if changed == 0 or (fingerprint is not None and fingerprint != held):
            changed = position
        held = held if fingerprint is None else fingerprint
    return changed


def _materializations(instance: dg.DagsterInstance, asked: dg.AssetRecordsFilter) -> Iterator[dg.EventLogRecord]:
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(asked, limit=_RECORDS_AT_ONCE, cursor=cursor)
        yield from page.records
        if not page.has_more:
            return
        cursor = page.cursor


def first_written(instance: dg.DagsterInstance, key: dg.AssetKey) -> int | None:
    """Where in the event log an asset was first written; None if it never was."""
    found = instance.fetch_materializations(key, limit=1, ascending=True).records
    return found[0].storage_id if found else None


def features_condition(table: WatchedTable) -> dg.AutomationCondition[dg.AssetKey]:
    """Features follow raw, and are made anew when a day of their look-back was."""
    return _once(InputsAreNewer(table.table, [Input(RAW, table.features.look_back_days)]))


def anomalies_condition(table: WatchedTable) -> dg.AutomationCondition[dg.AssetKey]:
    """Anomalies follow features, and are made anew when what their scores rest on was.

    Raw is looked at as well, so that both are asked for at once and come in one run.
    """
    scored_on = table.detector.window_days - 1 + table.decision.aggregation.look_back_days
    inputs = [Input(RAW, table.features.look_back_days + scored_on), Input(FEATURES, scored_on)]
    has_inputs = ~dg.AutomationCondition.any_deps_missing()  # there, or asked for together with this
    return _once(InputsAreNewer(table.table, inputs, only_after=THRESHOLD) & has_inputs)


def _once(due: dg.AutomationCondition[dg.AssetKey]) -> dg.AutomationCondition[dg.AssetKey]:
    """A day is not asked for twice at a time, and one that failed waits for a person."""
    return due & ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.execution_failed()


def automation_sensor(table: WatchedTable) -> dg.AutomationConditionSensorDefinition:
    """The sensor that looks at the conditions, in the code server, which alone knows them."""
    return dg.AutomationConditionSensorDefinition(
        f"{table.table}_automation",
        target=dg.AssetSelection.assets(*([table.table, name] for name in (*DAILY_INPUT, ANOMALIES))),
        use_user_code_server=True,
        minimum_interval_seconds=table.sensor.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if table.sensor.enabled else dg.DefaultSensorStatus.STOPPED,
        run_tags={"ae_assets/started_by": "automation"},
        description=f"Carries days of {table.table} that were loaded on to anomalies, and renews the days that rest on "
        "a late or replaced one.",
    )
