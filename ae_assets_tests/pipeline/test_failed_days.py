"""One odd day in a range: the others go through, it fails with its reason, and so does the run."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionResolvedStatus,
)
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from ae_assets.errors import ContractError
from ae_assets.pipeline.alerts.cursor import Cursor
from ae_assets.pipeline.alerts.event_log import EventLog
from ae_assets.pipeline.alerts.problems import Kind, Problem, Rules, follow
from ae_assets.pipeline.chain.storage import DAILY, DAILY_INPUT
from ae_assets.pipeline.component import partitions_of
from ae_assets.pipeline.daily import recorded_failures
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.pipeline.tables import (
    FIRST,
    PipelineAlone,
    failure_of,
    materialise,
    storage_of,
    watched_table,
    write_day,
)

SHORT = {
    "detector": {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
    "training": {"horizon_days": 1, "days": 2, "max_rows": 5000},
    "calibration": {"embargo_days": 0, "days": 3},
}
DAYS = [FIRST + timedelta(days=number) for number in range(9)]
GOOD, BAD, ALSO_GOOD = DAYS[6:]


class Fleet:
    """A watched table in a folder of files, with a champion and an instance."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.source, self.home, self.instance = folder / "source", folder / "home", instance
        self.table = watched_table(str(self.source), end="2013-12-31", **SHORT)
        self.storage = storage_of(self.table, self.home)
        for day in DAYS:
            self.write(day)
        assert self.run(DAILY_INPUT, DAYS[0], DAYS[5]).success
        training = {"train_start": str(FIRST), "train_end": str(DAYS[1])}
        assert materialise(self.table, self.home, ("model", "threshold"), None, {"model": training}, instance).success

    def write(self, day: date, drives: int = 8, **columns: Sequence[Any]) -> Path:
        worn = (day - FIRST).days
        return write_day(self.source, day, [(f"D{n}", 0, worn * (n == 0)) for n in range(drives)], **columns)

    def run(self, assets: Sequence[str], first: date, last: date) -> dg.ExecuteInProcessResult:
        return materialise(self.table, self.home, assets, (first, last), None, self.instance)

    def states(self, asset: str) -> dict[str, set[date]]:
        """The days that the UI shows as materialised and as failed."""
        partitions = partitions_of(self.table)
        found = get_and_update_asset_status_cache_value(self.instance, self.key(asset), partitions)
        assert found is not None
        subsets = {
            "made": found.deserialize_materialized_partition_subsets(partitions),
            "failed": found.deserialize_failed_partition_subsets(partitions),
        }
        return {name: set(map(date.fromisoformat, subset.get_partition_keys())) for name, subset in subsets.items()}

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey(["fleet", asset])

    def checks(self) -> dict[str, tuple[AssetCheckExecutionResolvedStatus, bool]]:
        """What the UI shows of each check that was ever asked for, and whether it is about the newest rows."""
        context = LoadingContextForTest(self.instance)
        graph = dg.Definitions.merge(
            PipelineAlone(self.table).build_defs(None),  # type: ignore[arg-type]
            dg.Definitions(resources={"lakehouse": LakehouseResource(home=str(self.home))}),
        ).resolve_asset_graph()

        async def look() -> dict[str, tuple[AssetCheckExecutionResolvedStatus, bool]]:
            found = {}
            for key in graph.asset_check_keys:
                record = await AssetCheckExecutionRecord.gen(context, key)
                if record is not None:
                    status = await record.resolve_status(context)
                    found[key.to_user_string()] = (status, await record.targets_latest_materialization(context))
            return found

        return asyncio.run(look())


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with dg.instance_for_test() as instance:
        yield Fleet(tmp_path, instance)


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, tuple[date, ...]]:
    """The days of each asset's materialisations, as often as there are any."""
    found: dict[str, tuple[date, ...]] = {}
    for event in result.get_asset_materialization_events():
        assert event.asset_key is not None
        name = event.asset_key.path[-1]
        found[name] = (*found.get(name, ()), date.fromisoformat(event.partition or ""))
    return found


def empty(fleet: Fleet) -> None:
    (fleet.source / f"{BAD}.csv").write_bytes(b"")


def another_table(fleet: Fleet) -> None:
    (fleet.source / f"{BAD}.csv").write_text(f"date,colour\n{BAD},red\n")


def twice(fleet: Fleet) -> None:
    (fleet.source / "copy").mkdir()
    (fleet.source / "copy" / f"{BAD}.csv").write_bytes((fleet.source / f"{BAD}.csv").read_bytes() + b"\n")


def a_column_of_another_type(fleet: Fleet) -> None:
    fleet.write(BAD, SOURCE_ROW=["x"] * 8)


@pytest.mark.parametrize("spoil", [empty, another_table, twice, a_column_of_another_type])
def test_the_other_days_go_through_and_the_bad_one_fails_with_its_reason(fleet: Fleet, spoil: Any) -> None:
    spoil(fleet)
    result = fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert not result.success
    assert materialised(result) == dict.fromkeys(DAILY, (GOOD, ALSO_GOOD))
    for asset in DAILY:
        states = fleet.states(asset)
        assert states["failed"] == {BAD}
        assert {GOOD, ALSO_GOOD} <= states["made"]
        assert BAD not in states["made"]
        held = fleet.storage.days_of(asset)
        assert BAD not in held
        assert asset == "quarantine" or (held[GOOD], held[ALSO_GOOD]) == (8, 8)
    said = failure_of(result)
    assert "DaysFailedError: 1 of 3 days failed; the others are made" in said
    assert f"{BAD} at raw: " in said
    assert f"{BAD}.csv" in said
    assert set(result.get_failed_step_keys()) == {"fleet__rates"}


def test_every_check_is_evaluated_in_a_run_with_a_bad_day(fleet: Fleet) -> None:
    empty(fleet)
    fleet.run(DAILY, GOOD, ALSO_GOOD)
    found = fleet.checks()
    evaluated = (AssetCheckExecutionResolvedStatus.SUCCEEDED, AssetCheckExecutionResolvedStatus.FAILED)
    assert {key.split(":")[0] for key in found} >= {"fleet/raw", "fleet/features", "fleet/anomalies"}
    assert len(found) >= 13
    assert {key: state for key, state in found.items() if state[0] not in evaluated or not state[1]} == {}


def test_a_run_of_a_bad_day_alone_fails_and_the_checks_are_evaluated_by_the_next_good_run(fleet: Fleet) -> None:
    empty(fleet)
    result = fleet.run(DAILY, BAD, BAD)
    assert not result.success
    assert materialised(result) == {}
    assert set(result.get_failed_step_keys()) == {"fleet__raw"}
    assert f"1 of 1 days failed:\n  {BAD} at raw: {BAD}.csv: the file is empty" in failure_of(result)
    assert [fleet.states(asset)["failed"] for asset in DAILY] == [{BAD}] * 4
    assert fleet.run(DAILY, ALSO_GOOD, ALSO_GOOD).success
    statuses = {status for status, is_of_newest in fleet.checks().values() if is_of_newest}
    assert len(fleet.checks()) >= 13
    assert statuses <= {AssetCheckExecutionResolvedStatus.SUCCEEDED, AssetCheckExecutionResolvedStatus.FAILED}


def test_a_day_that_failed_is_not_made_of_the_rows_from_before_until_it_is_mended(fleet: Fleet) -> None:
    assert fleet.run(DAILY, GOOD, ALSO_GOOD).success
    before = {asset: fleet.storage.days_of(asset)[BAD] for asset in ("raw", "features", "anomalies")}
    empty(fleet)
    assert materialised(fleet.run(DAILY, GOOD, ALSO_GOOD)) == dict.fromkeys(DAILY, (GOOD, ALSO_GOOD))
    assert {asset: fleet.storage.days_of(asset)[BAD] for asset in before} == before, "what was there stays"
    for assets in (("features", "quarantine"), ("anomalies",)):
        later = fleet.run(assets, GOOD, ALSO_GOOD)
        assert materialised(later) == dict.fromkeys(assets, (GOOD, ALSO_GOOD))
        assert f"{BAD} at raw: {BAD}.csv: the file is empty" in failure_of(later), "the reason is handed on"
    alone = fleet.run(("anomalies",), BAD, BAD)
    assert not alone.success
    assert materialised(alone) == {}
    fleet.write(BAD, drives=9)
    assert fleet.run(DAILY, BAD, BAD).success
    assert {asset: fleet.storage.days_of(asset)[BAD] for asset in before} == dict.fromkeys(before, 9)
    assert fleet.run(DAILY, GOOD, ALSO_GOOD).success
    assert [fleet.states(asset)["failed"] for asset in DAILY] == [set()] * 4


def test_a_day_that_the_source_lacks_is_no_failure(fleet: Fleet) -> None:
    (fleet.source / f"{BAD}.csv").unlink()
    result = fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert result.success, failure_of(result)
    assert materialised(result) == dict.fromkeys(DAILY, (GOOD, BAD, ALSO_GOOD))


def test_a_day_whose_raw_rows_have_other_columns_fails_at_features_alone(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ae_assets.pipeline.chain import features

    validate = features.validate_day

    def validated(raw: pl.DataFrame, day: date, *rest: Any) -> Any:
        return validate(raw.drop("model") if day == BAD else raw, day, *rest)

    monkeypatch.setattr(features, "validate_day", validated)
    with pytest.raises(ContractError, match="'model' is missing"):
        validated(fleet.storage.tables.read("fleet.raw", DAYS[0], DAYS[0]), BAD)
    result = fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert not result.success
    assert materialised(result) == {
        "raw": (GOOD, BAD, ALSO_GOOD),
        **dict.fromkeys(("features", "quarantine", "anomalies"), (GOOD, ALSO_GOOD)),
    }
    assert f"{BAD} at features: the raw rows of {BAD} do not have the columns" in failure_of(result)
    assert [fleet.states(asset)["failed"] for asset in DAILY] == [set(), {BAD}, {BAD}, {BAD}]


def test_a_day_that_cannot_be_scored_fails_at_anomalies_alone(fleet: Fleet) -> None:
    assert fleet.run(DAILY_INPUT, GOOD, ALSO_GOOD).success
    rows = fleet.storage.tables.read("fleet.features", BAD, BAD)
    with fleet.storage.tables.writer("fleet.features") as writer:
        writer.write(BAD, pl.concat([rows, rows]))
    result = fleet.run(("anomalies",), GOOD, ALSO_GOOD)
    assert materialised(result) == {"anomalies": (GOOD, ALSO_GOOD)}
    assert f"{BAD} at anomalies: Entity D0 has more than one row on {BAD}" in failure_of(result)
    assert fleet.states("anomalies")["failed"] == {BAD}


def test_a_check_that_holds_back_days_holds_back_no_other_day(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    from ae_assets.pipeline.chain import features

    assert fleet.run(DAILY, GOOD, ALSO_GOOD).success
    whole = features.features_of_day
    monkeypatch.setattr(
        features, "features_of_day", lambda history, day, *more: whole(history, day, *more).head(3 + 5 * (day != BAD))
    )
    result = fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert not result.success
    assert materialised(result) == {
        **dict.fromkeys(DAILY_INPUT, (GOOD, BAD, ALSO_GOOD)),
        "anomalies": (GOOD, ALSO_GOOD),
    }
    assert f"{BAD} at features: rows_are_conserved: " in failure_of(result)
    assert fleet.states("anomalies")["failed"] == {BAD}
    assert BAD not in fleet.storage.days_of("anomalies"), "they were made of other features"
    failure = recorded_failures(fleet.instance, fleet.key("anomalies"), DAYS)[BAD]
    assert (failure.asset, failure.check) == ("features", "rows_are_conserved")
    monkeypatch.undo()
    assert fleet.run(DAILY, BAD, BAD).success
    assert fleet.storage.days_of("anomalies")[BAD] == 8


def test_the_last_step_of_a_run_says_what_failed_whichever_it_is(fleet: Fleet) -> None:
    empty(fleet)
    for assets, step in ((("raw",), "raw"), (DAILY_INPUT, "features"), (("raw", "anomalies"), "raw")):
        result = fleet.run(assets, GOOD, ALSO_GOOD)
        assert f"fleet__{step}" in result.get_failed_step_keys()
        assert materialised(result)["raw"] == (GOOD, ALSO_GOOD)


def test_a_failed_day_is_not_asked_for_again_and_stops_no_other_day_of_the_automation(fleet: Fleet) -> None:
    empty(fleet)
    fleet.run(("raw",), GOOD, ALSO_GOOD)
    definitions = dg.Definitions.merge(
        PipelineAlone(fleet.table).build_defs(None),  # type: ignore[arg-type]
        dg.Definitions(resources={"lakehouse": LakehouseResource(home=str(fleet.home))}),
    )
    asked = dg.evaluate_automation_conditions(definitions, fleet.instance)
    assert asked.get_requested_partitions(fleet.key("features")) == {str(GOOD), str(ALSO_GOOD)}


def test_an_alert_names_the_bad_day_alone_and_it_recovers_with_it(fleet: Fleet) -> None:
    definitions = PipelineAlone(fleet.table).build_defs(None)  # type: ignore[arg-type]
    graph = dg.Definitions.merge(
        definitions, dg.Definitions(resources={"lakehouse": LakehouseResource(home=str(fleet.home))})
    ).resolve_asset_graph()
    log = EventLog(fleet.instance, graph, None)
    cursor = log.begin()
    problems: dict[str, Problem] = {}

    def look() -> list[tuple[str, str, frozenset[date]]]:
        """What is posted of runs: the event, the asset, and the days that are wrong."""
        nonlocal cursor, problems
        newest = log.newest()
        seen = log.look(Cursor(cursor.after, newest, cursor.reported))
        followed = follow(problems, seen.sightings, time.time(), Rules())
        cursor, problems = Cursor(seen.after, newest, seen.reported), followed.problems
        return [
            (str(alert.event), alert.problem.sighting.subject.asset or "", alert.problem.days)
            for alert in followed.alerts
            if alert.problem.sighting.subject.kind is Kind.RUN
        ]

    empty(fleet)
    fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert look() == [("failing", "fleet/raw", frozenset({BAD}))]
    assert f"{BAD}.csv: the file is empty" in problems["run:fleet/raw:"].sighting.message
    assert fleet.run(DAILY, GOOD, GOOD).success
    assert look() == []
    fleet.run(("features", "quarantine"), BAD, BAD)
    assert look() == [], "it is still the same problem"
    fleet.write(BAD)
    assert fleet.run(DAILY, GOOD, ALSO_GOOD).success
    assert [(event, asset) for event, asset, _ in look()] == [("recovered", "fleet/raw")]
