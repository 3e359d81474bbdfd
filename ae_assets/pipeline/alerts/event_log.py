"""What Dagster's event log says of the code location since the last look: runs that ended, verdicts of checks.

Runs are found by how they ended, since that is the one way to read all of them in order from every storage, SQLite
included. So runs of the CLI and runs whose process died (run monitoring ends them) are seen like any other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from ae_assets.pipeline.daily import days_of_run, failure_in, in_words
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


@dataclass(frozen=True)
class Seen:
    """What a look saw, and where the next one begins."""

    sightings: list[Sighting]
    after: int
    reported: dict[str, int]


class EventLog:
    """The event log, as far as it is about one code location."""

    def __init__(self, instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], location: str | None) -> None:
        """Takes the code location's assets and checks, and its name where it has one."""
        self._instance = instance
        self._graph = graph
        self._assets = graph.get_all_asset_keys()
        self._about = {node.key: node.description or "" for node in graph.asset_check_nodes}
        self._location = location

    def newest(self) -> int:
        """Number of the newest event; 0 in an empty log."""
        return self._instance.event_log_storage.get_maximum_record_id() or 0

    def begin(self) -> Cursor:
        """Where a sensor begins that has not looked before: runs before that are not posted, states that last are."""
        newest = self.newest()
        return Cursor(newest, newest)

    def look(self, cursor: Cursor) -> Seen:
        """Reads what came after ``cursor.after`` up to ``cursor.until``, and verdicts reported outside of runs."""
        ended, after = self._ended_runs(cursor)
        found = self._instance.get_runs(dg.RunsFilter(run_ids=[entry.run_id for entry in ended])) if ended else ()
        runs = {run.run_id: run for run in found}
        sightings = [
            sighting for entry in ended if entry.run_id in runs for sighting in self._of_run(runs[entry.run_id], entry)
        ]
        reported = self._reported()
        sightings += [
            self._verdict(entry, frozenset())
            for key, (number, entry) in reported.items()
            if number > cursor.reported.get(key, -1)
        ]
        return Seen(sightings, after, {key: number for key, (number, _) in reported.items()})

    def _ended_runs(self, cursor: Cursor) -> tuple[list[dg.EventLogEntry], int]:
        """How runs ended, oldest first and at most so many a look, and the last event that this covers."""
        found: list[dg.EventLogRecord] = []
        for kind in ENDED:
            wanted = dg.RunStatusChangeRecordsFilter(
                kind, after_storage_id=cursor.after, before_storage_id=cursor.until + 1
            )
            found += self._instance.fetch_run_status_changes(wanted, limit=RUNS_A_LOOK, ascending=True).records
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
        days = frozenset(days_of_run(run.tags, periods))
        failed = _failed_days(events, periods)
        for event in events:
            if _type(event) is Event.ASSET_CHECK_EVALUATION and _evaluation(event).asset_key in self._assets:
                yield self._verdict(event, days)
            elif _has_ended(event) and (key := assets.get(_step(event))) is not None:
                made = days - {failure.day for failure in failed.get(key, ())}
                if made or not days:
                    subject = _run_subject(key, run)
                    yield Sighting(
                        subject, passed=True, at=event.timestamp, days=made, periods=periods, run_id=run.run_id
                    )
        if _type(ended) is Event.RUN_SUCCESS and not planned:
            yield Sighting(_run_subject(None, run), passed=True, at=ended.timestamp, run_id=run.run_id)
        if _type(ended) is Event.RUN_FAILURE and run.tags.get(WILL_RETRY_TAG) != "true":
            yield from _failures(events, assets, run, ended, days, periods)
            yield from _day_failures(failed, run, ended, days, periods)

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
        failed = None if named is None else [periods.parse(key) for key in cast("list[str]", named.value)]
        return Sighting(
            Subject(Kind.CHECK, evaluation.asset_key.to_user_string(), evaluation.check_name),
            passed=evaluation.passed,
            at=entry.timestamp,
            message=shortened(evaluation.description or "the check gives no reason"),
            severity=Severity.ERROR if evaluation.severity is dg.AssetCheckSeverity.ERROR else Severity.WARNING,
            days=frozenset() if failed is None else days,
            failed_days=frozenset(failed or ()),
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


def _failures(
    events: Sequence[dg.EventLogEntry],
    assets: Mapping[str, dg.AssetKey],
    run: dg.DagsterRun,
    ended: dg.EventLogEntry,
    days: frozenset[date],
    periods: Periods,
) -> Iterator[Sighting]:
    """Each step that failed, or where the run stopped.

    A step that a blocking check failed is the check's problem, and one that names failed days is theirs.
    """

    def failure(key: dg.AssetKey | None, event: dg.EventLogEntry, message: str) -> Sighting:
        return Sighting(
            _run_subject(key, run),
            passed=False,
            at=event.timestamp,
            message=shortened(message),
            days=days,
            failed_days=days,
            periods=periods,
            blocking=True,
            run_id=run.run_id,
        )

    failed = [event for event in events if _type(event) is Event.STEP_FAILURE]
    for event in failed:
        error = event.get_dagster_event().step_failure_data.error
        told_otherwise = error is not None and error.cls_name == DagsterAssetCheckFailedError.__name__
        if not told_otherwise and not is_caused_by(error, DaysFailedError):
            message = "no reason was recorded" if error is None else root_message(error)
            yield failure(assets.get(_step(event)), event, message)
    if not failed:
        done = {_step(event) for event in events if _type(event) is Event.STEP_SUCCESS}
        stopped_at = next((key for step, key in assets.items() if step not in done), None)
        yield failure(stopped_at, ended, _why_it_ended(ended))


def _failed_days(events: Iterable[dg.EventLogEntry], periods: Periods) -> dict[dg.AssetKey, list[FailedPeriod]]:
    """The periods of each asset that a run recorded as failed."""
    found: dict[dg.AssetKey, list[FailedPeriod]] = {}
    for event in events:
        observation = event.asset_observation
        if observation is not None and (failure := failure_in(observation, periods)) is not None:
            found.setdefault(observation.asset_key, []).append(failure)
    return found


def _day_failures(
    failed: Mapping[dg.AssetKey, Sequence[FailedPeriod]],
    run: dg.DagsterRun,
    ended: dg.EventLogEntry,
    days: frozenset[date],
    periods: Periods,
) -> Iterator[Sighting]:
    """Of each asset the days that failed at it; a day that a check holds back is the check's problem."""
    for key, failures in failed.items():
        here = [one for one in failures if one.asset == key.path[-1] and one.check is None]
        if here:
            yield Sighting(
                _run_subject(key, run),
                passed=False,
                at=ended.timestamp,
                message=shortened(in_words(periods, here)),
                days=days,
                failed_days=frozenset(one.day for one in here),
                periods=periods,
                blocking=True,
                run_id=run.run_id,
            )


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


def _run_subject(key: dg.AssetKey | None, run: dg.DagsterRun) -> Subject:
    return Subject(Kind.RUN, None if key is None else key.to_user_string(), run.job_name)


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
    """A message of bearable length."""
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 2].rstrip() + " …"
