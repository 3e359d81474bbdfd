"""What a table gives back of the days written to it."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import LakehouseError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of


def write(lakehouse: Lakehouse, *frames: pl.DataFrame, table: str = "t.raw") -> None:
    with lakehouse.writer(table) as writer:
        for frame in frames:
            writer.write(frame["day"][0], frame)


def test_opening_and_looking_make_no_files(tmp_path: Path) -> None:
    lakehouse = Lakehouse.open(tmp_path / "home")
    assert not lakehouse.exists("t.raw")
    assert lakehouse.day_rows("t.raw") == {}
    assert not (tmp_path / "home").exists()


def test_importing_the_room_loads_no_pyiceberg() -> None:
    heavy = "{'pyiceberg', 'pyarrow', 'sqlalchemy', 'dagster'}"
    code = f"import sys, ae_assets.lakehouse; print(sorted({heavy} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"


def test_a_missing_table_names_the_asset_to_materialise(lakehouse: Lakehouse) -> None:
    with pytest.raises(
        LakehouseError, match=r"drive_stats\.raw does not exist yet: materialise the asset drive_stats/raw"
    ):
        lakehouse.read("drive_stats.raw", FIRST, FIRST)
    with pytest.raises(LakehouseError, match="does not exist yet"):
        lakehouse.iter_days("drive_stats.raw", FIRST, FIRST)


@pytest.mark.parametrize("name", ["raw", "a.b.c", "../x.raw", "a b.raw", "a.raw\n", ""])
def test_other_names_than_table_and_asset_are_refused(lakehouse: Lakehouse, name: str) -> None:
    with pytest.raises(LakehouseError, match="is not a table name"):
        lakehouse.exists(name)


def test_columns_come_back_with_their_types_and_order(lakehouse: Lakehouse) -> None:
    contribution = pl.Struct(
        {"name": pl.String, "contribution": pl.Float64, "value": pl.Float64, "expected": pl.Float64}
    )
    written = pl.DataFrame(
        {
            "day": [FIRST, FIRST],
            "label": pl.Series([0, None], dtype=pl.Int8),
            "source_row": pl.Series([1, 2], dtype=pl.Int32),
            "capacity_bytes": [2**40, None],
            "score": pl.Series([float("nan"), 1.5], dtype=pl.Float32),
            "is_anomaly": [True, None],
            "loaded_at": pl.Series([datetime(2024, 1, 1, tzinfo=UTC)] * 2, dtype=pl.Datetime("us", "UTC")),
            "top_features": pl.Series(
                [[{"name": "a", "contribution": 1.0, "value": None, "expected": 0.5}], []], dtype=pl.List(contribution)
            ),
            "nothing": pl.Series([None, None], dtype=pl.String),
            "small": pl.Series([65535, 0], dtype=pl.UInt16),
        }
    )
    write(lakehouse, written)
    read = lakehouse.read("t.raw", FIRST, FIRST)
    assert read.schema == written.schema == lakehouse.schema("t.raw")
    assert read.equals(written, null_equal=True)


@settings(max_examples=12, deadline=None)
@given(
    days=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=8),
    first=st.integers(0, 6),
    span=st.integers(0, 6),
)
def test_a_range_holds_the_last_written_rows_of_its_days_in_order(
    tmp_path_factory: pytest.TempPathFactory, days: list[tuple[int, int]], first: int, span: int
) -> None:
    lakehouse = Lakehouse.open(tmp_path_factory.mktemp("home"))
    write(lakehouse, frame_of(day_after(99)))
    expected: dict[date, pl.DataFrame] = {}
    for value, (number, rows) in enumerate(days):
        expected[day_after(number)] = frame_of(day_after(number), rows, value)
        with lakehouse.writer("t.raw", commit_rows=3) as writer:
            writer.write(day_after(number), expected[day_after(number)])
    wanted = [expected[day] for number in range(first, first + span + 1) if (day := day_after(number)) in expected]
    read = lakehouse.read("t.raw", day_after(first), day_after(first + span))
    assert read.equals(pl.concat([frame_of(FIRST, 0), *wanted]))
    lakehouse.close()


def test_days_are_iterated_one_by_one_and_those_without_rows_are_left_out(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(day_after(2)), frame_of(day_after(0)), frame_of(day_after(5)))
    found = dict(lakehouse.iter_days("t.raw", day_after(0), day_after(4), ["value", "day"]))
    assert list(found) == [day_after(0), day_after(2)]
    assert found[day_after(2)].equals(frame_of(day_after(2)).select("value", "day"))


def test_iterating_sees_one_snapshot_while_others_write(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(day_after(0), value=1), frame_of(day_after(1), value=1))
    days = lakehouse.iter_days("t.raw", day_after(0), day_after(1))
    next(days)
    write(lakehouse, frame_of(day_after(1), value=2))
    assert next(days)[1]["value"].unique().to_list() == [1]


def test_day_rows_counts_days_from_metadata_alone(lakehouse: Lakehouse, tmp_path: Path) -> None:
    write(lakehouse, frame_of(day_after(1), 4), frame_of(day_after(0), 2))
    for file in tmp_path.rglob("*.parquet"):
        file.unlink()
    assert list(lakehouse.day_rows("t.raw").items()) == [(day_after(0), 2), (day_after(1), 4)]
    with pytest.raises(LakehouseError, match="materialise its day again"):
        lakehouse.read("t.raw", day_after(0), day_after(1))


def test_a_column_of_a_later_day_is_null_in_earlier_days(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(day_after(0)))
    write(lakehouse, frame_of(day_after(1)).with_columns(smart_255_raw=pl.lit(7)))
    write(lakehouse, frame_of(day_after(2)).drop("value"))
    read = lakehouse.read("t.raw", day_after(0), day_after(2))
    assert read.columns == ["day", "entity", "value", "smart_255_raw"]
    assert read["smart_255_raw"].to_list() == [None] * 3 + [7] * 3 + [None] * 3
    assert read["value"].to_list() == [0] * 6 + [None] * 3
    assert lakehouse.read("t.raw", day_after(0), day_after(0), ["smart_255_raw"])["smart_255_raw"].dtype == pl.Int32


ENTITIES = 40_000


def many(day: date, value: int = 0) -> pl.DataFrame:
    """Entities in no order, with a column of lists that is as wide as a day of anomalies has."""
    numbers = pl.int_range(ENTITIES, eager=True).shuffle(seed=3)
    return pl.DataFrame(
        {
            "day": pl.repeat(day, ENTITIES, dtype=pl.Date, eager=True),
            "entity": "S" + numbers.cast(pl.String),
            "value": numbers + value,
            "top": numbers.cast(pl.Float64).reshape((ENTITIES, 1)).arr.to_list(),
        }
    )


def test_rows_of_some_entities_are_those_of_the_whole_in_its_order(lakehouse: Lakehouse) -> None:
    days = [many(day_after(0)), many(day_after(1)).sort("entity").drop("top"), frame_of(day_after(2))]
    write(lakehouse, *days)
    asked = ["S7", "S39999", "S20000", "nobody"]
    for columns in (["entity", "top", "day"], ["value"], ["top"], None):
        whole = lakehouse.read("t.raw", day_after(0), day_after(2), columns)
        entities = lakehouse.read("t.raw", day_after(0), day_after(2), ["entity"])["entity"]
        expected = whole.filter(entities.is_in(asked))
        assert expected.height == 6
        found = lakehouse.read("t.raw", day_after(0), day_after(2), columns, entities=asked)
        assert found.equals(expected)
        assert found.schema == whole.schema
    by_day = dict(lakehouse.iter_days("t.raw", day_after(0), day_after(2), ["value"], entities=["S7"]))
    assert [rows.height for rows in by_day.values()] == [1, 1, 0]
    assert lakehouse.read("t.raw", day_after(0), day_after(2), entities=[]).is_empty()


def test_of_a_day_only_the_parts_with_an_asked_entity_are_read(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    parts: list[tuple[int, list[str]]] = []
    read = pq.ParquetFile.read_row_groups

    def noting(file: pq.ParquetFile, groups: list[int], columns: list[str]) -> object:
        parts.append((len(groups), sorted(columns)))
        return read(file, groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noting)
    write(lakehouse, many(day_after(0)), many(day_after(1)).sort("entity"))
    for number in range(2):
        assert lakehouse.read("t.raw", day_after(number), day_after(number), ["top"], entities=["S7"]).height == 1
    rest = (1, ["day", "entity", "top"])
    assert parts == [(3, ["entity"]), rest, (1, ["entity"]), rest], "where a day is in order, its parts are known by it"


def test_rows_of_an_entity_hold_no_memory_of_the_others(lakehouse: Lakehouse) -> None:
    import pyarrow as pa

    text = pl.col("entity") + pl.lit("a text that is too long to be kept in place")
    days = [many(day_after(number)).with_columns(text=text, texts=pl.concat_list(text, text)) for number in range(4)]
    write(lakehouse, *days)
    before = pa.total_allocated_bytes()
    found = lakehouse.read("t.raw", day_after(0), day_after(3), entities=["S7"])
    assert found["texts"].list.len().to_list() == [2] * 4
    assert pa.total_allocated_bytes() - before < 100_000, "of a day alone its texts are megabytes"


def test_rows_of_entities_are_asked_of_tables_that_have_some(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(FIRST).drop("entity"))
    with pytest.raises(LakehouseError, match="no column entity"):
        lakehouse.read("t.raw", FIRST, FIRST, entities=["S1"])


def test_an_unknown_column_is_named_with_those_there_are(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(FIRST))
    with pytest.raises(LakehouseError, match="no column smart_1; it has day, entity, value"):
        lakehouse.read("t.raw", FIRST, FIRST, ["day", "smart_1"])


def test_a_range_without_rows_is_an_empty_frame_with_the_columns(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(FIRST))
    assert lakehouse.read("t.raw", day_after(5), day_after(9)).schema == frame_of(FIRST).schema


def test_table_properties_are_kept_and_added_to(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(FIRST))
    lakehouse.set_properties("t.raw", {"ae_assets.simulated": "true"})
    lakehouse.set_properties("t.raw", {"ae_assets.source": "simulated://"})
    found = lakehouse.properties("t.raw")
    assert (found["ae_assets.simulated"], found["ae_assets.source"]) == ("true", "simulated://")


@pytest.mark.parametrize("name", ["my home [1] #2 100%?", "a%2Fb", "a%20b", "what?", "ü;c:d"])
def test_a_home_with_odd_characters_works_and_nothing_is_written_beside_it(name: str, tmp_path: Path) -> None:
    for _ in range(2):
        lakehouse = Lakehouse.open(tmp_path / name)
        write(lakehouse, frame_of(FIRST))
        assert lakehouse.read("t.raw", FIRST, FIRST).equals(frame_of(FIRST))
        lakehouse.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_catalog_in_pyicebergs_own_configuration_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__AE_ASSETS__URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    monkeypatch.setenv("PYICEBERG_CATALOG__AE_ASSETS__WAREHOUSE", str(tmp_path / "elsewhere"))
    lakehouse = Lakehouse.open(tmp_path / "home")
    write(lakehouse, frame_of(FIRST))
    assert (tmp_path / "elsewhere.db").exists()
    assert list((tmp_path / "elsewhere").rglob("*.parquet"))
    assert not (tmp_path / "home").exists()
    lakehouse.close()


def test_without_home_and_configuration_the_error_says_what_to_set() -> None:
    with pytest.raises(LakehouseError, match="PYICEBERG_CATALOG__AE_ASSETS__URI"):
        Lakehouse.open(None)


def test_a_password_in_an_address_is_not_printed(tmp_path: Path) -> None:
    lakehouse = Lakehouse.open(None, {"uri": "nosuch://user:secret@nowhere/db", "type": "sql", "warehouse": "x"})
    with pytest.raises(LakehouseError, match="nowhere") as raised:
        lakehouse.exists("t.raw")
    assert "secret" not in str(raised.value)


def test_another_reader_of_iceberg_sees_the_same_rows(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(day_after(0)), frame_of(day_after(1)).with_columns(top=pl.lit([1.5])))
    write(lakehouse, frame_of(day_after(1), value=5).with_columns(top=pl.lit([2.5])))
    scanned = pl.DataFrame(lakehouse._access.get("t.raw").scan().to_arrow())
    assert scanned.sort("day", "entity").equals(lakehouse.read("t.raw", day_after(0), day_after(1)))


def test_a_column_renamed_by_another_engine_is_refused_not_read_as_null(lakehouse: Lakehouse) -> None:
    write(lakehouse, frame_of(FIRST))
    with lakehouse._access.get("t.raw").update_schema() as update:
        update.rename_column("value", "reading")
    with pytest.raises(LakehouseError, match=r"'value' of t\.raw was renamed to 'reading'"):
        lakehouse.read("t.raw", FIRST, FIRST)


def test_tables_of_a_new_catalog_that_another_process_makes_first_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import IntegrityError

    from ae_assets.lakehouse import catalogs

    opened, tries = object(), []

    def second_time_lucky(name: str, **properties: str) -> object:
        tries.append(properties)
        if len(tries) == 1:
            raise IntegrityError("CREATE TABLE iceberg_tables", {}, Exception("duplicate key"))
        return opened

    monkeypatch.setattr(catalogs, "load_catalog", second_time_lucky)
    settings = {"type": "sql", "uri": "postgresql+psycopg2://somebody@nowhere/db"}
    assert catalogs.open_catalog(settings) is opened
    assert [tried["type"] for tried in tries] == ["sql"] * 2
