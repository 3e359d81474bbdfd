"""One odd day in a range: the others go through, it fails with its reason, and so does the run."""

import time
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionResolvedStatus

from ae_assets.chain.workspace import DAILY, DAILY_INPUT
from ae_assets.errors import ContractError
from ae_assets.pipeline.alerts.cursor import Cursor
from ae_assets.pipeline.alerts.event_log import EventLog
from ae_assets.pipeline.alerts.problems import Kind, Problem, Rules, follow
from ae_assets.pipeline.daily import recorded_failures
from ae_assets.schemas import periods
from ae_assets_tests.pipeline.runs import failure_of
from ae_assets_tests.pipeline.short_fleet import ALSO_GOOD, BAD, DAYS, GOOD, ShortFleet, daily_job, materialised


def empty(short_fleet: ShortFleet) -> None:
    (short_fleet.source / f"{BAD}.csv").write_bytes(b"")


def another_table(short_fleet: ShortFleet) -> None:
    (short_fleet.source / f"{BAD}.csv").write_text(f"date,colour\n{BAD},red\n")


def twice(short_fleet: ShortFleet) -> None:
    (short_fleet.source / "copy").mkdir()
    (short_fleet.source / "copy" / f"{BAD}.csv").write_bytes((short_fleet.source / f"{BAD}.csv").read_bytes() + b"\n")


def a_column_of_another_type(short_fleet: ShortFleet) -> None:
    short_fleet.write(BAD, SOURCE_ROW=["x"] * 8)


@pytest.mark.parametrize("spoil", [empty, another_table, twice, a_column_of_another_type])
def test_the_other_days_go_through_and_the_bad_one_fails_with_its_reason(short_fleet: ShortFleet, spoil: Any) -> None:
    spoil(short_fleet)
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert not result.success
    assert materialised(result) == dict.fromkeys(DAILY, (GOOD, ALSO_GOOD))
    for asset in DAILY:
        states = short_fleet.states(asset)
        assert states["failed"] == {BAD}
        assert {GOOD, ALSO_GOOD} <= states["made"]
        assert BAD not in states["made"]
        held = short_fleet.space.days_of(asset)
        assert BAD not in held
        assert asset == "quarantine" or (held[GOOD], held[ALSO_GOOD]) == (8, 8)
    said = failure_of(result)
    assert "DaysFailedError: 1 of 3 days failed; the others are made" in said
    assert f"{BAD} at raw: " in said
    assert f"{BAD}.csv" in said
    assert set(result.get_failed_step_keys()) == {"fleet__rates"}


def test_every_check_is_evaluated_in_a_run_with_a_bad_day(short_fleet: ShortFleet) -> None:
    empty(short_fleet)
    short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    found = short_fleet.checks()
    evaluated = (AssetCheckExecutionResolvedStatus.SUCCEEDED, AssetCheckExecutionResolvedStatus.FAILED)
    assert {key.split(":")[0] for key in found} >= {"fleet/raw", "fleet/features", "fleet/anomalies"}
    assert len(found) >= 13
    assert {key: state for key, state in found.items() if state[0] not in evaluated or not state[1]} == {}


def test_a_run_of_a_bad_day_alone_fails_and_the_checks_are_evaluated_by_the_next_good_run(
    short_fleet: ShortFleet,
) -> None:
    empty(short_fleet)
    result = short_fleet.run(DAILY, BAD, BAD)
    assert not result.success
    assert materialised(result) == {}
    assert set(result.get_failed_step_keys()) == {"fleet__raw"}
    assert f"1 of 1 days failed:\n  {BAD} at raw: {BAD}.csv: the file is empty" in failure_of(result)
    assert [short_fleet.states(asset)["failed"] for asset in DAILY] == [{BAD}] * 4
    assert short_fleet.run(DAILY, ALSO_GOOD, ALSO_GOOD).success
    statuses = {status for status, is_of_newest in short_fleet.checks().values() if is_of_newest}
    assert len(short_fleet.checks()) >= 13
    assert statuses <= {AssetCheckExecutionResolvedStatus.SUCCEEDED, AssetCheckExecutionResolvedStatus.FAILED}


@pytest.mark.slow
def test_a_day_that_failed_is_not_made_of_the_rows_from_before_until_it_is_mended(short_fleet: ShortFleet) -> None:
    assert short_fleet.run(DAILY, GOOD, ALSO_GOOD).success
    before = {asset: short_fleet.space.days_of(asset)[BAD] for asset in ("raw", "features", "anomalies")}
    empty(short_fleet)
    assert materialised(short_fleet.run(DAILY, GOOD, ALSO_GOOD)) == dict.fromkeys(DAILY, (GOOD, ALSO_GOOD))
    assert {asset: short_fleet.space.days_of(asset)[BAD] for asset in before} == before, "what was there stays"
    for assets in (("features", "quarantine"), ("anomalies",)):
        later = short_fleet.run(assets, GOOD, ALSO_GOOD)
        assert materialised(later) == dict.fromkeys(assets, (GOOD, ALSO_GOOD))
        assert f"{BAD} at raw: {BAD}.csv: the file is empty" in failure_of(later), "the reason is handed on"
    alone = short_fleet.run(("anomalies",), BAD, BAD)
    assert not alone.success
    assert materialised(alone) == {}
    short_fleet.write(BAD, drives=9)
    assert short_fleet.run(DAILY, BAD, BAD).success
    assert {asset: short_fleet.space.days_of(asset)[BAD] for asset in before} == dict.fromkeys(before, 9)
    assert short_fleet.run(DAILY, GOOD, ALSO_GOOD).success
    assert [short_fleet.states(asset)["failed"] for asset in DAILY] == [set()] * 4


def test_a_day_that_the_source_lacks_is_no_failure(short_fleet: ShortFleet) -> None:
    (short_fleet.source / f"{BAD}.csv").unlink()
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert result.success, failure_of(result)
    assert materialised(result) == dict.fromkeys(DAILY, (GOOD, BAD, ALSO_GOOD))


def test_a_day_whose_raw_rows_have_other_columns_fails_at_features_alone(
    short_fleet: ShortFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ae_assets.model import preparation

    validate = preparation.validate_day

    def validated(raw: pl.DataFrame, day: date, *rest: Any) -> Any:
        return validate(raw.drop("model") if day == BAD else raw, day, *rest)

    monkeypatch.setattr(preparation, "validate_day", validated)
    with pytest.raises(ContractError, match="'model' is missing"):
        validated(short_fleet.space.tables.read("fleet.raw", DAYS[0], DAYS[0]), BAD)
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert not result.success
    assert materialised(result) == {
        "raw": (GOOD, BAD, ALSO_GOOD),
        **dict.fromkeys(("features", "quarantine", "anomalies"), (GOOD, ALSO_GOOD)),
    }
    assert f"{BAD} at features: the raw rows of {BAD} do not have the columns" in failure_of(result)
    assert [short_fleet.states(asset)["failed"] for asset in DAILY] == [set(), {BAD}, {BAD}, {BAD}]


def test_a_day_that_cannot_be_scored_fails_at_anomalies_alone(short_fleet: ShortFleet) -> None:
    assert short_fleet.run(DAILY_INPUT, GOOD, ALSO_GOOD).success
    rows = short_fleet.space.tables.read("fleet.features", BAD, BAD)
    with short_fleet.space.tables.writer("fleet.features") as writer:
        writer.write(BAD, pl.concat([rows, rows]))
    result = short_fleet.run(("anomalies",), GOOD, ALSO_GOOD)
    assert materialised(result) == {"anomalies": (GOOD, ALSO_GOOD)}
    assert f"{BAD} at anomalies: Entity D0 has more than one row on {BAD}" in failure_of(result)
    assert short_fleet.states("anomalies")["failed"] == {BAD}


def test_a_check_that_holds_back_days_holds_back_no_other_day(
    short_fleet: ShortFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ae_assets.model import preparation

    assert short_fleet.run(DAILY, GOOD, ALSO_GOOD).success
    whole = preparation.features_of_block
    monkeypatch.setattr(
        preparation,
        "features_of_block",
        lambda *given, **named: whole(*given, **named).filter(
            (pl.col("day") != BAD) | (pl.int_range(pl.len()).over("day") < 3)
        ),
    )
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert not result.success
    assert materialised(result) == {
        **dict.fromkeys(DAILY_INPUT, (GOOD, BAD, ALSO_GOOD)),
        "anomalies": (GOOD, ALSO_GOOD),
    }
    assert f"{BAD} at features: rows_are_conserved: " in failure_of(result)
    assert short_fleet.states("anomalies")["failed"] == {BAD}
    assert BAD not in short_fleet.space.days_of("anomalies"), "they were made of other features"
    failure = recorded_failures(short_fleet.instance, periods.DAILY, short_fleet.key("anomalies"), DAYS)[BAD]
    assert (failure.asset, failure.check) == ("features", "rows_are_conserved")
    monkeypatch.undo()
    assert short_fleet.run(DAILY, BAD, BAD).success
    assert short_fleet.space.days_of("anomalies")[BAD] == 8


def test_the_last_step_of_a_run_says_what_failed_whichever_it_is(short_fleet: ShortFleet) -> None:
    empty(short_fleet)
    for assets, step in ((("raw",), "raw"), (DAILY_INPUT, "features"), (("raw", "anomalies"), "raw")):
        result = short_fleet.run(assets, GOOD, ALSO_GOOD)
        assert f"fleet__{step}" in result.get_failed_step_keys()
        assert materialised(result)["raw"] == (GOOD, ALSO_GOOD)


def test_a_failed_day_is_not_asked_for_again_and_stops_no_other_day_of_the_automation(short_fleet: ShortFleet) -> None:
    empty(short_fleet)
    short_fleet.run(("raw",), GOOD, ALSO_GOOD)
    asked = dg.evaluate_automation_conditions(short_fleet.definitions, short_fleet.instance)
    assert asked.get_requested_partitions(short_fleet.key("features")) == {str(GOOD), str(ALSO_GOOD)}


def test_an_alert_names_the_bad_day_alone_and_it_recovers_with_it(short_fleet: ShortFleet) -> None:
    graph = short_fleet.definitions.resolve_asset_graph()
    log = EventLog(short_fleet.instance, graph, None)
    cursor = Cursor(log.newest(), log.newest())
    problems: dict[str, Problem] = {}

    def look() -> list[tuple[str, str, frozenset[date]]]:
        """What is posted of runs: the event, the asset, and the days that are wrong."""
        nonlocal cursor, problems
        sightings, cursor = log.look(replace(cursor, until=log.newest()))
        followed = follow(problems, sightings, time.time(), Rules())
        problems = followed.problems
        return [
            (str(alert.event), alert.problem.sighting.subject.asset or "", alert.problem.days)
            for alert in followed.alerts
            if alert.problem.sighting.subject.kind is Kind.RUN
        ]

    empty(short_fleet)
    short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert look() == [("failing", "fleet/raw", frozenset({BAD}))]
    assert f"{BAD}.csv: the file is empty" in problems["run:fleet/raw:"].sighting.message
    assert short_fleet.run(DAILY, GOOD, GOOD).success
    assert look() == []
    short_fleet.run(("features", "quarantine"), BAD, BAD)
    assert look() == [], "it is still the same problem"
    short_fleet.write(BAD)
    assert short_fleet.run(DAILY, GOOD, ALSO_GOOD).success
    assert [(event, asset) for event, asset, _ in look()] == [("recovered", "fleet/raw")]


def test_a_run_that_is_executed_again_from_its_failure_fails_until_the_day_is_mended(
    short_fleet: ShortFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORT_FLEET", str(short_fleet.source.parent))
    empty(short_fleet)
    tags = {"dagster/asset_partition_range_start": str(GOOD), "dagster/asset_partition_range_end": str(ALSO_GOOD)}

    def execute(again: str | None = None) -> dg.JobExecutionResult:
        options = None if again is None else dg.ReexecutionOptions.from_failure(again, short_fleet.instance)
        job = dg.reconstructable(daily_job)
        return dg.execute_job(job, short_fleet.instance, tags=tags, reexecution_options=options)

    first = execute()
    again = execute(first.run_id)
    assert (first.success, again.success) == (False, False), "nothing was mended"
    assert [short_fleet.states(asset)["failed"] for asset in DAILY] == [{BAD}] * 4
    short_fleet.write(BAD)
    assert short_fleet.run(DAILY, BAD, BAD).success
    assert execute(again.run_id).success
