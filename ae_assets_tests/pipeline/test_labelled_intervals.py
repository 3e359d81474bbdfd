"""A table whose target is intervals, from raw to its evaluation: what is learned from, and what is judged by them."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.chain import Workspace, model
from ae_assets.chain.champion import CalibrationRange
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, fit_detector
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibration_scores
from ae_assets.decisions import AggregationConfig
from ae_assets.detectors import FittedDetector, KMeansConfig, TrainingData, Windows, fit
from ae_assets.model.parse import parse_table
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.pipeline import pumps
from ae_assets_tests.pipeline.tables import storage_of

DAYS = DAILY.range(pumps.FIRST, pumps.FIRST + timedelta(days=pumps.DAYS - 1))
TRAINING = TrainingRange.of(DAYS[0], DAYS[24], 0)
CALIBRATION = CalibrationRange.after(TRAINING, 2, 8)

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


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("noted")
    (folder / "in").mkdir()
    labelled(pumps.records(), sorted(NOTED)).write_parquet(folder / "in" / "pumps.parquet")
    space = storage_of(parse_table(attributes(folder), "defs.yaml"), folder / "home")
    list(load_raw(space, open_source(space.table.source.location, space.table.source.reading), DAYS))
    build_features(space, DAYS)
    return space


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
    monkeypatch.setattr(KMeansConfig, "window_days", window_days)
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
