"""Which days a table has: those of its YAML, else those of its source and its tables, whoever loads it and when."""

import json
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.pipeline import partitions
from ae_assets.pipeline.partitions import EARLIEST, partitions_of, remember_periods
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.tables import attributes, storage_of, write_day
from ae_assets_tests.pipeline.runs import PipelineAlone, materialise

DAY = date(2016, 3, 26)
DAYS = [DAY + timedelta(days=number) for number in range(6)]
YESTERDAY = datetime.now(tz=UTC).date() - timedelta(days=1)
REMOTE = "https://127.0.0.1:9/data.zip"
DRIVES = [("A", 0, 0), ("B", 0, 1)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def table_of(location: object, **more: Any) -> WatchedTable:
    keys = attributes(str(location), **more)
    if "start" not in more:
        del keys["start"]
    return parse_table(keys, "defs.yaml")


def days_of(table: WatchedTable) -> tuple[date, date]:
    keys = partitions_of(table).get_partition_keys()
    return date.fromisoformat(keys[0]), date.fromisoformat(keys[-1])


def test_a_folder_that_has_ended_has_its_own_days_by_the_names_of_its_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for day in DAYS[1:3]:
        write_day(source / "2016", day, DRIVES)
    assert days_of(table_of(source)) == (DAYS[1], DAYS[2])
    with zipfile.ZipFile(source / "data.zip", "w") as archive:
        archive.writestr(f"data/{DAYS[4]}.csv", "date\n")
    (source / "broken.zip").write_text("no archive")
    assert days_of(table_of(source)) == (DAYS[1], DAYS[4])
    assert days_of(table_of(source / "data.zip")) == (DAYS[4], DAYS[4])


def test_days_of_a_source_that_goes_on_reach_until_yesterday(tmp_path: Path) -> None:
    write_day(tmp_path / "source", YESTERDAY - timedelta(days=40), DRIVES)
    assert days_of(table_of(tmp_path / "source")) == (YESTERDAY - timedelta(days=40), YESTERDAY)


def test_the_yaml_has_the_last_word(tmp_path: Path) -> None:
    write_day(tmp_path / "source", DAYS[2], DRIVES)
    assert days_of(table_of(tmp_path / "source", start=str(DAYS[0]))) == (DAYS[0], DAYS[2])
    assert days_of(table_of(tmp_path / "source", end=str(DAYS[5]))) == (DAYS[2], DAYS[5])
    assert days_of(table_of(tmp_path / "source", start=str(DAYS[0]), end=str(DAYS[1]))) == (DAYS[0], DAYS[1])


def test_a_simulated_fleet_has_its_own_days() -> None:
    assert days_of(table_of("simulated://?drives=9&days=12&start=2016-03-26")) == (DAY, DAY + timedelta(days=11))


def test_of_what_is_not_known_all_days_are_there_and_nobody_is_asked() -> None:
    for location in (REMOTE, "/no/such/folder"):
        assert days_of(table_of(location)) == (EARLIEST, YESTERDAY)


def test_a_server_is_known_by_what_was_listed_before_and_by_what_raw_holds(home: Path) -> None:
    table = table_of(REMOTE)
    space = storage_of(table, home)
    remember_periods(home, space, listed=DAYS[2:4])
    assert days_of(table) == (DAYS[2], DAYS[3])
    remember_periods(home, space, loaded=[DAYS[0]])
    assert days_of(table) == (DAYS[0], DAYS[3])
    remember_periods(home, space, listed=DAYS[3:4])
    assert days_of(table) == (DAYS[0], DAYS[3]), "what earlier processes had is never taken away"
    another = table_of("https://127.0.0.1:9/another.zip?token=s3cr3t")
    assert days_of(another) == (DAYS[0], DAYS[0]), "the days that raw holds stay, those of the former source do not"
    remember_periods(home, storage_of(another, home), listed=DAYS[4:])
    assert days_of(another) == (DAYS[0], DAYS[5])
    assert "s3cr3t" not in (home / "days" / "fleet.json").read_text()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"held": 3}', '{"held": ["x", "y"]}', json.dumps({"held": None})])
def test_a_file_of_days_that_is_none_of_ours_is_no_knowledge(home: Path, content: str) -> None:
    (home / "days").mkdir(parents=True)
    (home / "days" / "fleet.json").write_text(content)
    table = table_of(REMOTE)
    assert days_of(table) == (EARLIEST, YESTERDAY)
    remember_periods(home, storage_of(table, home), listed=DAYS)
    assert days_of(table) == (DAYS[0], DAYS[5])


def test_a_home_that_cannot_be_written_does_no_harm(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("a file in its place")
    table = table_of(REMOTE)
    space = storage_of(table, home.with_name("elsewhere"))
    remember_periods(home, space, listed=DAYS)
    assert days_of(table) == (EARLIEST, YESTERDAY)


def test_days_whose_files_are_gone_stay_as_long_as_raw_has_had_them(tmp_path: Path, home: Path) -> None:
    for day in DAYS[:3]:
        write_day(tmp_path / "source", day, DRIVES)
    table = table_of(tmp_path / "source")
    assert materialise(table, home, ("raw",), (DAYS[0], DAYS[2])).success
    (tmp_path / "source" / f"{DAYS[0]}.csv").unlink()
    write_day(tmp_path / "source", DAYS[4], DRIVES)
    assert days_of(table) == (DAYS[0], DAYS[4])
    result = materialise(table, home, ("raw", "features", "quarantine"), (DAYS[0], DAYS[4]))
    assert result.success


def test_a_home_that_was_filled_before_days_were_kept_brings_those_of_raw(tmp_path: Path, home: Path) -> None:
    for day in DAYS[:3]:
        write_day(tmp_path / "source", day, DRIVES)
    table = table_of(tmp_path / "source")
    assert materialise(table, home, ("raw",), (DAYS[0], DAYS[2])).success
    (home / "days" / "fleet.json").unlink()
    remember_periods(home, storage_of(table, home), loaded=[DAYS[4]])
    for path in (tmp_path / "source").iterdir():
        path.unlink()
    assert days_of(table) == (DAYS[0], DAYS[4])


def test_the_sensor_waits_with_days_that_came_after_the_code_location_was_loaded(
    tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "source"
    write_day(source, DAYS[1], DRIVES)
    resources = {"lakehouse": LakehouseResource(home=str(home))}

    def tick() -> list[str]:
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(
                instance=instance, definitions=definitions, sensor_name="fleet_landing", resources=resources
            ) as context,
        ):
            result = definitions.resolve_sensor_def("fleet_landing").evaluate_tick(context)
        return sorted(request.partition_key for request in result.run_requests or [])

    def load() -> dg.Definitions:
        return dg.Definitions.merge(
            PipelineAlone(table_of(source)).build_defs(None),  # type: ignore[arg-type]  # it looks at no context
            dg.Definitions(resources=resources, executor=dg.in_process_executor),
        )

    definitions = load()
    write_day(source, DAYS[0], DRIVES)
    write_day(source, DAYS[3], DRIVES)
    assert tick() == [str(DAYS[1])]
    definitions = load()
    assert tick() == [str(DAYS[0]), str(DAYS[1]), str(DAYS[3])]


def test_what_ends_is_not_taken_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_day(tmp_path / "source", YESTERDAY - timedelta(days=40), DRIVES)
    monkeypatch.setattr(partitions, "ENDED_AFTER_DAYS", 30)
    assert days_of(table_of(tmp_path / "source"))[1] == YESTERDAY - timedelta(days=40)
