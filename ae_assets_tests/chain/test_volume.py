"""Days of implausible volume: nothing is learned from them, no threshold is chosen and no challenger judged on them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ae_assets.chain.challenger import Reason
from ae_assets.chain.champion import load_champion
from ae_assets.chain.model import TrainingRange, train, training_windows
from ae_assets.chain.threshold import calibrate_latest, calibration_scores
from ae_assets.chain.training_days import default_training_days
from ae_assets.chain.volume import in_words
from ae_assets.chain.workspace import Workspace
from ae_assets.errors import ModelError
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.pipeline.runs import materialise

RULE = {"type": "counter_rule", "features": ["smart_5_level"]}
DAYS = DAILY.range(FIRST, FIRST + timedelta(days=69))
OUTAGE = DAYS[25:37]
LEFT_OUT = [day.isoformat() for day in OUTAGE]
FAILING = 10


def space(home: Path, **more: Any) -> Workspace:
    sections = {"training": {"horizon_days": 5, "days": 20, "max_rows": 100_000}, **more}
    return storage_of(watched_table(str(home / "source"), detector=RULE, **sections), home / "home")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 drives over 70 days, of which 12 hold two drives only; 10 fail in the last days, after their counter rose."""
    home = tmp_path_factory.mktemp("volume")
    for number, day in enumerate(DAYS):
        reporting = [drive for drive in range(40) if day not in OUTAGE or drive > 37]
        alive = [drive for drive in reporting if drive >= FAILING or number <= 55 + drive]
        rows = [
            (f"D{drive:02}", int(drive < FAILING and number == 55 + drive), 50 * (drive < FAILING and number > 50))
            for drive in alive
        ]
        write_day(home / "source", day, rows)
    held = space(home)
    fill(held, DAYS)
    return home


OfFleet = Callable[..., Workspace]


@pytest.fixture
def of_fleet(fleet: Path, tmp_path: Path) -> OfFleet:
    """The fleet's storage under sections of the YAML, with models of the test's own."""

    def of(**more: Any) -> Workspace:
        held = space(fleet, **more)
        return replace(held, models=storage_of(held.table, tmp_path).models)

    return of


def trained(held: Workspace, first: int, last: int) -> str:
    return train(held, TrainingRange.of(DAYS[first], DAYS[last], held.table.horizon_days)).version


def test_a_model_does_not_learn_from_them_and_its_card_names_them(of_fleet: OfFleet) -> None:
    held = of_fleet()
    windows = training_windows(held, TrainingRange.of(DAYS[5], DAYS[40], 5), None)
    days = {day for part in (windows.data.train, windows.data.validation) for day in part.keys()["day"]}
    assert days == set(DAYS[5:41]) - set(OUTAGE)
    assert windows.left_out == tuple(OUTAGE)
    card = held.models.card("fleet", trained(held, 5, 40))
    assert card["days_left_out"] == LEFT_OUT
    assert card["data"]["rows_available"] == 40 * (36 - len(OUTAGE))
    assert held.models.card("fleet", trained(held, 0, 20))["days_left_out"] == []


def test_a_range_of_which_less_than_half_remains_is_refused_with_what_to_do(of_fleet: OfFleet) -> None:
    with pytest.raises(ModelError) as error:
        trained(of_fleet(), 22, 38)
    words = str(error.value)
    assert f"{OUTAGE[0]} to {OUTAGE[-1]} (12 days) have an implausible number of rows" in words
    assert "--train-start" in words
    assert "checks.volume_low" in words
    # What the YAML calls plausible is learned from.
    trained(of_fleet(checks={"window_days": 10, "volume_low": 0.01}), 22, 38)


def test_a_threshold_is_chosen_on_as_many_days_after_them(of_fleet: OfFleet) -> None:
    held = of_fleet()
    version = trained(held, 0, 19)  # the 8 days from the 23rd on, of which 5 and the outage follow
    calibrated = calibrate_latest(held, "always", version)
    assert calibrated.calibration.left_out == tuple(OUTAGE)
    assert set(calibrated.scores["day"]) == {*DAYS[22:25], *DAYS[37:42]}
    champion = load_champion(held)
    assert (champion.calibration.start, champion.calibration.end) == (DAYS[22], DAYS[41])
    assert champion.calibration == calibrated.calibration
    assert champion.reference.entities == 40
    assert json.loads(held.models.read_threshold("fleet", version))["days_left_out"] == LEFT_OUT
    # And again from what is kept, as an evaluation does.
    again = calibration_scores(
        held,
        champion.detector,
        champion.aggregation,
        champion.training,
        champion.calibration,
        earlier_failures=True,
    )
    assert not set(again["day"]) & set(OUTAGE)


def test_where_too_few_days_follow_them_no_threshold_is_chosen(of_fleet: OfFleet) -> None:
    held = of_fleet(calibration={"embargo_days": 2, "days": 80})
    version = trained(held, 0, 19)
    with pytest.raises(ModelError, match=r"only 36 days with features remain .*implausible number of rows; load the"):
        calibrate_latest(held, "always", version)


def test_the_days_of_a_training_nobody_named_reach_back_over_them(of_fleet: OfFleet) -> None:
    held = of_fleet(retraining={"window_days": 10})
    assert default_training_days(held) == (DAYS[40], DAYS[59])
    calibrate_latest(held, "always", trained(held, 0, 9))
    assert default_training_days(held) == (DAYS[18], DAYS[49]), "room is left to compare with the champion"


def test_champion_and_challenger_are_compared_on_other_days_and_the_verdict_says_so(of_fleet: OfFleet) -> None:
    held = of_fleet(retraining={"window_days": 40}, calibration={"embargo_days": 0, "days": 3})
    calibrate_latest(held, "always", trained(held, 0, 9))
    promotion = calibrate_latest(held, "if_not_worse", trained(held, 1, 9)).promotion
    assert promotion.reason is Reason.NOT_WORSE
    assert promotion.record["days_left_out"] == list(map(str, OUTAGE))
    assert promotion.record["window"] == [str(DAYS[18]), str(DAYS[69])]
    assert promotion.record["failed"] == FAILING
    assert f"Left out, for their implausible number of rows: {OUTAGE[0]} to {OUTAGE[-1]} (12 days)" in promotion.words


def test_the_ui_says_which_days_were_left_out(fleet: Path) -> None:
    held = space(fleet)
    config = {"train_start": str(DAYS[0]), "train_end": str(DAYS[40])}
    result = materialise(held.table, fleet / "home", ("model", "threshold"), None, {"model": config})
    assert result.success
    by_asset = {
        event.materialization.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert str(by_asset["model"]["Days left out"].value).startswith(f"{OUTAGE[0]} to {OUTAGE[-1]} (12 days)")
    assert "Days left out" not in by_asset["threshold"]


def test_days_in_words() -> None:
    first = date(2024, 2, 27)
    days = [first + timedelta(days=offset) for offset in (3, 0, 1, 2, 5, 8, 9)]
    assert in_words(days) == "2024-02-27 to 2024-03-01, 2024-03-03, 2024-03-06 to 2024-03-07 (7 days)"
    assert in_words([first]) == "2024-02-27 (1 day)"
    weekly = [first + timedelta(days=7 * week) for week in range(50)]
    assert in_words(weekly).endswith("2024-04-02 and 44 more stretches (50 days)")
