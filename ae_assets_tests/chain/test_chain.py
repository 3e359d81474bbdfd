import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.champion import load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.features import build_features
from ae_assets.chain.lives import failures_in
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import RawDay, load_raw
from ae_assets.chain.workspace import FailedPeriod
from ae_assets.errors import EvaluationError, LakehouseError, ModelError
from ae_assets.features.validation import Validated, validate_day
from ae_assets.lakehouse import Lakehouse
from ae_assets.schemas.periods import DAILY
from ae_assets.schemas.raw import RawContract
from ae_assets.sources import open_source
from ae_assets_tests.chain.steps import fill, fit, judge
from ae_assets_tests.chain.tables import FIRST, LAST, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=9))


def test_every_row_of_the_source_is_in_raw_and_in_features_or_quarantine(finished_home: Path) -> None:
    space = storage_of(watched_table(), finished_home)
    source = open_source(space.table.source.location)
    for day in (FIRST, LAST):
        assert space.days_of("raw")[day] == source.read(source.days()[day]).height
    raw, features, quarantine = (space.days_of(name) for name in ("raw", "features", "quarantine"))
    assert raw == {day: features.get(day, 0) + quarantine.get(day, 0) for day in raw}


@pytest.mark.bits
def test_a_single_day_gives_the_same_features_as_a_range(tmp_path: Path) -> None:
    range_run, day_runs = (storage_of(watched_table(), tmp_path / name) for name in ("range", "days"))
    source = open_source(watched_table().source.location)
    for space in (range_run, day_runs):
        list(load_raw(space, source, DAYS))
    build_features(range_run, DAYS)
    for day in reversed(DAYS):
        build_features(day_runs, [day])
    expected, got = (s.tables.read(s.name("features"), DAYS[0], DAYS[-1]) for s in (range_run, day_runs))
    assert expected.height > 0
    assert_frame_equal(expected, got)


def test_loading_a_day_again_replaces_it(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"))
    space = storage_of(table, tmp_path / "home")
    write_day(tmp_path / "source", FIRST, [("A1", 0, 0), ("A2", 0, 0)])
    list(load_raw(space, open_source(table.source.location), [FIRST]))
    write_day(tmp_path / "source", FIRST, [("A1", 0, 5), ("A2", 0, 0), ("A3", 0, 0)])
    list(load_raw(space, open_source(table.source.location), [FIRST]))
    rows = space.read("raw", FIRST, FIRST, ["serial_number", "smart_5_raw"])
    assert sorted(rows.rows()) == [("A1", 5), ("A2", 0), ("A3", 0)]


def test_a_day_that_the_source_lacks_is_reported_and_the_others_are_loaded(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"))
    space = storage_of(table, tmp_path / "home")
    for day in (DAYS[0], DAYS[2]):
        write_day(tmp_path / "source", day, [("A1", 0, 0)])
    loaded = list(load_raw(space, open_source(table.source.location), DAYS[:3]))
    assert [(facts.day, facts.status) for facts in loaded] == [
        (DAYS[0], "loaded"),
        (DAYS[1], "missing"),
        (DAYS[2], "loaded"),
    ]
    assert [facts.feature_rows for facts in build_features(space, DAYS[:3])] == [1, 0, 1]


def test_a_day_that_the_source_does_not_list_any_more_keeps_its_rows(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"))
    space = storage_of(table, tmp_path / "home")
    files = [write_day(tmp_path / "source", day, [("A1", 0, 0)]) for day in DAYS[:2]]
    list(load_raw(space, open_source(table.source.location), DAYS[:2]))
    files[1].unlink()
    (facts,) = load_raw(space, open_source(table.source.location), [DAYS[1]])
    assert (facts.status, facts.rows) == ("kept", 1)
    assert list(space.days_of("raw")) == DAYS[:2]


def test_a_day_that_cannot_be_read_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"))
    space = storage_of(table, tmp_path / "home")
    for day in DAYS[:3]:
        path = write_day(tmp_path / "source", day, [("A1", 0, 0)])
        if day == DAYS[1]:
            path.write_text("date,colour\n2013-04-11,red\n")
    loaded = list(load_raw(space, open_source(table.source.location), DAYS[:3]))
    assert [(facts.day, type(facts)) for facts in loaded] == [
        (DAYS[0], RawDay),
        (DAYS[1], FailedPeriod),
        (DAYS[2], RawDay),
    ]
    assert "2013-04-11.csv" in loaded[1].reason
    assert list(space.days_of("raw")) == [DAYS[0], DAYS[2]]


def test_a_day_without_features_has_no_anomalies_whatever_it_had_before(finished_home: Path, tmp_path: Path) -> None:
    finished, space = storage_of(watched_table(), finished_home), storage_of(watched_table(), tmp_path / "home")
    with space.tables.writer("fleet.anomalies") as writer:
        for day in (LAST, LAST - timedelta(days=1)):
            writer.write(day, finished.tables.read("fleet.anomalies", day, day))
    with space.tables.writer("fleet.features") as writer:
        writer.write(LAST, finished.tables.read("fleet.features", LAST, LAST))
    days = [LAST - timedelta(days=1), LAST]
    found = {facts.day: facts for facts in find_anomalies(space, load_champion(finished), days)}
    assert (found[days[0]].rows, found[days[0]].alarms, found[days[0]].frame.columns) == (
        0,
        0,
        found[days[1]].frame.columns,
    )
    assert space.days_of("anomalies") == {LAST: found[LAST].rows}


def test_rows_that_cannot_be_true_are_set_aside_with_rule_column_and_value(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"))
    space = storage_of(table, tmp_path / "home")
    write_day(tmp_path / "source", FIRST, [("A1", 0, 0), ("A2", 0, -4), ("A1", 0, 1), ("A3", 7, 0)])
    list(load_raw(space, open_source(table.source.location), [FIRST]))
    facts = build_features(space, [FIRST])[0]
    assert (facts.feature_rows, facts.quarantine_rows) == (1, 3)
    aside = space.read("quarantine", FIRST, FIRST)
    found = {(row["entity"], row["column"], row["value"]) for row in aside.iter_rows(named=True)}
    assert found == {("A2", "smart_5_raw", "-4"), ("A1", "serial_number", "A1"), ("A3", "failure", "7")}
    assert all(aside["reason"].str.len_chars() > 10)


def test_the_days_before_are_read_as_far_as_features_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = watched_table(str(tmp_path / "source"))
    space = storage_of(table, tmp_path / "home")
    for day in DAYS[:4]:
        write_day(tmp_path / "source", day, [("A1", 0, 0), ("A2", 0, -4)], smart_240_raw=[1, 2], datacenter=["x", "y"])
    list(load_raw(space, open_source(table.source.location), DAYS[:4]))
    read: dict[date, list[set[str]]] = {}
    iterate, whole, validated = Lakehouse.iter_days, Lakehouse.read, []

    def noting(self: Lakehouse, name: str, first: date, *of: Any, **more: Any) -> Iterator[tuple[date, pl.DataFrame]]:
        for day, frame in iterate(self, name, first, *of, **more):
            read.setdefault(day, []).append(set(frame.columns))
            yield day, frame

    def noting_whole(self: Lakehouse, name: str, first: date, *of: Any, **more: Any) -> pl.DataFrame:
        frame = whole(self, name, first, *of, **more)
        read.setdefault(first, []).append(set(frame.columns))
        return frame

    def validating(raw: pl.DataFrame, day: date, contract: RawContract) -> Validated:
        validated.append(day)
        return validate_day(raw, day, contract)

    monkeypatch.setattr(Lakehouse, "iter_days", noting)
    monkeypatch.setattr(Lakehouse, "read", noting_whole)
    monkeypatch.setattr("ae_assets.model.preparation.validate_day", validating)
    build_features(space, DAYS[3:4])
    keys = {"date", "serial_number", "model", "failure", "capacity_bytes", "rescued", "source_file", "source_row"}
    needed = keys | set(table.features.attributes)
    assert read == {**{day: [needed] for day in DAYS[:3]}, DAYS[3]: [needed, set(space.tables.schema("fleet.raw"))]}
    assert validated == [DAYS[3]]
    (record,) = space.tables.read("fleet.quarantine", DAYS[3], DAYS[3])["record"]
    assert (json.loads(record)["smart_240_raw"], json.loads(record)["datacenter"]) == (2, "y")


def test_simulated_and_real_drives_do_not_meet_in_one_home(tmp_path: Path) -> None:
    space = storage_of(watched_table(), tmp_path / "home")
    list(load_raw(space, open_source(space.table.source.location), DAYS[:1]))
    write_day(tmp_path / "source", DAYS[1], [("A1", 0, 0)])
    with pytest.raises(LakehouseError, match=r"holds simulated devices(.|\n)*AE_ASSETS_HOME"):
        list(load_raw(space, open_source(str(tmp_path / "source")), DAYS[1:2]))


def test_anomalies_have_a_row_for_each_drive_and_day_and_scoring_again_changes_nothing(finished_home: Path) -> None:
    space = storage_of(watched_table(), finished_home)
    assert space.days_of("anomalies") == space.days_of("features")
    before = space.read("anomalies", LAST, LAST)
    judge(space, [LAST])
    assert_frame_equal(before, space.read("anomalies", LAST, LAST))


def test_an_anomaly_row_explains_itself(finished_home: Path) -> None:
    space = storage_of(watched_table(), finished_home)
    rows = space.read("anomalies", FIRST, LAST)
    assert (rows["is_anomaly"] == (rows["score"] > rows["threshold"])).all()
    assert rows["is_anomaly"].any()
    features = rows.head(200).explode("top_features").unnest("top_features")
    totals = features.group_by("day", "entity", "score").agg(
        pl.col("contribution").sum(), pl.col("contribution").is_sorted(descending=True).alias("falls")
    )
    assert (totals["contribution"] <= totals["score"] * 1.001 + 1e-6).all()
    assert totals["falls"].all()
    assert rows["label"].sum() == failures_in(space).height


def test_a_streak_counts_days_with_an_alarm_and_only_its_first_day_is_new(finished_home: Path) -> None:
    space = storage_of(watched_table(), finished_home)
    rows = space.read("anomalies", FIRST, LAST).sort("entity", "day")
    streak, entity = 0, None
    for row in rows.iter_rows(named=True):
        streak = 0 if row["entity"] != entity else streak
        entity = row["entity"]
        assert row["is_new"] == (row["is_anomaly"] and streak == 0)
        streak = streak + 1 if row["is_anomaly"] else 0
        assert row["streak_days"] == streak


@pytest.mark.bits
def test_the_same_seed_gives_the_same_scores(finished_home: Path, tmp_path: Path) -> None:
    finished, again = storage_of(watched_table(), finished_home), storage_of(watched_table(), tmp_path)
    days = DAILY.range(FIRST, FIRST + timedelta(days=44))
    fill(again, days)
    fit(again, FIRST, FIRST + timedelta(days=29))
    judge(again, days[-1:])
    scores = [
        s.tables.read(s.name("anomalies"), days[-1], days[-1], ["entity", "score", "threshold"]).sort("entity")
        for s in (finished, again)
    ]
    assert_frame_equal(*scores, check_exact=True)


def test_training_leaves_out_rows_near_a_failure_and_knows_no_label_after_the_horizon(tmp_path: Path) -> None:
    table = watched_table(str(tmp_path / "source"), training={"horizon_days": 3, "days": 5, "max_rows": 5000})
    space = storage_of(table, tmp_path / "home")
    drives = [f"D{number:03}" for number in range(40)]
    days = DAILY.range(FIRST, FIRST + timedelta(days=19))
    fails_on = {"D000": days[6], "D001": days[12]}
    for day in days:
        write_day(
            tmp_path / "source",
            day,
            [(d, int(fails_on.get(d) == day), 0) for d in drives if fails_on.get(d, days[-1]) >= day],
        )
    fill(space, days)
    training = TrainingRange.of(days[0], days[5], 3)
    card = train(space, training).card
    assert training.known_until == days[8]
    # D000 fails on day 6: its rows of days 3, 4 and 5 are near it. D001 fails after the labels end: unknown, so kept.
    assert card["data"]["rows_left_out_near_failure"] == 3
    assert card["data"]["rows_held"] == 40 * 6


def test_there_is_no_anomaly_without_a_champion(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no champion yet; train one"):
        load_champion(storage_of(watched_table(), tmp_path))


def test_the_days_that_the_champion_has_seen_cannot_be_evaluated(finished_home: Path) -> None:
    space = storage_of(watched_table(), finished_home)
    with pytest.raises(
        EvaluationError, match=r"has seen days and labels until 2013-05-19; evaluate from 2013-05-20 on"
    ):
        evaluate(space, date(2013, 5, 19), LAST, with_comparisons=False)


def test_days_that_are_not_scored_cannot_be_evaluated(tmp_path: Path, finished_home: Path) -> None:
    space = storage_of(watched_table(), finished_home)
    with pytest.raises(EvaluationError):
        evaluate(space, LAST + timedelta(days=1), LAST + timedelta(days=20), with_comparisons=False)
