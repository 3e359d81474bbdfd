"""The stories of drives in an evaluation, told from the stored anomalies and features."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.champion import load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.lives import lives_in
from ae_assets.chain.stories import (
    Story,
    drawn_features,
    drive_figures,
    story_of,
    story_of_top_alarm,
    strongest_attributes,
)
from ae_assets.chain.workspace import Workspace
from ae_assets.evaluation.drives import Drives, FailedDrive, drives_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.features.catalogue import catalogue
from ae_assets.pipeline.metadata import anomalies_days, evaluation_run
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill, fit, judge
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=59))
FAILS = {"SICK": DAYS[56], "SUDDEN": DAYS[52]}
NEW_ON = 50
"""A healthy drive has an alarm on this day, its first, with a lower score than the sick drive, whose is days old."""
HEALTHY = [f"D{number:02}" for number in range(40)]


def worn(drive: str, number: int) -> int:
    """Reallocated sectors: more each day from the 48th on for the sick drive, some on one day, one for a few others."""
    if drive == "SICK":
        return 10 * max(0, number - 46)
    if drive == HEALTHY[9] and number == NEW_ON:
        return 5
    return int(drive in HEALTHY[:3])


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    source = tmp_path_factory.mktemp("source")
    table = watched_table(
        str(source),
        detector={"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
        threshold={"policy": "percentile", "percentile": 99.9},
    )
    space = storage_of(table, tmp_path_factory.mktemp("home"))
    for number, day in enumerate(DAYS):
        drives = [drive for drive in (*HEALTHY, *FAILS) if FAILS.get(drive, day) >= day]
        rows = [(drive, int(FAILS.get(drive) == day), worn(drive, number)) for drive in drives]
        unknown = [None if drive == "SUDDEN" else 0 for drive in drives]
        write_day(source, day, rows, smart_197_raw=unknown)
    fill(space, DAYS)
    fit(space, DAYS[0], DAYS[29])
    judge(space, DAYS[30:])
    return space


PROTOCOL = Protocol(DAYS[40], DAYS[59], 10, 10)


@pytest.fixture(scope="module")
def drives(space: Workspace) -> Drives:
    scores = space.read("anomalies", DAYS[40], DAYS[59], ["day", "entity", "cohort", "score", "threshold"])
    return drives_of(scores, lives_in(space), PROTOCOL)


@pytest.fixture(scope="module")
def stories(space: Workspace) -> dict[str, Story | None]:
    return {drive: story_of(space, load_champion(space), drive, day) for drive, day in FAILS.items()}


def test_the_found_drive_is_told_with_its_own_values_scores_and_what_raised_them(
    drives: Drives, stories: dict[str, Story | None]
) -> None:
    assert drives.detected == FailedDrive("SICK", DAYS[56], 9)
    story = stories["SICK"]
    assert story is not None
    assert (story.entity, story.last_day) == ("SICK", DAYS[56])
    assert next(iter(story.attributes.items())) == ("smart_5_raw", "reallocated sectors (SMART 5)")
    told = {row["day"]: row for row in story.history.iter_rows(named=True)}
    assert list(told) == DAYS[:57]
    assert [told[day]["smart_5_raw"] for day in DAYS[:57]] == pytest.approx(
        [worn("SICK", number) for number in range(57)], abs=1e-3
    )
    assert [told[day]["score"] is None for day in DAYS[:57]] == [True] * 30 + [False] * 27
    assert {day for day in DAYS[30:57] if told[day]["score"] > told[day]["threshold"]} == set(DAYS[47:57])


def test_the_missed_drive_is_told_too_with_the_attributes_that_it_reports(
    drives: Drives, stories: dict[str, Story | None]
) -> None:
    assert drives.missed == FailedDrive("SUDDEN", DAYS[52], 0)
    story = stories["SUDDEN"]
    assert story is not None
    assert list(story.attributes) == ["smart_5_raw", "smart_9_raw", "smart_194_raw"]


def test_of_the_last_records_it_is_told_what_each_feature_adds(stories: dict[str, Story | None]) -> None:
    story = stories["SICK"]
    assert story is not None
    parts = story.parts.filter(pl.col("at").dt.date() == story.last_day)
    score = story.history.filter(pl.col("day") == story.last_day)["score"].item()
    assert parts.filter(pl.col("part") > 0)["feature"].to_list() == ["smart_5_level"]
    assert parts["part"].sum() == pytest.approx(score)
    assert story.parts["at"].is_sorted()


def test_the_evaluation_shows_each_figure_as_an_image_below_60_kilobytes(space: Workspace) -> None:
    evaluation = evaluate(space, DAYS[40], DAYS[59], with_comparisons=False)
    shown = {
        "detection_and_false_alarms",
        "lead_time",
        "cohorts",
        "reliability",
        "drive_scores",
        "story_of_a_detected_drive",
        "story_of_a_missed_drive",
        "scores_where_learned_and_where_judged",
    }
    figures = evaluation.draw()
    assert set(figures) == shown
    assert max(map(len, figures.values())) < 60_000
    metadata = evaluation_run(evaluation)
    labels = [name.replace("_", " ").capitalize() for name in shown]
    assert all(metadata[label].value.startswith("![") for label in labels)


def test_of_each_attribute_the_feature_that_says_most_is_drawn(space: Workspace) -> None:
    features = space.table.features
    drawn = drawn_features(features, space.schema("features"))
    assert {column: feature.name for column, feature in drawn.items()} == {
        "smart_5_raw": "smart_5_level",
        "smart_197_raw": "smart_197_level",
        "smart_9_raw": "smart_9_level",
        "smart_194_raw": "smart_194_level",
    }
    assert set(drawn) <= {feature.column for feature in catalogue(features)}


def test_attributes_come_by_all_that_their_features_raised_the_score(space: Workspace) -> None:
    rows = [
        [
            {"name": "smart_194_level", "contribution": 3.0},
            {"name": "smart_5_level", "contribution": 2.0},
            {"name": "smart_5_growth_7d", "contribution": 2.0},
            {"name": "gap_days", "contribution": 9.0},
        ],
        None,
    ]
    found = strongest_attributes(
        pl.Series("top_features", rows), space.table.features, ["smart_9_raw", "smart_194_raw", "smart_5_raw"]
    )
    assert found == ["smart_5_raw", "smart_194_raw", "smart_9_raw"]


def test_a_drive_without_scores_of_this_model_has_no_story(space: Workspace, drives: Drives) -> None:
    other = replace(load_champion(space), version="another model")
    assert set(drive_figures(space, other, drives, PROTOCOL)) == {"drive_scores"}


def test_a_run_of_anomalies_tells_the_story_of_the_worst_alarm_of_its_last_day(space: Workspace) -> None:
    champion = load_champion(space)
    alarms = space.read("anomalies", DAYS[NEW_ON], DAYS[NEW_ON]).filter("is_anomaly")
    assert alarms.sort("is_new")["entity"].to_list() == ["SICK", HEALTHY[9]]
    story = story_of_top_alarm(space, champion, DAYS[50])
    assert story is not None
    assert (story.entity, story.history["day"].max()) == ("SICK", DAYS[50])
    assert story_of_top_alarm(space, champion, DAYS[45]) is None
    run = list(find_anomalies(space, champion, [DAYS[49], DAYS[50]]))
    shown = dict(anomalies_days(space, champion, run))
    assert shown[DAYS[50]]["Worst alarm"].value.startswith("![SICK")
    assert shown[DAYS[50]]["Worst alarm, by feature"].value.startswith("![parts")
    assert "Worst alarm" not in shown[DAYS[49]]
    calm = dict(anomalies_days(space, champion, list(find_anomalies(space, champion, [DAYS[45]]))))
    assert "Worst alarm" not in calm[DAYS[45]]
