"""Which drive-days a detector is fitted on, and which it is shown as failing."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ae_assets.chain import model
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.workspace import Workspace
from ae_assets.detectors import FittedDetector, TrainingData, Windows, fit, windows_of
from ae_assets.detectors.config import CounterRuleConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.errors import ModelError
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill
from ae_assets_tests.chain.tables import FIRST, fit_detector, storage_of, watched_table, write_day

HORIZON = 3
DAYS = DAILY.range(FIRST, date(2013, 4, 29))
TRAINING = TrainingRange.of(DAYS[0], DAYS[14], HORIZON)
DRIVES = [f"D{number:03}" for number in range(120)]
FAILS = {
    "D000": DAYS[2],  # before it has a whole horizon of days
    **{f"D{number:03}": DAYS[8] for number in range(1, 30)},
    "D030": DAYS[16],  # after the range, within what the labels know
    "D031": DAYS[18],  # after what they know
}
BOOSTING = {"type": "gradient_boosting", "trees": 10, "min_windows_per_leaf": 2}


def space_in(folder: Path, max_rows: int, **more: Any) -> Workspace:
    """The storage of a fleet in a folder."""
    sections = {"horizon_days": HORIZON, "days": 15, "max_rows": max_rows}
    return storage_of(watched_table(str(folder / "source"), training=sections, **more), folder / "home")


def fill_fleet(folder: Path, fails: dict[str, date]) -> None:
    """A fleet of 120 drives over 20 days; the counter of those that fail rises on the three days before.

    D000 comes back after its failure, which makes it neither healthy nor failing.
    """
    for day in DAYS:
        present = [drive for drive in DRIVES if fails.get(drive, DAYS[-1]) >= day or drive == "D000"]
        ahead = {drive: (fails[drive] - day).days for drive in present if drive in fails}
        rows = [(drive, int(ahead.get(drive) == 0), 10 * (ahead.get(drive, 99) <= HORIZON)) for drive in present]
        write_day(folder / "source", day, rows)
    fill(space_in(folder, 1000), DAYS)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the fleet in which drives fail; of its tables tests only read."""
    folder = tmp_path_factory.mktemp("failing")
    fill_fleet(folder, FAILS)
    return folder


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the one before, of a fleet in which no drive fails."""
    folder = tmp_path_factory.mktemp("healthy")
    fill_fleet(folder, {})
    return folder


@pytest.fixture
def fitted_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, Windows]:
    """The windows of each role that the last fit was given; a rule is fitted in place of the config, for speed."""
    given: dict[str, Windows] = {}

    def remember(_: Any, data: TrainingData, progress: Any) -> FittedDetector:
        given.update(train=data.train, validation=data.validation, failing=data.failing)
        return fit(CounterRuleConfig(features=("smart_5_level",)), data)

    monkeypatch.setattr(model, "fit", remember)
    return given


def drive_days(windows: Windows) -> set[tuple[str, date]]:
    return set(windows.keys().select("entity", "day").rows())


def days_to_known_failure(drive: str, day: date) -> int:
    """Negative after the failure, and large where the labels know of none."""
    failed = FAILS.get(drive, date.max)
    return (failed - day).days if failed <= TRAINING.known_until else 999


def before_known_failures() -> set[tuple[str, date]]:
    return {(drive, day) for drive in FAILS for day in DAYS[:15] if 1 <= days_to_known_failure(drive, day) <= HORIZON}


def test_failing_windows_are_the_days_before_each_known_failure_without_its_day(
    failing: Path, fitted_on: dict[str, Windows]
) -> None:
    held = space_in(failing, 100_000, detector=BOOSTING)
    _, facts = fit_detector(held, held.table.detector, TRAINING)
    assert drive_days(fitted_on["failing"]) == before_known_failures()
    assert facts["rows_before_failure"] == len(before_known_failures())
    assert facts["entities_before_failure"] == 31
    assert not drive_days(fitted_on["train"]) & before_known_failures()
    assert "D000" not in {drive for drive, _ in drive_days(fitted_on["train"]) | drive_days(fitted_on["validation"])}
    assert ("D031", DAYS[14]) in drive_days(fitted_on["train"]) | drive_days(fitted_on["validation"])


@pytest.mark.parametrize("window_days", [1, 5])
def test_a_sample_of_the_drives_keeps_every_failure_and_the_same_healthy_rows(
    failing: Path, fitted_on: dict[str, Windows], window_days: int
) -> None:
    held = space_in(failing, 1000)
    _, facts = fit_detector(held, LstmAutoencoderConfig(window_days=window_days), TRAINING)
    assert drive_days(fitted_on["failing"]) == before_known_failures()
    healthy = drive_days(fitted_on["train"]) | drive_days(fitted_on["validation"])
    sampled = {drive for drive, _ in healthy}
    assert 0.3 < len(sampled) / len(DRIVES) < 0.8
    assert 0 < len(sampled & FAILS.keys()) < len(FAILS)  # the others serve before their failure only
    assert healthy == {
        (drive, day) for drive in sampled for day in DAYS[:15] if days_to_known_failure(drive, day) > HORIZON
    }
    assert facts["rows_held"] < facts["rows_available"]
    on_the_last_day = fitted_on["failing"].keys()["day"].to_numpy() == np.datetime64(DAYS[7])
    assert set(fitted_on["failing"].length[on_the_last_day]) == {window_days}  # their history is kept as well


def test_the_model_card_says_how_many_rows_before_a_failure_were_kept(failing: Path) -> None:
    held = space_in(failing, 1000, detector=BOOSTING)
    card = train(held, TRAINING).card
    assert card["data"]["rows_before_failure"] == len(before_known_failures())


def test_a_supervised_detector_says_that_the_range_has_no_failure(healthy: Path) -> None:
    held = space_in(healthy, 100_000, detector=BOOSTING)
    with pytest.raises(ModelError, match="gradient_boosting learns from labelled failures"):
        fit_detector(held, held.table.detector, TRAINING)


def test_a_supervised_detector_ranks_drives_before_their_failure_above_the_others(failing: Path) -> None:
    held = space_in(failing, 1000, detector=BOOSTING)
    detector, _ = fit_detector(held, held.table.detector, TRAINING)
    rows = held.tables.read(held.name("features"), DAYS[16], DAYS[16])
    windows = windows_of(rows, detector.feature_names)
    score = windows.keys().with_columns(score=pl.Series(detector.score(windows))).sort("score")
    assert set(score["entity"].tail(2)) == {"D030", "D031"}


def small_fleet(folder: Path, drives: list[str], **training: Any) -> Workspace:
    """Drives that all live, over 20 days."""
    sections = {"horizon_days": HORIZON, "days": 15, "max_rows": 100_000, **training}
    held = storage_of(watched_table(str(folder / "source"), training=sections), folder / "home")
    for day in DAYS:
        write_day(folder / "source", day, [(drive, 0, 0) for drive in drives])
    fill(held, DAYS)
    return held


def drives_in(windows: Windows) -> set[str]:
    return {drive for drive, _ in drive_days(windows)}


@pytest.mark.parametrize("fleet", range(4))
def test_of_five_drives_one_is_kept_for_early_stopping_whatever_they_are_called(
    tmp_path: Path, fitted_on: dict[str, Windows], fleet: int
) -> None:
    drives = [f"ZA{fleet}{number}" for number in range(5)]
    held = small_fleet(tmp_path, drives)
    fit_detector(held, held.table.detector, TRAINING)
    assert len(drives_in(fitted_on["validation"])) == 1
    assert drives_in(fitted_on["train"]) | drives_in(fitted_on["validation"]) == set(drives)
    assert len(drives_in(fitted_on["train"])) == 4


def test_a_share_that_keeps_nearly_all_drives_leaves_one_to_learn_from(
    tmp_path: Path, fitted_on: dict[str, Windows]
) -> None:
    held = small_fleet(tmp_path, ["A", "B", "C"], validation_share=0.99)
    fit_detector(held, held.table.detector, TRAINING)
    assert (len(drives_in(fitted_on["train"])), len(drives_in(fitted_on["validation"]))) == (1, 2)


def test_of_one_drive_alone_the_last_days_are_kept_for_early_stopping(
    tmp_path: Path, fitted_on: dict[str, Windows]
) -> None:
    held = small_fleet(tmp_path, ["A"])
    fit_detector(held, held.table.detector, TRAINING)
    assert drive_days(fitted_on["validation"]) == {("A", DAYS[14])}
    assert drive_days(fitted_on["train"]) == {("A", day) for day in DAYS[:14]}


def test_one_drive_on_one_day_is_refused_with_what_a_fit_needs(tmp_path: Path) -> None:
    held = small_fleet(tmp_path, ["A"])
    with pytest.raises(ModelError, match=r"1 devices .* in 1 periods, .*training\.validation_share"):
        fit_detector(held, held.table.detector, TrainingRange.of(DAYS[0], DAYS[0], HORIZON))


def test_drives_of_a_large_fleet_are_held_out_by_their_hash_alone(healthy: Path, fitted_on: dict[str, Windows]) -> None:
    held = space_in(healthy, 100_000)
    fit_detector(held, held.table.detector, TRAINING)
    share = (pl.Series(DRIVES).hash(held.table.training.seed + 1) % 1_000_000) / 1_000_000
    below = {drive for drive, number in zip(DRIVES, share, strict=True) if number < 0.1}
    assert drives_in(fitted_on["validation"]) == below
    assert drives_in(fitted_on["train"]) == set(DRIVES) - below
