"""Series that do not run side by side: each is learned from in its own first days, and judged after them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.champion import load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.model import TrainingRange, training_windows
from ae_assets.chain.scoring import score_days
from ae_assets.chain.threshold import calibration_after, calibration_scores
from ae_assets.chain.training_days import default_training_days
from ae_assets.chain.unapplied import unapplied_settings
from ae_assets.chain.unseen import latest_unseen_days
from ae_assets.chain.volume import implausible_volumes
from ae_assets.chain.workspace import ANOMALIES, FEATURES
from ae_assets.errors import ConfigError
from ae_assets.evaluation.series import SeriesComparison
from ae_assets.model.judgement import LEARNED_FROM
from ae_assets.model.life import LifeRange, learned_of
from ae_assets.model.model import load_model
from ae_assets.model.parse import parse_table
from ae_assets.reports.parts import TERMINAL_WIDTH
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.machines import attributes
from ae_assets_tests.chain.tables import storage_of

BEGINS = {"a": datetime(2024, 1, 1, 6, tzinfo=UTC), "b": datetime(2024, 1, 9, tzinfo=UTC)}
HOURS = 6 * 24
JUMP = 100
"""The hour of each series at which something went wrong."""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("machines")
    (folder / "in").mkdir()
    rng = np.random.default_rng(1)
    for name, begins in BEGINS.items():
        load = rng.standard_normal(HOURS)
        load[JUMP : JUMP + 3] += 30
        times = [f"{begins + timedelta(hours=hour):%Y-%m-%d %H:%M}" for hour in range(HOURS)]
        pl.DataFrame({"at": times, "load": load}).write_csv(folder / "in" / f"{name}.csv")
    jumps = {name: begins + timedelta(hours=JUMP) for name, begins in BEGINS.items()}
    windows = ", ".join(
        f'"of/{name}.csv": [["{at:%Y-%m-%d %H:%M}", "{at + timedelta(hours=4):%Y-%m-%d %H:%M}"]]'
        for name, at in jumps.items()
    )
    (folder / "labels.json").write_text(f"{{{windows}}}")
    space = storage_of(parse_table(attributes(folder), "defs.yaml"), folder / "home")
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(16)]
    steps.fill(space, days)
    steps.fit(space, days[0], days[-1])
    steps.judge(space, space.days_with_rows(FEATURES))
    return space


def hours_of_life(rows: pl.DataFrame) -> dict[str, list[int]]:
    begins = pl.col("entity").replace_strict(BEGINS)
    hours = rows.select("entity", hour=(pl.col("time") - begins).dt.total_hours()).sort("hour")
    return {str(entity): of_entity["hour"].to_list() for (entity,), of_entity in hours.group_by("entity")}


def of_each(hours: range) -> dict[str, list[int]]:
    return {entity: list(hours) for entity in BEGINS}


def test_the_fit_learns_from_the_first_day_of_each_series_and_the_threshold_from_the_second(space: Workspace) -> None:
    champion = load_champion(space)
    learned = training_windows(space, champion.training, None).data.windows.keys()
    assert hours_of_life(learned) == of_each(range(25))
    scores = calibration_scores(
        space, champion.detector, champion.aggregation, champion.training, champion.calibration, earlier_failures=False
    )
    assert hours_of_life(scores) == of_each(range(25, 49))


def test_a_series_is_judged_after_its_first_days_whenever_they_are(space: Workspace) -> None:
    days = space.days_with_rows(ANOMALIES)
    rows = space.read(ANOMALIES, days[0], days[-1], ["time", "entity", "score", "day_score", "not_judged_because"])
    judged = rows.drop_nulls("score")
    assert hours_of_life(judged) == of_each(range(49, HOURS))
    others = rows.filter(pl.col("score").is_null())
    assert others["day_score"].null_count() == others.height
    assert set(others["not_judged_because"]) == {LEARNED_FROM}


def test_all_days_may_be_judged_and_the_windows_of_a_series_are_found(space: Workspace) -> None:
    days = space.days_with_rows(FEATURES)
    assert default_training_days(space) == latest_unseen_days(space) == (days[0], days[-1])
    judged = evaluate(space, days[0], days[-1], with_comparisons=True)
    result = judged.result
    assert isinstance(result, SeriesComparison)
    assert result.sample.records == 2 * (HOURS - 49)
    assert [point.recall.count for point in result.points["excess_rule"]] == [2, 2, 2]
    assert set(judged.record["protocols"]) == {"excess_rule", "pca", "isolation_forest", "last_value", "random"}
    assert judged.record["protocols"]["excess_rule"]["alarms"]["events_detected"] == 2
    rebuilt = judged.record["rebuilt"]
    assert set(rebuilt) == {"pca"}  # the others expect no reading
    assert rebuilt["pca"]["records"] < result.sample.records - result.sample.abnormal_records + 1
    assert 0 < rebuilt["pca"]["error"]["value"] < 1
    assert "MAPE" in judged.text
    assert judged.headline["NAB score"] == pytest.approx(judged.record["protocols"]["excess_rule"]["nab"]["value"])
    assert max(len(line) for line in judged.text.splitlines() if "  " in line) <= TERMINAL_WIDTH
    assert judged.draw()["scores_over_time"].startswith(b"\x89PNG")


def test_a_day_on_which_no_series_runs_is_not_missing(space: Workspace) -> None:
    days = space.days_with_rows(FEATURES)
    assert date(2024, 1, 8) not in days
    assert implausible_volumes(space, days[0], days[-1]) == []
    at_once = replace(space, table=parse_table(attributes(Path(), training={"days": 1}), "defs.yaml"))
    assert [day.day for day in implausible_volumes(at_once, days[0], days[-1])] == [date(2024, 1, 8)]


def test_a_model_that_is_loaded_without_its_table_judges_from_the_same_day_on(space: Workspace) -> None:
    champion = load_champion(space)
    model = load_model(space.models.path("machines", champion.version))
    assert model.learned == champion.learned == LifeRange(1, 2)
    assert unapplied_settings(space, champion) == []


def test_the_first_days_must_be_told_by_the_look_back(tmp_path: Path) -> None:
    table = parse_table(attributes(tmp_path), "defs.yaml")
    assert table.calibration_of_life(table.learned) == LifeRange(2, 2)
    longer = {"embargo_days": 1, "days": 2}
    with pytest.raises(ConfigError, match=r"first 4 days of a device by the look-back"):
        parse_table(attributes(tmp_path, calibration=longer), "defs.yaml")


def test_failures_have_a_horizon_that_days_of_life_do_not_know(tmp_path: Path) -> None:
    made = attributes(tmp_path, target={})
    made["source"]["columns"]["label"] = "broken"
    with pytest.raises(ConfigError, match=r"counted_from: entity"):
        parse_table(made, "defs.yaml")


def counted_in_records(space: Workspace, folder: Path, records: int = 20, **calibration: int) -> Workspace:
    """The same tables under a YAML that counts the records of each series."""
    made = attributes(
        folder,
        training={"records": records, "counted_from": "entity"},
        calibration={"records": 10, "embargo_records": 2, **calibration},
    )
    return replace(space, table=parse_table(made, "defs.yaml"))


def test_series_shorter_than_days_are_learned_from_and_calibrated_on_by_their_records(space: Workspace) -> None:
    champion, days = load_champion(space), space.days_with_rows(FEATURES)
    counted = counted_in_records(space, Path(space.table.source.location).parent)
    training = TrainingRange.of(days[0], days[-1], 0, counted.table.periods, counted.table.learned)
    assert TrainingRange.from_record(training.record, counted.table.periods) == training  # type: ignore[arg-type]  # plain
    assert hours_of_life(training_windows(counted, training, None).data.windows.keys()) == of_each(range(20))
    calibration = calibration_after(counted, training)
    assert calibration.of_life == LifeRange(23, 32, "records")
    scores = calibration_scores(
        counted, champion.detector, champion.aggregation, training, calibration, earlier_failures=False
    )
    assert hours_of_life(scores) == of_each(range(22, 32))
    scored = score_days(
        counted, champion.detector, champion.aggregation, days, "scoring", learned=learned_of(calibration.of_life)
    )
    judged = pl.concat([of_day.judged_after(LifeRange(1, 32, "records")).scores for of_day in scored])
    assert hours_of_life(judged.drop_nulls("score")) == of_each(range(32, HOURS))


def test_records_must_be_told_by_the_look_back_and_name_the_cut_s(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"first 97 records of a device by the look-back"):
        counted_in_records(space, tmp_path, 85)
    made = attributes(tmp_path, training={"records": 20, "counted_from": "entity"})
    with pytest.raises(ConfigError, match=r"calibration\.records"):
        parse_table(made, "defs.yaml")
    made["calibration"] = {"records": 10}
    made["decision"] = {"aggregation": {"method": "max", "span": "3h"}}
    with pytest.raises(ConfigError, match=r"embargo_records"):
        parse_table(made, "defs.yaml")
