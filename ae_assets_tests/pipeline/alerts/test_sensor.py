"""Looks of the sensor at real runs, posted to a real server. test_daemon.py does it with the storage of a home."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg
import pytest

from ae_assets.errors import ConfigError, SourceError
from ae_assets.pipeline.alerts import event_log, sensor
from ae_assets.pipeline.alerts.delivery import DeliveryError, Service
from ae_assets.pipeline.alerts.sensor import alert_sensor
from ae_assets_tests.pipeline.alerts.receiver import Receiver, receiver

DAYS = dg.DailyPartitionsDefinition("2024-05-01", end_date="2024-08-01")
RAW, TOTALS = dg.AssetKey(["fleet", "raw"]), dg.AssetKey(["fleet", "totals"])


@dataclass
class Fleet:
    """A code location whose assets fail as a test says, its instance, and the sensor with its cursor."""

    instance: dg.DagsterInstance
    there: Receiver
    broken: str | None = None
    check: dg.AssetCheckResult | None = None
    blocking: dg.AssetCheckResult | None = None
    cursor: str | None = None
    said: str = ""
    definitions: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        @dg.multi_asset(
            specs=[dg.AssetSpec(RAW)],
            partitions_def=DAYS,
            backfill_policy=dg.BackfillPolicy.single_run(),
            check_specs=[dg.AssetCheckSpec("is_plausible", asset=RAW, description="Each day has its rows.")],
            name="fleet__raw",
        )
        def raw():
            if self.broken:
                raise RuntimeError("the step failed") from SourceError(self.broken)
            yield dg.MaterializeResult(
                check_results=[self.check or dg.AssetCheckResult(passed=True, check_name="is_plausible")]
            )

        @dg.multi_asset(
            specs=[dg.AssetSpec(TOTALS, deps=[RAW])],
            check_specs=[dg.AssetCheckSpec("adds_up", asset=TOTALS, blocking=True)],
            name="fleet__totals",
        )
        def totals():
            yield dg.MaterializeResult(check_results=[self.blocking or passed("adds_up")])

        self.definitions = dg.Definitions(
            assets=[raw, totals], sensors=[alert_sensor()], executor=dg.in_process_executor
        )

    def run(self, key: dg.AssetKey, first: str | None = None, last: str | None = None, **tags: str) -> str:
        if first is not None:
            tags["dagster/asset_partition_range_start"] = first
            tags["dagster/asset_partition_range_end"] = last or first
        job = self.definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=self.instance, asset_selection=[key], tags=tags, raise_on_error=False)
        return result.run_id

    def look(self) -> list[dict[str, Any]]:
        """One tick as the daemon does it: the cursor is kept unless the tick fails."""
        taken = len(self.there.taken)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions, sensor_name="alerts"
        ) as context:
            result = self.definitions.resolve_sensor_def("alerts").evaluate_tick(context)
        self.cursor, self.said = result.cursor or self.cursor, result.skip_message or ""
        return self.there.taken[taken:]

    def posted(self) -> list[dict[str, Any]]:
        """What is posted of all that happened until now: it is looked at once a second look has seen its end."""
        return [*self.look(), *self.look()]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(settings={"run_retries": {"enabled": True}}) as instance:
        yield instance


@pytest.fixture
def fleet(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setattr(sensor, "Service", partial(Service, wait_seconds=0.01))
    monkeypatch.setenv("AE_ASSETS_UI_URL", "https://dagster.example.com/")
    with receiver() as there:
        monkeypatch.setenv("AE_ASSETS_ALERT_URL", there.url)
        fleet = Fleet(instance, there)
        fleet.look()
        yield fleet


def test_a_failed_run_is_posted_with_our_own_words_its_days_and_a_link(fleet: Fleet) -> None:
    fleet.broken = "2024-05-02.csv: line 7 is no CSV"
    run_id = fleet.run(RAW, "2024-05-01", "2024-05-03")
    (alert,) = fleet.posted()
    expected = {
        "schema": "ae_assets.alert/1",
        "event": "failing",
        "kind": "run",
        "severity": "error",
        "title": "Error: fleet/raw: run failed",
        "table": "fleet",
        "asset": "fleet/raw",
        "check": None,
        "days": [{"first": "2024-05-01", "last": "2024-05-03"}],
        "message": fleet.broken,
        "count": 1,
        "run_id": run_id,
        "url": f"https://dagster.example.com/runs/{run_id}",
    }
    assert {key: alert[key] for key in expected} == expected


def test_an_event_is_looked_at_once_a_later_look_has_come_and_those_before_it_are_surely_written(fleet: Fleet) -> None:
    fleet.broken = "no such file"
    fleet.run(RAW, "2024-05-01")
    assert [len(fleet.look()) for _ in range(3)] == [0, 1, 0]


def test_it_is_posted_once_until_its_days_pass_and_then_once_more(fleet: Fleet) -> None:
    fleet.broken = "no such file"
    fleet.run(RAW, "2024-05-01")
    assert [alert["event"] for alert in fleet.posted()] == ["failing"]
    fleet.run(RAW, "2024-05-02")
    fleet.broken = None
    fleet.run(RAW, "2024-05-03")
    assert fleet.posted() == []
    repaired = fleet.run(RAW, "2024-05-01", "2024-05-02")
    (alert,) = fleet.posted()
    assert (alert["event"], alert["count"], alert["run_id"]) == ("recovered", 2, repaired)
    assert fleet.posted() == []


def test_what_failed_before_the_first_look_is_not_posted(fleet: Fleet) -> None:
    fleet.broken = "old"
    fleet.run(RAW, "2024-05-01")
    fleet.cursor = None
    assert fleet.look() == []
    assert fleet.posted() == []
    fleet.run(RAW, "2024-05-01")
    assert len(fleet.posted()) == 1


def test_a_failed_check_is_posted_with_its_verdict_and_proposition(fleet: Fleet) -> None:
    verdict = "2024-05-02 has 3 rows instead of 900"
    fleet.check = failed("is_plausible", verdict, dg.AssetCheckSeverity.WARN, failed_days=["2024-05-02"])
    run_id = fleet.run(RAW, "2024-05-01", "2024-05-04")
    (alert,) = fleet.posted()
    expected = {
        "kind": "check",
        "severity": "warning",
        "title": "Warning: fleet/raw: is_plausible failed",
        "check": "is_plausible",
        "message": verdict,
        "about": "Each day has its rows.",
        "days": [{"first": "2024-05-02", "last": "2024-05-02"}],
        "blocking": False,
        "run_id": run_id,
    }
    assert {key: alert[key] for key in expected} == expected
    fleet.check = None
    fleet.run(RAW, "2024-05-03")
    assert [alert["event"] for alert in fleet.posted()] == ["recovered"]  # this check does not say that it judges days
    fleet.check = failed("is_plausible", verdict, failed_days=["2024-05-02"])
    fleet.run(RAW, "2024-05-02")
    fleet.check = passed("is_plausible", failed_days=[])
    fleet.run(RAW, "2024-05-03")
    assert [alert["event"] for alert in fleet.posted()] == ["failing"]
    fleet.run(RAW, "2024-05-02")
    assert [alert["event"] for alert in fleet.posted()] == ["recovered"]


def test_a_run_that_a_blocking_check_stops_is_one_alert(fleet: Fleet) -> None:
    fleet.blocking = failed("adds_up", "3 rows are lost")
    fleet.run(TOTALS)
    (alert,) = fleet.posted()
    assert (alert["kind"], alert["check"], alert["blocking"]) == ("check", "adds_up", True)


def test_warnings_are_left_out_where_errors_are_asked_for(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AE_ASSETS_ALERT_ON", "error")
    fleet.check = failed("is_plausible", "few rows", dg.AssetCheckSeverity.WARN)
    fleet.run(RAW, "2024-05-01")
    assert fleet.posted() == []


def test_a_verdict_reported_outside_of_a_run_is_posted_once_and_its_end(fleet: Fleet) -> None:
    for passed, event in ((False, "failing"), (True, "recovered")):
        verdict = dg.AssetCheckEvaluation(RAW, "is_plausible", passed, description="36 hours old")
        fleet.instance.report_runless_asset_event(verdict)
        (alert,) = fleet.posted()
        assert (alert["event"], alert["run_id"], alert["count"]) == (event, None, 1)
        assert alert["url"] == "https://dagster.example.com/assets/fleet/raw?view=checks&checkDetail=is_plausible"
    assert fleet.posted() == []


def test_a_verdict_outside_of_a_run_that_was_there_before_the_first_look_is_posted(fleet: Fleet) -> None:
    fleet.cursor = None
    fleet.instance.report_runless_asset_event(dg.AssetCheckEvaluation(RAW, "is_plausible", passed=False))
    assert [alert["event"] for alert in fleet.posted()] == ["failing"]


def test_a_run_whose_process_died_is_posted_with_the_asset_where_it_stopped(fleet: Fleet) -> None:
    job = fleet.definitions.resolve_implicit_global_asset_job_def()
    selected = job.get_subset(asset_selection={RAW, TOTALS})
    run = fleet.instance.create_run_for_job(
        selected, asset_selection=frozenset({RAW, TOTALS}), tags={"dagster/partition": "2024-05-09"}
    )
    fleet.instance.report_run_failed(run, "Detected run worker status FAILED")
    (alert,) = fleet.posted()
    assert (alert["asset"], alert["message"]) == ("fleet/raw", "Detected run worker status FAILED")
    assert alert["days"] == [{"first": "2024-05-09", "last": "2024-05-09"}]


def test_a_run_that_dagster_tries_again_by_itself_is_not_posted(fleet: Fleet) -> None:
    fleet.broken = "no such file"
    fleet.run(RAW, "2024-05-01", **{"dagster/max_retries": "1"})
    assert fleet.posted() == []


def test_a_run_that_somebody_cancels_is_not_posted(fleet: Fleet) -> None:
    job = fleet.definitions.resolve_implicit_global_asset_job_def()
    run = fleet.instance.create_run_for_job(job.get_subset(asset_selection={RAW}), asset_selection=frozenset({RAW}))
    fleet.instance.report_run_canceled(run)
    assert fleet.posted() == []


def test_another_code_location_is_left_alone(fleet: Fleet) -> None:
    @dg.asset
    def other():
        raise RuntimeError

    dg.materialize([other], instance=fleet.instance, raise_on_error=False)
    assert fleet.posted() == []


def test_more_runs_than_a_look_takes_are_left_for_the_next_and_stay_one_problem(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "RUNS_A_LOOK", 3)
    fleet.broken = "no such file"
    for day in range(1, 6):
        fleet.run(RAW, f"2024-05-0{day}")
    assert len(fleet.posted()) == 1
    assert fleet.look() == []
    fleet.broken = None
    fleet.run(RAW, "2024-05-01", "2024-05-05")
    (alert,) = fleet.posted()
    assert (alert["event"], alert["count"]) == ("recovered", 5)


def test_while_the_service_is_away_looks_fail_and_nothing_is_lost(fleet: Fleet) -> None:
    fleet.broken = "no such file"
    fleet.run(RAW, "2024-05-01")
    fleet.look()
    before = fleet.cursor
    fleet.there.answers = [(503, {})] * 6
    for _ in range(2):
        with pytest.raises(DeliveryError, match="Nothing is lost"):
            fleet.look()
    fleet.blocking = failed("adds_up", "3 rows are lost")
    fleet.run(TOTALS)
    assert (fleet.cursor, fleet.there.taken, len(fleet.there.requests)) == (before, [], 6)
    alerts = fleet.posted()
    assert [alert["asset"] for alert in alerts] == ["fleet/raw", "fleet/totals"]
    assert {request["id"] for request in fleet.there.requests[:7]} == {alerts[0]["id"]}
    assert fleet.posted() == []


def test_alerts_that_were_delivered_before_the_service_went_away_are_not_sent_twice(fleet: Fleet) -> None:
    fleet.broken, fleet.blocking = "no such file", failed("adds_up", "3 rows are lost")
    fleet.run(RAW, "2024-05-01")
    fleet.run(TOTALS)
    fleet.look()
    fleet.there.answers = [(200, {}), *[(503, {})] * 3]
    assert len(fleet.look()) == 1
    assert "posted 1 of 2" in fleet.said
    assert len(fleet.look()) == 1
    assert fleet.posted() == []
    assert len({alert["id"] for alert in fleet.there.taken}) == 2


def test_an_open_problem_is_posted_again_after_the_quiet_period(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.broken = "no such file"
    fleet.run(RAW, "2024-05-01")
    fleet.posted()
    later = json.loads(fleet.cursor or "")
    later["problems"][0]["posted_at"] -= 24 * 3600
    fleet.cursor = json.dumps(later)
    assert [alert["event"] for alert in fleet.posted()] == ["still_failing"]
    monkeypatch.setenv("AE_ASSETS_ALERT_REPEAT_HOURS", "0")
    fleet.cursor = json.dumps(later)
    assert fleet.posted() == []


def test_a_service_that_takes_no_json_gets_a_text(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AE_ASSETS_ALERT_URL", fleet.there.url.replace("http://", "form://"))
    fleet.broken = "<2024-05-01.csv> & more" + "!" * 5000
    run_id = fleet.run(RAW, "2024-05-01")
    (message,) = fleet.posted()
    assert message["title"] == "Error: fleet/raw: run failed"
    assert message["message"].startswith("Days: 2024-05-01\n<2024-05-01.csv> & more!!!")
    assert len(message["message"]) < 1000
    assert message["message"].endswith(f"https://dagster.example.com/runs/{run_id}")


def test_without_a_service_the_look_says_what_to_set_and_keeps_what_is_due(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AE_ASSETS_ALERT_URL")
    fleet.broken = "no such file"
    fleet.run(RAW, "2024-05-01")
    assert fleet.posted() == []
    assert "set AE_ASSETS_ALERT_URL" in fleet.said
    assert alert_sensor().default_status is dg.DefaultSensorStatus.STOPPED
    monkeypatch.setenv("AE_ASSETS_ALERT_URL", fleet.there.url)
    assert len(fleet.posted()) == 1
    assert alert_sensor().default_status is dg.DefaultSensorStatus.RUNNING
    monkeypatch.setenv("AE_ASSETS_ALERT_URL", "teams")
    with pytest.raises(ConfigError, match="AE_ASSETS_ALERT_URL"):
        fleet.look()


@pytest.mark.parametrize("cursor", ["", "[]", "{}", "nonsense", '{"format": 2}', '{"format": 1, "after": 3}'])
def test_a_broken_cursor_starts_anew_instead_of_failing_for_ever(fleet: Fleet, cursor: str) -> None:
    fleet.cursor = cursor
    assert fleet.look() == []
    assert "from now on" in fleet.said
    fleet.broken = "no such file"
    fleet.run(RAW, "2024-05-01")
    assert len(fleet.posted()) == 1


def test_an_event_log_that_was_wiped_starts_the_cursor_anew(fleet: Fleet) -> None:
    fleet.cursor = json.dumps({**json.loads(fleet.cursor or ""), "after": 10**6, "until": 10**6})
    fleet.look()
    assert "from now on" in fleet.said


def failed(
    name: str, verdict: str, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR, **metadata: Any
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, check_name=name, description=verdict, severity=severity, metadata=metadata)


def passed(name: str, **metadata: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, check_name=name, metadata=metadata)
