"""Files in long form: one metric in a row, told by a column or by the file's name, put together on a common clock."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import SourceError
from ae_assets.features.validation import validate_day
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.contracts import contract_of
from ae_assets.sources import open_source
from ae_assets.sources.metrics import by_metric, records

CLOCK: dict[str, Any] = {"column": "at", "format": "%Y-%m-%d %H:%M:%S", "cadence": "5m"}
BY_FILE: dict[str, Any] = {
    "time": CLOCK,
    "entity": {"name": "site"},
    "metric": {"file_name": "(cpu|disk|rds_cpu)_"},
    "values": {"cpu": {"at_least": 0}, "disk": {"missing": -1}, "rds_cpu": {}},
}
BY_COLUMN: dict[str, Any] = {
    "time": CLOCK,
    "entity": "host",
    "metric": {"column": "metric", "value": "number"},
    "values": {"cpu": {}, "disk": {}},
}


def section_of(columns: dict[str, Any], location: Path = Path()) -> SourceSection:
    return SourceSection.model_validate({"location": str(location), "days_per_file": "many", "columns": columns})


def days_of(folder: Path, columns: dict[str, Any]) -> dict[date, pl.DataFrame]:
    source = open_source(str(folder), section_of(columns, folder).reading)
    return {day: source.read(listed) for day, listed in source.days().items()}


def write(folder: Path, **files: list[str]) -> None:
    for name, rows in files.items():
        (folder / f"{name}.csv").write_text("\n".join(["at,value", *rows, ""]))


def test_files_of_one_metric_become_records_of_a_common_clock_that_read_no_later_row(tmp_path: Path) -> None:
    write(
        tmp_path,
        cpu_1=["2024-04-01 00:00:00,1", "2024-04-01 00:05:00,2", "2024-04-01 00:10:00,3"],
        disk_1=["2024-04-01 00:04:00,10", "2024-04-01 00:09:00,-1"],
        rds_cpu_1=["2024-04-01 00:01:00,5", "2024-04-01 00:03:00,7"],
        other=["2024-04-01 00:00:00,1"],
    )
    (rows,) = days_of(tmp_path, BY_FILE).values()
    assert rows.columns == ["at", "entity", "cpu", "disk", "rds_cpu", "readings", "source_row", "rescued"]
    at = [datetime(2024, 4, 1, 0, minute, tzinfo=UTC) for minute in (0, 5, 10)]
    assert rows.rows() == [
        (at[0], "site", 1, None, None, 1, 1, None),
        (at[1], "site", 2, 10, 6, 4, 2, None),
        (at[2], "site", 3, None, None, 2, 3, None),
    ]
    source = open_source(str(tmp_path), section_of(BY_FILE, tmp_path).reading)
    assert [stray for stray in source.strays() if "other.csv" in stray and "tells no metric" in stray]


def test_a_row_after_the_last_step_of_a_day_is_of_the_next_day(tmp_path: Path) -> None:
    write(tmp_path, cpu_1=["2024-04-01 23:55:00,1", "2024-04-01 23:55:01,2"], disk_1=["2024-04-02 00:00:00,3"])
    days = days_of(tmp_path, BY_FILE)
    assert {day: rows.select("cpu", "disk", "readings").rows() for day, rows in days.items()} == {
        date(2024, 4, 1): [(1, None, 1)],
        date(2024, 4, 2): [(2, 3, 2)],
    }


def test_files_of_the_same_content_are_different_metrics(tmp_path: Path) -> None:
    write(tmp_path, cpu_1=["2024-04-01 00:00:00,4"], disk_1=["2024-04-01 00:00:00,4"])
    (rows,) = days_of(tmp_path, BY_FILE).values()
    assert rows.select("cpu", "disk").rows() == [(4, 4)]


@pytest.mark.parametrize(("several", "expected"), [("mean", 4), ("last", 2), ("sum", 12)])
def test_several_numbers_of_a_metric_are_put_together_as_the_yaml_says(
    tmp_path: Path, several: str, expected: float
) -> None:
    write(tmp_path, cpu_1=["2024-04-01 00:04:00,2", "2024-04-01 00:01:00,7", "2024-04-01 00:02:00,3"], disk_1=[])
    columns = {**BY_FILE, "metric": {**BY_FILE["metric"], "several": several}}
    (rows,) = days_of(tmp_path, columns).values()
    assert rows.select("cpu", "disk").rows() == [(expected, None)]


def test_a_column_may_name_the_metric_and_one_that_is_not_of_the_table_is_counted(tmp_path: Path) -> None:
    lines = ["at,host,metric,number,unit", "2024-04-01 00:03:00,a,cpu,1,%", "2024-04-01 00:04:00,a,disk,2,B"]
    lines += ["2024-04-01 00:04:00,b,disk,3,B", "2024-04-01 00:05:00,a,swap,9,B", ""]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    (rows,) = days_of(tmp_path, BY_COLUMN).values()
    assert rows.select("host", "unit", "cpu", "disk", "readings").rows() == [
        ("a", "B", 1, 2, 3),
        ("b", "B", None, 3, 1),
    ]
    (tmp_path / "x.csv").write_text("at,host,number\n2024-04-01 00:03:00,a,1\n")
    with pytest.raises(SourceError, match="lacks metric"):
        days_of(tmp_path, BY_COLUMN)


def test_a_row_that_cannot_be_read_stands_by_itself_and_is_set_aside_without_the_others(tmp_path: Path) -> None:
    write(
        tmp_path,
        cpu_1=["2024-04-01 00:05:00,many", "2024-04-01 00:05:00,2", "never,3"],
        disk_1=["2024-04-01 00:05:00,4"],
    )
    section = section_of(BY_FILE, tmp_path)
    ((day, rows),) = days_of(tmp_path, BY_FILE).items()
    assert rows["readings"].sum() == 4
    validated = validate_day(rows, day, contract_of(section.contract, ["cpu", "disk"]))
    assert validated.valid.select("cpu", "disk").rows() == [(2, 4)]
    assert validated.quarantine.sort("rule").select("rule", "value").rows() == [
        ("cells_are_readable", "many"),
        ("time_is_readable", "never"),
    ]


ROWS = st.lists(
    st.tuples(st.integers(0, 3_600), st.sampled_from(["cpu", "disk", "swap"]), st.sampled_from(["a", "b"])), max_size=30
)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_every_row_is_in_one_record_and_none_in_one_before_it(drawn: list[tuple[int, str, str]]) -> None:
    layout, hour = section_of(BY_COLUMN).contract, datetime(2024, 4, 1, tzinfo=UTC)
    rows = pl.DataFrame(
        {
            "at": pl.Series([hour.timestamp() + second for second, _, _ in drawn], dtype=pl.Float64),
            "host": pl.Series([host for _, _, host in drawn], dtype=pl.String),
            "metric": pl.Series([metric for _, metric, _ in drawn], dtype=pl.String),
            "number": pl.Series([float(second) for second, _, _ in drawn], dtype=pl.Float64),
            "source_row": pl.Series(range(1, len(drawn) + 1), dtype=pl.Int32),
            "rescued": pl.Series([None] * len(drawn), dtype=pl.String),
        }
    ).with_columns(pl.from_epoch(pl.col("at") * 1_000_000, "us").dt.replace_time_zone("UTC"))
    made = records(by_metric(rows, "x.csv", "x.csv", layout), layout)
    assert made["readings"].sum() == len(drawn)
    assert made.select("at", "host").is_unique().all()
    for row in made.iter_rows(named=True):
        end = (row["at"] - hour).total_seconds()
        for metric in ("cpu", "disk"):
            own = [s for s, name, host in drawn if (name, host) == (metric, row["host"]) and end - 300 < s <= end]
            assert row[metric] == (pytest.approx(sum(own) / len(own)) if own else None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"entity": {"name": "a", "column": "b"}}, "name the column of the device"),
        ({"metric": {"value": "x"}}, "name either the column of the metric"),
        ({"metric": {"file_name": "cpu"}}, "one group"),
        ({"time": {**CLOCK, "cadence": None}}, "time.cadence"),
        ({"values": {"cpu": {"type": "int"}}}, "a metric is a float"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        section_of({**BY_FILE, **change})
    with pytest.raises(ValueError, match="days_per_file"):
        SourceSection.model_validate({"location": "x", "columns": BY_FILE})
