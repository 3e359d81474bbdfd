"""A table whose target is intervals, from raw to its evaluation: what is learned from, and what is judged by them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.chain import Workspace, model
from ae_assets.chain.challenger import Reason
from ae_assets.chain.champion import CalibrationRange, load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.rates import judge_rates
from ae_assets.chain.raw import load_raw
from ae_assets.chain.rolling import evaluate_origins
from ae_assets.chain.threshold import calibrate_latest, calibration_scores
from ae_assets.chain.unapplied import unapplied_settings
from ae_assets.decisions.config import AggregationConfig
from ae_assets.detectors import FittedDetector, TrainingData, Windows, fit
from ae_assets.detectors.config import KMeansConfig
from ae_assets.errors import EvaluationError
from ae_assets.evaluation.series import SeriesComparison
from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.checks import DRIFT_CHECKS, RATE_CHECKS, build_pooled_checks
from ae_assets.pipeline.descriptions import describe
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain import machines, pumps
from ae_assets_tests.chain.tables import fit_detector, storage_of
from ae_assets_tests.pipeline.runs import failure_of, materialise

DAYS = DAILY.range(pumps.FIRST, pumps.FIRST + timedelta(days=pumps.DAYS - 1))
TRAINING = TrainingRange.of(DAYS[0], DAYS[24], 0)
CALIBRATION = CalibrationRange.after(TRAINING, 2, 8)

LAST = DAYS[-1]
TRAINED = {"train_start": str(TRAINING.start), "train_end": str(TRAINING.end)}
SEEN_UNTIL = CALIBRATION.end

NOTED = {("pump 03", 10), ("pump 03", 11), ("pump 04", 30), ("pump 07", 44), ("pump 07", 45), ("pump 09", 26)}
"""Pump and day, counted from the first, with a note."""


def labelled(rows: pl.DataFrame, noted: Sequence[tuple[str, int]]) -> pl.DataFrame:
    marks = pl.DataFrame([(pump, DAYS[day], "seen") for pump, day in noted], ["pump", "date", "note"], orient="row")
    return rows.join(marks, on=["pump", "date"], how="left")


def attributes(folder: Path, **more: Any) -> dict[str, Any]:
    columns = {
        "time": "date",
        "entity": "pump",
        "label": {"columns": ["note"], "gap": "1d"},
        "values": {"pressure": {}, "vibration": {}, "hours": {"type": "int"}},
    }
    source = {"columns": columns, "days_per_file": "many"}
    return pumps.attributes(folder / "in", source, ("pressure", "vibration", "hours"), **more)


def filled(folder: Path, table: WatchedTable) -> Workspace:
    """The features of all days in a home of their own."""
    (folder / "in").mkdir()
    labelled(pumps.records(), sorted(NOTED)).write_parquet(folder / "in" / "pumps.parquet")
    space = storage_of(table, folder / "home")
    list(load_raw(space, open_source(space.table.source.location, space.table.reading), DAYS))
    build_features(space, DAYS)
    return space


def with_anomalies(space: Workspace, folder: Path) -> Workspace:
    """The same with a champion and the anomalies of the days after its training."""
    for assets, days, config in (
        (("model", "threshold"), None, {"model": TRAINED}),
        (("anomalies",), (DAYS[25], LAST), None),
    ):
        result = materialise(space.table, folder / "home", assets, days, config)
        assert result.success, failure_of(result)
    return space


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("noted")


@pytest.fixture(scope="module")
def space(folder: Path) -> Workspace:
    return filled(folder, parse_table(attributes(folder), "defs.yaml"))


@pytest.fixture(scope="module")
def judged(space: Workspace, folder: Path) -> Workspace:
    return with_anomalies(space, folder)


def pump_days(windows: Windows) -> set[tuple[str, date]]:
    return set(windows.keys().select("entity", "day").rows())


@pytest.mark.parametrize("window_days", [1, 3])
def test_abnormal_records_and_windows_that_hold_one_are_not_learned_from_as_normal(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, window_days: int
) -> None:
    given: dict[str, Windows] = {}

    def remember(config: Any, data: TrainingData, progress: Any) -> FittedDetector:
        given.update(train=data.train, validation=data.validation, failing=data.failing)
        return fit(config, data, progress)

    monkeypatch.setattr(model, "fit", remember)
    monkeypatch.setattr(KMeansConfig, "window", timedelta(days=window_days))
    _, facts = fit_detector(space, KMeansConfig(), TRAINING)
    abnormal = {("pump 03", DAYS[10]), ("pump 03", DAYS[11])}
    after = {("pump 03", DAYS[11 + back]) for back in range(1, window_days)}
    everything = {(f"pump {number:02}", day) for number in range(pumps.PUMPS) for day in DAYS[:25]}
    assert pump_days(given["failing"]) == abnormal
    assert pump_days(given["train"]) | pump_days(given["validation"]) == everything - abnormal - after
    assert facts["rows_before_failure"] == 2


def test_calibration_leaves_out_what_was_abnormal_until_its_end(space: Workspace) -> None:
    detector, _ = fit_detector(space, space.table.detector, TRAINING)
    scores = calibration_scores(space, detector, AggregationConfig(), TRAINING, CALIBRATION, earlier_failures=True)
    days = [day for day in DAYS if CALIBRATION.start <= day <= CALIBRATION.end]
    assert DAYS[30] in days
    expected = {(f"pump {number:02}", day) for number in range(pumps.PUMPS) for day in days} - {("pump 04", DAYS[30])}
    assert set(scores.select("entity", "day").rows()) == expected
    assert scores["fails_in"].null_count() == scores.height


def test_the_model_has_seen_no_day_beyond_its_calibration_since_labels_come_with_records(judged: Workspace) -> None:
    champion = load_champion(judged)
    assert champion.training.known_until == TRAINING.end
    assert champion.seen_until == SEEN_UNTIL


def test_the_checks_count_intervals_with_an_alarm_and_alarms_outside_of_them(judged: Workspace) -> None:
    verdicts = judge_rates(judged)
    detection, false_alarms = (verdicts[name] for name in RATE_CHECKS)
    # Of the worn pump's interval the alarms are from the third day of wear on.
    assert (detection.facts["count"], detection.facts["total"], detection.passed) == (1, 1, True)
    assert detection.facts["window_start"] == str(LAST - timedelta(days=9))
    outside = 10 * pumps.PUMPS - 2
    assert false_alarms.facts["total"] == outside
    alarms = judged.read("anomalies", LAST - timedelta(days=9), LAST).filter(pl.col("is_anomaly"))
    inside = alarms.filter(pl.struct("entity", "day").is_in([{"entity": "pump 07", "day": DAYS[d]} for d in (44, 45)]))
    assert false_alarms.facts["count"] == alarms.height - inside.height
    assert {*RATE_CHECKS} < {key.name for key in build_pooled_checks(judged.table).check_keys}


def test_the_evaluation_says_which_intervals_were_found_beside_baselines_on_the_same_days(judged: Workspace) -> None:
    found = evaluate(judged, SEEN_UNTIL + timedelta(days=1), LAST, with_comparisons=False, with_baselines=True)
    assert isinstance(found.result, SeriesComparison)
    sample = found.result.sample
    days = (LAST - SEEN_UNTIL).days
    assert (sample.intervals, sample.abnormal_records) == (1, 2)
    assert (sample.records, sample.entity_days) == (days * pumps.PUMPS, days * pumps.PUMPS - 2)
    assert {"pca", "kmeans"} <= found.result.points.keys()
    in_use = {name: points[-1] for name, points in found.result.points.items()}
    assert all(point.name == "in use" for point in in_use.values())
    assert (in_use["pca"].recall.count, in_use["pca"].recall.total) == (1, 1)
    assert found.headline["Intervals found"] == 1
    assert "1 of 1 labelled intervals" in found.answer
    assert json.loads(json.dumps(found.record))["points"]["pca"][-1]["recall"]["count"] == 1
    assert "kmeans" in found.text
    assert "kmeans" in found.markdown


def test_ranges_going_back_in_time_are_refused_with_what_to_do(judged: Workspace) -> None:
    with pytest.raises(EvaluationError, match="leave out origins"):
        evaluate_origins(judged, DAYS[40], LAST, 2, with_comparisons=False, with_baselines=False)


def unlabelled(folder: Path) -> WatchedTable:
    """The table as if nobody had looked at the notes."""
    without = attributes(folder)
    del without["source"]["columns"]["label"]
    return parse_table(without, "defs.yaml")


def test_without_a_label_everything_works_and_the_evaluation_says_that_nothing_is_known(tmp_path: Path) -> None:
    judged = with_anomalies(filled(tmp_path, unlabelled(tmp_path)), tmp_path)
    assert judged.days_of("anomalies").keys() == {*DAYS[25:]}
    assert judge_rates(judged).keys() == {*DRIFT_CHECKS}
    assert {key.name for key in build_pooled_checks(judged.table).check_keys} == {*DRIFT_CHECKS}
    result = materialise(judged.table, tmp_path / "home", ("evaluation",))
    assert result.success, failure_of(result)
    (event,) = result.get_asset_materialization_events()
    assert "nothing is known" in str(event.materialization.metadata["Summary"].value)
    with pytest.raises(EvaluationError, match=r"target\.file"):
        evaluate(judged, SEEN_UNTIL + timedelta(days=1), LAST, with_comparisons=False)
    before = judged.models.champion("pumps")
    version = train(judged, TRAINING).version
    promotion = calibrate_latest(judged).promotion
    assert (promotion.reason, promotion.champion_before) == (Reason.NOT_COMPARED, before)
    assert judged.models.champion("pumps") == version
    assert "nothing is known" in promotion.words


def test_a_champion_does_not_follow_a_label_that_has_changed(judged: Workspace, folder: Path) -> None:
    champion = load_champion(judged)
    assert unapplied_settings(judged, champion) == []
    changed = attributes(folder)
    changed["source"]["columns"]["label"]["abnormal"] = ["seen"]
    (found,) = unapplied_settings(replace(judged, table=parse_table(changed, "defs.yaml")), champion)
    assert (found.key, found.remedy) == ("source.columns.label", "train")
    keys = [found.key for found in unapplied_settings(replace(judged, table=unlabelled(folder)), champion)]
    assert keys == ["source.columns.label"]


def test_the_ui_says_what_the_target_is(judged: Workspace, tmp_path: Path) -> None:
    assert "`note` marks" in describe(judged.table, "model")
    assert "`note` marks" in describe(judged.table, "evaluation")
    assert "**Nothing is known**" in describe(unlabelled(tmp_path), "evaluation")
    assert "nothing is known" in describe(unlabelled(tmp_path), "threshold")
    of_file = attributes(tmp_path, target={"file": "labels.csv"})
    del of_file["source"]["columns"]["label"]
    assert "`labels.csv` names" in describe(parse_table(of_file, "defs.yaml"), "model")


def test_the_ui_says_which_days_of_a_device_are_learned_from(tmp_path: Path) -> None:
    table = parse_table(machines.attributes(tmp_path), "defs.yaml")
    assert "of each device its first 1" in describe(table, "model")
    assert "on day 2 of each device, after which it is judged" in describe(table, "threshold")
    usual = parse_table(machines.attributes(tmp_path, training={"days": 1}), "defs.yaml")
    assert "the 1 days that follow the training range" in describe(usual, "threshold")


def test_a_file_of_intervals_that_is_wrong_fails_the_rate_checks_and_leaves_the_others(
    judged: Workspace, tmp_path: Path
) -> None:
    of_file = attributes(tmp_path, target={"file": str(tmp_path / "labels.csv")})
    del of_file["source"]["columns"]["label"]
    space = replace(judged, table=parse_table(of_file, "defs.yaml"))
    verdicts = judge_rates(space)
    assert [verdicts[name].passed for name in RATE_CHECKS] == [False, False]
    assert "labels.csv does not exist" in verdicts[RATE_CHECKS[0]].text
    assert verdicts["scores_have_not_drifted"].text != verdicts[RATE_CHECKS[0]].text
    (tmp_path / "labels.csv").write_text(f"entity,start,end\npump 07,{DAYS[44]},{DAYS[45]}\npump 99,{LAST},{LAST}\n")
    detection = judge_rates(space)["detection_rate_is_acceptable"]
    assert (detection.facts["count"], detection.facts["total"]) == (1, 1)
    assert detection.facts["entities_of_intervals_unknown"] == ["pump 99"]
    found = evaluate(space, SEEN_UNTIL + timedelta(days=1), LAST, with_comparisons=False)
    assert "'pump 99'" in found.text


def test_a_challenger_is_compared_by_the_intervals_that_both_find(judged: Workspace) -> None:
    version = train(judged, TRAINING).version
    promotion = calibrate_latest(judged).promotion
    assert promotion.reason is Reason.NOT_WORSE
    assert judged.models.champion("pumps") == version
    assert promotion.record["intervals"] == 1
    assert promotion.record["difference"]["value"] == 0
    assert "1 labelled intervals" in promotion.words
