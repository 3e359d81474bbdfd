"""Published series of water stations and of a sewer: every row of their files is a valid row or is set aside."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from ae_assets.features.validation import validate_day
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.periods import DAILY, WEEKLY, Periods
from ae_assets.sources import Source, open_source
from ae_assets_tests.conftest import real_data

pytestmark = pytest.mark.real_data

QUALIFIED = ("temp", "cond", "ph", "do", "turb", "stage")
STATIONS: dict[str, Any] = {
    "last_line_end": "optional",
    "columns": {
        "time": {"column": "datetime", "format": ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f"], "cadence": "15m"},
        "entity": {"file_name": r"^(\D+)\d{4}"},
        "label": {"columns": [f"{name}_qual" for name in QUALIFIED]},
        "values": {name: {"missing": -9999} for name in QUALIFIED},
    },
}
ROWS = {"FranklinBasin": 18_668 + 103_605, "TonyGrove": 20_674, "MainStreet": 25_881, "Mendon": 25_883}
SEWER: dict[str, Any] = {
    "files": "Flow_Monitor*",
    "columns": {
        "time": {"column": ["Month", "Day", "Year", "Hour", "Minute"], "format": "%m %d %Y %H %M", "cadence": "15m"},
        "entity": {"file_name": r"^(.+)\.csv$"},
        "values": {"Flow_mgd": {}, "Velocity_fps": {}, "Depth_in": {}},
    },
}


def section_of(keys: dict[str, Any], time_zone: str = "UTC") -> SourceSection:
    time = {**keys["columns"]["time"], "time_zone": time_zone}
    columns = {**keys["columns"], "time": time}
    return SourceSection.model_validate({"location": "in", "days_per_file": "many", **keys, "columns": columns})


def source_of(name: str, section: SourceSection, periods: Periods) -> Source:
    return open_source(str(real_data(f"water_sensors/{name}.zip")), replace(section.reading, periods=periods))


def validated(source: Source, section: SourceSection, periods: Periods) -> tuple[int, pl.DataFrame, pl.DataFrame]:
    contract = contract_of(section.contract, periods=periods)
    raw = {period: source.read(listed) for period, listed in source.days().items()}
    parts = [validate_day(rows, period, contract) for period, rows in raw.items()]
    valid = pl.concat((part.valid for part in parts), how="diagonal")
    return sum(rows.height for rows in raw.values()), valid, pl.concat(part.quarantine for part in parts)


def test_all_rows_of_the_stations_are_read_by_day_from_five_files_and_two_spellings_of_times() -> None:
    source = source_of("logan_river", section_of(STATIONS), DAILY)
    days = source.days()
    rows = pl.concat((source.read(listed) for listed in days.values()), how="diagonal")
    assert dict(rows["entity"].value_counts().rows()) == ROWS
    assert rows["rescued"].count() == 0
    assert rows["datetime"].null_count() == 0
    assert rows.select(pl.col(QUALIFIED).min()).min_horizontal()[0] > -9999
    assert rows["temp_qual"].drop_nulls().is_in(["NULL"]).any() is False
    assert [stray.split(":")[0] for stray in source.strays()] == ["logan_river.zip!LICENSE"]
    assert len(days) == rows["datetime"].dt.date().n_unique()


@pytest.mark.parametrize(("time_zone", "aside"), [("UTC", {}), ("America/Denver", {"time_is_readable": 20})])
def test_rows_of_the_stations_are_valid_or_set_aside_for_the_hour_that_a_clock_leaves_out(
    time_zone: str, aside: dict[str, int]
) -> None:
    section = section_of(STATIONS, time_zone)
    read, valid, quarantine = validated(source_of("logan_river", section, WEEKLY), section, WEEKLY)
    assert read == valid.height + quarantine.height == sum(ROWS.values())
    assert dict(quarantine["rule"].value_counts().rows()) == aside
    assert valid.select("time", "entity").is_duplicated().any() is False


def test_the_sewer_is_read_by_week_and_its_rain_gauge_is_left_out_by_name() -> None:
    section = section_of(SEWER)
    source = source_of("sewer_flow_monitor", section, WEEKLY)
    read, valid, quarantine = validated(source, section, WEEKLY)
    assert (read, valid.height, quarantine.height) == (7_195, 7_195, 0)
    assert valid["day"].unique().sort().to_list() == list(source.days())
    assert valid["entity"].unique().to_list() == ["Flow_Monitor"]
    assert valid["Flow_mgd"].null_count() == 0
    (stray,) = source.strays()
    assert "Rain_Gauge.csv: its name does not match source.files 'Flow_Monitor*'" in stray


def test_without_a_pattern_the_rain_gauge_is_left_out_for_what_it_measures() -> None:
    source = source_of("sewer_flow_monitor", section_of({**SEWER, "files": None}), WEEKLY)
    assert sum(source.read(listed).height for listed in source.days().values()) == 7_195
    (stray,) = source.strays()
    assert "Rain_Gauge.csv: the header names none of the columns that are measured, 'Flow_mgd'" in stray
