"""What a window holds."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.detectors import windows_of
from ae_assets.detectors.windows import TrainingData, chunks
from ae_assets.errors import ContractError
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.records import TIME_TYPE
from ae_assets_tests.detectors.fleets import NAMES, START, fleet


def drive(*days: int, entity: str = "A") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": [START + timedelta(days=day) for day in days],
            "entity": entity,
            "cohort": "one",
            "label": pl.repeat(0, len(days), dtype=pl.Int8, eager=True),
            "x": [float(day) for day in days],
        }
    )


def test_a_chunk_is_abnormal_where_any_of_its_records_is_and_chunks_end_a_step_apart() -> None:
    days = {"a": range(9), "b": range(7)}
    table = pl.DataFrame(
        [
            {"day": START + timedelta(days=day), "entity": entity, "cohort": "c", "x": 0.0}
            for entity in days
            for day in days[entity]
        ]
    )
    windows = windows_of(table, ["x"], timedelta(days=3))
    target = np.zeros(len(windows), np.bool_)
    target[[1, 8, 9 + 4]] = True  # records 2 and 9 of a, record 5 of b
    data = TrainingData(windows, target, np.arange(len(windows)) >= 9)
    every_third = chunks(data, 3)
    assert every_third.windows.last_row.tolist() == [2, 5, 8, 11, 14]
    assert every_third.target.tolist() == [True, False, True, False, True]
    assert every_third.held_out.tolist() == [False] * 3 + [True] * 2
    each = chunks(data, 1)
    assert np.flatnonzero(each.target).tolist() == [1, 2, 3, 8, 13, 14, 15]
    # Records that no window ends on, as those of unknown state, make none abnormal.
    assert chunks(data.take(np.flatnonzero(~target)), 1).target.sum() == 0
    assert len(chunks(data, 10).windows) == 0


def test_a_missing_day_is_skipped_and_the_window_keeps_its_calendar_days() -> None:
    windows = windows_of(drive(0, 1, 2, 6, 7), ["x"], window=3 * DAY)
    assert windows.length.tolist() == [1, 2, 3, 1, 2]


def test_a_short_history_gives_a_short_window() -> None:
    windows = windows_of(drive(5), ["x"], window=20 * DAY)
    assert (windows.last_row.tolist(), windows.length.tolist()) == ([0], [1])


@given(
    records=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 40)), min_size=1),
    window_days=st.integers(1, 12),
    order=st.randoms(use_true_random=False),
)
def test_a_window_is_the_entitys_records_of_the_last_days_and_never_another_entitys(
    records: set[tuple[int, int]], window_days: int, order: "st.random.Random"
) -> None:
    rows = list(records)
    order.shuffle(rows)
    table = pl.concat([drive(day, entity=f"E{entity}") for entity, day in rows])
    windows = windows_of(table, ["x"], window_days * DAY)
    assert len(windows) == len(records)
    for last_row, length in zip(windows.last_row, windows.length, strict=True):
        held = windows.rows[last_row - length + 1 : last_row + 1]
        entity, scored = windows.rows["entity"][int(last_row)], windows.rows["day"][int(last_row)]
        expected = table.filter(
            (pl.col("entity") == entity)
            & (pl.col("day") <= scored)
            & (pl.col("day") > scored - timedelta(days=window_days))
        ).sort("day")
        assert held["entity"].unique().to_list() == [entity]
        assert held["day"].to_list() == expected["day"].to_list()
        assert windows.values[last_row - length + 1 : last_row + 1, 0].tolist() == expected["x"].to_list()


@given(
    records=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 60)), min_size=1),
    minutes=st.integers(1, 200),
    order=st.randoms(use_true_random=False),
)
def test_a_window_of_hours_is_the_entitys_records_after_its_time_less_the_window(
    records: set[tuple[int, int]], minutes: int, order: "st.random.Random"
) -> None:
    rows = list(records)
    order.shuffle(rows)
    start, window = datetime(2024, 1, 1, 22, tzinfo=UTC), timedelta(minutes=minutes)
    table = pl.DataFrame(
        {
            "time": [start + number * timedelta(minutes=7) for _, number in rows],
            "entity": [f"E{entity}" for entity, _ in rows],
            "x": [float(number) for _, number in rows],
        },
        schema={"time": TIME_TYPE, "entity": pl.String, "x": pl.Float32},
    ).with_columns(day=pl.col("time").dt.date(), cohort=pl.lit("one"))
    windows = windows_of(table, ["x"], window, step=timedelta(minutes=7))
    assert windows.keys().columns == ["day", "time", "entity", "cohort", "label"]
    assert len(windows) == len(records)
    for last_row, length in zip(windows.last_row, windows.length, strict=True):
        scored = windows.rows.row(int(last_row), named=True)
        expected = table.filter(
            pl.col("entity") == scored["entity"],
            pl.col("time") <= scored["time"],
            pl.col("time") > scored["time"] - window,
        ).sort("time")
        held = windows.rows[last_row - length + 1 : last_row + 1]
        assert held.select("entity", "time").equals(expected.select("entity", "time"))
        assert windows.values[last_row - length + 1 : last_row + 1, 0].tolist() == expected["x"].to_list()


def test_two_rows_of_one_entity_and_time_are_refused_and_two_of_a_day_are_not() -> None:
    at = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (3, 4)]
    table = drive(0, 0).with_columns(time=pl.Series(at, dtype=TIME_TYPE))
    assert windows_of(table, ["x"], timedelta(hours=2)).length.tolist() == [1, 2]
    with pytest.raises(ContractError, match="Entity A has more than one row on 2024-01-01 03"):
        windows_of(table.with_columns(time=pl.lit(at[0])), ["x"])


def test_only_the_wanted_days_end_a_window_and_the_others_serve_as_history() -> None:
    wanted = START + timedelta(days=3)
    windows = windows_of(drive(0, 1, 2, 3, 4), ["x"], window=3 * DAY, days=[wanted])
    assert windows.keys()["day"].to_list() == [wanted]
    assert windows.length.tolist() == [3]


def test_rows_that_where_leaves_out_end_no_window_but_serve_as_history() -> None:
    table = drive(3, 1, 2)
    windows = windows_of(table, ["x"], window=3 * DAY, where=pl.Series([True, None, False]))
    assert windows.keys()["day"].to_list() == [START + timedelta(days=3)]
    assert windows.length.tolist() == [3]


def test_keys_follow_the_order_of_the_windows() -> None:
    windows = windows_of(fleet(), NAMES, 4 * DAY)
    chosen = np.array([30, 2, 11])
    keys = windows.take(chosen).keys()
    assert keys.columns == ["day", "entity", "cohort", "label"]
    assert keys.equals(windows.keys()[chosen])
    assert windows.rows["entity"].gather(windows.last_row[chosen]).to_list() == keys["entity"].to_list()


def test_missing_values_become_nan_and_no_value_moves_to_another_row() -> None:
    table = fleet()
    windows = windows_of(table, NAMES, 4 * DAY)
    expected = table.sort("entity", "day").select(NAMES).fill_null(float("nan")).to_numpy()
    np.testing.assert_array_equal(windows.values, expected)


def test_an_empty_table_has_no_windows() -> None:
    windows = windows_of(fleet().clear(), NAMES, 4 * DAY)
    assert (len(windows), windows.values.shape) == (0, (0, len(NAMES)))


def test_two_rows_of_one_entity_and_day_are_refused_by_name() -> None:
    with pytest.raises(ContractError, match=r"Entity A has more than one row on 2024-01-02"):
        windows_of(drive(0, 1, 1), ["x"], 3 * DAY)


def test_a_missing_feature_column_is_named() -> None:
    with pytest.raises(ContractError, match="no column \\['y'\\]"):
        windows_of(drive(0), ["x", "y"], 3)


def test_where_needs_one_value_per_row() -> None:
    with pytest.raises(ContractError, match="where has 1 values for 2 rows"):
        windows_of(drive(0, 1), ["x"], 3 * DAY, where=pl.Series([True]))


def test_a_window_holds_some_time() -> None:
    with pytest.raises(ContractError, match="is 0d long"):
        windows_of(drive(0), ["x"], 0 * DAY)


def test_days_may_be_any_collection() -> None:
    days = {date(2024, 1, 1), date(2024, 1, 3)}
    assert set(windows_of(drive(0, 1, 2), ["x"], 3 * DAY, days=days).keys()["day"]) == days
