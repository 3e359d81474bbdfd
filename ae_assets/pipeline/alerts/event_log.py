"""What Dagster's event log says of the code location since the last look: runs that ended, verdicts of checks.

Runs are found by how they ended, since that is the one way to read all of them in order from every storage, SQLite
included. So runs of the CLI and runs whose process died (run monitoring ends them) are seen like any other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, cast

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.event_api import RunStatusChangeEventType
from dagster._core.events import JobFailureData
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.tags import WILL_RETRY_TAG

from ae_assets.chain.workspace import FailedPeriod
from ae_assets.errors import DaysFailedError
from ae_assets.pipeline.alerts.cursor import Cursor
from ae_assets.pipeline.alerts.problems import Kind, Severity, Sighting, Subject
from ae_assets.pipeline.checks import FAILED_DAYS, HOLDS_BACK
from ae_assets.pipeline.daily import failure_in, in_words, periods_of_run
from ae_assets.pipeline.failures import is_caused_by, root_message
from ae_assets.pipeline.partitions import periods_of
from ae_assets.schemas.periods import Periods

Event = dg.DagsterEventType

RUNS_A_LOOK = 100
"""A look has to end within a minute; what is left over is for the next."""

LONGEST_MESSAGE = 600
"""Open problems are kept in the cursor with their message."""

ENDED: tuple[RunStatusChangeEventType, ...] = (Event.RUN_SUCCESS, Event.RUN_FAILURE, Event.RUN_CANCELED)
LOOKED_AT = {
    Event.ASSET_MATERIALIZATION_PLANNED,
    Event.STEP_SUCCESS,
    Event.STEP_FAILURE,
    Event.ASSET_CHECK_EVALUATION,
    Event.ASSET_OBSERVATION,
}


class EventLog:
    """The event log, as far as it is about the assets and checks of one code location."""

    def __init__(self, instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], location: str | None) -> None:
        self._instance, self._graph, self._location = instance, graph, location
        self._assets = graph.get_all_asset_keys()
        self._about = {node.key: node.description or "" for node in graph.asset_check_nodes}

    def newest(self) -> int:
        """Number of the newest event; 0 in an empty log."""
        return self._instance.event_log_storage.get_maximum_record_id() or 0

    def look(self, cursor: Cursor) -> tuple[list[Sighting], Cursor]:
        """What came after ``cursor.after`` up to ``cursor.until``, and verdicts reported outside of runs.

        With it comes the cursor of the next look, which still lacks what becomes of what was seen.
        """
        ended, after = self._ended_runs(cursor)
        found = self._instance.get_runs(dg.RunsFilter(run_ids=[entry.run_id for entry in ended])) if ended else ()
        runs = {run.run_id: run for run in found}
        sightings = [
            seen for entry in ended if entry.run_id in runs for seen in self._of_run(runs[entry.run_id], entry)
        ]
        reported = self._reported()
        sightings += [
            self._verdict(entry, frozenset())
            for key, (number, entry) in reported.items()
            if number > cursor.reported.get(key, -1)
        ]
        return sightings, replace(cursor, after=after, reported={key: number for key, (number, _) in reported.items()})

    def _ended_runs(self, cursor: Cursor) -> tuple[list[dg.EventLogEntry], int]:
        """How runs ended, oldest first and at most so many a look, and the last event that this covers."""
        found: list[dg.EventLogRecord] = []
        for kind in ENDED:
            asked = dg.RunStatusChangeRecordsFilter(
                kind, after_storage_id=cursor.after, before_storage_id=cursor.until + 1
            )
            found += self._instance.fetch_run_status_changes(asked, limit=RUNS_A_LOOK, ascending=True).records
        found.sort(key=lambda record: record.storage_id)
        taken = found[:RUNS_A_LOOK]
        covered = cursor.until if len(found) < RUNS_A_LOOK else taken[-1].storage_id
        return [record.event_log_entry for record in taken], covered

    def _of_run(self, run: dg.DagsterRun, ended: dg.EventLogEntry) -> Iterator[Sighting]:
        connection = self._instance.get_records_for_run(run.run_id, of_type=LOOKED_AT)
        events = [record.event_log_entry for record in connection.records]
        planned = _planned(events)
        assets = {step: key for step, key in planned.items() if key in self._assets}
        if not (assets if planned else self._is_here(run)):
            return
        periods = self._periods(assets.values())
        days = frozenset(periods_of_run(run.tags, periods))
        for event in events:
            if _type(event) is Event.ASSET_CHECK_EVALUATION and _evaluation(event).asset_key in self._assets:
                yield self._verdict(event, days)
        yield from _Run(run, ended, events, assets, periods, days).sightings(is_planned=bool(planned))

    def _periods(self, assets: Iterable[dg.AssetKey]) -> Periods:
        """What the partitions are of which a run or a check of some assets speaks."""
        found = [self._graph.get(key).partitions_def for key in assets]
        return periods_of(next((partitions for partitions in found if partitions is not None), None))

    def _is_here(self, run: dg.DagsterRun) -> bool:
        """Whether a run without assets is one of this code location's jobs."""
        origin = run.remote_job_origin
        return origin is not None and origin.repository_origin.code_location_origin.location_name == self._location

    def _verdict(self, entry: dg.EventLogEntry, days: frozenset[date]) -> Sighting:
        """What a check says; periods only where it names those that are wrong, else it speaks of the whole asset."""
        evaluation = _evaluation(entry)
        named, periods = evaluation.metadata.get(FAILED_DAYS), self._periods([evaluation.asset_key])
        failed = [] if named is None else [periods.parse(key) for key in cast("list[str]", named.value)]
        return Sighting(
            Subject(Kind.CHECK, evaluation.asset_key.to_user_string(), evaluation.check_name),
            passed=evaluation.passed,
            at=entry.timestamp,
            message=shortened(evaluation.description or "the check gives no reason"),
            severity=Severity.ERROR if evaluation.severity is dg.AssetCheckSeverity.ERROR else Severity.WARNING,
            days=frozenset() if named is None else days,
            failed_days=frozenset(failed),
            periods=periods,
            about=self._about.get(evaluation.asset_check_key, ""),
            blocking=bool(evaluation.blocking) or evaluation.check_name in HOLDS_BACK,
            run_id=entry.run_id or None,
        )

    def _reported(self) -> dict[str, tuple[int, dg.EventLogEntry]]:
        """The latest verdict of each check whose latest was reported outside of a run, with its number."""
        storage = self._instance.event_log_storage
        latest = storage.get_latest_asset_check_execution_by_key(list(self._about))
        return {
            key.to_user_string(): (record.id, record.event)
            for key, record in latest.items()
            if record.run_id == RUNLESS_RUN_ID
            and record.event is not None
            and _type(record.event) is Event.ASSET_CHECK_EVALUATION
        }


@dataclass(frozen=True)
class _Run:
    """A run that ended; ``assets`` holds the first asset of each of its steps."""

    run: dg.DagsterRun
    ended: dg.EventLogEntry
    events: Sequence[dg.EventLogEntry]
    assets: Mapping[str, dg.AssetKey]
    periods: Periods
    days: frozenset[date]

    def sightings(self, *, is_planned: bool) -> Iterator[Sighting]:
        """What it made and at what it failed; ``is_planned``: whether it was to make any assets."""
        failed = self._failed_periods()
        for event in self.events:
            key = self.assets.get(_step(event))
            if key is not None and _has_ended(event):
                made = self.days - {failure.day for failure in failed.get(key, ())}
                if made or not self.days:
                    yield self._seen(key, event.timestamp, passed=True, days=made)
        if _type(self.ended) is Event.RUN_SUCCESS and not is_planned:
            yield self._seen(None, self.ended.timestamp, passed=True)
        if _type(self.ended) is Event.RUN_FAILURE and self.run.tags.get(WILL_RETRY_TAG) != "true":
            yield from self._failures()
            for key, failures in failed.items():
                # One that a check holds back is the check's problem.
                here = [one for one in failures if one.asset == key.path[-1] and one.check is None]
                if here:
                    yield self._failure(key, self.ended, in_words(self.periods, here), [one.day for one in here])

    def _failures(self) -> Iterator[Sighting]:
        """Each step that failed, or where the run stopped.

        A step that a blocking check failed is the check's problem, and one that names failed periods is theirs.
        """
        failed = [event for event in self.events if _type(event) is Event.STEP_FAILURE]
        for event in failed:
            error = event.get_dagster_event().step_failure_data.error
            by_check = error is not None and error.cls_name == DagsterAssetCheckFailedError.__name__
            if not by_check and not is_caused_by(error, DaysFailedError):
                message = "no reason was recorded" if error is None else root_message(error)
                yield self._failure(self.assets.get(_step(event)), event, message, self.days)
        if not failed:
            done = {_step(event) for event in self.events if _type(event) is Event.STEP_SUCCESS}
            stopped_at = next((key for step, key in self.assets.items() if step not in done), None)
            yield self._failure(stopped_at, self.ended, _why_it_ended(self.ended), self.days)

    def _failed_periods(self) -> dict[dg.AssetKey, list[FailedPeriod]]:
        """Those that it recorded as failed, by asset."""
        found: dict[dg.AssetKey, list[FailedPeriod]] = {}
        for event in self.events:
            observation = event.asset_observation
            if observation is not None and (failure := failure_in(observation, self.periods)) is not None:
                found.setdefault(observation.asset_key, []).append(failure)
        return found

    def _failure(
        self, key: dg.AssetKey | None, event: dg.EventLogEntry, message: str, failed: Iterable[date]
    ) -> Sighting:
        seen = self._seen(key, event.timestamp, passed=False, days=self.days)
        return replace(seen, message=shortened(message), failed_days=frozenset(failed), blocking=True)

    def _seen(
        self, key: dg.AssetKey | None, at: float, *, passed: bool, days: frozenset[date] = frozenset()
    ) -> Sighting:
        subject = Subject(Kind.RUN, None if key is None else key.to_user_string(), self.run.job_name)
        return Sighting(subject, passed, at, days=days, periods=self.periods, run_id=self.run.run_id)


def _why_it_ended(ended: dg.EventLogEntry) -> str:
    event = ended.get_dagster_event()
    facts = event.event_specific_data  # none where the daemon ends a run whose process died
    error = facts.error if isinstance(facts, JobFailureData) else None
    return root_message(error) if error is not None else event.message or "no reason was recorded"


def _planned(events: Iterable[dg.EventLogEntry]) -> dict[str, dg.AssetKey]:
    """The first asset of each step that makes any, in the order of the plan."""
    found: dict[str, dg.AssetKey] = {}
    for event in events:
        if _type(event) is Event.ASSET_MATERIALIZATION_PLANNED:
            key = event.get_dagster_event().asset_key
            if key is not None:
                found.setdefault(_step(event), key)
    return found


def _type(entry: dg.EventLogEntry) -> dg.DagsterEventType | None:
    return entry.dagster_event.event_type if entry.dagster_event is not None else None


def _step(entry: dg.EventLogEntry) -> str:
    return entry.get_dagster_event().step_key or ""


def _evaluation(entry: dg.EventLogEntry) -> dg.AssetCheckEvaluation:
    return entry.get_dagster_event().asset_check_evaluation_data


def _has_ended(event: dg.EventLogEntry) -> bool:
    """Whether a step came to its end, be it only to name the days that failed."""
    if _type(event) is Event.STEP_FAILURE:
        return is_caused_by(event.get_dagster_event().step_failure_data.error, DaysFailedError)
    return _type(event) is Event.STEP_SUCCESS


def shortened(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 2].rstrip() + " …"
