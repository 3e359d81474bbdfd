"""Tables of hours and of weeks: what is true of days is true of them, and what is stored names them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from pyiceberg.types import DateType, TimestamptzType

from ae_assets.errors import ContractError, LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods

LAST_HOURS = [datetime(2024, 3, 31, hour, tzinfo=UTC) for hour in (21, 22, 23)]
"""Before a new day, week, month and quarter begin; clocks in Europe go forward on this day."""

TABLES = {
    HOURLY: [*LAST_HOURS, datetime(2024, 4, 1, 0, tzinfo=UTC), datetime(2024, 4, 1, 1, tzinfo=UTC)],
    DAILY: [date(2024, 3, 30) + timedelta(days=number) for number in range(5)],
    WEEKLY: [date(2024, 3, 18) + timedelta(weeks=number) for number in range(5)],
}


@pytest.fixture(params=TABLES, ids=lambda periods: periods.partitions)
def periods(request: pytest.FixtureRequest) -> Periods:
    kind: Periods = request.param
    return kind


def rows_of(period: date, periods: Periods, value: int = 0) -> pl.DataFrame:
    """Two devices with three records each."""
    first = periods.start(period)
    return pl.DataFrame(
        {
            "day": pl.repeat(period, 6, dtype=periods.dtype, eager=True),
            "time": pl.Series(
                [first + number * periods.step / 4 for number in range(3)] * 2, dtype=pl.Datetime("us", "UTC")
            ),
            "entity": ["A"] * 3 + ["B"] * 3,
            "value": pl.repeat(value, 6, dtype=pl.Int64, eager=True),
        }
    )


def write(lakehouse: Lakehouse, periods: Periods, *given: date, value: int = 0) -> None:
    with lakehouse.writer("t.raw", periods) as writer:
        for period in given:
            writer.write(period, rows_of(period, periods, value))


def test_what_was_written_is_read_by_its_periods(lakehouse: Lakehouse, periods: Periods) -> None:
    held = TABLES[periods]
    write(lakehouse, periods, *held)
    assert periods.range(held[0], held[-1]) == held
    assert lakehouse.day_rows("t.raw") == dict.fromkeys(held, 6)
    assert list(lakehouse.day_versions("t.raw")) == held
    expected = pl.concat([rows_of(period, periods) for period in held[1:4]])
    assert lakehouse.read("t.raw", held[1], held[3]).equals(expected)
    assert lakehouse.schema("t.raw") == expected.schema
    apart = dict(lakehouse.iter_days("t.raw", held[1], held[3], ["day", "value"], entities=["B"]))
    assert {period: frame["day"].to_list() for period, frame in apart.items()} == {one: [one] * 3 for one in held[1:4]}


def test_a_period_is_replaced_and_emptied_without_the_others(lakehouse: Lakehouse, periods: Periods) -> None:
    held = TABLES[periods]
    write(lakehouse, periods, *held)
    versions = lakehouse.day_versions("t.raw")
    write(lakehouse, periods, held[2], value=7)
    with lakehouse.writer("t.raw", periods) as writer:
        writer.write(held[3], rows_of(held[3], periods).clear())
    now = lakehouse.day_versions("t.raw")
    assert [period for period in held if now.get(period) != versions[period]] == [held[2], held[3]]
    assert held[3] not in now
    assert lakehouse.read("t.raw", held[2], held[2])["value"].to_list() == [7] * 6


def test_a_range_may_begin_and_end_within_a_period(lakehouse: Lakehouse, periods: Periods) -> None:
    held = TABLES[periods]
    write(lakehouse, periods, *held)
    within = [periods.start(period) + periods.step / 2 for period in (held[1], held[3])]
    assert lakehouse.read("t.raw", *within)["day"].unique().sort().to_list() == held[1:4]
    assert lakehouse.read("t.raw", date.min, date.max).height == 30


def test_the_stored_column_the_folders_and_the_partitions_name_the_period(
    lakehouse: Lakehouse, periods: Periods, tmp_path: Path
) -> None:
    held = TABLES[periods]
    write(lakehouse, periods, *held)
    table = lakehouse._access.get("t.raw")
    (partition,) = table.spec().fields
    assert partition.name == periods.noun
    kind = TimestamptzType() if periods is HOURLY else DateType()
    assert table.schema().find_field(periods.noun).field_type == kind
    files = sorted(tmp_path.rglob("*.parquet"))
    folders = {file.parent.name for file in files}
    expected = "2024-03-31T21" if periods is HOURLY else held[0].isoformat()
    assert f"{periods.noun}={expected}" in folders
    assert len(folders) == len(held)
    assert not any(character in folder for folder in folders for character in ": +")
    assert all(periods.noun in pq.read_schema(file).names for file in files)
    # Another engine reads the same periods and finds them by their partition.
    asked = held[1].isoformat()
    (planned,) = table.scan(row_filter=f"{periods.noun} == '{asked}'").plan_files()
    assert planned.file.record_count == 6
    read = pl.DataFrame(table.scan(row_filter=f"{periods.noun} == '{asked}'").to_arrow())
    assert read[periods.noun].to_list() == [held[1]] * 6


def test_maintenance_removes_what_lies_longer_ago_than_the_retention(lakehouse: Lakehouse, periods: Periods) -> None:
    newest = TABLES[periods][-1]
    far = periods.shifted(newest, -400)
    edge = periods.before(newest, timedelta(days=14) - periods.step)
    too_old = periods.shifted(edge, -1)
    write(lakehouse, periods, far, too_old, edge, newest)
    write(lakehouse, periods, newest, value=1)
    done = lakehouse.maintain("t.raw", timedelta(hours=2), retention_days=14)
    assert (done.days_past_retention, done.rows_past_retention) == (2, 12)
    assert list(lakehouse.day_rows("t.raw")) == [edge, newest]
    assert lakehouse.read("t.raw", newest, newest)["value"].to_list() == [1] * 6


def test_a_former_state_is_read_by_its_periods(lakehouse: Lakehouse, periods: Periods) -> None:
    held = TABLES[periods]
    write(lakehouse, periods, *held[:2])
    before = datetime.now(UTC)
    write(lakehouse, periods, *held, value=3)
    then = lakehouse.read("t.raw", held[0], held[-1], as_of=before)
    assert then.equals(pl.concat([rows_of(period, periods) for period in held[:2]]))
    assert lakehouse.day_rows("t.raw", as_of=before) == dict.fromkeys(held[:2], 6)


def test_many_commits_of_hours_and_weeks_are_found_again(lakehouse: Lakehouse, periods: Periods) -> None:
    """More than the manifests that are left as they are, so that some of them are merged."""
    held = [periods.shifted(TABLES[periods][0], number) for number in range(40)]
    for period in held:
        write(lakehouse, periods, period)
    assert lakehouse.day_rows("t.raw") == dict.fromkeys(held, 6)
    assert lakehouse.read("t.raw", held[7], held[8]).height == 12


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (HOURLY, date(2024, 3, 31)),
        (HOURLY, datetime(2024, 3, 31, 5, 30, tzinfo=UTC)),
        (DAILY, datetime(2024, 3, 31, 5, tzinfo=UTC)),
        (WEEKLY, date(2024, 3, 31)),
    ],
)
def test_what_is_no_period_of_the_table_is_refused(lakehouse: Lakehouse, kind: Periods, given: date) -> None:
    frame = pl.DataFrame({"day": [given], "entity": ["A"]})
    with pytest.raises(LakehouseError, match=f"stored by {kind.noun}s"), lakehouse.writer("t.raw", kind) as writer:
        writer.write(given, frame)
    assert not lakehouse.exists("t.raw")


def test_a_table_of_other_periods_is_refused(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAILY, *TABLES[DAILY])
    monday = TABLES[WEEKLY][0]
    with pytest.raises(LakehouseError, match="partitions: daily"):
        write(lakehouse, WEEKLY, monday)
    assert monday not in lakehouse.day_rows("t.raw")


def test_a_column_called_as_the_stored_period_is_refused(lakehouse: Lakehouse) -> None:
    hour = LAST_HOURS[0]
    with pytest.raises(ContractError, match="'Hour'"), lakehouse.writer("t.raw", HOURLY) as writer:
        writer.write(hour, rows_of(hour, HOURLY).rename({"value": "Hour"}))
