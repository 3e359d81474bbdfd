"""A table with history gets a later quarter: 85 columns become 197, one goes, one is written otherwise."""

import importlib.resources
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.workspace import DAILY_INPUT
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import FIRST, attributes, storage_of, watched_table
from ae_assets_tests.pipeline.runs import failure_of, materialise

FIRST_QUARTER = DAILY.range(FIRST, FIRST + timedelta(days=19))
SECOND_QUARTER = DAILY.range(FIRST + timedelta(days=20), FIRST + timedelta(days=29))
IDENTITY = ["date", "serial_number", "model", "capacity_bytes", "failure"]
OF_2013 = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 183, 184, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197,
           198, 199, 200, 201, 223, 225, 240, 241, 242, 250, 251, 252, 254, 255]  # fmt: skip
GONE = 15
OF_2024 = sorted({*OF_2013, *range(16, 75)} - {GONE})[:96]
ASSETS = (*DAILY_INPUT, "anomalies")
RULE = {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]}
DRIVES = 12


def header(numbers: list[int]) -> list[str]:
    return IDENTITY + [f"smart_{number}_{kind}" for number in numbers for kind in ("normalized", "raw")]


def write_quarter(folder: Path, days: list[date], numbers: list[int], *, as_fractions: bool) -> None:
    """Files as published; `as_fractions` writes the temperature as 24.0, and once as a text that is no whole number."""
    folder.mkdir(exist_ok=True)
    columns = header(numbers)
    for day in days:
        chance = random.Random(day.toordinal())  # noqa: S311 - values, no secrets
        lines = [",".join(columns)]
        for drive in range(DRIVES):
            values: dict[str, Any] = {name: chance.randrange(100) for name in columns[len(IDENTITY) :]}
            values |= {"smart_5_raw": (day - FIRST).days * (drive == 3), "smart_197_raw": 0, "smart_194_raw": 24}
            values |= {"smart_9_raw": 1000 + 24 * (day - FIRST).days}
            if as_fractions:
                values["smart_194_raw"] = "warm" if drive == 7 else "24.0"
            lines.append(",".join([str(day), f"D{drive:02}", "M1", "4000787030016", "0", *map(str, values.values())]))
        (folder / f"{day}.csv").write_text("\n".join(lines) + "\n")


def table_of(folder: Path) -> WatchedTable:
    """The small table, which also watches attribute 17, unknown to the first quarter."""
    features = attributes()["features"]
    features["attributes"]["smart_17_raw"] = {"kind": "counter", "meaning": "only of later quarters"}
    return watched_table(str(folder), detector=RULE, features=features, end="2013-12-31")


def fill(table: WatchedTable, home: Path, assets: tuple[str, ...], days: list[date]) -> None:
    result = materialise(table, home, assets, (days[0], days[-1]))
    assert result.success, failure_of(result)


def rows_of(space: Workspace, asset: str, days: list[date]) -> pl.DataFrame:
    return space.read(asset, days[0], days[-1])


@pytest.fixture(scope="module")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The first quarter filled, kept as frames, then the second one added."""
    folder = tmp_path_factory.mktemp("evolution")
    source, home = folder / "source", folder / "home"
    write_quarter(source, FIRST_QUARTER, OF_2013, as_fractions=False)
    table = table_of(source)
    space = storage_of(table, home)
    steps.fill(space, FIRST_QUARTER)
    steps.fit(space, FIRST, FIRST_QUARTER[7])
    steps.judge(space, FIRST_QUARTER)
    before = {name: rows_of(space, name, FIRST_QUARTER) for name in ASSETS}
    snapshot = space.tables._access.get("fleet.raw").current_snapshot()
    assert snapshot is not None
    write_quarter(source, SECOND_QUARTER, OF_2024, as_fractions=True)
    fill(table, home, ASSETS, SECOND_QUARTER)
    return {"storage": space, "table": table, "home": home, "before": before, "snapshot": snapshot.snapshot_id}


def test_the_headers_are_as_wide_as_those_published() -> None:
    assert (len(header(OF_2013)), len(header(OF_2024))) == (85, 197)


def test_rows_of_the_old_quarter_are_as_they_were_and_null_in_new_columns(quarters: dict[str, Any]) -> None:
    space, before = quarters["storage"], quarters["before"]["raw"]
    now = rows_of(space, "raw", FIRST_QUARTER)
    assert_frame_equal(now.select(before.columns), before)
    added = [name for name in now.columns if name not in before.columns]
    assert set(added) == set(header(OF_2024)) - set(header(OF_2013))
    assert now.select(pl.col(added).null_count()).sum_horizontal().item() == now.height * len(added)


def test_a_range_across_the_change_reads_as_one_table(quarters: dict[str, Any]) -> None:
    space = quarters["storage"]
    rows = space.tables.read("fleet.raw", FIRST_QUARTER[0], SECOND_QUARTER[-1])
    assert rows.height == DRIVES * 30
    known = rows.group_by("day", maintain_order=True).agg(pl.col(f"smart_{GONE}_raw", "smart_17_raw").count())
    assert known[f"smart_{GONE}_raw"].to_list() == [DRIVES] * 20 + [0] * 10
    assert known["smart_17_raw"].to_list() == [0] * 20 + [DRIVES] * 10


def test_a_column_written_otherwise_keeps_its_type_and_what_does_not_fit_is_kept_as_text(
    quarters: dict[str, Any],
) -> None:
    rows = rows_of(quarters["storage"], "raw", SECOND_QUARTER)
    assert rows.schema["smart_194_raw"] == pl.Int64
    odd = pl.col("serial_number") == "D07"
    assert rows.filter(~odd)["smart_194_raw"].unique().to_list() == [24]
    assert rows.filter(odd)["smart_194_raw"].null_count() == len(SECOND_QUARTER)
    assert rows.filter(odd)["rescued"].unique().to_list() == ['{"smart_194_raw": "warm"}']
    quarantine = rows_of(quarters["storage"], "quarantine", SECOND_QUARTER)
    assert quarantine.select("entity", "column", "value").unique().rows() == [("D07", "smart_194_raw", "warm")]


def test_features_and_anomalies_of_old_days_stay_and_come_out_the_same_again(quarters: dict[str, Any]) -> None:
    space, before = quarters["storage"], quarters["before"]
    for name in ("features", "quarantine", "anomalies"):
        assert_frame_equal(rows_of(space, name, FIRST_QUARTER), before[name], check_exact=True)
    fill(quarters["table"], quarters["home"], ("features", "quarantine", "anomalies"), FIRST_QUARTER)
    for name in ("features", "quarantine", "anomalies"):
        assert_frame_equal(rows_of(space, name, FIRST_QUARTER), before[name], check_exact=True)


def test_features_look_back_across_the_change(quarters: dict[str, Any]) -> None:
    space = quarters["storage"]
    first = space.tables.read("fleet.features", SECOND_QUARTER[0], SECOND_QUARTER[0])
    worn = first.filter(pl.col("entity") == "D03")
    assert worn["smart_5_growth_7d"].to_list() != [None], "its counter rose since days of the other header"
    assert first["smart_17_growth_7d"].null_count() == first.height, "nothing was known of it before"
    last = space.tables.read("fleet.features", SECOND_QUARTER[-1], SECOND_QUARTER[-1])
    assert last["smart_17_growth_7d"].null_count() == 0
    assert rows_of(space, "anomalies", SECOND_QUARTER).height == (DRIVES - 1) * len(SECOND_QUARTER)


def test_the_state_before_the_change_is_read_by_time_travel(quarters: dict[str, Any]) -> None:
    table = quarters["storage"].tables._access.get("fleet.raw")
    old = pl.from_arrow(table.scan(snapshot_id=quarters["snapshot"]).to_arrow())
    assert isinstance(old, pl.DataFrame)
    before = quarters["before"]["raw"]
    assert set(old.columns) == set(before.columns)
    order = ["day", "serial_number"]
    shared = [name for name in before.columns if name in header(OF_2013)]
    assert_frame_equal(old.sort(order).select(shared), before.sort(order).select(shared), check_dtypes=False)


def test_another_engine_reads_across_the_change(quarters: dict[str, Any]) -> None:
    import duckdb

    engine = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    for name in ("avro", "iceberg"):
        package = importlib.resources.files(f"duckdb_extension_{name}")
        engine.load_extension(str(package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"))
    table = quarters["storage"].tables._access.get("fleet.raw")
    found = engine.execute(
        "select day < ?, count(*), sum(smart_5_raw), count(smart_15_raw), count(smart_17_raw), count(smart_194_raw) "
        "from iceberg_scan(?) group by 1 order by 1 desc",
        [SECOND_QUARTER[0], table.metadata_location],
    ).fetchall()
    rows = DRIVES * 20, DRIVES * 10
    assert found == [
        (True, rows[0], sum(range(20)), rows[0], 0, rows[0]),
        (False, rows[1], sum(range(20, 30)), 0, rows[1], rows[1] - 10),
    ]
