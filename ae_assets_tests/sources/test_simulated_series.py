"""Invented series in a table's own columns: what their marks say is what was done to them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from ae_assets.errors import SourceError
from ae_assets.features.validation import validate_day
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.periods import DAILY, HOURLY, PERIODS, WEEKLY, Periods
from ae_assets.sources import Source, open_source

STATIONS: dict[str, Any] = {
    "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": "15m"},
    "entity": "station",
    "cohort": "kind",
    "label": {"columns": ["quality", "quality_2"]},
    "values": {"level": {"unit": "m"}, "pulses": {"type": "int"}, "remark": {"type": "text"}},
}
PARTS: dict[str, Any] = {
    "time": {"column": ["Year", "Month", "Day", "Hour"], "format": "%Y %m %d %H", "cadence": "1h"},
    "entity": {"file_name": "^(.+)[.]csv$"},
    "values": {"flow": {}},
}
LOCATION = "simulated://?entities=3&days=40&seed=5&start=2024-01-01"


def source_of(columns: dict[str, Any], periods: Periods, location: str = LOCATION) -> tuple[Source, SourceSection]:
    section = SourceSection.model_validate({"location": location, "columns": columns})
    return open_source(location, replace(section.reading, periods=periods)), section


def all_rows(source: Source) -> pl.DataFrame:
    return pl.concat([source.read(listed) for listed in source.days().values()])


@pytest.mark.parametrize("periods", PERIODS.values(), ids=PERIODS)
def test_each_record_of_each_period_is_there_once_and_valid(periods: Periods) -> None:
    source, section = source_of(STATIONS, periods, "simulated://?entities=3&days=9&seed=5&start=2024-01-03")
    contract = contract_of(section.contract, periods=periods)
    for period, listed in source.days().items():
        rows = source.read(listed)
        assert rows["at"].is_between(periods.start(period), periods.end(period), closed="left").all()
        validated = validate_day(rows, period, contract)
        assert (validated.valid.height, validated.quarantine.height) == (rows.height, 0)
    rows = all_rows(source)
    assert rows.height == 9 * 96 * 3 == rows.select("at", "station").n_unique()
    assert (rows["at"].min(), rows["at"].max()) == (
        datetime(2024, 1, 3, tzinfo=UTC),
        datetime(2024, 1, 11, 23, 45, tzinfo=UTC),
    )


def test_a_period_is_the_same_whatever_is_asked_before_it() -> None:
    one, other = (source_of(STATIONS, DAILY)[0] for _ in range(2))
    day = date(2024, 1, 20)
    all_rows(one)
    assert one.days() == other.days()
    assert one.read(one.days()[day]).equals(other.read(other.days()[day]))
    reseeded, _ = source_of(STATIONS, DAILY, LOCATION.replace("seed=5", "seed=6"))
    assert reseeded.days()[day].fingerprint != one.days()[day].fingerprint
    assert not reseeded.read(reseeded.days()[day]).equals(one.read(one.days()[day]))


def test_marked_records_are_few_and_unlike_the_others() -> None:
    rows = all_rows(source_of(STATIONS, WEEKLY, LOCATION.replace("entities=3", "entities=12"))[0])
    marked = rows["quality"].is_not_null()
    assert 0.005 < marked.mean() < 0.1
    spread = rows.filter(~marked).group_by("station").agg(pl.col("level").mean().alias("mean"), pl.col("level").std())
    far = rows.join(spread, on="station").select(
        ((pl.col("level") - pl.col("mean")).abs() > 3 * pl.col("level_right")).fill_null(True)
    )
    assert far.filter(marked).to_series().mean() > 20 * far.filter(~marked).to_series().mean()
    assert rows.filter(~marked)["level"].null_count() == 0


def test_a_time_of_several_columns_has_their_texts() -> None:
    source, _ = source_of(PARTS, HOURLY)
    row = source.read(source.days()[datetime(2024, 1, 2, 7, tzinfo=UTC)]).row(0, named=True)
    assert [row[name] for name in ("Year", "Month", "file_Day", "file_Hour")] == ["2024", "01", "02", "07"]
    assert row["time"] == datetime(2024, 1, 2, 7, tzinfo=UTC)
    assert row["entity"] == "simulated_1"


@pytest.mark.parametrize("query", ["drives=4", "entities=0", "start=yesterday", "days=5&days=6"])
def test_settings_that_are_none_are_refused(query: str) -> None:
    with pytest.raises(SourceError, match="Expected"):
        source_of(STATIONS, DAILY, f"simulated://?{query}")


def test_a_period_that_is_not_listed_is_refused() -> None:
    source, _ = source_of(STATIONS, DAILY)
    other, _ = source_of(STATIONS, DAILY, LOCATION.replace("days=40", "days=400"))
    with pytest.raises(SourceError, match="no period of this source"):
        source.read(other.days()[date(2024, 12, 1)])
