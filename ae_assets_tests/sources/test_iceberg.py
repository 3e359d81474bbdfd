"""An existing Iceberg table as a source: its periods, their fingerprints, and that each row is of exactly one."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, DoubleType, IcebergType, NestedField, StringType, TimestampType, TimestamptzType

from ae_assets.chain.raw import RawDay, load_raw
from ae_assets.chain.workspace import RAW
from ae_assets.errors import SourceError
from ae_assets.features.validation import validate_day
from ae_assets.model.definition import SourceSection
from ae_assets.model.parse import parse_table
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods
from ae_assets.sources import Source, iceberg, open_source
from ae_assets_tests.chain.tables import storage_of

LOCATION = "iceberg://plant/sensors.pumps"
COLUMNS: dict[str, Any] = {
    "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": "15m"},
    "entity": "pump",
    "values": {"pressure": {"missing": -9999}},
}
START = datetime(2024, 4, 15, tzinfo=UTC)
BY_DAY = PartitionSpec(PartitionField(source_id=5, field_id=1000, transform=IdentityTransform(), name="on"))
Row = tuple[Any, str, float]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """The catalog ``plant`` as a user configures it."""
    (tmp_path / "plant").mkdir()
    settings = {"type": "sql", "uri": f"sqlite:///{tmp_path}/plant.db", "warehouse": f"file://{tmp_path}/plant"}
    for key, value in settings.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__PLANT__{key.upper()}", value)
    made = load_catalog("plant", **settings)
    made.create_namespace("sensors")
    return made


def made(catalog: Catalog, kind: IcebergType | None = None, spec: PartitionSpec | None = None) -> Table:
    columns = [
        NestedField(1, "at", kind or TimestamptzType(), required=False),
        NestedField(2, "Pump", StringType(), required=False),
        NestedField(3, "pressure", DoubleType(), required=False),
        NestedField(4, "nobody_reads_this", StringType(), required=False),
        NestedField(5, "on", DateType(), required=False),
    ]
    return catalog.create_table("sensors.pumps", Schema(*columns), **({} if spec is None else {"partition_spec": spec}))


def append(table: Table, rows: Sequence[Row]) -> None:
    schema = table.schema().as_arrow()
    values = [
        {"at": at, "Pump": pump, "pressure": value, "nobody_reads_this": "x", "on": at} for at, pump, value in rows
    ]
    table.append(pa.Table.from_pylist(values, schema=pa.schema([field.with_metadata(None) for field in schema])))


def series(first: datetime, count: int, step: timedelta = timedelta(hours=6)) -> list[Row]:
    return [(first + number * step, pump, float(number)) for number in range(count) for pump in ("a", "b")]


def source_of(periods: Periods = DAILY, memory: Path | None = None, **time: str) -> Source:
    columns = {**COLUMNS, "time": {**COLUMNS["time"], **time}}
    reading = SourceSection.model_validate({"location": LOCATION, "columns": columns}).reading
    return open_source(LOCATION, replace(reading, periods=periods), memory)


@pytest.mark.parametrize("spec", [None, BY_DAY], ids=["not partitioned", "by day"])
@pytest.mark.parametrize(("periods", "count"), [(HOURLY, 12), (DAILY, 3), (WEEKLY, 1)])
def test_each_row_is_of_one_period_whatever_data_file_it_lies_in(
    catalog: Catalog, spec: PartitionSpec | None, periods: Periods, count: int
) -> None:
    table = made(catalog, spec=spec)
    rows = series(START, 12)
    append(table, rows[:10])
    append(table, rows[10:])
    source = source_of(periods)
    days = source.days()
    assert list(days) == sorted({periods.of(at) for at, _, _ in rows})
    assert len(days) == count
    read = {period: source.read(listed) for period, listed in days.items()}
    keys = [key for frame in read.values() for key in frame.select("at", "pump").rows()]
    assert sorted(keys) == sorted((at, pump) for at, pump, _ in rows)
    for period, frame in read.items():
        assert frame.columns == ["at", "pump", "pressure", "source_row", "rescued"]
        assert set(map(periods.of, frame["at"])) == {period}
        assert frame["source_row"].to_list() == list(range(1, frame.height + 1))
    assert source.strays() == []


def test_only_the_periods_whose_data_files_changed_have_another_fingerprint(catalog: Catalog, tmp_path: Path) -> None:
    table = made(catalog)
    append(table, series(START, 12))
    source = source_of(memory=tmp_path)
    before = {period: listed.fingerprint for period, listed in source.days().items()}
    append(table, series(START + timedelta(days=2), 8))
    after = {period: listed.fingerprint for period, listed in source.days().items()}
    monday = START.date()
    assert [(day - monday).days for day in after if after[day] != before.get(day)] == [2, 3]
    table.delete("pressure == 11")
    deleted = {period: listed.fingerprint for period, listed in source.days().items()}
    assert deleted[monday + timedelta(days=3)] == after[monday + timedelta(days=3)]
    assert sum(source.read(listed).height for listed in source.days().values()) == 24 + 16 - 2


def test_which_periods_a_data_file_holds_is_looked_up_once(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(made(catalog), series(START, 12))
    days = source_of(memory=tmp_path / "memory").days()
    monkeypatch.setattr(iceberg, "_arrow_of", lambda *_: pytest.fail("the data file was read again"))
    assert source_of(memory=tmp_path / "memory").days() == days


def test_of_a_table_that_is_partitioned_by_day_no_data_file_is_read_to_list_its_days(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(made(catalog, spec=BY_DAY), series(START, 12))
    monkeypatch.setattr(iceberg, "_arrow_of", lambda *_: pytest.fail("a data file was read"))
    assert len(source_of().days()) == 3


def test_rows_without_a_time_stand_with_the_first_period(catalog: Catalog) -> None:
    table = made(catalog)
    append(table, [*series(START, 8), (None, "a", 1.0)])
    source = source_of()
    frames = [source.read(listed) for listed in source.days().values()]
    assert [(frame.height, frame["at"].null_count()) for frame in frames] == [(9, 1), (8, 0)]


def test_times_of_a_clock_elsewhere_are_of_the_day_in_utc_and_none_is_lost(catalog: Catalog) -> None:
    table = made(catalog, TimestampType())
    first = datetime(2024, 3, 30, 12, 0)  # noqa: DTZ001 - in Berlin, over the night in which an hour is left out
    append(table, [(first + number * timedelta(minutes=30), "a", float(number)) for number in range(96)])
    source = source_of(time_zone="Europe/Berlin")
    frames = {period: source.read(listed) for period, listed in source.days().items()}
    assert sum(frame.height for frame in frames.values()) == 96
    assert sum(frame["at"].null_count() for frame in frames.values()) == 2
    assert frames[date(2024, 3, 30)]["at"].to_list()[-1] == datetime(2024, 3, 30, 23, 30, tzinfo=UTC)


def test_a_table_of_dates_is_read_by_week(catalog: Catalog) -> None:
    table = made(catalog, DateType())
    append(table, [(date(2024, 4, day), "a", 1.0) for day in (15, 17, 21, 22)])
    reading = SourceSection.model_validate(
        {"location": LOCATION, "columns": {**COLUMNS, "time": {"column": "at", "cadence": "1d"}}}
    ).reading
    source = open_source(LOCATION, replace(reading, periods=WEEKLY))
    assert [source.read(listed)["at"].len() for listed in source.days().values()] == [3, 1]


def test_a_period_that_changed_since_it_was_listed_is_not_read_for_another(catalog: Catalog) -> None:
    table = made(catalog)
    append(table, series(START, 4))
    source = source_of()
    listed = source.days()[START.date()]
    append(table, series(START, 4))
    assert source.read(listed).height == 8, "the snapshot that was listed is read"
    source.days()
    with pytest.raises(SourceError, match="has changed since it was listed"):
        source.read(listed)


def test_an_empty_table_has_no_periods_and_gains_them(catalog: Catalog) -> None:
    table = made(catalog)
    source = source_of()
    assert source.days() == {}
    append(table, series(START, 1))
    assert list(source.days()) == [START.date()]


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("iceberg://plant/sensors.gone", r"listing the table failed \(NoSuchTableError"),
        ("iceberg://nowhere/sensors.pumps", "PYICEBERG_CATALOG__NOWHERE__URI"),
    ],
)
def test_a_table_that_is_not_there_says_where_it_was_looked_for(catalog: Catalog, location: str, says: str) -> None:
    made(catalog)
    reading = SourceSection.model_validate({"location": location, "columns": COLUMNS}).reading
    with pytest.raises(SourceError, match=says):
        open_source(location, reading).days()


@pytest.mark.parametrize(
    ("location", "columns", "says"),
    [
        ("iceberg://plant", {}, "expected iceberg://CATALOG/namespace.table"),
        ("iceberg://plant/pumps", {}, "expected iceberg://CATALOG/namespace.table"),
        (LOCATION, {"entity": {"file_name": "(.+)"}}, "name its column"),
        (LOCATION, {"time": {"column": ["day", "hour"], "format": "%Y-%m-%d %H"}}, "one column"),
    ],
)
def test_a_location_or_contract_that_no_table_can_have_is_refused(
    location: str, columns: dict[str, Any], says: str
) -> None:
    reading = SourceSection.model_validate({"location": location, "columns": {**COLUMNS, **columns}}).reading
    with pytest.raises(SourceError, match=says):
        open_source(location, reading)


def test_a_time_that_is_text_is_refused_with_what_is_expected(catalog: Catalog) -> None:
    made(catalog, StringType())
    with pytest.raises(SourceError, match="is of the type string, expected a date or a timestamp"):
        source_of().days()


def test_rows_of_a_table_are_loaded_into_raw_and_are_valid(catalog: Catalog, tmp_path: Path) -> None:
    append(made(catalog), series(START, 12))
    features = {"attributes": {"pressure": {"kind": "gauge", "meaning": "pressure"}}}
    source = {"location": LOCATION, "columns": COLUMNS}
    table = parse_table({"table": "pumps", "source": source, "features": features}, "defs.yaml")
    space, pumps = storage_of(table, tmp_path / "home"), open_source(LOCATION, table.reading)
    days = list(pumps.days())
    loaded = list(load_raw(space, pumps, days))
    assert [day.rows for day in loaded if isinstance(day, RawDay)] == [8, 8, 8]
    contract = contract_of(table.layout, ["pressure"], periods=table.periods)
    parts = [validate_day(space.read(RAW, day, day), day, contract) for day in days]
    assert [(part.valid.height, part.quarantine.height) for part in parts] == [(8, 0)] * 3
