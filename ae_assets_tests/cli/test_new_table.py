"""``new`` proposes a YAML that loads, says what it is unsure of, and ``check`` says whether the contract holds."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result

from ae_assets.cli import main
from ae_assets.cli.exit_codes import CHECK_FAILED, DONE, WRONG_USE
from ae_assets.detectors.config import ExcessRuleConfig, PcaConfig
from ae_assets.model.definition import WatchedTable
from ae_assets.model.life import LifeRange
from ae_assets.model.parse import parse_table
from ae_assets.schemas.durations import written
from ae_assets.sources.csv_day import parse_day
from ae_assets.sources.reader import read_file
from ae_assets_tests.chain import pumps

PYPROJECT = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{module}"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    module = f"own_{abs(hash(tmp_path))}"
    folder = tmp_path / "project"
    (folder / module / "defs").mkdir(parents=True)
    (folder / module / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PYPROJECT.format(module=module))
    monkeypatch.setenv("AE_ASSETS_PROJECT", str(folder))
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / "home"))
    path = list(sys.path)
    yield folder / module / "defs"
    sys.path[:] = path


def ae_assets(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def proposed(path: Path) -> WatchedTable:
    return parse_table(yaml.safe_load(path.read_text())["attributes"], str(path))


def proposal_of(tmp_path: Path, content: str, name: str = "a.csv") -> tuple[WatchedTable, Result]:
    (tmp_path / name).write_text(content)
    result = ae_assets("new", "table", "--from", tmp_path / name, "--output", tmp_path / "defs.yaml")
    assert result.exit_code == DONE, result.output
    return proposed(tmp_path / "defs.yaml"), result


def columns_of(table: WatchedTable) -> Any:
    assert table.source.columns is not None
    return table.source.columns


def test_files_of_a_day_each_are_proposed_loaded_and_hold(project: Path, tmp_path: Path) -> None:
    pumps.write_csv(tmp_path / "in")
    result = ae_assets("new", "pumps", "--from", tmp_path / "in")
    assert result.exit_code == DONE, result.output
    table = proposed(project / "pumps" / "defs.yaml")
    columns = columns_of(table)
    assert (table.source.separator, table.source.days_per_file) == (";", "one")
    assert (columns.time.column, columns.time.format, columns.entity.column) == (("Datum",), ("%d.%m.%Y",), "Pumpe")
    assert (columns.cohort, columns.label) == (None, None)
    assert {name: value.type for name, value in columns.values.items()} == {
        "Druck (bar)": "float",
        "Schwingung": "float",
        "Stunden": "int",
    }
    assert columns.values["Schwingung"].missing == ("-9999",)
    assert table.features.age_column == "Stunden"
    assert table.features.attributes["Stunden"].transforms == ("drift",)
    assert "unsure: Bauart" in result.output

    result = ae_assets("check", "pumps")
    assert (result.exit_code, result.output.splitlines()[-1]) == (DONE, "the contract holds")


def test_one_file_of_all_days_with_cohort_and_label(project: Path, tmp_path: Path) -> None:
    pumps.write_parquet(tmp_path / "in" / "pumps.parquet")
    assert ae_assets("new", "pumps", "--from", tmp_path / "in" / "pumps.parquet").exit_code == DONE
    table = proposed(project / "pumps" / "defs.yaml")
    columns = columns_of(table)
    assert columns.label is not None
    named = (columns.entity.column, columns.cohort, columns.label.column)
    assert (table.source.days_per_file, *named) == ("many", "pump", "kind", "broken")
    result = ae_assets("check", "pumps", "--day", pumps.FIRST)
    assert result.exit_code == DONE
    assert f"{pumps.FIRST}, pumps.parquet: 40 rows" in result.output


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    pumps.write_parquet(tmp_path / "in" / "pumps.parquet")
    (tmp_path / "defs.yaml").write_text("mine")
    result = ae_assets("new", "pumps", "--from", tmp_path / "in", "--output", tmp_path / "defs.yaml")
    assert (result.exit_code, (tmp_path / "defs.yaml").read_text()) == (WRONG_USE, "mine")


def test_an_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    pumps.write_parquet(tmp_path / "in" / "pumps.parquet")
    (tmp_path / "file").touch()
    result = ae_assets("new", "pumps", "--from", tmp_path / "in", "--output", tmp_path / "file" / "defs.yaml")
    assert result.exit_code == WRONG_USE
    assert "cannot be written" in result.output


DAILY = "at,pump,v\n" + "".join(f"2024-04-{day:02},{pump},{day}.5\n" for day in range(1, 9) for pump in "ab")


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("{day:02}.04.2024", ("%d.%m.%Y",)),
        ("2024-04-{day:02}", ()),
        ("202404{day:02}", ()),
        ("2024/04/{day:02}", ()),
        ("2024-04-{day:02} 06:15", ("%Y-%m-%d %H:%M",)),
        ("2024-04-{day:02} 06:15:00.000", ("%Y-%m-%d %H:%M:%S%.f",)),
        ("2024-04-{day:02}T06:15:00Z", ("%Y-%m-%dT%H:%M:%SZ",)),
        ("2024-04-{day:02}T06:15:00+02:00", ("%Y-%m-%dT%H:%M:%S%:z",)),
        ("2024-04-{day:02}T06:15:00.250Z", ("%Y-%m-%dT%H:%M:%S%.fZ",)),
        ("2024-04-{day:02}T06:15", ("%Y-%m-%dT%H:%M",)),
        ("2024-04-{day:02} 06:15:00+0200", ("%Y-%m-%d %H:%M:%S%z",)),
        ("04/{day:02}/2024 06:15:00 PM", ("%m/%d/%Y %I:%M:%S %p",)),
        ("17130{day:02}000", ("%s",)),
        ("17130{day:02}000500", ("%Q",)),
    ],
)
def test_times_are_found_as_they_are_written_and_read_so(tmp_path: Path, written: str, form: tuple[str, ...]) -> None:
    rows = [f"{written.format(day=day)},{pump},{day}.5" for day in range(13, 28) for pump in "ab"]
    table, _ = proposal_of(tmp_path, "\n".join(["at,pump,v", *rows, ""]))
    assert columns_of(table).time.format == form
    rows_read = parse_day((tmp_path / "a.csv").read_bytes(), "a.csv", table.source.reading)
    assert rows_read["at"].null_count() == 0


def test_a_date_and_a_time_of_day_in_columns_of_their_own_are_put_together(tmp_path: Path) -> None:
    rows = [f"2024-04-{hour // 24 + 1:02},{hour % 24:02}:00:00,{hour}.5" for hour in range(60)]
    table, _ = proposal_of(tmp_path, "\n".join(["date,time,flow", *rows, ""]))
    assert columns_of(table).time.column == ("date", "time")
    read = parse_day((tmp_path / "a.csv").read_bytes(), "a.csv", table.source.reading)
    assert read[columns_of(table).time.name][25] == datetime(2024, 4, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(("last", "sure"), [(12, False), (27, True)])
def test_a_date_that_could_be_two_is_said(tmp_path: Path, last: int, sure: bool) -> None:
    rows = [f"{day:02}/04/2024,{pump},{day}.5" for day in range(last - 8, last + 1) for pump in "ab"]
    table, result = proposal_of(tmp_path, "\n".join(["at,pump,v", *rows, ""]))
    assert columns_of(table).time.format == ("%d/%m/%Y",)
    assert ("may be written %m/%d/%Y" in result.output) == (not sure)
    assert ("UNSURE" in (tmp_path / "defs.yaml").read_text()) == (not sure)


def test_a_time_in_parts_may_have_a_name_that_the_tables_use_themselves(tmp_path: Path) -> None:
    rows = [f"2024\t4\t{hour % 28 + 1}\t{hour % 24}\t{hour}.5" for hour in range(60)]
    table, _ = proposal_of(tmp_path, "\n".join(["Year\tMonth\tDay\tHour\tflow", *rows, ""]))
    assert table.source.separator == "\t"
    assert columns_of(table).time.column == ("Year", "Month", "Day", "Hour")
    read = parse_day((tmp_path / "a.csv").read_bytes(), "a.csv", table.source.reading)
    assert read.columns == ["Year", "Month", "file_Day", "file_Hour", "flow", "time", "source_row", "rescued"]
    assert read["time"][1] == datetime(2024, 4, 2, 1, tzinfo=UTC)


def test_decimals_behind_a_comma_are_numbers(tmp_path: Path) -> None:
    table, _ = proposal_of(tmp_path, DAILY.replace(",", ";").replace(".5", ",5"))
    assert (table.source.separator, table.source.decimal_mark) == (";", ",")


def test_json_lines_without_a_line_end_are_proposed(tmp_path: Path) -> None:
    frame = pl.read_csv(DAILY.encode())
    content = "\n".join(json.dumps(row) for row in frame.to_dicts())
    table, _ = proposal_of(tmp_path, content, "a.jsonl")
    assert list(columns_of(table).values) == ["v"]


def test_a_file_of_one_device_is_named_after_it(tmp_path: Path) -> None:
    rows = [f"2024-04-{day:02},{day}.5" for day in range(1, 20)]
    table, result = proposal_of(tmp_path, "\n".join(["at,v", *rows, ""]))
    assert columns_of(table).entity.file_name == r"^(.+)\.[^.]+$"
    assert "UNSURE" not in result.output


START = datetime(2024, 4, 15, tzinfo=UTC)


def series(step: timedelta, count: int, form: str, value: float = 1.5) -> str:
    rows = [f"{START + number * step:{form}},{pump},{value + number % 3}" for number in range(count) for pump in "ab"]
    return "\n".join(["at,pump,v", *rows, ""])


@pytest.mark.parametrize(
    ("step", "form", "partitions", "cadence", "look_back"),
    [
        (timedelta(seconds=40), "%Y-%m-%d %H:%M:%S", "hourly", timedelta(seconds=40), 11 / 24),
        (timedelta(seconds=1), "%Y-%m-%d %H:%M:%S", "daily", timedelta(seconds=1), 7),
        (timedelta(minutes=15), "%Y-%m-%d %H:%M", "daily", timedelta(minutes=15), 7),
        (timedelta(hours=8), "%Y-%m-%d %H:%M", "daily", timedelta(hours=8), 7),
        (timedelta(days=1), "%Y-%m-%d", "daily", None, 28),
        (timedelta(days=2), "%Y-%m-%d", "weekly", timedelta(days=2), 84),
        (timedelta(days=7), "%Y-%m-%d", "weekly", None, 84),
    ],
)
def test_cadence_and_partitions_follow_from_the_time_between_records(
    project: Path,
    tmp_path: Path,
    step: timedelta,
    form: str,
    partitions: str,
    cadence: timedelta | None,
    look_back: float,
) -> None:
    count = 2161 if partitions == "hourly" else 40  # a day and 40 seconds
    (tmp_path / "pumps.csv").write_text(series(step, count, form))
    assert ae_assets("new", "pumps", "--from", tmp_path / "pumps.csv").exit_code == DONE
    table = proposed(project / "pumps" / "defs.yaml")
    assert (table.partitions, columns_of(table).time.cadence) == (partitions, cadence)
    assert table.features.look_back == timedelta(days=look_back)
    result = ae_assets("check", "pumps")
    assert (result.exit_code, result.output.splitlines()[-1]) == (DONE, "the contract holds")


@pytest.mark.parametrize(
    ("name", "partitions"),
    [("2024-04-15T00.csv", "hourly"), ("2024/04/15/00/a.csv", "hourly"), ("2024-W16.csv", "weekly")],
)
def test_files_that_are_named_after_hours_or_weeks_are_read_so(
    project: Path, tmp_path: Path, name: str, partitions: str
) -> None:
    (tmp_path / "in" / name).parent.mkdir(parents=True)
    (tmp_path / "in" / name).write_text(series(timedelta(minutes=5), 12, "%Y-%m-%d %H:%M"))
    assert ae_assets("new", "pumps", "--from", tmp_path / "in").exit_code == DONE
    table = proposed(project / "pumps" / "defs.yaml")
    assert (table.partitions, table.source.days_per_file) == (partitions, "one")
    result = ae_assets("check", "pumps")
    assert result.exit_code == DONE, result.output
    assert f"1 {table.periods.noun}s from {table.periods.key(table.periods.of(START))}" in result.output


def stations(folder: Path) -> Path:
    """Two years of one station and one of another, in two spellings of times, with remarks; and a file of rain."""
    quarter = timedelta(minutes=15)
    times = [START + number * quarter for number in range(200)]
    with ZipFile(folder / "rivers.zip", "w") as archive:
        for name, form, year in (
            ("Mill", "%Y-%m-%d %H:%M", 0),
            ("Mill", "%Y-%m-%d %H:%M", 1),
            ("Ford", "%d.%m.%Y %H:%M:%S", 0),
        ):
            rows = [
                f"{time + year * timedelta(days=365):{form}},{-9999 if number == 7 else number % 9},{number % 9},"
                f"{'' if number % 50 else 5}"
                for number, time in enumerate(times)
            ]
            archive.writestr(f"x/{name}{2024 + year}.csv", "\n".join(["at,level,level_cor,level_qual", *rows]))
        archive.writestr("x/Rain.csv", "\n".join(["at,inch", *(f"{time:%Y-%m-%d %H:%M},0.1" for time in times)]))
        archive.writestr("x/LICENSE", "free")
    return folder / "rivers.zip"


def test_an_archive_of_stations_is_proposed_by_what_its_files_have_in_common(project: Path, tmp_path: Path) -> None:
    result = ae_assets("new", "rivers", "--from", stations(tmp_path))
    assert result.exit_code == DONE, result.output
    table = proposed(project / "rivers" / "defs.yaml")
    columns = columns_of(table)
    assert set(columns.time.format) == {"%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S"}
    assert (table.partitions, columns.time.cadence) == ("daily", timedelta(minutes=15))
    assert [re.search(columns.entity.file_name, name)[1] for name in ("Mill2024.csv", "Ford2025.csv")] == [
        "Mill",
        "Ford",
    ]  # type: ignore[index]
    assert (list(columns.values), columns.values["level"].missing) == (["level"], ("-9999",))
    assert (table.source.last_line_end, table.source.files) == ("optional", None)
    for doubt in ("level_qual: they may mark abnormal records", "level_cor equals level in", "Rain.csv"):
        assert doubt in result.output
    result = ae_assets("check", "rivers")
    assert result.exit_code == DONE, result.output
    assert "Rain.csv" in result.output
    assert "a device has up to 96 records, one every 15 minutes" in result.output
    path = project / "rivers" / "defs.yaml"
    path.write_text(path.read_text().replace("# label: {columns", "label: {columns"))
    result = ae_assets("check", "rivers", "--day", START.date())
    assert "4 records are marked as abnormal" in result.output
    assert "the YAML does not name them: level_cor\n" in result.output


def test_check_reads_a_day_in_which_the_devices_report(project: Path, tmp_path: Path) -> None:
    (tmp_path / "pumps.csv").write_text(series(timedelta(hours=1), 49, "%Y-%m-%d %H:%M"))
    assert ae_assets("new", "pumps", "--from", tmp_path / "pumps.csv").exit_code == DONE
    assert f"\n{START.date() + timedelta(days=1)}, pumps.csv: 48 rows" in ae_assets("check", "pumps").output


def test_a_file_of_something_else_is_left_out_by_the_names_of_the_others(project: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Flow_1.csv").write_text(series(timedelta(hours=1), 40, "%Y-%m-%d %H:%M"))
    (tmp_path / "in" / "Rain.csv").write_text("at,inch\n2024-04-15 00:00,0.1\n")
    assert ae_assets("new", "flow", "--from", tmp_path / "in").exit_code == DONE
    assert proposed(project / "flow" / "defs.yaml").source.files == "Flow_1*"


MARKED = [
    f"{START + number * timedelta(minutes=5):%Y-%m-%d %H:%M},{number % 7},{number % 7 + 1},{int(60 < number < 90)},"
    f"{int(number in (61, 90))},{number % 11}"
    for number in range(4000)
]


def test_of_a_series_records_are_abnormal_and_each_device_is_judged_by_itself(tmp_path: Path) -> None:
    table, result = proposal_of(
        tmp_path, "\n".join(["at,flow,flow_corrected,anomaly,changepoint,level", *MARKED, ""]), "a.csv"
    )
    columns = columns_of(table)
    assert (columns.label.columns, columns.label.abnormal) == (("anomaly",), ("1", "1.0"))
    assert list(columns.values) == ["flow", "level"]
    for name in ("flow_corrected", "changepoint"):
        assert re.search(rf"unsure: {name} .* is not measured", result.output)
    assert columns.values["flow"].at_least is None
    assert table.features.attributes["flow"].transforms == ("level", "growth", "range")
    spans = table.features.spans_of("flow")
    assert [written(span) for span in spans] == ["5m", "20m", "2h", "8h"], "the longest is a twelfth of 6 days at most"
    detector = table.detector
    assert isinstance(detector, PcaConfig)
    assert (detector.statistic, detector.per) == ("t2_and_q", "entity")
    assert table.threshold.model_dump()["percentile"] == 99.2, "2.4 records in 288 a day"
    assert (table.learned, table.calibration_of_life(table.learned)) == (LifeRange(1, 6), LifeRange(8, 8))
    assert table.features.look_back == timedelta(days=9)


def test_a_series_of_one_value_is_held_against_its_own_past(project: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for device, begin in {"a": START, "b": START + timedelta(days=70)}.items():
        times = [begin + number * timedelta(minutes=5) for number in range(14 * 288)]
        lines = [f"{at:%Y-%m-%d %H:%M},{at.hour + at.minute % 7 / 10}" for at in times]
        (tmp_path / "in" / f"{device}.csv").write_text("\n".join(["at,load", *lines, ""]))

    assert ae_assets("new", "load", "--from", tmp_path / "in").exit_code == DONE

    table = proposed(project / "load" / "defs.yaml")
    assert isinstance(table.detector, ExcessRuleConfig)
    assert table.detector.features == ("load_excess", "load_excess_2h")
    assert (table.learned, table.calibration.days) == (LifeRange(1, 1), 1), "of 14 days of each device"
    assert [written(span) for span in table.features.spans] == ["5m", "7d"]
    assert table.decision.episodes.hold == timedelta(hours=12)


def test_of_devices_with_a_record_a_day_a_label_says_which_failed(tmp_path: Path) -> None:
    rows = [f"2024-04-{day:02},{pump},{day}.5,{int(day == 9)}" for day in range(1, 20) for pump in ("a", "b")]
    table, _ = proposal_of(tmp_path, "\n".join(["at,pump,load,failed", *rows, ""]))
    assert columns_of(table).label.column == "failed"
    assert table.detector.per == "table"


def test_a_counter_of_use_gives_its_growth_and_one_of_errors_its_level_too(tmp_path: Path) -> None:
    rows = [
        f"2024-04-{day:02},{pump},{7 * day},{int(day > 9)},{day % 3}" for day in range(1, 20) for pump in ("a", "b")
    ]
    table, _ = proposal_of(tmp_path, "\n".join(["at,pump,starts,errors,load", *rows, ""]))
    made = {name: (one.kind, one.transforms) for name, one in table.features.attributes.items()}
    assert made == {"starts": ("counter", ("growth",)), "errors": ("counter", None), "load": ("gauge", None)}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("pump,v\na,1.5\nb,2.5\n", "looks like a time"),
        ("at,pump\n2024-04-01,a\n2024-04-02,a\n", "holds numbers"),
        ("at,pump,v\n", "no line after its header"),
        ("", "no line after its header"),
    ],
)
def test_a_file_that_no_table_can_be_made_of_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    result = ae_assets("new", "table", "--from", tmp_path / "a.csv", "--output", tmp_path / "defs.yaml")
    assert (result.exit_code, (tmp_path / "defs.yaml").exists()) == (WRONG_USE, False)
    assert says in result.output


def test_a_contract_that_does_not_hold_is_told_by_rule(project: Path, tmp_path: Path) -> None:
    pumps.write_csv(tmp_path / "in")
    assert ae_assets("new", "pumps", "--from", tmp_path / "in").exit_code == DONE
    path = project / "pumps" / "defs.yaml"
    path.write_text(path.read_text().replace("%d.%m.%Y", "%m.%d.%Y"))
    result = ae_assets("check", "pumps")
    assert result.exit_code == CHECK_FAILED
    assert "40 of 40 rows are set aside: 40 by time_is_readable (Datum '19.04.2024')" in result.output
    assert "no row has a value of Schwingung" in result.output
    assert result.output.splitlines()[-1] == "the contract does not hold"


def test_check_reads_the_intervals_beside_the_yaml_and_refuses_a_wrong_file(project: Path, tmp_path: Path) -> None:
    (tmp_path / "pumps").mkdir()
    (tmp_path / "pumps" / "2024-04-17.csv").write_text("date,pump,pressure\n2024-04-17,A,6.1\n2024-04-17,B,6.0\n")
    columns = {"time": "date", "entity": "pump", "values": {"pressure": {}}}
    attributes = {
        "table": "pumps",
        "source": {"location": str(tmp_path / "pumps"), "columns": columns},
        "target": {"file": "labels.csv"},
        "features": {"attributes": {"pressure": {"kind": "gauge", "meaning": "pressure"}}},
    }
    folder = project / "pumps"
    folder.mkdir()
    (folder / "defs.yaml").write_text(yaml.safe_dump({"type": "ae_assets.AnomalyPipeline", "attributes": attributes}))
    result = ae_assets("check", "pumps")
    assert result.exit_code == WRONG_USE
    assert str(folder / "labels.csv") in result.output
    (folder / "labels.csv").write_text("entity,start,end\nA,2024-04-17,2024-04-18\n")
    result = ae_assets("check", "pumps")
    assert result.exit_code == DONE, result.output
    assert "1 intervals of 1 devices" in result.output


def experiments(folder: Path, count: int = 1000, label: str = "1.0") -> Path:
    """Files of the same names in folders, a record a second each, abnormal from the 600th on; and one that is not."""
    for place, name in enumerate(("valve/0", "valve/1", "pump/0", "free/free")):
        begins, (part, number) = START + timedelta(hours=5 * place), name.split("/")
        lines = [
            f"{begins + timedelta(seconds=second):%Y-%m-%d %H:%M:%S};{second % 7}.5;{second % 5}.5;"
            f"{label if second >= 600 and part != 'free' else '0.0'};{'1.0' if second == 600 else '0.0'}"
            for second in range(count)
        ]
        path = folder / part / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["datetime;flow;volt;anomaly;changepoint", *lines, ""]))
    return folder


def test_files_of_minutes_are_devices_by_their_paths_and_are_learned_from_by_their_records(
    project: Path, tmp_path: Path
) -> None:
    result = ae_assets("new", "bench", "--from", experiments(tmp_path / "in"))
    assert result.exit_code == DONE, result.output
    table = proposed(project / "bench" / "defs.yaml")
    columns = columns_of(table)
    assert columns.entity.of_file.search("/data/in/valve/0.csv")[1] == "valve/0"
    assert (table.partitions, columns.label.columns, list(columns.values)) == ("daily", ("anomaly",), ["flow", "volt"])
    assert table.learned is not None
    calibrated = table.calibration_of_life(table.learned)
    assert calibrated is not None
    assert table.learned.unit == calibrated.unit == "records"
    assert 200 <= table.learned.last < calibrated.first < calibrated.last <= 600
    assert all(12 * span <= timedelta(seconds=table.learned.last) for span in table.features.spans_of("flow"))
    result = ae_assets("check", "bench")
    assert result.exit_code == DONE, result.output
    assert "4 devices" in result.output


def test_a_column_that_is_known_now_and_then_names_no_device_and_one_that_stands_still_is_no_label(
    tmp_path: Path,
) -> None:
    rows = [
        f"{START + number * timedelta(minutes=15):%Y-%m-%d %H:%M},{number % 9},0,{'ICE' if number in (50, 70) else ''}"
        for number in range(400)
    ]
    table, result = proposal_of(tmp_path, "\n".join(["at,level,spare,level_name", *rows, ""]))
    assert columns_of(table).entity.column is None
    assert "spare holds only" not in result.output


def test_series_of_different_cadences_are_counted_in_records_that_the_look_back_of_the_slowest_holds(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name, minutes, count in (("fast", 5, 4000), ("slow", 60, 400)):
        times = [START + number * timedelta(minutes=minutes) for number in range(count)]
        rows = [f"{time:%Y-%m-%d %H:%M:%S},{number % 17}.5" for number, time in enumerate(times)]
        (tmp_path / "in" / f"{name}.csv").write_text("\n".join(["timestamp,value", *rows, ""]))
    result = ae_assets("new", "series", "--from", tmp_path / "in")
    assert "others every hour" in result.output
    table = proposed(project / "series" / "defs.yaml")
    assert table.learned == LifeRange(1, 30, "records")
    assert table.calibration_of_life(table.learned) == LifeRange(31, 60, "records")
    assert table.features.look_back >= 60 * timedelta(hours=1)


def headerless(folder: Path) -> Path:
    """Two machines of three channels, without header or time, and files beside them with a 0 or 1 for each line."""
    for place in ("test", "test_label"):
        (folder / place).mkdir(parents=True)
    for name, count in (("m-1", 400), ("m-2", 500)):
        rows = [f"0.{line % 7},0.{line % 5 + 1},0.000" for line in range(count)]
        (folder / "test" / f"{name}.txt").write_text("\n".join([*rows, ""]))
        (folder / "test_label" / f"{name}.txt").write_text("".join(f"{int(300 <= n < 310)}\n" for n in range(count)))
    return folder


def test_labels_of_somebody_else_stay_as_they_are(tmp_path: Path) -> None:
    own = tmp_path / "labels.csv"
    own.write_text("mine")
    result = ae_assets("new", "machines", "--from", headerless(tmp_path / "in"), "--output", tmp_path / "machines.yaml")
    assert result.exit_code == WRONG_USE, result.output
    assert own.read_text() == "mine"
    assert not (tmp_path / "machines.yaml").exists()


def test_files_without_header_and_time_are_told_their_columns_and_counted_times(project: Path, tmp_path: Path) -> None:
    result = ae_assets("new", "machines", "--from", headerless(tmp_path / "in"))
    assert result.exit_code == DONE, result.output
    for doubt in ("the files have no header", "no column says when a line was written", "labels.csv is made of"):
        assert f"unsure: {doubt}" in result.output
    path = project / "machines" / "defs.yaml"
    table = proposed(path)
    assert table.source.lines is not None
    assert len(table.source.lines.columns) == len(columns_of(table).values) == 3
    assert (path.parent / "labels.csv").read_text().splitlines()[1] == (
        "m-1,2024-01-01T05:00:00.000000,2024-01-01T05:09:00.000000"
    )
    result = ae_assets("check", "machines")
    assert result.exit_code == DONE, result.output
    assert "2 intervals of 2 devices" in result.output
    rows = read_file((tmp_path / "in" / "test" / "m-1.txt").read_bytes(), "in/test/m-1.txt", table.reading)
    assert rows["time"].to_list()[::399] == [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 6, 39, tzinfo=UTC)]
    assert rows.columns[1:4] == list(columns_of(table).values)
    assert (rows["entity"][0], rows.height) == ("m-1", 400)


def test_windows_of_a_json_beside_the_series_are_the_target(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "data" / "real").mkdir(parents=True)
    (folder / "labels").mkdir()
    rows = [f"{START + number * timedelta(minutes=5):%Y-%m-%d %H:%M:%S},{number % 17}.5" for number in range(2000)]
    for name in ("a", "b"):
        (folder / "data" / "real" / f"{name}.csv").write_text("\n".join(["timestamp,value", *rows, ""]))
    (folder / "labels" / "points.json").write_text(json.dumps({"real/a.csv": ["2024-04-17 00:00:00"]}))
    window = ["2024-04-17 00:00:00.000000", "2024-04-17 09:00:00.000000"]
    (folder / "labels" / "windows.json").write_text(json.dumps({"real/a.csv": [window], "real/b.csv": []}))
    result = ae_assets("new", "series", "--from", folder)
    assert result.exit_code == DONE, result.output
    table = proposed(project / "series" / "defs.yaml")
    assert table.target.file == str(folder / "labels" / "windows.json")
    assert "1 intervals of 1 devices" in ae_assets("check", "series").output
