"""Automation conditions: what was loaded goes on to anomalies, and what came late renews the periods that rest on it.

What a period rests on reaches further back than the partition mappings say (see `assets.INPUTS`), so the conditions
that Dagster brings, which follow the mappings, would renew the period alone. Those here compare when each period was
last written, by the position of its materialisation in the event log, which no clock can disturb. A period of raw
counts as written when other rows came, which the fingerprint beside each materialisation tells.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import dagster as dg

from ae_assets.chain.workspace import ANOMALIES, DAILY_INPUT, FEATURES, RAW, THRESHOLD
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.daily import recorded_failures
from ae_assets.pipeline.metadata import FINGERPRINT
from ae_assets.schemas.durations import written as in_short
from ae_assets.schemas.periods import Periods

_PERIODS_AT_ONCE, _RECORDS_AT_ONCE = 500, 1000

Written = Mapping[date, int]
"""Position in the event log at which each period of an asset was last written."""

Inputs = Mapping[str, timedelta]
"""The assets by periods that another one rests on, and how far before its beginning a period of that one reads them."""


def stale_periods(written: Written, inputs: Sequence[tuple[Written, timedelta]], periods: Periods) -> set[date]:
    """The periods of an asset that were written before something they rest on.

    Each of the ``inputs`` has the periods that the asset reads, and how far before its beginning one reads.
    """
    ordered = sorted(written)
    return {
        period
        for theirs, look_back in inputs
        for period, latest in zip(
            ordered, _latest(theirs, ((periods.before(one, look_back), one) for one in ordered)), strict=True
        )
        if latest is not None and latest > written[period]
    }


def late_periods(raw: Written, written: Written, look_back: timedelta, periods: Periods) -> dict[date, int]:
    """The periods of raw that were loaded after a period that rests on them, looking so far back, was written."""
    ordered = sorted(raw)
    earliest = _latest(
        {period: -position for period, position in written.items()},
        ((one, periods.after(one, look_back)) for one in ordered),
    )
    return {
        period: raw[period]
        for period, negated in zip(ordered, earliest, strict=True)
        if negated is not None and -negated < raw[period]
    }


def _latest(positions: Written, stretches: Iterable[tuple[date, date]]) -> Iterator[int | None]:
    """The highest position within each of some stretches, whose ends rise; in one pass, since hours are many."""
    waiting = deque(sorted(positions))
    falling: deque[date] = deque()
    for first, last in stretches:
        while waiting and waiting[0] <= last:
            period = waiting.popleft()
            while falling and positions[falling[-1]] <= positions[period]:
                falling.pop()
            falling.append(period)
        while falling and falling[0] < first:
            falling.popleft()
        yield positions[falling[0]] if falling else None


def unmade_periods(written: Written, upstream: Written, after: int = 0) -> set[date]:
    """The periods that an asset lacks although what it follows has them.

    With ``after``, a position in the event log from which on they are to be made, all that follow the asset's first
    one; where it has none yet, those that follow the ones written upstream before that position.
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
    """True for periods that are older than one they rest on, and for those that are there upstream and not yet here.

    It waits while periods are being loaded, so that ten late ones are made up for once and not ten times.
    """

    def __init__(self, table: WatchedTable, inputs: Inputs, *, only_after: str | None = None) -> None:
        """Takes what the asset rests on.

        Args:
            table: the watched table.
            inputs: what it reads, raw among them, whose periods it follows.
            only_after: an unpartitioned asset without which there is nothing to do; history from before it is left
                to people.
        """
        self._table, self._periods, self._inputs, self._only_after = table.table, table.periods, inputs, only_after
        self._changes: dict[tuple[date, int], int] = {}

    @property
    def name(self) -> str:
        return "inputs_are_newer"

    @property
    def description(self) -> str:
        noun = self._periods.noun
        spans = [f"{asset} of the {noun} and the {in_short(reach)} before" for asset, reach in self._inputs.items()]
        return f"Written before its inputs, or not yet written: {', '.join(spans)}"

    async def evaluate(  # type: ignore[override]  # Dagster awaits it; its own conditions are asynchronous as well
        self, context: dg.AutomationContext[dg.AssetKey]
    ) -> dg.AutomationResult[dg.AssetKey]:
        view = context.asset_graph_view
        raw = dg.AssetKey([self._table, RAW])
        loading = await view.compute_run_in_progress_subset(key=raw, from_subset=view.get_full_subset(key=raw))
        if not loading.is_empty:
            return dg.AutomationResult(context, context.get_empty_subset())
        keys = set(map(self._periods.key, self._due(view.instance, context.key)))
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(keys))

    def _due(self, instance: dg.DagsterInstance, key: dg.AssetKey) -> set[date]:
        after, periods = 0, self._periods
        if self._only_after is not None:
            first = first_written(instance, dg.AssetKey([self._table, self._only_after]))
            if first is None:
                return set()
            after = first
        written = written_periods(instance, key, periods)
        keys = {asset: dg.AssetKey([self._table, asset]) for asset in self._inputs}
        read = {asset: written_periods(instance, theirs, periods) for asset, theirs in keys.items()}
        read[RAW] = {**read[RAW], **self._changed(instance, read[RAW], written)}
        stale = stale_periods(written, [(read[asset], reach) for asset, reach in self._inputs.items()], periods)
        due = stale | unmade_periods(written, read[RAW], after)
        return due.difference(*(recorded_failures(instance, periods, theirs, due) for theirs in keys.values()))

    def _changed(self, instance: dg.DagsterInstance, raw: Written, written: Written) -> Written:
        """Where those periods of raw last got other rows that were loaded after one that rests on them was written."""
        late = late_periods(raw, written, self._inputs[RAW], self._periods)
        unknown = [day for day, loaded in late.items() if (day, loaded) not in self._changes]
        found = changed_at(instance, dg.AssetKey([self._table, RAW]), unknown, self._periods)
        # What is known of a materialisation stays true, so that each is looked at once.
        self._changes |= {(day, raw[day]): position for day, position in found}
        return {day: self._changes[day, loaded] for day, loaded in late.items()}


def written_periods(instance: dg.DagsterInstance, key: dg.AssetKey, periods: Periods) -> dict[date, int]:
    """Where in the event log each period of an asset was last written."""
    found = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {periods.parse(partition): position for partition, position in found.items()}


def changed_at(
    instance: dg.DagsterInstance, key: dg.AssetKey, days: Collection[date], periods: Periods
) -> Iterator[tuple[date, int]]:
    """Where in the event log each of some periods was last written with another fingerprint than before.

    A materialisation without a fingerprint left the rows as they were: the source did not have the period any more.
    """
    ordered = sorted(days)
    for first in range(0, len(ordered), _PERIODS_AT_ONCE):
        some = ordered[first : first + _PERIODS_AT_ONCE]
        asked = dg.AssetRecordsFilter(key, asset_partitions=list(map(periods.key, some)))
        of_day: dict[date, list[tuple[int, object]]] = {day: [] for day in some}
        for record in _materializations(instance, asked):
            metadata = record.asset_materialization.metadata if record.asset_materialization is not None else {}
            fingerprint = metadata.get(FINGERPRINT)
            of_day[periods.parse(str(record.partition_key))].append(
                (record.storage_id, None if fingerprint is None else fingerprint.value)
            )
        yield from ((day, last_change(sorted(loads, key=lambda load: load[0]))) for day, loads in of_day.items())


def last_change(loads: Iterable[tuple[int, object]]) -> int:
    """The position of the last load that brought other content than the one before it.

    Of each load, at least one and in order, position and fingerprint; None where nothing was brought.
    """
    changed, latest = 0, None
    for position, fingerprint in loads:
        if changed == 0 or (fingerprint is not None and fingerprint != latest):
            changed = position
        latest = latest if fingerprint is None else fingerprint
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
    """Features follow raw, and are made again when a period of their look-back was."""
    return _once(InputsAreNewer(table, {RAW: table.features.look_back}))


def anomalies_condition(table: WatchedTable) -> dg.AutomationCondition[dg.AssetKey]:
    """Anomalies follow features, and are made again when what their scores rest on was.

    Raw is looked at as well, so that both are asked for at once and come in one run.
    """
    look_back = table.rhythm.look_back
    scored_on = look_back(table.detector.window) + look_back(table.decision.aggregation.window)
    inputs = {RAW: table.features.look_back + scored_on, FEATURES: scored_on}
    has_inputs = ~dg.AutomationCondition.any_deps_missing()  # there, or asked for together with this
    return _once(InputsAreNewer(table, inputs, only_after=THRESHOLD) & has_inputs)


def _once(due: dg.AutomationCondition[dg.AssetKey]) -> dg.AutomationCondition[dg.AssetKey]:
    """A period is not asked for twice at a time, and one that failed waits for a person."""
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
        description=f"Carries {table.periods.plural} of {table.table} that were loaded on to anomalies, and renews "
        "those that rest on a late or replaced one.",
    )
