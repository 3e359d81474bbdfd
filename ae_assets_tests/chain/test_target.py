"""The target of a table: labelled intervals follow raw exactly, and intervals of a file are those of its devices."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.target import intervals_in, target_of
from ae_assets.chain.workspace import RAW, TARGET
from ae_assets.errors import ConfigError
from ae_assets.evaluation.target import Failures, joined, labelled_pieces
from ae_assets.schemas.periods import DAILY
from ae_assets.schemas.records import TIME_TYPE
from ae_assets_tests.chain.stations import CADENCE, Row, load, space_in, taken_at, write_day
from ae_assets_tests.chain.tables import watched_table

DAYS = DAILY.range(date(2023, 12, 29), date(2024, 1, 4))
"""Over the end of a year, where intervals lie in two partitions."""

LABEL = {"columns": ["qual"], "gap": "12h"}


def moment(day: date, number: int) -> datetime:
    return taken_at(day, number).replace(tzinfo=UTC)


def intervals(space: Workspace) -> list[tuple[str, datetime, datetime]]:
    return intervals_in(space).frame.select("entity", "start", "end").rows()


ROWS = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(0, 3), st.sampled_from([None, "4", "10"])),
    max_size=6,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, len(DAYS) - 1), ROWS, st.booleans()), min_size=1, max_size=7))
def test_intervals_are_what_all_of_raw_says_whatever_was_replaced_emptied_or_loaded_late(
    changes: Sequence[tuple[int, list[Row], bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("target")
    space = space_in(folder, LABEL)
    for number, rows, broken_off in changes:
        write_day(folder, DAYS[number], rows)
        with pytest.MonkeyPatch.context() as patch:
            if broken_off:
                patch.setattr("ae_assets.chain.raw.catch_up", lambda *_: None)
            load(space, DAYS[number])
    found = intervals_in(space).frame
    if not space.exists(RAW):
        assert found.is_empty()
        return
    raw = space.read(RAW, DAYS[0], DAYS[-1]).select("qual", entity="station", at=pl.col("datetime").cast(TIME_TYPE))
    assert_frame_equal(found, joined(labelled_pieces(raw, ["qual"], ()), timedelta(hours=12)))


def test_an_interval_goes_over_the_border_of_days_and_ends_where_the_next_day_is_taken_away(tmp_path: Path) -> None:
    space, (first, second, third) = space_in(tmp_path, LABEL), DAYS[:3]
    for day in (first, second, third):
        write_day(tmp_path, day, [("A", number, "4" if day != first or number == 3 else None) for number in range(4)])
    load(space, first, second, third)
    assert intervals(space) == [("A", moment(first, 3), moment(third, 3))]
    write_day(tmp_path, second, [("A", number, None) for number in range(4)])
    load(space, second)
    assert intervals(space) == [
        ("A", moment(first, 3), moment(first, 3)),
        ("A", moment(third, 0), moment(third, 3)),
    ]
    write_day(tmp_path, third, [])
    load(space, third)
    assert intervals(space) == [("A", moment(first, 3), moment(first, 3))]


def test_files_without_the_column_of_marks_are_read_and_say_nothing_of_what_was_abnormal(tmp_path: Path) -> None:
    space = space_in(tmp_path, LABEL)
    for day in DAYS[:2]:
        write_day(tmp_path, day, [("A", 0, "4")])
    bare = tmp_path / "source" / f"{DAYS[0]}.csv"
    pl.read_csv(bare).drop("qual").write_csv(bare)
    load(space, DAYS[0])
    assert (space.read(RAW, DAYS[0], DAYS[0]).height, intervals(space)) == (1, [])
    load(space, DAYS[1])
    assert intervals(space) == [("A", moment(DAYS[1], 0), moment(DAYS[1], 0))]


def test_only_the_rows_of_a_replaced_day_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = space_in(tmp_path, LABEL)
    for day in DAYS:
        write_day(tmp_path, day, [("A", 0, "4")])
    load(space, *DAYS)
    asked = []
    read = Workspace.read

    def remembering(
        space: Workspace, asset: str, first: date, last: date, columns: list[str], entities: None = None
    ) -> pl.DataFrame:
        asked.append((columns, first, last))
        return read(space, asset, first, last, columns, entities)

    monkeypatch.setattr(Workspace, "read", remembering)
    write_day(tmp_path, DAYS[2], [("A", 0, None)])
    load(space, DAYS[2])
    assert [(first, last) for columns, first, last in asked if "qual" in columns] == [(DAYS[2], DAYS[2])]
    assert len(intervals(space)) == len(DAYS) - 1


def test_other_settings_of_the_label_count_for_all_days_at_once(tmp_path: Path) -> None:
    space, day = space_in(tmp_path, LABEL), DAYS[0]
    write_day(tmp_path, day, [("A", 0, "4"), ("A", 1, "10"), ("B", 0, "10")])
    load(space, day)
    assert {entity for entity, *_ in intervals(space)} == {"A", "B"}
    only_four = space_in(tmp_path, {**LABEL, "abnormal": [4]})
    assert intervals(only_four) == [("A", moment(day, 0), moment(day, 0))]
    assert len(intervals(space)) == 2


def test_what_is_known_by_a_day_ends_with_it(tmp_path: Path) -> None:
    space, (first, second, *_) = space_in(tmp_path, LABEL), DAYS
    for day in (first, second):
        write_day(tmp_path, day, [("A", number, "4") for number in range(4)])
    load(space, first, second)
    known = intervals_in(space, first).frame
    assert known["start"].to_list() == [moment(first, 0)]
    assert known["end"].to_list() == [moment(second, 0) - timedelta(microseconds=1)]


def test_intervals_of_a_file_are_those_of_the_tables_devices_and_others_are_named(tmp_path: Path) -> None:
    day = DAYS[0]
    labels = tmp_path / "labels.csv"
    labels.write_text(f"entity,start,end,kind\nA,{day},{day},leak\nA,{day} 12:00,{DAYS[1]} 06:00,ice\nZ,{day},{day},\n")
    space = space_in(tmp_path, None, target={"file": str(labels)})
    write_day(tmp_path, day, [("A", 0, None)])
    load(space, day)
    known = intervals_in(space)
    assert known.unknown == ("Z",)
    assert known.frame.filter(entity="A").rows() == [("A", "ice, leak", moment(day, 0), moment(DAYS[1], 1))]
    assert not space.exists(TARGET)
    labels.write_text("entity,start,end\n")
    assert intervals_in(space).frame.is_empty()


def test_the_target_is_what_the_table_has(tmp_path: Path) -> None:
    assert space_in(tmp_path, LABEL).table.target_kind == "intervals"
    assert space_in(tmp_path, "qual").table.target_kind == "failures"
    nothing = space_in(tmp_path, None)
    assert nothing.table.target_kind is None
    assert target_of(nothing).entities_within(moment(DAYS[0], 0), moment(DAYS[-1], 3)) == []
    assert isinstance(target_of(space_in(tmp_path, "qual")), Failures)
    assert (nothing.table.horizon_days, space_in(tmp_path, "qual").table.horizon_days) == (0, 30)


@pytest.mark.parametrize(
    ("label", "more", "named"),
    [
        ({}, {}, ["source.columns.label", "columns"]),
        ({"column": "broken", "columns": ["qual"]}, {}, ["source.columns.label"]),
        ({"column": "broken", "gap": "1d"}, {}, ["source.columns.label"]),
        ({"columns": ["stage"]}, {}, ["stage", "two meanings"]),
        ({"columns": ["qual"], "gab": "1d"}, {}, ["source.columns.label.gab", "gap"]),
        (LABEL, {"target": {"file": "labels.csv"}}, ["target.file", "qual"]),
        ("broken", {"target": {"file": "labels.csv"}}, ["target.file", "broken"]),
        (LABEL, {"threshold": {"policy": "labelled"}}, ["labelled", "intervals", "target_far"]),
        (None, {"threshold": {"policy": "labelled"}}, ["labelled", "nothing", "target_far"]),
    ],
)
def test_a_target_that_cannot_be_is_refused_when_the_yaml_is_loaded(
    tmp_path: Path, label: object, more: dict[str, object], named: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        space_in(tmp_path, label, **more)
    assert all(word in str(refused.value) for word in named), refused.value


def test_drive_stats_have_failures_and_no_file_beside_them() -> None:
    assert watched_table().target_kind == "failures"
    with pytest.raises(ConfigError, match="failure"):
        watched_table(target={"file": "labels.csv"})


def test_intervals_of_records_every_six_hours_are_joined_over_three_of_them(tmp_path: Path) -> None:
    space, day = space_in(tmp_path, {"columns": "qual"}), DAYS[0]
    write_day(tmp_path, day, [("A", 0, "4"), ("A", 3, "4")])
    load(space, day)
    assert intervals(space) == [("A", moment(day, 0), moment(day, 0) + 3 * CADENCE)]


@pytest.mark.parametrize("partitions", ["hourly", "daily", "weekly"])
def test_intervals_go_over_the_borders_of_hours_days_and_weeks(tmp_path: Path, partitions: str) -> None:
    start = datetime(2023, 12, 31, 20, tzinfo=UTC)  # a Sunday
    times = [start + timedelta(minutes=20 * number) for number in range(24)]
    space = space_in(tmp_path, {"columns": "qual"}, cadence="20m", days_per_file="many", partitions=partitions)

    def write(marked: Sequence[int]) -> None:
        rows = [
            (f"{at:%Y-%m-%d %H:%M:%S}", "A", 1.0, "4" if number in marked else None) for number, at in enumerate(times)
        ]
        frame = pl.DataFrame(rows, ["datetime", "station", "stage", "qual"], orient="row")
        (tmp_path / "source").mkdir(exist_ok=True)
        frame.write_csv(tmp_path / "source" / "all.csv")

    periods = space.table.periods
    every = sorted({periods.of(at) for at in times})
    write(range(3, 20))
    load(space, *every)
    assert intervals(space) == [("A", times[3], times[19])]
    write(range(3, 12))  # nothing was wrong in the new year
    load(space, *[period for period in every if periods.start(period) >= times[12]])
    assert intervals(space) == [("A", times[3], times[11])]


def test_a_week_over_the_end_of_a_year_says_what_was_wrong_in_both_years_and_takes_it_back(tmp_path: Path) -> None:
    monday = datetime(2024, 12, 30, tzinfo=UTC)
    old, new = (monday + timedelta(days=1, hours=6 * number) for number in (0, 12))  # the 31st and the 3rd
    space = space_in(tmp_path, {"columns": "qual", "gap": "1d"}, days_per_file="many", partitions="weekly")

    def load_with_marks(*marked: datetime) -> None:
        rows = [
            (f"{at:%Y-%m-%d %H:%M:%S}", "A", 1.0, "4" if at in marked else None)
            for at in (monday + number * CADENCE for number in range(28))
        ]
        frame = pl.DataFrame(rows, ["datetime", "station", "stage", "qual"], orient="row")
        (tmp_path / "source").mkdir(exist_ok=True)
        frame.write_csv(tmp_path / "source" / "all.csv")
        load(space, monday.date())

    for marked in ((old, new), (new,), (old,), ()):
        load_with_marks(*marked)
        assert intervals(space) == [("A", at, at) for at in marked]
