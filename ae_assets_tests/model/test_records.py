"""Tables whose devices have several records in a period: decisions are of records, whatever the periods and calls."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.anomaly_day import AnomalyDay, anomaly_rows, stored_day
from ae_assets.chain.champion import load_champion
from ae_assets.chain.drift import judge_drift
from ae_assets.chain.entity_history import entity_history
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.stories import story_of_top_alarm
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import ANOMALIES, FEATURES, RAW
from ae_assets.decisions.devices import one_per_device
from ae_assets.features.settings import FeatureSettings
from ae_assets.model.model import Model, load_model
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.checks import anomalies_checks
from ae_assets.reports.alarms_text import day_text, history_text
from ae_assets.reports.figures import entity_story
from ae_assets.reports.tables import alarms_table, listed_alarms
from ae_assets.schemas.anomalies import anomaly_schema
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import storage_of

FIRST = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = DAILY.range(FIRST.date(), FIRST.date() + timedelta(days=7))
STATIONS, QUARTER = 5, timedelta(minutes=15)
FLOOD = ("station 2", datetime(2024, 3, 7, 22, 30, tzinfo=UTC), datetime(2024, 3, 8, 2, tzinfo=UTC))
"""Station, first and last record of a rise that no other has, over midnight."""


def attributes(folder: Path, **more: Any) -> dict[str, Any]:
    values = {"level": {"kind": "gauge", "meaning": "level"}, "flow": {"kind": "gauge", "meaning": "flow"}}
    return {
        "table": "stations",
        "source": {
            "location": str(folder / "in"),
            "days_per_file": "many",
            "columns": {
                "time": {"column": "at", "format": "%Y-%m-%d %H:%M:%S", "cadence": "15m"},
                "entity": "station",
                "values": {"level": {"type": "float"}, "flow": {"type": "float"}},
            },
        },
        "features": {"attributes": values, "spans": ["1h", "6h"]},
        "detector": {
            "type": "lstm_autoencoder",
            "window": "75m",
            "encoder_units": [6],
            "decoder_units": [6],
            "epochs": 40,
            "patience": 3,
            "learning_rate": 0.02,
        },
        "threshold": {"policy": "percentile", "percentile": 99},
        "calibration": {"embargo_days": 1, "days": 2},
        "decision": {
            "aggregation": {"method": "exponential", "span": "1h", "half_life": "15m"},
            "episodes": {"alarms": 2, "within": "45m", "clear_after": 3},
        },
        **more,
    }


def records() -> pl.DataFrame:
    """Tides and noise; a few records are missing, and some values of those that are there."""
    random = np.random.default_rng(5)
    number = np.arange(len(DAYS) * 96)
    tables = []
    for station in range(STATIONS):
        tide = np.sin(number / 50 + station)
        at = [FIRST + int(place) * QUARTER for place in number]
        level = 50 + 5 * tide + 0.2 * random.normal(size=len(number))
        flow = 10 + 3 * tide + 0.1 * random.normal(size=len(number))
        name = f"station {station}"
        high = [name == FLOOD[0] and FLOOD[1] <= moment <= FLOOD[2] for moment in at]
        table = pl.DataFrame({"at": at, "station": name, "level": level + 30 * np.array(high), "flow": flow})
        tables.append(table.filter(pl.Series(random.random(len(number)) > 0.03)))
    unknown = pl.int_range(pl.len()) % 41 == 7
    return pl.concat(tables).with_columns(
        pl.col("at").dt.strftime("%Y-%m-%d %H:%M:%S"),
        level=pl.when(~unknown).then("level"),
        flow=pl.when(~unknown | (pl.int_range(pl.len()) % 2 == 0)).then("flow"),
    )


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("records")
    (folder / "in").mkdir()
    records().write_csv(folder / "in" / "all.csv")
    space = storage_of(parse_table(attributes(folder), "defs.yaml"), folder / "home")
    list(load_raw(space, open_source(space.table.source.location, space.table.reading), DAYS))
    build_features(space, DAYS)
    train(space, TrainingRange.of(DAYS[0], DAYS[2], 0))
    calibrate_latest(space)
    found = list(find_anomalies(space, load_champion(space), DAYS))
    assert all(isinstance(day, AnomalyDay) for day in found), found
    return space


@pytest.fixture(scope="module")
def stored(space: Workspace) -> pl.DataFrame:
    return by_record(space.read(ANOMALIES, DAYS[0], DAYS[-1]))


@pytest.fixture(scope="module")
def model(space: Workspace) -> Model:
    version = space.models.champion(space.table.table)
    assert version is not None
    return load_model(space.models.path(space.table.table, version))


def by_record(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("time", "entity")


def test_every_record_is_decided_on(space: Workspace, stored: pl.DataFrame) -> None:
    assert stored.height == space.read(FEATURES, DAYS[0], DAYS[-1], ["day"]).height == records().height
    assert stored.columns == list(anomaly_schema(space.table.rhythm).columns)
    anomaly_schema(space.table.rhythm).validate(stored)
    of_flood = stored.filter(pl.col("entity") == FLOOD[0], pl.col("time").is_between(FLOOD[1], FLOOD[2]))
    assert of_flood["is_anomaly"].sum() > 8
    opened = of_flood.filter(pl.col("episode") == "opened")
    assert opened["episode_start"].to_list() == opened["time"].to_list()
    assert opened["time"].dt.date().to_list() == [DAYS[6]]
    assert of_flood.filter(pl.col("time").dt.date() == DAYS[7])["episode_start"].unique().len() == 1
    assert of_flood.filter("is_anomaly")["reasons"].null_count() == 0
    assert {"none", "opened", "open", "closed"} <= set(stored["episode"])
    assert stored["not_judged_because"].count() > 0
    assert (stored["score"].is_null() == stored["not_judged_because"].is_not_null()).all()


def test_rows_in_any_order_give_the_stored_anomalies(space: Workspace, stored: pl.DataFrame, model: Model) -> None:
    rows = space.read(RAW, DAYS[0], DAYS[-1]).sample(fraction=1, shuffle=True, seed=1)
    decisions, state = model.decide(rows)
    assert_frame_equal(by_record(decisions), stored, check_exact=True)
    assert state.set_aside.is_empty()


@pytest.mark.bits
def test_days_in_calls_of_their_own_give_what_one_call_gives(
    space: Workspace, stored: pl.DataFrame, model: Model
) -> None:
    state, decisions = None, []
    for day in DAYS:
        decided, state = model.decide(space.read(RAW, day, day), state)
        decisions.append(decided)
    assert_frame_equal(by_record(pl.concat(decisions)), stored, check_exact=True)


def test_a_day_alone_from_what_it_looks_back_on_is_the_day_in_a_range(
    space: Workspace, stored: pl.DataFrame, model: Model
) -> None:
    list(find_anomalies(space, load_champion(space), [DAYS[7]]))
    assert_frame_equal(by_record(space.read(ANOMALIES, DAYS[0], DAYS[-1])), stored, check_exact=True)
    assert model.look_back > timedelta(days=7)


def test_records_by_the_hour_are_decided_on_as_by_the_day(space: Workspace, stored: pl.DataFrame, model: Model) -> None:
    hourly = parse_table(attributes(Path(), partitions="hourly"), "defs.yaml")
    by_hour = replace(model, settings=FeatureSettings(model.settings.config, hourly.feature_settings.source))
    rows = space.read(RAW, DAYS[5], DAYS[-1])
    whole, _ = by_hour.decide(rows)
    state, decisions = None, []
    for _, of_hour in rows.sort("at").group_by(pl.col("at").dt.truncate("1h"), maintain_order=True):
        decided, state = by_hour.decide(of_hour, state)
        decisions.append(decided)
    assert len(decisions) == 72
    assert_frame_equal(by_record(pl.concat(decisions)), by_record(whole), check_exact=True)
    by_day, _ = model.decide(rows)
    same = ["time", "entity", "score", "threshold", "is_anomaly", "episode", "episode_start", "streak_days"]
    assert_frame_equal(by_record(whole).select(same), by_record(by_day).select(same), check_exact=True)


def test_a_day_is_told_device_by_device(space: Workspace, stored: pl.DataFrame) -> None:
    day = stored_day(space, DAYS[6])
    of_day = stored.filter(pl.col("day") == DAYS[6])
    assert day["counts"]["devices"] == STATIONS
    (flood,) = [one for one in day["open"] if one["entity"] == FLOOD[0]]
    highest = of_day.filter(entity=FLOOD[0]).sort("score", descending=True, nulls_last=True).row(0, named=True)
    assert (flood["time"], flood["score"]) == (highest["time"], highest["score"])
    assert (flood["is_new"], flood["days_open"]) == (True, 1)
    assert len(flood["reasons"]) > 0
    next_day = one_per_device(stored.filter(pl.col("day") == DAYS[7])).filter(entity=FLOOD[0])
    assert next_day["episode"].to_list() == ["closed"]
    assert next_day["episode_start"].to_list() == [flood["since"]]


def test_the_list_of_a_day_fits_80_columns_and_names_the_time_of_each_highest_score(space: Workspace) -> None:
    day = stored_day(space, DAYS[6])
    text = day_text(day, 80)
    assert max(map(len, text)) <= 80
    (head,) = [line for line in text if line.startswith("device")]
    assert head.split() == ["device", "kind", "since", "at", "days", "score", "as", "rare", "as"]
    (line,) = [line for line in text if line.startswith(FLOOD[0])]
    (flood,) = [one for one in day["open"] if one["entity"] == FLOOD[0]]
    assert f"{flood['since']:%Y-%m-%d %H:%M}  {flood['time']:%a %H:%M}" in line
    table = listed_alarms(one_per_device(anomaly_rows(space, DAYS[6], DAYS[6])), 20)
    assert table["device"].to_list() == [one["entity"] for one in day["open"]]
    assert f"{flood['since']:%Y-%m-%d %H:%M}, new" in table["since"].to_list()
    assert f"{flood['time']:%a %H:%M}" in alarms_table(one_per_device(anomaly_rows(space, DAYS[6], DAYS[6])))


def test_the_history_of_a_device_is_told_by_day_and_its_episodes_by_time(
    space: Workspace, stored: pl.DataFrame
) -> None:
    history = entity_history(space, FLOOD[0], 5)
    assert len(history["scores"]) == stored.filter(pl.col("entity") == FLOOD[0], pl.col("day") >= DAYS[3]).height
    flood = [one for one in history["episodes"] if one["since"].date() == DAYS[6]][-1]
    assert (flood["state"], flood["until"].date()) == ("closed", DAYS[7])
    text = history_text(history, 80)
    assert max(map(len, text)) <= 80
    assert any(f"{flood['since']:%Y-%m-%d %H:%M}" in line for line in text)
    story = story_of_top_alarm(space, load_champion(space), DAYS[6])
    assert story is not None
    assert story.history["day"].to_list() == DAYS[:7]
    highest = stored.filter(pl.col("entity") == story.entity, pl.col("day") == DAYS[6])["score"].max()
    assert story.history["score"][-1] == highest
    assert entity_story(story.history, story.entity, attributes=story.attributes).startswith(b"\x89PNG")


def test_shares_of_a_day_are_of_records_and_drift_is_of_one_record_of_each_device(
    space: Workspace, stored: pl.DataFrame
) -> None:
    champion = load_champion(space)
    assert champion.reference.entities == STATIONS
    checks = {check.check_name: check for check in anomalies_checks(space, champion, DAYS)}
    judged = stored.filter(pl.col("day") == DAYS[7], pl.col("score").is_not_null())["is_anomaly"]
    assert f"{DAYS[7]} {judged.sum() / len(judged):.2%}" in str(checks["alarm_rate_is_plausible"].description)
    verdicts = judge_drift(space, champion, DAYS[-1])
    assert {verdict.facts["devices"] for verdict in verdicts.values()} == {STATIONS}
