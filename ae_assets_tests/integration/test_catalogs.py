"""The contract of the lakehouse, as its own room tests it, on servers: PostgreSQL or REST, files and models on S3."""

import importlib.resources
import multiprocessing
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

import polars as pl
import pytest

from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets.lakehouse.compaction import compact
from ae_assets.lakehouse.maintenance import expire_snapshots
from ae_assets.lakehouse.snapshots import merge_manifests
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.seaweed import KEY, SECRET
from ae_assets_tests.lakehouse import (
    test_compaction,
    test_history,
    test_models,
    test_revision,
    test_tables,
    test_writer,
)
from ae_assets_tests.lakehouse.conftest import day_after, frame_of
from ae_assets_tests.lakehouse.test_maintenance_processes import maintain_while_others_write
from ae_assets_tests.lakehouse.test_processes import write_at_once

OF_TABLES = (
    "test_a_missing_table_names_the_asset_to_materialise",
    "test_columns_come_back_with_their_types_and_order",
    "test_days_are_iterated_one_by_one_and_those_without_rows_are_left_out",
    "test_iterating_sees_one_snapshot_while_others_write",
    "test_a_column_of_a_later_day_is_null_in_earlier_days",
    "test_an_unknown_column_is_named_with_those_there_are",
    "test_a_range_without_rows_is_an_empty_frame_with_the_columns",
    "test_rows_of_some_entities_are_those_of_the_whole_in_its_order",
    "test_of_a_day_only_the_parts_with_an_asked_entity_are_read",
    "test_table_properties_are_kept_and_added_to",
    "test_a_column_renamed_by_another_engine_is_refused_not_read_as_null",
)
OF_WRITER = (
    "test_writing_a_day_replaces_it_and_nothing_else",
    "test_a_frame_without_rows_empties_the_day",
    "test_an_empty_first_day_makes_the_table",
    "test_a_range_is_committed_in_batches_of_rows",
    "test_days_are_not_seen_before_their_commit",
    "test_a_conflicting_type_names_column_both_types_and_the_way_out",
    "test_a_narrower_type_and_a_column_of_nulls_fit",
    "test_a_wider_type_than_the_tables_is_refused",
    "test_many_small_commits_leave_few_manifests",
    "test_a_lost_answer_or_a_busy_catalog_commits_once",
    "test_a_day_written_by_another_in_between_is_replaced_not_added_to",
    "test_a_commit_that_is_refused_for_good_says_so",
)

OF_REVISION = (
    "test_days_are_replaced_by_what_is_made_of_them_and_the_others_stay",
    "test_a_table_that_is_not_there_is_made",
    "test_a_day_has_another_version_after_each_write_and_the_others_keep_theirs",
)
OF_HISTORY = (
    "test_a_table_is_read_as_it_was_at_a_time_and_as_it_is",
    "test_a_rewritten_day_is_read_as_it_was_until_its_state_is_forgotten",
)
OF_COMPACTION = (
    "test_each_day_becomes_one_file_with_the_same_rows_in_the_same_order",
    "test_many_manifests_are_merged_and_the_rows_stay",
)

# Tests of the room that look into folders or choose their own home stay there.
globals().update({name: getattr(test_tables, name) for name in OF_TABLES})
globals().update({name: getattr(test_writer, name) for name in OF_WRITER})
globals().update({name: getattr(test_revision, name) for name in OF_REVISION})
globals().update({name: getattr(test_history, name) for name in OF_HISTORY})
globals().update({name: getattr(test_compaction, name) for name in OF_COMPACTION})
globals().update({name: test for name, test in vars(test_models).items() if name.startswith("test_")})


in_pieces = test_compaction.in_pieces


@pytest.fixture
def lakehouse(remote_lakehouse: Lakehouse) -> Lakehouse:
    return remote_lakehouse


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> ModelStore:
    return ModelStore.open(tmp_path, f"s3://{bucket.name}/models?scheme=http")


def test_maintenance_removes_what_nothing_names_and_nothing_else(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in range(4):
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(0), frame_of(day_after(0), value=value))
            writer.write(day_after(1), frame_of(day_after(1), value=value))
    before = lakehouse.read("t.raw", day_after(0), day_after(1))
    assert lakehouse.maintain("t.raw", timedelta(days=5)).files_removed == 0
    # Snapshots and objects carry the server's time, so keeping less than no time stands in for waiting.
    monkeypatch.setattr("ae_assets.lakehouse.remains.SHORTEST", timedelta(days=-2))
    maintained = lakehouse.maintain("t.raw", timedelta(days=-1))
    assert maintained.snapshots_expired == 3
    assert maintained.files_removed > 6
    assert lakehouse.read("t.raw", day_after(0), day_after(1)).equals(before)
    assert lakehouse.maintain("t.raw", timedelta(days=-1)).files_removed <= 3  # of the expiry's own commit
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(2), frame_of(day_after(2)))
    assert list(lakehouse.day_rows("t.raw")) == [day_after(number) for number in range(3)]


@pytest.mark.parametrize("catalog", ["PostgreSQL", "REST"], indirect=True)
def test_processes_write_at_once_and_every_row_is_accounted_for(catalog: dict[str, str]) -> None:
    if catalog["type"] == "rest":
        # Of two processes that make one table at once this server lets both win; the writers then fail and say so.
        lakehouse = Lakehouse.open(None, catalog)
        with lakehouse.writer("t.raw") as writer:
            writer.write(day_after(50), frame_of(day_after(50)))
        lakehouse.close()
    write_at_once(None, catalog)


@pytest.mark.parametrize("catalog", ["PostgreSQL"], indirect=True)
def test_maintenance_beside_processes_that_write(catalog: dict[str, str]) -> None:
    maintain_while_others_write(None, catalog)


def test_another_engine_reads_the_rows_that_were_written(lakehouse: Lakehouse) -> None:
    import duckdb

    with lakehouse.writer("t.raw") as writer:
        for number in range(4):
            writer.write(day_after(number), frame_of(day_after(number), rows=3, value=number))
    with lakehouse.writer("t.raw") as writer:
        writer.write(day_after(1), frame_of(day_after(1), rows=5, value=100).with_columns(later=pl.lit(7)))
    engine = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    for name in ("httpfs", "avro", "iceberg"):
        package = importlib.resources.files(f"duckdb_extension_{name}")
        engine.load_extension(str(package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"))
    test_compaction.append(lakehouse, day_after(3), 11)
    table = lakehouse._access.get("t.raw")
    address = table.io.properties["s3.endpoint"].removeprefix("http://")
    engine.execute(
        f"create secret (type s3, key_id '{KEY}', secret '{SECRET}', endpoint '{address}', url_style 'path', "
        "use_ssl false, region 'us-east-1')"
    )
    expected = [
        (day_after(0), 3, 0, 0),
        (day_after(1), 5, 500, 5),
        (day_after(2), 3, 6, 0),
        (day_after(3), 6, 42, 0),
    ]
    for is_maintained in (False, True):
        if is_maintained:
            compact(lakehouse._access, "t.raw")
            merge_manifests(lakehouse._access.get("t.raw"))
            expire_snapshots(lakehouse._access, "t.raw", datetime.now(UTC) + timedelta(days=1), 1)
        rows = engine.execute(
            "select day, count(*), sum(value), count(later) from iceberg_scan(?) group by day order by day",
            [lakehouse._access.get("t.raw").metadata_location],
        ).fetchall()
        assert rows == expected


def open_at_once(catalog: dict[str, str], start: Barrier) -> None:
    opened = Lakehouse.open(None, catalog)
    start.wait()
    assert not opened.exists("t.raw")


@pytest.mark.parametrize("catalog", ["PostgreSQL"], indirect=True)
def test_processes_open_a_new_catalog_at_once(catalog: dict[str, str]) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(6)
    processes = [context.Process(target=open_at_once, args=(catalog, start)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
