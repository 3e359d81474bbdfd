import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ae_assets.errors import ConfigError
from ae_assets.model.definition import FreshnessSection, WatchedTable
from ae_assets.pipeline.freshness import CHECK, JUDGED, judge
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.tables import FIRST, watched_table, write_day
from ae_assets_tests.pipeline.runs import PipelineAlone, check_of

LIMITS = {"warn_after_hours": 36, "fail_after_hours": 60}
MIDNIGHT = datetime(2024, 5, 3, tzinfo=UTC)
"""The end of 2 May."""
RAW = dg.AssetKey(["fleet", "raw"])


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(-2, "passed"), (35.9, "passed"), (36, "WARN"), (59.9, "WARN"), (60, "ERROR"), (9000, "ERROR")],
)
def test_the_newest_day_is_judged_by_the_hours_since_it_ended(hours: float, expected: str) -> None:
    judged = judge(DAILY, date(2024, 5, 2), MIDNIGHT + timedelta(hours=hours), FreshnessSection(**LIMITS))
    assert judged.state == f"2024-05-02 {expected}"


def test_a_long_time_is_said_in_days() -> None:
    judged = judge(DAILY, date(2024, 5, 2), MIDNIGHT + timedelta(days=4_000), FreshnessSection(**LIMITS))
    assert "ended 4,000 days ago" in judged.words


def test_the_verdict_names_day_age_and_limits_whatever_the_clock_of_the_machine() -> None:
    berlin = (MIDNIGHT + timedelta(hours=40)).astimezone(tz=datetime.now().astimezone().tzinfo)
    judged = judge(DAILY, date(2024, 5, 2), berlin, FreshnessSection(**LIMITS))
    assert judged.words == (
        "the newest day, 2024-05-02, ended 40 hours ago; a warning after 36 hours, a failure after 60 hours"
    )


@pytest.mark.parametrize(
    ("freshness", "more", "message"),
    [
        ({"warn_after_hours": 36}, {}, "needs a fail_after_hours that is longer"),
        ({"warn_after_hours": 36, "fail_after_hours": 24}, {}, "needs a fail_after_hours that is longer"),
        ({"fail_after_hours": 0}, {}, "greater than or equal"),
        ({"fail_after_hours": 48}, {"end": "2013-12-31"}, "it would never be fresh again"),
    ],
)
def test_limits_that_make_no_sense_are_refused(freshness: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        watched_table(freshness=freshness, **more)


def bound(table: WatchedTable, home: Path) -> dg.Definitions:
    resources = {"lakehouse": LakehouseResource(home=str(home))}
    return dg.Definitions.merge(
        PipelineAlone(table).build_defs(None), dg.Definitions(resources=resources, executor=dg.in_process_executor)
    )


def test_nothing_is_judged_unless_it_is_set(tmp_path: Path) -> None:
    definitions = bound(watched_table(), tmp_path)
    graph = definitions.resolve_asset_graph()
    assert [node.key for node in graph.asset_nodes if node.freshness_policy] == []
    assert [key for key in graph.asset_check_keys if key.name == CHECK] == []
    assert "fleet_freshness" not in {sensor.name for sensor in definitions.sensors or ()}


def test_raw_and_anomalies_have_dagsters_policy_and_our_check(tmp_path: Path) -> None:
    graph = bound(watched_table(freshness=LIMITS), tmp_path).resolve_asset_graph()
    policies = {node.key.path[-1]: node.freshness_policy for node in graph.asset_nodes if node.freshness_policy}
    expected = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=60), warn_window=timedelta(hours=36))
    assert policies == dict.fromkeys(JUDGED, expected)
    assert {key.asset_key.path[-1] for key in graph.asset_check_keys if key.name == CHECK} == set(JUDGED)


@pytest.fixture
def fleet(tmp_path: Path) -> Any:
    """A table of a folder, with ticks of its freshness sensor and runs of raw in one instance."""
    table = watched_table(str(tmp_path / "source"), freshness=LIMITS)
    definitions = bound(table, tmp_path / "home")
    with dg.DagsterInstance.ephemeral() as instance:

        class Fleet:
            cursor: str | None = None

            def land(self, day: date) -> dg.ExecuteInProcessResult:
                write_day(tmp_path / "source", day, [(f"D{number}", 0, 0) for number in range(3)])
                job = definitions.resolve_job_def("fleet_daily")
                return job.execute_in_process(instance=instance, partition_key=day.isoformat(), asset_selection=[RAW])

            def look(self) -> list[tuple[str, bool, str]]:
                with dg.build_sensor_context(
                    instance=instance,
                    cursor=self.cursor,
                    definitions=definitions,
                    sensor_name="fleet_freshness",
                    resources={"lakehouse": LakehouseResource(home=str(tmp_path / "home"))},
                ) as context:
                    result = definitions.resolve_sensor_def("fleet_freshness").evaluate_tick(context)
                self.cursor = result.cursor
                return [(event.asset_key.path[-1], event.passed, event.severity.value) for event in result.asset_events]

        yield Fleet()


def test_the_sensor_reports_a_day_that_has_grown_old_once_and_when_a_new_one_is_there(
    fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(tz=UTC).date()
    assert fleet.look() == []
    old = fleet.land(today - timedelta(days=10))
    assert not check_of(old, "raw", CHECK).passed
    assert fleet.look() == [("raw", False, "ERROR")]
    assert fleet.look() == []
    still_old = fleet.land(FIRST)  # written now, and yet no newer day
    assert not check_of(still_old, "raw", CHECK).passed
    assert fleet.look() == []
    assert check_of(fleet.land(today - timedelta(days=1)), "raw", CHECK).passed
    assert fleet.look() == [("raw", True, "ERROR")]
    assert json.loads(fleet.cursor) == {"raw": f"{today - timedelta(days=1)} passed"}
