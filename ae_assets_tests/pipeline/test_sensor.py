from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ae_assets.errors import LakehouseError
from ae_assets.pipeline.component import AnomalyPipeline
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.tables import FIRST, watched_table, write_day
from ae_assets_tests.pipeline.runs import PipelineAlone

DAYS = [FIRST + timedelta(days=offset) for offset in range(5)]
DRIVES = [(f"D{number}", 0, 0) for number in range(3)]


@pytest.fixture
def landing(tmp_path: Path) -> Any:
    """Ticks the table's sensor as the daemon does, with a cursor that survives a restart."""
    source = tmp_path / "source"
    source.mkdir()
    table = watched_table(str(source), sensor={"max_runs_per_tick": 2}, end="2013-12-31")
    definitions = dg.Definitions.merge(
        PipelineAlone(table).build_defs(None),
        dg.Definitions(
            resources={"lakehouse": LakehouseResource(home=str(tmp_path / "home"))}, executor=dg.in_process_executor
        ),
    )
    cursor: list[str | None] = [None]

    def tick() -> dg.SensorResult | dg.SkipReason:
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(
                instance=instance,
                cursor=cursor[0],
                definitions=definitions,
                sensor_name="fleet_landing",
                resources={"lakehouse": LakehouseResource(home=str(tmp_path / "home"))},
            ) as context,
        ):
            result = definitions.resolve_sensor_def("fleet_landing").evaluate_tick(context)
        cursor[0] = result.cursor or cursor[0]
        return result

    tick.source, tick.definitions = source, definitions  # type: ignore[attr-defined]
    return tick


def requested(result: Any) -> list[str]:
    return [request.partition_key for request in result.run_requests or []]


def test_new_days_are_requested_once_the_newest_first_where_others_wait_and_at_most_so_many_a_tick(
    landing: Any,
) -> None:
    for day in DAYS[:3]:
        write_day(landing.source, day, DRIVES)
    assert requested(landing()) == [DAYS[2].isoformat(), DAYS[0].isoformat()]
    assert requested(landing()) == [DAYS[1].isoformat()]
    last = landing()
    assert requested(last) == []
    assert "nothing new" in last.skip_message
    assert "3 days that were asked for are not loaded yet" in last.skip_message


def load(landing: Any, *days: date) -> None:
    """Loads days as a command does."""
    job = landing.definitions.resolve_implicit_global_asset_job_def()
    for day in days:
        raw = dg.AssetKey(["fleet", "raw"])
        assert job.execute_in_process(partition_key=day.isoformat(), asset_selection=[raw]).success


def test_days_that_a_command_has_loaded_are_not_requested_when_the_sensor_is_switched_on(landing: Any) -> None:
    for day in DAYS[:4]:
        write_day(landing.source, day, [] if day == DAYS[1] else DRIVES)
    load(landing, *DAYS[:3])
    first = landing()
    assert requested(first) == [DAYS[3].isoformat()]
    load(landing, DAYS[3])
    second = landing()
    assert requested(second) == []
    assert second.cursor == '{"version":1,"asked":{}}'


def test_a_file_that_is_as_it_once_was_is_requested_again_under_another_run_key(landing: Any) -> None:
    keys = []
    for drives in (DRIVES, [*DRIVES, ("D9", 0, 0)], DRIVES, [*DRIVES, ("D9", 0, 0)]):
        write_day(landing.source, DAYS[0], drives)
        (request,) = landing().run_requests
        keys.append(request.run_key)
        load(landing, DAYS[0])
    assert len(set(keys)) == 4


def test_a_day_whose_run_failed_is_not_requested_again_until_its_file_changes(landing: Any) -> None:
    path = write_day(landing.source, DAYS[0], DRIVES)
    path.write_text("no header of ours\n")
    assert requested(landing()) == [DAYS[0].isoformat()]
    job = landing.definitions.resolve_implicit_global_asset_job_def()
    raw = dg.AssetKey(["fleet", "raw"])
    failed = job.execute_in_process(partition_key=str(DAYS[0]), asset_selection=[raw], raise_on_error=False)
    assert not failed.success
    assert requested(landing()) == []
    write_day(landing.source, DAYS[0], DRIVES)
    assert requested(landing()) == [DAYS[0].isoformat()]


def test_tables_that_are_away_skip_the_tick(landing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise LakehouseError("the catalog is away")

    write_day(landing.source, DAYS[0], DRIVES)
    monkeypatch.setattr("ae_assets.chain.ledger.ledger_of", away)
    result = landing()
    assert requested(result) == []
    assert "what raw holds cannot be read now: the catalog is away" in result.skip_message
    monkeypatch.undo()
    assert requested(landing()) == [DAYS[0].isoformat()]


def test_a_replaced_file_is_requested_again_under_another_run_key(landing: Any) -> None:
    write_day(landing.source, DAYS[0], DRIVES)
    first = landing().run_requests[0]
    assert requested(landing()) == []
    write_day(landing.source, DAYS[0], [*DRIVES, ("D9", 0, 0)])
    again = landing().run_requests[0]
    assert (again.partition_key, again.run_key != first.run_key) == (first.partition_key, True)


def test_a_late_day_is_requested_though_later_days_are_done(landing: Any) -> None:
    write_day(landing.source, DAYS[3], DRIVES)
    landing()
    write_day(landing.source, DAYS[1], DRIVES)
    assert requested(landing()) == [DAYS[1].isoformat()]


def test_stray_files_and_days_outside_the_partitions_do_not_fail_the_tick(landing: Any) -> None:
    write_day(landing.source, DAYS[0], DRIVES)
    write_day(landing.source, FIRST - timedelta(days=1), DRIVES)
    (landing.source / "notes.txt").write_text("hello")
    (landing.source / "2013-02-31.csv").write_text("date\n")
    (landing.source / "data_Q1.zip").write_bytes(b"not an archive")
    assert requested(landing()) == [DAYS[0].isoformat()]


def test_a_source_that_is_away_skips_the_tick_and_loses_nothing(landing: Any) -> None:
    write_day(landing.source, DAYS[0], DRIVES)
    landing()
    away = landing.source.with_name("away")
    landing.source.rename(away)
    result = landing()
    assert requested(result) == []
    assert "cannot be listed" in result.skip_message
    away.rename(landing.source)
    assert requested(landing()) == []


def test_before_there_is_a_champion_the_days_are_prepared_up_to_their_features(landing: Any) -> None:
    write_day(landing.source, DAYS[0], DRIVES)
    (request,) = landing().run_requests
    assert {key.path[-1] for key in request.asset_selection} == {"raw", "features", "quarantine"}


def test_the_requested_run_fills_the_day(landing: Any) -> None:
    write_day(landing.source, DAYS[0], DRIVES)
    (request,) = landing().run_requests
    job = landing.definitions.resolve_job_def("fleet_daily")
    result = job.execute_in_process(partition_key=request.partition_key, asset_selection=request.asset_selection)
    assert {event.asset_key.path[-1] for event in result.get_asset_materialization_events()} == {
        "raw",
        "features",
        "quarantine",
    }


def test_a_file_name_that_would_break_a_log_is_escaped_in_the_tag_of_the_run(landing: Any) -> None:
    folder = landing.source / "in\n\x1b[2J"
    folder.mkdir()
    write_day(folder, DAYS[0], DRIVES)
    (request,) = landing().run_requests
    assert request.tags["ae_assets/source_file"] == f"in\\n\\x1b[2J/{DAYS[0]}.csv"
    job = landing.definitions.resolve_job_def("fleet_daily")
    assert job.execute_in_process(
        partition_key=request.partition_key, asset_selection=request.asset_selection, tags=request.tags
    ).success


def test_a_password_in_the_location_is_in_no_definition(tmp_path: Path) -> None:
    table = watched_table("https://ann:s3cr3t@127.0.0.1:9/a.zip?token=s3cr3t")
    definitions = AnomalyPipeline(table).build_defs(None)
    specs = [spec for assets in definitions.assets or [] for spec in assets.specs]
    shown = " ".join(f"{spec.metadata} {spec.description} {spec.tags}" for spec in specs)
    assert "https://127.0.0.1:9/a.zip" in shown
    assert "s3cr3t" not in shown
